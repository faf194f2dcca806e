//! The stream: next, acknowledge, close.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use pgwire_replication::config::TlsConfig;
use pgwire_replication::{FeedbackObserver, PgWireError, ReplicationClient, ReplicationConfig, ReplicationEvent};
use tokio::sync::Notify;

use super::login;
use crate::error::{Error, ErrorKind, Result};
use crate::pgoutput::{Begin, Commit};
use crate::position::Lsn;

/// Session settings of the walsender, so that a value's text is what `to_jsonb` starts from, whatever the server's,
/// the database's or the role's own settings are. The last two are for regclass and its sisters: names come with their
/// schema, so that they mean the same to everybody.
const SESSION: &str = "-c datestyle=ISO,MDY -c intervalstyle=postgres -c timezone=UTC \
                       -c bytea_output=hex -c extra_float_digits=1 -c search_path=pg_catalog,pg_temp \
                       -c quote_all_identifiers=off";

/// Messages read ahead of the engine. They are counted, not weighed, and each may be a row of many megabytes: 60 rows of 8 MB made
/// a peak of 450 MB with 256 of them, 310 MB with 16, 210 MB with 8 and 165 MB with 4. Small rows go through as fast with 8 as with
/// any more; with 4 the two tasks wait for each other, and it takes 1.3 times as long.
const READ_AHEAD: usize = 8;

/// The least time between two acknowledgements. Short, because `event.sync()` waits for them; not zero, because each
/// may make the server write its slot to disk.
const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(2);

/// With nothing to say the server is told so this often. `event.sync()` sees by it that the walsender has looked for more, and
/// either side notices sooner that the other is gone.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// How long the server may take until it streams. It waits for nothing before that.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// How long a clean stop waits for the last acknowledgement to be written.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Where to stream from.
#[derive(Clone)]
pub struct StreamOptions {
    /// Host name, address, or the folder of a Unix socket.
    pub host: String,
    /// TCP port, or the number in the socket's name.
    pub port: u16,
    /// A role with REPLICATION.
    pub user: String,
    /// Its password; empty for none.
    pub password: String,
    /// The database.
    pub database: String,
    /// Whether to require TLS with a verified certificate.
    pub tls: bool,
    /// The slot's name.
    pub slot: String,
    /// The publication's name.
    pub publication: String,
    /// The database's encoding: the server does not convert what it sends. It would end the stream at a character that it cannot convert.
    pub encoding: String,
    /// What to skip: transactions that committed before it. The server never goes back behind what was acknowledged.
    pub start: Lsn,
}

/// What the stream carries.
#[derive(Debug)]
pub enum Item {
    /// A transaction starts.
    Begin(Begin),
    /// A transaction is whole.
    Commit(Commit),
    /// One pgoutput message within a transaction.
    Change(Bytes),
    /// `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to the transaction around it.
        transactional: bool,
        /// Its sender's mark.
        prefix: String,
        /// What it says.
        content: Bytes,
    },
    /// Everything that committed before this position has been sent.
    KeepAlive(Lsn),
}

/// An open stream. It holds the slot until it is closed or dropped.
pub struct WalStream {
    client: ReplicationClient,
    acknowledged: Arc<Notify>,
    /// The last row, if it was large, until there is another item: the client goes on in a buffer that nobody holds any more, and would
    /// keep it, whatever its size, until it is used up. With a message it does so in any case: of that it hands over a copy.
    large: Option<Bytes>,
}

fn config(options: &StreamOptions, password: String) -> ReplicationConfig {
    let tls = if options.tls { TlsConfig::verify_full(None) } else { TlsConfig::disabled() };
    ReplicationConfig::new(
        options.host.as_str(),
        options.user.as_str(),
        password,
        options.database.as_str(),
        // the client puts it into its command as it is
        format!("\"{}\"", options.slot.replace('"', "\"\"")),
        options.publication.as_str(),
    )
    .with_port(options.port)
    .with_tls(tls)
    .with_options(SESSION)
    .with_application_name("tidewire")
    .with_start_lsn(pgwire_replication::Lsn::from_u64(options.start.0))
    .with_buffer_size(READ_AHEAD)
    .with_status_interval(ACKNOWLEDGE_EVERY)
    .with_wakeup_interval(STATUS_EVERY)
}

/// Waits for the server no longer than it may take.
async fn within<T>(late: &str, answer: impl Future<Output = std::result::Result<T, PgWireError>>) -> Result<T> {
    match tokio::time::timeout(OPEN_WITHIN, answer).await {
        Ok(answered) => answered.map_err(error),
        Err(_) => {
            let late = format!("{late} {} s", OPEN_WITHIN.as_secs());
            Err(Error::new(ErrorKind::Connection, late))
        }
    }
}

/// A row of more is large. The client's own buffers are smaller.
const LARGE: usize = 128 << 10;

impl WalStream {
    /// Opens the stream; returns once the server has accepted it and the slot is held.
    ///
    /// # Errors
    /// [`ErrorKind::Connection`] when the server can't be reached, [`ErrorKind::Standby`] when another connection holds the slot,
    /// [`ErrorKind::Authentication`], [`ErrorKind::SlotLost`] when the slot is gone or invalidated,
    /// [`ErrorKind::Setup`] when the role may not replicate.
    pub async fn open(options: StreamOptions) -> Result<Self> {
        let mut refused = None;
        for password in login::passwords(&options.password) {
            match Self::open_with(&options, password).await {
                Err(failed) if failed.kind() == ErrorKind::Authentication => refused = refused.or(Some(failed)),
                opened => return opened,
            }
        }
        Err(refused.unwrap_or_else(|| Error::new(ErrorKind::Authentication, "there is no password to log in with")))
    }

    /// Logs in as [`WalStream::open`] does, and out again: it needs no slot.
    ///
    /// # Errors
    /// As [`WalStream::open`], but for what the slot is about.
    pub async fn try_login(options: &StreamOptions) -> Result<()> {
        let mut refused = None;
        for password in login::passwords(&options.password) {
            let mut client = ReplicationClient::connect_gated(config(options, password)).await.map_err(error)?;
            let answered = within("the server did not answer its login within", client.identify_system()).await;
            client.abort();
            match answered {
                Err(failed) if failed.kind() == ErrorKind::Authentication => refused = refused.or(Some(failed)),
                answered => return answered.map(drop),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    async fn open_with(options: &StreamOptions, password: String) -> Result<Self> {
        let acknowledged = Arc::new(Notify::new());
        let notify = Arc::clone(&acknowledged);
        let observer = FeedbackObserver::new(move |_| notify.notify_one());
        let config = config(options, password).with_feedback_observer(observer);
        let is_utf8 = options.encoding == "UTF8";
        let connected = if is_utf8 {
            ReplicationClient::connect(config).await
        } else {
            ReplicationClient::connect_gated(config).await
        };
        let mut client = connected.map_err(error)?;
        let starting = async {
            if !is_utf8 {
                // the client itself asks for UTF8 when it connects
                client.simple_query(&format!("set client_encoding = '{}'", options.encoding)).await?;
                client.start().await?;
            }
            client.wait_started().await
        };
        match within("the server did not start the replication stream within", starting).await {
            Ok(()) => Ok(WalStream { client, acknowledged, large: None }),
            Err(failed) => {
                client.abort();
                Err(failed)
            }
        }
    }

    /// The next item. Cancel safe.
    ///
    /// # Errors
    /// As [`WalStream::open`]; the stream is then at its end.
    pub async fn next(&mut self) -> Result<Item> {
        loop {
            let event = self.client.recv().await.map_err(error)?;
            self.large = match &event {
                Some(ReplicationEvent::XLogData { data, .. }) if data.len() > LARGE => Some(data.clone()),
                _ => None,
            };
            return Ok(match event {
                Some(ReplicationEvent::Begin { final_lsn, xid, commit_time_micros }) => {
                    Item::Begin(Begin { final_lsn: Lsn(final_lsn.as_u64()), committed_at: commit_time_micros, xid })
                }
                Some(ReplicationEvent::Commit { lsn, end_lsn, .. }) => {
                    Item::Commit(Commit { lsn: Lsn(lsn.as_u64()), end_lsn: Lsn(end_lsn.as_u64()) })
                }
                Some(ReplicationEvent::XLogData { data, .. }) => Item::Change(data),
                Some(ReplicationEvent::Message { transactional, prefix, content, .. }) => {
                    Item::Logical { transactional, prefix, content }
                }
                Some(ReplicationEvent::KeepAlive { wal_end, .. }) => Item::KeepAlive(Lsn(wal_end.as_u64())),
                Some(_) => continue,
                None => return Err(Error::new(ErrorKind::Connection, "the server ended the replication stream")),
            });
        }
    }

    /// The next item if it is here already.
    ///
    /// # Errors
    /// As [`WalStream::next`].
    pub fn next_here(&mut self) -> Option<Result<Item>> {
        self.next().now_or_never()
    }

    /// Tells the server that everything before `lsn` is done, so that it may forget it.
    pub fn acknowledge(&self, lsn: Lsn) {
        self.client.update_applied_lsn(pgwire_replication::Lsn::from_u64(lsn.0));
    }

    /// Ends the stream after the last acknowledgement has been written: the client itself drops what is unsent.
    pub async fn close(mut self) {
        let sent = async {
            while self.client.feedback_pending_since().is_some() {
                self.acknowledged.notified().await;
            }
        };
        if tokio::time::timeout(CLOSE_WITHIN, sent).await.is_ok() {
            let _ = tokio::time::timeout(CLOSE_WITHIN, self.client.shutdown()).await;
        }
    }
}

fn error(source: PgWireError) -> Error {
    let text = source.to_string();
    let kind = match &source {
        PgWireError::Auth(_) => ErrorKind::Authentication,
        PgWireError::Tls(_) => ErrorKind::Setup,
        PgWireError::Protocol(_) | PgWireError::Internal(_) | PgWireError::MessageTooLarge { .. } => {
            ErrorKind::Protocol
        }
        PgWireError::Server(message) => server_kind(message),
        _ => ErrorKind::Connection,
    };
    Error::new(kind, text).source(source)
}

/// The client gives the server's error as text with its SQLSTATE (manual, appendix A) at the end.
fn state(message: &str) -> &str {
    message.rsplit_once("SQLSTATE ").map_or("", |(_, state)| state.trim_end_matches(')'))
}

fn server_kind(message: &str) -> ErrorKind {
    let state = state(message);
    match state {
        "28000" | "28P01" => ErrorKind::Authentication,
        "42501" => ErrorKind::Setup,
        // object_in_use: another connection holds the slot
        "55006" => ErrorKind::Standby,
        // undefined_object: the slot (or the publication); object_not_in_prerequisite_state: it was invalidated
        "42704" if message.contains("replication slot") => ErrorKind::SlotLost,
        "55000" if message.contains("replication slot") => ErrorKind::SlotLost,
        // data, limits (a row of over 1 GB), and what should not be
        _ if ["22", "54", "XX"].iter().any(|class| state.starts_with(class)) => ErrorKind::Unsendable,
        _ => ErrorKind::Connection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_error_decides_what_happens_next() {
        for (message, kind) in [
            ("password authentication failed for user \"x\" (SQLSTATE 28P01)", ErrorKind::Authentication),
            ("replication slot \"x\" does not exist (SQLSTATE 42704)", ErrorKind::SlotLost),
            ("cannot read from logical replication slot \"x\" (SQLSTATE 55000)", ErrorKind::SlotLost),
            ("replication slot \"x\" is active for PID 7 (SQLSTATE 55006)", ErrorKind::Standby),
            ("terminating connection due to administrator command (SQLSTATE 57P01)", ErrorKind::Connection),
            ("out of memory (SQLSTATE 54000)", ErrorKind::Unsendable),
            ("must be superuser or replication role to start walsender (SQLSTATE 42501)", ErrorKind::Setup),
        ] {
            assert_eq!(server_kind(message), kind, "{message}");
        }
    }
}
