//! One transaction of ten million rows: what it takes of memory and time.

use std::time::Instant;

use crate::Effort;
use crate::report::{Bar, Better, Line, Report};
use crate::rig::{Disk, Rig, seconds_between};

pub async fn run(report: &mut Report, effort: Effort) {
    let rows: u32 = effort.choose(1_000_000, 10_000_000);
    for (who, subscribe, told) in [
        ("nobody is told", "subscribe_row(meta.row_id('public', 'busy', 'id', '-1'))", 0),
        ("durable, 1 session", "subscribe_table(meta.relation_id('public', 'busy'))", rows),
    ] {
        // of its own: the disk is given back
        let rig = Rig::start(Disk::Durable).await;
        rig.sql("create table busy (id bigint primary key, v integer, note text)").await;
        let up = rig.up().await;
        let session = rig.session(subscribe).await;
        let begun = Instant::now();
        let row = "'some text of the usual length'";
        rig.sql(&format!("insert into busy select n, n, {row} from generate_series(1, {rows}) n")).await;
        let written = Instant::now();
        let end = rig.end_of_wal().await;
        let done = rig.delivered(&end).await;
        assert_eq!(rig.waiting_for(&session).await, f64::from(told), "events in the inbox");
        let mut line = |what: &str, unit, ours, bar| {
            let what = format!("{rows} rows in one transaction, {who}: {what}");
            report.line(Line { what, unit, better: Better::Lower, rival: Vec::new(), ours: vec![ours], bar });
        };
        line("peak memory", "MB", up.process.peak_memory(), Bar::Figure(200.0));
        line("the INSERT", "s", seconds_between(begun, written), Bar::None);
        line("from its commit until all is done", "s", seconds_between(written, done), Bar::None);
        up.stop().await;
    }
}
