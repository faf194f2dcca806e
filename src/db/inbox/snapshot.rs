//! Which transactions can be seen.

use std::time::Duration;

use tokio_postgres::{Client, Statement};

use crate::db::error;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observation, observe};
use crate::position::Lsn;

/// The statement that asks for a snapshot, and where the log ends.
pub(super) const CURRENT: &str = "select pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text";

/// Commits become visible within microseconds unless they wait for a synchronous standby: so often a snapshot is asked for again at
/// once. The round trip is pause enough, and the runtime's clock has none under a millisecond.
const AT_ONCE: u32 = 5;

/// After that it is asked for after this pause, doubled up to the limit.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Waits until the transactions can be seen by everybody. The WAL is streamed before a commit becomes visible: with
/// synchronous replication, long before. `current` is the prepared [`CURRENT`]. Returns where the log ended before that.
pub(super) async fn until_visible(client: &Client, current: &Statement, xids: &[u32]) -> Result<Lsn> {
    let mut pause = FIRST_PAUSE;
    let mut looks = 0;
    loop {
        let row = client.query_one(current, &[]).await.map_err(error)?;
        if Snapshot::parse(row.get(0))?.shows_all(xids) {
            return row.get::<_, &str>(1).parse();
        }
        looks += 1;
        if looks < AT_ONCE {
            continue;
        }
        if pause == LONGEST_PAUSE {
            observe(&Observation::WaitingToBeVisible);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A `pg_snapshot` (manual, section 9.27.8 "Transaction ID and Snapshot Information Functions").
struct Snapshot {
    min: u64,
    max: u64,
    running: Vec<u64>,
}

impl Snapshot {
    fn parse(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        match (number(), number()) {
            (Some(min), Some(max)) => {
                let running = parts.next().unwrap_or_default();
                Ok(Snapshot { min, max, running: running.split(',').filter_map(|xid| xid.parse().ok()).collect() })
            }
            _ => Err(Error::new(ErrorKind::Protocol, format!("\"{text}\" is not a snapshot"))),
        }
    }

    fn shows_all(&self, xids: &[u32]) -> bool {
        xids.iter().all(|&xid| {
            let xid = self.widen(xid);
            xid < self.min || (xid < self.max && !self.running.contains(&xid))
        })
    }

    /// The 64-bit id nearest to the snapshot with these lower 32 bits.
    fn widen(&self, xid: u32) -> u64 {
        let half = 1u64 << 31;
        let near = (self.max & !0xffff_ffff) | u64::from(xid);
        if near > self.max + half {
            near.saturating_sub(half * 2)
        } else if near + half < self.max {
            near + half * 2
        } else {
            near
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_visible_once_it_is_out_of_the_snapshot() {
        let snapshot = Snapshot::parse("100:110:103,105").unwrap();
        assert!(snapshot.shows_all(&[99, 101, 109]));
        assert!(!snapshot.shows_all(&[103]));
        assert!(!snapshot.shows_all(&[110]));
        assert!(Snapshot::parse("5:5:").unwrap().shows_all(&[3, 4]));
    }

    #[test]
    fn transaction_ids_are_compared_across_a_wraparound() {
        let snapshot = Snapshot::parse("4294967300:4294967310:4294967301").unwrap();
        assert!(snapshot.shows_all(&[4_294_967_290, 3, 6]));
        assert!(!snapshot.shows_all(&[5]));
        assert!(!snapshot.shows_all(&[14]));
    }
}
