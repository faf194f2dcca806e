//! What a change costs in all beside a thousand row subscriptions and beside a million: the program walks the same burst from the WAL.

use crate::Effort;
use crate::report::{Bar, Better, Line, Report};
use crate::rig::{Disk, Rig, seconds_between};
use crate::throughput::{TABLE, write};

/// A change takes at most 1.2 times as long: the rate is at least this part of the other.
const SLOWED: f64 = 0.83;

pub async fn run(report: &mut Report, effort: Effort) {
    let rows = effort.choose(50_000, 300_000);
    let (few, many) = (1000, effort.choose(100_000, 1_000_000));
    // a server for each, which is idle while the other is asked
    let rigs = [prepare(few).await, prepare(many).await];
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..effort.rounds() {
        for (rig, rates) in rigs.iter().zip(&mut rates) {
            rates.push(f64::from(rows) / walk(rig, rows).await);
        }
    }
    let [rival, ours] = rates;
    let what = format!("{rows} rows in transactions of 1, nobody is told: {few} row subscriptions | {many}");
    let bar = if effort.quick { Bar::None } else { Bar::Ratio(SLOWED) };
    report.line(Line { what, unit: "rows/s", better: Better::Higher, rival, ours, bar });
}

/// A server with so many subscriptions to rows of the table which never come.
async fn prepare(subscriptions: u32) -> Rig {
    let rig = Rig::start(Disk::Durable).await;
    rig.sql(TABLE).await;
    let up = rig.up().await;
    rig.session("subscribe_row(meta.row_id('public', 'busy', 'id', '-1'))").await;
    rig.subscribe_to_rows("busy", "-1 - n", subscriptions - 1).await;
    rig.leave_the_past().await;
    up.stop().await;
    rig
}

/// Seconds for a burst that was written while the program was stopped.
async fn walk(rig: &Rig, rows: u32) -> f64 {
    rig.sql("truncate busy").await;
    let up = rig.up().await;
    rig.leave_the_past().await;
    up.stop().await;
    write(rig, rows, 1).await;
    let end = rig.end_of_wal().await;
    let (up, begun) = tokio::join!(rig.up(), rig.reading("tidewire%"));
    let done = rig.delivered(&end).await;
    up.stop().await;
    seconds_between(begun, done)
}
