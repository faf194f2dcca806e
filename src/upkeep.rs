//! The task that does what needs the catalog and may have to wait for somebody's lock: nothing waits for it.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::capture::Delivered;
use crate::config::Limits;
use crate::crash;
use crate::db::{self, Target, upkeep};
use crate::inbox::segment;
use crate::observe::{Observation, observe};

/// It runs at most this often, and only when the database moved on.
const EVERY: Duration = Duration::from_secs(1);

/// How often it looks at the size and age of every inbox, and for partitions to drop: a look costs some index descents a
/// session, and both limits are far coarser.
const RETAIN_EVERY: Duration = Duration::from_secs(10);

/// Looks after the database until the walk ends.
pub async fn run(
    target: Target,
    limits: Limits,
    mut moved: watch::Receiver<Delivered>,
    mut altered: mpsc::UnboundedReceiver<u32>,
) {
    let mut client: Option<db::Client> = None;
    let mut to_check: Vec<u32> = Vec::new();
    let mut retained: Option<Instant> = None;
    let mut is_waited_for = false;
    loop {
        crash::point("upkeep");
        let outcome = async {
            let client = match &client {
                Some(client) if !client.is_closed() => client,
                _ => client.insert(target.connect_pinned().await?.client),
            };
            let position = segment(moved.borrow_and_update().lsn);
            let looked = upkeep::look_after(client, &to_check).await?;
            is_waited_for = !looked.is_done;
            if retained.is_none_or(|last| last.elapsed() >= RETAIN_EVERY) {
                retained = Some(Instant::now());
                for reason in upkeep::retain(client, position, &limits).await? {
                    observe(&Observation::InboxEmptied { reason: &reason });
                }
            }
            looked.failed.map_or(Ok(()), Err)
        };
        match outcome.await {
            Ok(()) => to_check.clear(),
            Err(failed) => observe(&Observation::UpkeepFailed { error: &failed }),
        }
        tokio::time::sleep(EVERY).await;
        tokio::select! {
            still_walking = moved.changed() => {
                if still_walking.is_err() {
                    return;
                }
            }
            relation = altered.recv() => to_check.extend(relation),
            () = std::future::ready(()), if is_waited_for => {}
        }
        while let Ok(relation) = altered.try_recv() {
            to_check.push(relation);
        }
        to_check.sort_unstable();
        to_check.dedup();
    }
}
