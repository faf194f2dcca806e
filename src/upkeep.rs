//! The task that does what needs the catalog and may have to wait for somebody's lock: nothing waits for it.

mod pending;
mod quota;

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::capture::Delivered;
use crate::config::Limits;
use crate::crash;
use crate::db::{self, Target, upkeep};
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::segment;
use crate::observe::{Observation, observe};

use pending::Pending;
use quota::Quotas;

/// It runs at most this often, and only when the database moved on.
const EVERY: Duration = Duration::from_secs(1);

/// How often it looks at the size and age of every inbox, and for partitions to drop: that costs some index descents a
/// session, and both limits are far coarser.
const RETAIN_EVERY: Duration = Duration::from_secs(10);

/// Looks after the database until the walk ends.
pub async fn run(
    target: Target,
    limits: Limits,
    mut moved: watch::Receiver<Delivered>,
    mut altered: mpsc::UnboundedReceiver<u32>,
    mut waiting: mpsc::UnboundedReceiver<u32>,
) {
    let mut client: Option<db::Client> = None;
    let mut to_check: Vec<u32> = Vec::new();
    let mut retained: Option<Instant> = None;
    let mut is_waited_for = false;
    let mut pending = Pending::default();
    let mut quotas = Quotas::default();
    loop {
        crash::point("upkeep");
        let outcome = async {
            let client = connected(&target, &mut client).await?;
            let position = segment(moved.borrow_and_update().lsn);
            let looked = upkeep::look_after(client, &to_check).await?;
            for (name, sessions) in &looked.republished {
                observe(&Observation::Republished { name, sessions: *sessions });
            }
            pending.prepare_due(client).await?;
            is_waited_for = !looked.is_done;
            if retained.is_none_or(|last| last.elapsed() >= RETAIN_EVERY) {
                retained = Some(Instant::now());
                for reason in upkeep::retain(client, position, &limits).await? {
                    observe(&Observation::InboxEmptied { reason: &reason });
                }
                quotas.look(client).await?;
            }
            looked.failed.map_or(Ok(()), Err)
        };
        match outcome.await {
            Ok(()) => to_check.clear(),
            Err(failed) => observe(&Observation::UpkeepFailed { error: &failed }),
        }
        let mut is_rested = false;
        let mut rest = std::pin::pin!(tokio::time::sleep(EVERY));
        loop {
            tokio::select! {
                () = &mut rest, if !is_rested => is_rested = true,
                // a subscriber waits: at once
                Some(relation) = waiting.recv() => {
                    let mut relations = vec![relation];
                    relations.extend(std::iter::from_fn(|| waiting.try_recv().ok()));
                    let outcome = async { pending.prepare_now(connected(&target, &mut client).await?, relations).await };
                    if let Err(failed) = outcome.await {
                        observe(&Observation::UpkeepFailed { error: &failed });
                    }
                    is_waited_for = true;
                }
                still_walking = moved.changed(), if is_rested => match still_walking {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some(relation) = altered.recv(), if is_rested => {
                    to_check.push(relation);
                    break;
                }
                () = std::future::ready(()), if is_rested && is_waited_for => break,
            }
        }
        while let Ok(relation) = altered.try_recv() {
            to_check.push(relation);
        }
        to_check.sort_unstable();
        to_check.dedup();
    }
}

/// The connection, made anew if it is gone.
async fn connected<'c>(target: &Target, client: &'c mut Option<db::Client>) -> Result<&'c db::Client> {
    if client.as_ref().is_none_or(db::Client::is_closed) {
        let connected = target.connect_pinned().await?.client;
        upkeep::begin(&connected).await?;
        *client = Some(connected);
    }
    client.as_ref().ok_or_else(|| Error::new(ErrorKind::Connection, "upkeep has no connection"))
}
