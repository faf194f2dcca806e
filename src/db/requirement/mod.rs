//! What a database must have so that Tidewire works there and hurts nobody. Each requirement is looked at and reported
//! with its remedy; nothing is changed. The installer refuses by the same judgements.

mod failure;
mod installed;
mod quota;
mod role;
mod server;
mod slot;
mod stream;
mod table;

use tokio_postgres::Client;

use super::Target;
use super::installation::{self, Installed};
use super::ownership::{self, Use};
use crate::error::{Error, ErrorKind, Result};

pub(super) use installed::{foreign, publication};
pub use stream::remedy as stream_remedy;

/// How a requirement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is met.
    Met,
    /// Tidewire works, but something is worse than it could be.
    Warning,
    /// Tidewire does not work, or would hurt somebody.
    Failed,
}

/// A requirement that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, as PostgreSQL words a message: one line, no capital, no full stop.
    pub finding: String,
    /// SQL or shell to be pasted, a line each.
    pub remedy: Option<String>,
}

impl Requirement {
    fn met(finding: impl Into<String>) -> Self {
        Requirement { verdict: Verdict::Met, finding: finding.into(), remedy: None }
    }

    fn warning(finding: impl Into<String>) -> Self {
        Requirement { verdict: Verdict::Warning, ..Requirement::met(finding) }
    }

    fn failed(finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Requirement { verdict: Verdict::Failed, ..Requirement::met(finding) }.remedy(remedy)
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Requirement { remedy: Some(remedy.into()), ..self }
    }
}

/// An error for the first requirement that is not met.
///
/// # Errors
/// [`ErrorKind::Setup`] with the remedy as its hint.
pub fn refuse(requirements: Vec<Requirement>) -> Result<()> {
    match requirements.into_iter().find(|requirement| requirement.verdict == Verdict::Failed) {
        None => Ok(()),
        Some(failed) => {
            let error = Error::new(ErrorKind::Setup, failed.finding);
            Err(match failed.remedy {
                Some(remedy) => error.hint(remedy),
                None => error,
            })
        }
    }
}

/// What must hold before anything is installed or served.
///
/// # Errors
/// Those of the connection.
pub async fn before_all(client: &Client) -> Result<Vec<Requirement>> {
    let mut found = server::essentials(client).await?;
    if server::can_be_asked(&found) {
        let name = installation::slot_name(client).await?;
        found.push(server::synchronous(client).await?);
        found.push(role::replication(client).await?);
        found.extend(server::room(client, &name).await?);
    }
    Ok(found)
}

/// Looks at everything, in the order in which a remedy helps.
///
/// # Errors
/// Those of the connection once it stood; that it cannot be made is a finding.
pub async fn examine(target: &Target) -> Result<Vec<Requirement>> {
    let client = match target.connect_pinned().await {
        Ok(connection) => connection.client,
        Err(failed) => return Ok(vec![role::refused(&failed)]),
    };
    let mut found = vec![role::connected(&client, target).await?];
    let essentials = server::essentials(&client).await?;
    let can_be_asked = server::can_be_asked(&essentials);
    found.extend(essentials);
    if !can_be_asked {
        return Ok(found);
    }
    let up = format!("tidewire up --database-url '{}'{}", target.display(), target.trust().flag());
    let name = installation::slot_name(&client).await?;
    found.push(server::synchronous(&client).await?);
    found.extend(server::room(&client, &name).await?);
    found.push(server::encoding(&client).await?);
    found.push(server::patience(&client).await?);
    found.push(server::retention(&client).await?);
    let may_replicate = role::replication(&client).await?;
    if may_replicate.verdict == Verdict::Met {
        found.extend(stream::login(target, &name).await);
    }
    found.push(may_replicate);
    let seal = match ownership::judge(&client, target.trust(), Use::Serve).await? {
        Ok(seal) => seal,
        Err(refusal) => {
            found.push(Requirement::failed(refusal.message, refusal.remedy));
            return Ok(found);
        }
    };
    let installed = installation::installed(&client, seal).await?;
    found.extend(installed::schemas(&client, &installed).await?);
    let further = rest(&client, &name, &installed, target, &up);
    found.extend(match seal {
        Some(seal) if matches!(installed, Installed::Version(_)) => seal.within(&client, further).await?,
        _ => further.await?,
    });
    Ok(found)
}

/// The slot, and what is in the schemas.
async fn rest(
    client: &Client,
    name: &str,
    installed: &Installed,
    target: &Target,
    up: &str,
) -> Result<Vec<Requirement>> {
    let mut found = vec![
        slot::slot(client, name, installed, up).await?,
        installed::event_trigger(client, installed, &target.display()).await?,
    ];
    if matches!(installed, Installed::Version(_)) {
        found.push(publication(client, name).await?);
        found.push(slot::serving(client, name, up).await?);
        if installed::is_ours(client).await? {
            found.push(failure::set_aside(client).await?);
            found.extend(table::watched(client).await?);
            found.extend(quota::roles(client).await?);
        }
    }
    Ok(found)
}
