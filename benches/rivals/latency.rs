//! From the start of an INSERT to the client that is told of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::Effort;
use tidewire::delivery::hub::Hub;

use crate::in_process::{InProcess, LiveSession, attach};
use crate::listener::Listener;
use crate::report::{Bar, Better, Line, Report, percentile};
use crate::rig::{Disk, Rig, Up, pause};
use crate::writer::{TABLES, fill};

/// Between two INSERTs of the probe.
const PACE: Duration = Duration::from_millis(5);

/// What the others write is not the probe's.
const LOAD: &str = "insert into TABLE (v, note) values (-1, 'some text of the usual length');\n";

/// Who tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Trigger,
    Durable,
    Live,
}

impl Way {
    fn table(self) -> &'static str {
        match self {
            Way::Trigger => "triggered",
            Way::Durable => "watched",
            Way::Live => "watched_live",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Way::Trigger => "NOTIFY trigger",
            Way::Durable => "durable, NOTIFY",
            Way::Live => "live, in the process",
        }
    }
}

/// When each row arrived, by the number in it.
type Arrivals = Arc<Mutex<HashMap<i64, Instant>>>;

/// Milliseconds, a figure a round.
#[derive(Default)]
struct Times {
    /// From the start of the INSERT to the arrival: p50, p90, p99 and the longest.
    from_start: [Vec<f64>; 4],
    /// From its return to the arrival, p50: below nothing when the client knew first.
    from_return: Vec<f64>,
    /// The INSERT itself, p50.
    insert: Vec<f64>,
}

pub async fn run(report: &mut Report, effort: Effort) {
    for (disk, is_busy) in [(Disk::Durable, false), (Disk::Durable, true), (Disk::Unsafe, false)] {
        let rig = Rig::start(disk).await;
        rig.sql(TABLES).await;
        let rate = if is_busy { Some(half_of_the_most(&rig, effort).await) } else { None };
        let ways = &[Way::Trigger, Way::Durable, Way::Live];
        let mut times: Vec<Times> = ways.iter().map(|_| Times::default()).collect();
        for _ in 0..effort.rounds() {
            for (way, times) in ways.iter().zip(&mut times) {
                round(&rig, effort, *way, rate, times).await;
            }
        }
        let when = rate.map_or("at rest".to_owned(), |rate| format!("at {rate:.0} INSERTs/s"));
        let when = if disk == Disk::Durable { when } else { format!("{when}, fsync off") };
        for (way, ours) in ways.iter().zip(&times).skip(1) {
            // the bars are those of a user's server at rest
            let bar = match (disk, is_busy, way) {
                (Disk::Durable, false, Way::Durable) => Bar::Ratio(1.3),
                (Disk::Durable, false, Way::Live) => Bar::Ratio(1.0),
                _ => Bar::None,
            };
            lines(report, &when, *way, &times[0], ours, bar);
        }
    }
}

fn lines(report: &mut Report, when: &str, way: Way, rival: &Times, ours: &Times, bar: Bar) {
    let mut line = |what: &str, rival: &[f64], ours: &[f64], bar| {
        let what = format!("{when}, {what}: NOTIFY trigger | {}", way.name());
        let (rival, ours) = (rival.to_vec(), ours.to_vec());
        report.line(Line { what, unit: "ms", better: Better::Lower, rival, ours, bar });
    };
    for (at, name) in ["p50", "p90", "p99", "max"].into_iter().enumerate() {
        line(name, &rival.from_start[at], &ours.from_start[at], if at == 0 { bar } else { Bar::None });
    }
    line("from the INSERT's return, p50", &rival.from_return, &ours.from_return, Bar::None);
    line("the INSERT itself, p50", &rival.insert, &ours.insert, Bar::None);
}

/// Half of what four writers reach on a table that a durable session is told of.
async fn half_of_the_most(rig: &Rig, effort: Effort) -> f64 {
    let up = rig.up().await;
    let session = Listener::to_session(rig, &subscribe("watched"), |_| {}).await;
    fill(rig, "watched").await;
    let script = LOAD.replace("TABLE", "watched");
    let most = rig.pgbench(&script, &["-c", "4", "-T", effort.choose("2", "5")]).await;
    rig.settle().await;
    assert!(session.count.get() > 0, "nobody was told");
    drop(session);
    rig.delete_sessions().await;
    up.stop().await;
    most / 2.0
}

fn subscribe(table: &str) -> String {
    format!("subscribe_table(meta.relation_id('public', '{table}'))")
}

/// What is there in a round beside the probe.
enum Teller {
    Trigger(#[expect(dead_code, reason = "it listens")] Listener),
    Durable(Up, #[expect(dead_code, reason = "it listens")] Listener),
    Live(InProcess, #[expect(dead_code, reason = "it is told")] LiveSession),
}

async fn round(rig: &Rig, effort: Effort, way: Way, rate: Option<f64>, times: &mut Times) {
    let arrivals = Arrivals::default();
    let told = note(arrivals.clone());
    let teller = match way {
        Way::Trigger => Teller::Trigger(Listener::to_channel(rig, "rows", told).await),
        Way::Durable => {
            let up = rig.up().await;
            rig.settle().await;
            Teller::Durable(up, Listener::to_session(rig, &subscribe(way.table()), told).await)
        }
        Way::Live => {
            let hub = Hub::default();
            let engine = InProcess::start(rig, &hub).await;
            rig.settle().await;
            let live = attach(rig, &hub, &subscribe(way.table()), told).await;
            Teller::Live(engine, live)
        }
    };
    fill(rig, way.table()).await;
    if way != Way::Trigger {
        rig.settle().await;
    }
    let load = rate.map(|rate| {
        let rate = format!("{rate:.0}");
        let arguments = ["-c", "4", "-T", "600", "-R", &rate];
        let (file, mut command) = rig.pgbench_command(&LOAD.replace("TABLE", way.table()), &arguments);
        command.stdout(std::process::Stdio::null());
        (file, command.spawn().expect("pgbench"))
    });
    pause(0.5).await;
    let written_before = rig.number(&format!("select count(*) from {}", way.table())).await;
    let inserts = probe(rig, way.table(), effort.choose(200, 600)).await;
    let written = rig.number(&format!("select count(*) from {}", way.table())).await - written_before;
    if let Some((_file, mut load)) = load {
        load.kill().await.expect("pgbench ends");
        assert!(written > 2.0 * inserts.len() as f64, "there was no load");
    }
    all_arrive(&arrivals, inserts.len()).await;
    let arrivals = std::mem::take(&mut *arrivals.lock().unwrap());
    summarise(&inserts, &arrivals, times);
    match teller {
        Teller::Trigger(_) => {}
        Teller::Durable(up, _) => {
            rig.delete_sessions().await;
            up.stop().await;
        }
        Teller::Live(engine, _) => {
            rig.delete_sessions().await;
            engine.stop().await;
        }
    }
}

/// Notes the arrival of the probe's rows. The trigger's text and ours both have the row as JSON.
fn note(arrivals: Arrivals) -> impl FnMut(&str) + Send + 'static {
    move |payload| {
        let now = Instant::now();
        let number = payload.split_once("\"v\":").and_then(|(_, rest)| {
            let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit())?;
            rest[..end].parse::<i64>().ok()
        });
        if let Some(number) = number.filter(|number| *number > 0) {
            let before = arrivals.lock().unwrap().insert(number, now);
            assert_eq!(before, None, "told twice");
        }
    }
}

/// Inserts rows with the numbers from 1 on; returns when each INSERT was begun and when it returned.
async fn probe(rig: &Rig, table: &str, count: i64) -> Vec<(Instant, Instant)> {
    let client = rig.target.connect().await.expect("a connection").client;
    let sql = format!("insert into {table} (v, note) values ($1, 'some text of the usual length')");
    let insert = client.prepare(&sql).await.expect("a statement");
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut inserts = Vec::new();
    for number in 1..=count {
        ticks.tick().await;
        let begun = Instant::now();
        client.execute(&insert, &[&number]).await.expect("an INSERT");
        inserts.push((begun, Instant::now()));
    }
    inserts
}

async fn all_arrive(arrivals: &Arrivals, count: usize) {
    let begun = Instant::now();
    while arrivals.lock().unwrap().len() < count {
        assert!(begun.elapsed() < Duration::from_secs(120), "{} of {count} arrived", arrivals.lock().unwrap().len());
        pause(0.01).await;
    }
}

fn summarise(inserts: &[(Instant, Instant)], arrivals: &HashMap<i64, Instant>, times: &mut Times) {
    let milliseconds = |from: Instant, to: Instant| {
        let after = to.saturating_duration_since(from).as_secs_f64();
        let before = from.saturating_duration_since(to).as_secs_f64();
        (after - before) * 1000.0
    };
    let arrived = |at: usize| arrivals[&(at as i64 + 1)];
    let all: Vec<_> = inserts.iter().enumerate().collect();
    let from_start: Vec<f64> = all.iter().map(|(at, (begun, _))| milliseconds(*begun, arrived(*at))).collect();
    let from_return: Vec<f64> = all.iter().map(|(at, (_, done))| milliseconds(*done, arrived(*at))).collect();
    let insert: Vec<f64> = all.iter().map(|(_, (begun, done))| milliseconds(*begun, *done)).collect();
    for (samples, percent) in times.from_start.iter_mut().zip([50.0, 90.0, 99.0, 100.0]) {
        samples.push(percentile(&from_start, percent));
    }
    times.from_return.push(percentile(&from_return, 50.0));
    times.insert.push(percentile(&insert, 50.0));
}
