//! Hostile input beside a session that has nothing to do with it: that session's events all arrive, each once, and soon.

use std::time::{Duration, Instant};

use super::hostile::Hostile;
use crate::oracle::{SEED, seed};
use crate::support::{Database, SEARCH_PATH, Subscriber};

/// How long an event of the victim may take: what is written is bounded, and the machine may be busy.
const WITHIN: Duration = Duration::from_secs(10);

/// How long the test goes on.
const FOR: Duration = Duration::from_secs(20);

/// Runs hostile statements for that long. Returns how long the slowest event took.
pub async fn beside(seed: u64, time: Duration) -> Duration {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql("create role att login; create schema atts authorization att; create table victim (id int primary key)")
        .await;
    let victim = Subscriber::open(&database).await;
    victim.table("victim").await;
    let attacker = database.connect_as("att").await;
    attacker.sql(SEARCH_PATH).await;
    attacker.sql("select session_create(); set search_path = atts, public, event; set statement_timeout = '10s'").await;

    let mut hostile = Hostile::new(seed);
    let (begun, mut slowest, mut rows, mut done) = (Instant::now(), Duration::ZERO, 0, 0);
    while begun.elapsed() < time {
        let statements = hostile.next();
        for statement in &statements {
            let result = attacker.try_sql(statement).await;
            done += usize::from(result.is_ok());
        }
        rows += 1;
        let inserted = Instant::now();
        client.sql(&format!("insert into victim values ({rows})")).await;
        let shown = || format!("{SEED}={seed}, row {rows}, behind {:.2000}", statements.join("\n"));
        let arrived = format!("select count(*) from event.inbox where session_id = '{}'", victim.session);
        while client.text(&arrived).await != rows.to_string() {
            assert!(inserted.elapsed() < WITHIN, "not within {WITHIN:?}: {}\n{}", shown(), tidewire.stderr());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slowest = slowest.max(inserted.elapsed());
    }
    let expected: Vec<String> = (1..=rows).map(|id| format!(r#"insert table victim {id} {{"id":{id}}}"#)).collect();
    let held: Vec<String> = victim.inbox().await.iter().map(ToString::to_string).collect();
    assert_eq!(held, expected, "{SEED}={seed}");
    assert!(!tidewire.stderr().contains("trying again"), "{SEED}={seed}\n{}", tidewire.stderr());
    assert!(done > 2 * rows, "{SEED}={seed}: most of it was refused: {done} statements in {rows} rounds");
    eprintln!("{SEED}={seed}: {done} hostile statements, {rows} events, the slowest after {slowest:?}");
    assert!(tidewire.stop().await.success());
    slowest
}

#[tokio::test]
async fn hostile_input_stops_nobody_elses_events() {
    beside(seed(), FOR).await;
}

#[tokio::test]
async fn hostile_input_of_a_known_seed_stops_nobody() {
    beside(7, FOR / 2).await;
}
