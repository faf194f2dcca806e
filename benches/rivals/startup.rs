//! From the start of the program until it is ready: with nothing to know, and with a million subscriptions and as many events
//! that nobody has acknowledged.

use std::time::Instant;

use crate::Effort;
use crate::report::{Bar, Better, Line, Report};
use crate::rig::{Disk, Rig};

/// A figure a round.
#[derive(Default)]
struct Starts {
    /// Seconds until `ready`.
    ready: Vec<f64>,
    /// Seconds until `ready` and a change that was committed then has been told of.
    told: Vec<f64>,
    /// MB, then.
    memory: Vec<f64>,
}

pub async fn run(report: &mut Report, effort: Effort) {
    let rig = Rig::start(Disk::Durable).await;
    let mut first = Starts::default();
    start(&rig, &mut first).await;
    let Starts { ready, .. } = first;
    let what = "the first, which installs".to_owned();
    report.line(Line { what, unit: "s", better: Better::Lower, rival: Vec::new(), ours: ready, bar: Bar::None });

    let mut empty = Starts::default();
    for _ in 0..effort.rounds() {
        start(&rig, &mut empty).await;
    }
    let count = effort.choose(100_000, 1_000_000);
    fill(&rig, count).await;
    let mut full = Starts::default();
    for _ in 0..effort.rounds() {
        start(&rig, &mut full).await;
    }
    let what = |what: &str| format!("{what}: empty | {count} subscriptions and {count} undelivered events");
    let (better, bar) = (Better::Lower, Bar::None);
    report.line(Line { what: what("ready"), unit: "s", better, rival: empty.ready, ours: full.ready, bar });
    report.line(Line { what: what("a change is told"), unit: "s", better, rival: empty.told, ours: full.told, bar });
    report.line(Line { what: what("memory"), unit: "MB", better, rival: empty.memory, ours: full.memory, bar });
}

async fn start(rig: &Rig, starts: &mut Starts) {
    let begun = Instant::now();
    let up = rig.up().await;
    starts.ready.push(begun.elapsed().as_secs_f64());
    rig.settle().await;
    starts.told.push(begun.elapsed().as_secs_f64());
    starts.memory.push(up.process.memory());
    up.stop().await;
}

async fn fill(rig: &Rig, count: u32) {
    let row = "'some text of the usual length'";
    rig.sql(
        "create table known (id bigint primary key, v integer);
         create table busy (id bigint primary key, v integer, note text)",
    )
    .await;
    let up = rig.up().await;
    rig.session("subscribe_row(meta.row_id('public', 'known', 'id', '0'))").await;
    let reader = rig.session("subscribe_table(meta.relation_id('public', 'busy'))").await;
    rig.subscribe_to_rows("known", "n", count).await;
    rig.sql(&format!("insert into busy select n, n, {row} from generate_series(1, {count}) n")).await;
    rig.settle().await;
    assert_eq!(rig.waiting_for(&reader).await, f64::from(count), "undelivered events");
    rig.sql("analyze").await;
    rig.leave_the_past().await;
    up.stop().await;
}
