//! A million rows at once and one by one: what it costs the writer, and when all of it has arrived.

use std::time::Instant;

use crate::Effort;
use crate::listener::Listener;
use crate::report::{Bar, Better, Line, Report};
use crate::rig::{Disk, Rig, seconds_between};
use crate::writer::TABLES;

const CLIENTS: usize = 4;

/// Seconds, a figure a round.
#[derive(Default)]
struct Times {
    /// Of the writer.
    written: Vec<f64>,
    /// From its start until the client has been told of every row.
    told: Vec<f64>,
}

pub async fn run(report: &mut Report, effort: Effort) {
    let rows = effort.choose(100_000, 1_000_000);
    let rig = Rig::start(Disk::Durable).await;
    rig.sql(TABLES).await;
    let trigger = Listener::to_channel(&rig, "rows", |_| {}).await;
    let up = rig.up().await;
    let session = Listener::to_session(&rig, "subscribe_table(meta.relation_id('public', 'watched'))", |_| {}).await;
    up.stop().await;
    for is_one in [true, false] {
        let [mut unwatched, mut triggered, mut watched] =
            [const { Times { written: Vec::new(), told: Vec::new() } }; 3];
        // the second takes minutes
        for _ in 0..if is_one { effort.rounds() } else { 1 } {
            write(&rig, "unwatched", rows, is_one, None, &mut unwatched).await;
            write(&rig, "triggered", rows, is_one, Some(&trigger), &mut triggered).await;
            let up = rig.up().await;
            rig.settle().await;
            write(&rig, "watched", rows, is_one, Some(&session), &mut watched).await;
            assert_eq!(rig.waiting_for(&session.session).await, f64::from(rows), "events in the inbox");
            up.stop().await;
        }
        let how = if is_one {
            format!("one INSERT of {rows} rows")
        } else {
            format!("{rows} transactions, synchronous_commit off")
        };
        for (what, rival, ours) in [
            ("writer: unwatched | watched, durable", &unwatched.written, &watched.written),
            ("writer: unwatched | NOTIFY trigger", &unwatched.written, &triggered.written),
            ("all told: NOTIFY trigger | durable", &triggered.told, &watched.told),
        ] {
            let (what, rival, ours) = (format!("{how}, {what}"), rival.clone(), ours.clone());
            report.line(Line { what, unit: "s", better: Better::Lower, rival, ours, bar: Bar::None });
        }
    }
}

async fn write(rig: &Rig, table: &str, rows: u32, is_one: bool, told: Option<&Listener>, times: &mut Times) {
    rig.sql(&format!("truncate {table} restart identity")).await;
    rig.sql("checkpoint").await;
    if let Some(listener) = told {
        // that the table was emptied is told too
        if table == "watched" {
            rig.settle().await;
            rig.sql(&format!("delete from event.inbox where session_id = '{}'", listener.session)).await;
        }
        listener.count.reset();
    }
    let begun = Instant::now();
    let row = "'some text of the usual length'";
    if is_one {
        rig.sql(&format!("insert into {table} (v, note) select n, {row} from generate_series(1, {rows}) n")).await;
    } else {
        let script = format!("insert into {table} (v, note) values (:client_id, {row});\n");
        let each = (rows as usize / CLIENTS).to_string();
        let (_file, mut command) = rig.pgbench_command(&script, &["-c", &CLIENTS.to_string(), "-t", &each]);
        command.env("PGOPTIONS", "-c synchronous_commit=off");
        let output = command.output().await.expect("pgbench");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    times.written.push(begun.elapsed().as_secs_f64());
    if let Some(listener) = told {
        times.told.push(seconds_between(begun, listener.count.reach(u64::from(rows)).await));
    }
    let count = rig.number(&format!("select count(*) from {table}")).await;
    assert_eq!(count, f64::from(rows), "rows in {table}");
}
