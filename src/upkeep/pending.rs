//! The tables for which subscriptions wait: when each is to be prepared, and when again.
//!
//! A module of its own, since it keeps a promise to writers: a table that is busy is tried again less and less often.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::db::{self, upkeep};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observation, observe};

/// The first pause after a table was busy, doubled each time up to the longest. Each attempt can hold up the table's writers for 200 ms
/// (`event._publish`): at most a fifth of the time at first, and soon less than a hundredth.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The stream is ahead of what can be seen by microseconds, rarely a millisecond. Behind a restart it brings subscriptions that took effect
/// long ago, for which every look is in vain: so there are few, and what they miss the next run of upkeep finds.
const LOOKS: u32 = 4;
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Tables that were busy.
#[derive(Default)]
pub(super) struct Pending {
    busy: HashMap<u32, Busy>,
}

struct Busy {
    again: Instant,
    pause: Duration,
}

impl Pending {
    /// Prepares what is due.
    pub(super) async fn prepare_due(&mut self, client: &db::Client) -> Result<()> {
        let waiting = upkeep::waiting(client).await?;
        self.busy.retain(|relation, _| waiting.contains(relation));
        for relation in waiting {
            if self.busy.get(&relation).is_none_or(|busy| busy.again <= Instant::now()) {
                let prepared = upkeep::prepare(client, relation).await?;
                self.note(relation, prepared);
            }
        }
        Ok(())
    }

    /// Prepares tables for subscriptions that have just committed, but for those that were busy a moment ago.
    pub(super) async fn prepare_now(&mut self, client: &db::Client, mut relations: Vec<u32>) -> Result<()> {
        relations.sort_unstable();
        relations.dedup();
        relations.retain(|relation| !self.busy.contains_key(relation));
        for relation in relations {
            for _ in 0..LOOKS {
                match upkeep::prepare(client, relation).await? {
                    upkeep::Prepared::Nobody => tokio::time::sleep(LOOK_PAUSE).await,
                    prepared => {
                        self.note(relation, prepared);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, relation: u32, prepared: upkeep::Prepared) {
        let why = match prepared {
            upkeep::Prepared::Busy { why, of_table } => {
                // writers wait for their table's lock alone
                let longest = if of_table { LONGEST_PAUSE } else { FIRST_PAUSE };
                let pause = self.busy.get(&relation).map_or(FIRST_PAUSE, |busy| (busy.pause * 2).min(longest));
                self.busy.insert(relation, Busy { again: Instant::now() + pause, pause });
                Some(why)
            }
            upkeep::Prepared::Done(why) => {
                self.busy.remove(&relation);
                why
            }
            upkeep::Prepared::Nobody => None,
        };
        if let Some(why) = why {
            observe(&Observation::UpkeepFailed { error: &Error::new(ErrorKind::Database, why) });
        }
    }
}
