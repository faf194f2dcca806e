//! What each role keeps, beside its limits: counted here, and reported once when a role comes near one.
//!
//! A module of its own, since it bounds what the counting itself costs: a million subscriptions are counted again only when some were
//! added or removed, and not the more often the longer it takes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::db::{self, quota};
use crate::error::Result;
use crate::observe::{Observation, observe};

/// Counting a million subscriptions takes half a second. With so many times as long in between it takes a twentieth of one processor
/// at most, and the count is at most some ten seconds old.
const REST: u32 = 20;

/// A role is reported at this much of a limit: an application that grows steadily leaves its operator a tenth of the way to act.
const NEAR: f64 = 0.9;

/// It is reported again only after it was below this: a count that goes up and down around the other fills no log.
const FAR: f64 = 0.75;

/// What was counted, and what was reported.
#[derive(Default)]
pub(super) struct Quotas {
    mark: Option<String>,
    again: Option<Instant>,
    reported: HashSet<(u32, String)>,
}

impl Quotas {
    /// Counts subscriptions if there is something to count, and reports roles that are near a limit.
    pub(super) async fn look(&mut self, client: &db::Client) -> Result<()> {
        let mark = quota::subscriptions_mark(client).await?;
        let has_moved = mark.is_none() || mark != self.mark;
        if has_moved && self.again.is_none_or(|again| again <= Instant::now()) {
            let begun = Instant::now();
            quota::count_subscriptions(client).await?;
            self.again = Some(Instant::now() + pause(begun.elapsed()));
            self.mark = mark;
        }
        let near = quota::near(client, FAR).await?;
        self.reported.retain(|(role, limit)| near.iter().any(|near| near.role == *role && near.limit == *limit));
        for near in near.into_iter().filter(|near| near.ratio >= NEAR) {
            if self.reported.insert((near.role, near.limit)) {
                observe(&Observation::RoleNearLimit { role: &near.name, shown: &near.shown });
            }
        }
        Ok(())
    }
}

fn pause(taken: Duration) -> Duration {
    taken * REST
}
