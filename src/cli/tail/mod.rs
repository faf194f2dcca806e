//! `tidewire tail`.

mod printer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{DatabaseUrl, Stopped, up};
use crate::config::File;
use crate::db::install::Installed;
use crate::db::ownership::{self, Seal, Use};
use crate::db::reader::{self, Subject};
use crate::db::{self, Connection, Target, install};
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{Event, Reader};

use printer::{Printer, is_broken_pipe, stdout_closed};

/// The inbox is looked into at least this often. Notifications wake us at once, but for the end of a transaction that
/// is large enough to be written in pieces and has nothing for us in its last one.
const LOOKS_EVERY: Duration = Duration::from_secs(2);

/// What a stop waits for at most: the page that is being printed, and then the session's deletion. It goes by itself too.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How often the session is asked whether its subscription has taken effect: that takes some milliseconds, unless the table is busy,
/// which is said after a second.
const PREPARED_LOOKS_EVERY: Duration = Duration::from_millis(5);
const SAID_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Tail {
    /// Table, as SQL writes it: person, shop.person, '"My Schema"."My Table"'; without a schema: public.
    /// For schema changes a relation of meta: meta.column, meta.index
    relation: String,
    /// Only this row: a column of the primary key and its value; repeat it for a key of several columns
    #[arg(long, value_name = "COLUMN=VALUE")]
    key: Vec<String>,
    /// Only this column; with --key only this field
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseUrl,
}

const AFTER_HELP: &str = "\
What is printed:
  tidewire tail person                            inserts, deletes, updates of every field
  tidewire tail person --column score             inserts, deletes, updates of that column
  tidewire tail person --key id=3                 the row's delete, updates of its fields
  tidewire tail person --key id=3 --column score  the row's delete, updates of that field
  tidewire tail seat --key row=A --key number=7   the same for a key of two columns

With --json each line is an event: id, change, relation, row, then data (row_insert),
old (row_delete) or field, value and old (field_update), then tx. New names as they come:
  tidewire tail person --column name --json | jq 'select(.field == \"name\").value'

It prints what is committed from now on, in commit order, while `tidewire up` runs. The role
needs SELECT on the table. Times are UTC. The inbox that it reads goes when it ends.";

impl Tail {
    pub(super) async fn run(self, file: &File) -> Result<()> {
        let (target, _server) = self.database.open(file, Stopped::Refuse).await?;
        let stop = CancellationToken::new();
        up::stop_on_signals(&stop)?;
        let opened = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = Box::pin(self.open(&target)) => opened?,
        };
        eprintln!("listening to {} (Ctrl-C ends)", self.shown());
        let mut printer = Printer::start(self.json);
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = stdout_closed() => Ok(()),
            ended = opened.follow(&target, &mut printer) => ended,
        };
        // half a line is worth nothing to whoever reads it
        let _ = tokio::time::timeout(STOP_PATIENCE, printer.finish()).await;
        let _ = tokio::time::timeout(STOP_PATIENCE, opened.close()).await;
        match ended {
            Err(failed) if is_broken_pipe(&failed) => Ok(()),
            ended => ended,
        }
    }

    fn shown(&self) -> String {
        let mut shown = self.relation.clone();
        for key in &self.key {
            shown.push_str(&format!(", {key}"));
        }
        if let Some(column) = &self.column {
            shown.push_str(&format!(", column {column}"));
        }
        shown
    }

    async fn open(&self, target: &Target) -> Result<Open> {
        let Connection { mut client, notifications } = target.connect_pinned().await?;
        let seal = ownership::look(&client, target.trust(), Use::Subscribe).await?;
        let (Some(seal), Installed::Version(_)) = (seal, install::installed(&client, seal).await?) else {
            let shown = target.display();
            return Err(Error::new(ErrorKind::Setup, format!("Tidewire is not installed in {shown}")).hint(format!(
                "tidewire up --database-url {shown} installs it and delivers events; tidewire install does the first alone."
            )));
        };
        let subject = self.subject(&client).await?;
        let session = reader::open(&mut client, seal, &subject).await?;
        self.in_effect(&client, session).await?;
        Ok(Open { client, seal, session, wake: Wake::on(notifications) })
    }

    /// Returns when the subscription has taken effect, or when no program runs that could see to that.
    async fn in_effect(&self, client: &db::Client, session: Uuid) -> Result<()> {
        let begun = Instant::now();
        let mut said = false;
        while reader::waits(client, session).await? && reader::is_served(client).await? {
            if !said && begun.elapsed() > SAID_AFTER {
                eprintln!("waiting until {} can be prepared: it is busy", self.relation);
                said = true;
            }
            tokio::time::sleep(PREPARED_LOOKS_EVERY).await;
        }
        Ok(())
    }

    async fn subject(&self, client: &db::Client) -> Result<Subject> {
        let (schema, relation) = match reader::name_parts(client, &self.relation).await?.as_slice() {
            [relation] => ("public".to_owned(), relation.clone()),
            [schema, relation] => (schema.clone(), relation.clone()),
            _ => {
                return Err(Error::new(ErrorKind::InvalidInput, format!("\"{}\" has too many parts", self.relation))
                    .hint("A table is named as schema.table; a name with a dot in it needs double quotes."));
            }
        };
        let column = match &self.column {
            Some(name) => Some(column(client, name).await?),
            None => None,
        };
        let mut key = Vec::new();
        for typed in &self.key {
            let (name, value) = split_key(typed).ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, format!("--key \"{typed}\" is not of the form column=value"))
                    .hint("For example --key id=3; once for each column of the primary key.")
            })?;
            key.push((self::column(client, name).await?, value.to_owned()));
        }
        Ok(Subject { schema, relation, column, key })
    }
}

async fn column(client: &db::Client, typed: &str) -> Result<String> {
    match reader::name_parts(client, typed).await?.as_slice() {
        [name] => Ok(name.clone()),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("\"{typed}\" is not a column's name"))
            .hint("A name with a dot in it needs double quotes, and for the shell single ones around them.")),
    }
}

/// Name and value: the first `=` that is not within the name's double quotes parts them.
fn split_key(typed: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = typed.find(|character| {
        quoted ^= character == '"';
        character == '=' && !quoted
    })?;
    Some((typed.get(..at)?, typed.get(at + 1..)?))
}

struct Open {
    client: db::Client,
    /// Each statement holds the schemas: Tidewire may be removed while this runs, and another role make some of these names.
    seal: Seal,
    session: Uuid,
    wake: Wake,
}

impl Open {
    async fn close(&self) -> Result<()> {
        self.seal.within(&self.client, reader::close(&self.client, self.session)).await
    }

    /// Prints what comes, until something fails or nothing more can come.
    async fn follow(&self, target: &Target, printer: &mut Printer) -> Result<()> {
        let mut inbox = Reader::new(&self.client, self.session);
        let mut warned = false;
        loop {
            loop {
                let page = self.seal.within(&self.client, inbox.next_page()).await?;
                let Some(last) = page.last() else { break };
                printer.print(&page).await?;
                self.seal.within(&self.client, inbox.acknowledge()).await?;
                if last.change == "subscription_ended" {
                    return Err(ended(last));
                }
            }
            if !warned && !self.seal.within(&self.client, reader::is_served(&self.client)).await? {
                let shown = target.display();
                eprintln!("warning: nothing delivers events from {shown} at the moment; still waiting");
                eprintln!("hint: tidewire up --database-url {shown}");
                warned = true;
            }
            tokio::select! {
                () = self.wake.notified.notified() => {}
                () = self.wake.lost.cancelled() => {
                    return Err(Error::new(ErrorKind::Connection, format!("the connection to {} was lost", target.display())));
                }
                () = tokio::time::sleep(LOOKS_EVERY) => {}
            }
        }
    }
}

fn ended(event: &Event) -> Error {
    #[derive(serde::Deserialize)]
    struct Said {
        reason: String,
    }
    let said = serde_json::from_str::<Said>(event.value.as_deref().unwrap_or_default());
    let reason = said.map_or_else(|_| "no reason was given".to_owned(), |said| said.reason.replace('_', " "));
    Error::new(ErrorKind::Setup, format!("the subscription ended: {reason}"))
}

/// Notifications, each of which says no more than "look".
struct Wake {
    notified: Arc<Notify>,
    lost: CancellationToken,
}

impl Wake {
    /// Takes them off as they come: however slowly we print, they do not pile up.
    fn on(mut notifications: mpsc::UnboundedReceiver<db::Notification>) -> Wake {
        let wake = Wake { notified: Arc::new(Notify::new()), lost: CancellationToken::new() };
        let (notified, lost) = (Arc::clone(&wake.notified), wake.lost.clone());
        tokio::spawn(async move {
            while notifications.recv().await.is_some() {
                notified.notify_one();
            }
            lost.cancel();
        });
        wake
    }
}

#[cfg(test)]
mod tests {
    use super::split_key;

    #[test]
    fn a_key_is_split_at_the_first_equals_sign_outside_quotes() {
        assert_eq!(split_key("id=3"), Some(("id", "3")));
        assert_eq!(split_key("a=b=c"), Some(("a", "b=c")));
        assert_eq!(split_key(r#""a=b""c"="x""#), Some((r#""a=b""c""#, "\"x\"")));
        assert_eq!(split_key("id="), Some(("id", "")));
        assert_eq!(split_key("id"), None);
        assert_eq!(split_key(r#""a=b"#), None);
    }
}
