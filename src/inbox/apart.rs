//! Writes a batch, and takes it apart when the database refuses it twice: a change that cannot be stored becomes a gap.
//!
//! It is a module of its own because the writer goes on whatever is in a batch (I18), and needs nothing else for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::batch::{Batch, SetAside};
use crate::db::inbox::{InboxStatements, Outcome};
use crate::db::{Client, code_of_its_own};
use crate::error::Result;
use crate::observe::{Observation, observe};
use crate::position::EventId;

/// The gap's reason.
const REASON: &str = "change_failed";

/// Whether the last write failed. It outlives the attempts: a COPY that fails takes its reason along with the connection, and the
/// next attempt writes without.
#[derive(Debug, Clone, Default)]
pub struct Care(Arc<AtomicBool>);

/// Writes the batch. One that is refused twice by what is in it is written without the changes that are refused by themselves: in
/// their places stand gaps, under the same ids.
///
/// # Errors
/// Those of the connection, and those of a database that refuses gaps too: then it is not the changes.
pub(super) async fn write(
    statements: &InboxStatements,
    client: &Client,
    batch: &mut Batch,
    care: &Care,
) -> Result<Outcome> {
    let first = if care.0.load(Ordering::Relaxed) {
        statements.write_carefully(client, batch).await
    } else {
        statements.write(client, batch).await
    };
    care.0.store(first.is_err(), Ordering::Relaxed);
    match first {
        Err(failed) if code_of_its_own(&failed).is_some() => {}
        written => return written,
    }
    let written = again(statements, client, batch).await;
    care.0.store(written.is_err(), Ordering::Relaxed);
    written
}

async fn again(statements: &InboxStatements, client: &Client, batch: &mut Batch) -> Result<Outcome> {
    let failed = match statements.write_carefully(client, batch).await {
        Err(failed) if code_of_its_own(&failed).is_some() => failed,
        written => return written,
    };
    let ids = batch.ids();
    let mut gaps = batch.part(&ids);
    gaps.replace_by_gaps(&ids, REASON);
    if ids.is_empty() || statements.rehearse(client, &gaps).await.is_err() {
        return Err(failed);
    }
    let refused = refused(statements, client, batch, &ids).await?;
    if refused.is_empty() {
        return Err(failed);
    }
    let places: Vec<EventId> = refused.iter().map(|aside| aside.id).collect();
    batch.replace_by_gaps(&places, REASON);
    for aside in &refused {
        observe(&Observation::SetAside { id: aside.id, stop: aside.stop, code: &aside.code });
    }
    batch.set_aside.extend(refused);
    statements.write_carefully(client, batch).await
}

/// The changes that are refused by themselves: each half is tried, and what is refused is halved again.
async fn refused(
    statements: &InboxStatements,
    client: &Client,
    batch: &Batch,
    ids: &[EventId],
) -> Result<Vec<SetAside>> {
    let mut refused = Vec::new();
    let mut parts = vec![ids];
    while let Some(part) = parts.pop() {
        let Err(failed) = statements.rehearse(client, &batch.part(part)).await else { continue };
        let Some(code) = code_of_its_own(&failed) else { return Err(failed) };
        match part {
            [id] => refused.push(SetAside { id: *id, stop: "write", code }),
            _ => {
                let (front, back) = part.split_at(part.len() / 2);
                // the last is tried first
                parts.extend([back, front]);
            }
        }
    }
    Ok(refused)
}
