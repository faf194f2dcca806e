//! How long a person waits: for the demo, for a standby, for a schema change.
//!
//! A group of its own, because the tests measure no time: on a machine that others keep busy it says nothing.

use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;

use crate::Effort;
use crate::report::{Bar, Better, Line, Report, median};
use crate::rig::{Disk, Rig};

/// Tables of twenty columns each.
const TABLES: u32 = 500;

pub async fn run(report: &mut Report, effort: Effort) {
    let mut line = |what: &str, unit, rival, ours, bar| {
        let what = what.to_owned();
        report.line(Line { what, unit, better: Better::Lower, rival, ours, bar });
    };
    let mut demo = Vec::new();
    for _ in 0..effort.rounds() {
        demo.push(demonstrate().await);
    }
    line("the demo, from start to end", "s", Vec::new(), demo, Bar::Figure(10.0));

    let rig = Rig::start(Disk::Durable).await;
    line(
        "from the end of the first to an event of the standby",
        "s",
        Vec::new(),
        take_over(&rig, effort).await,
        Bar::Figure(5.0),
    );

    rig.sql(&format!(
        "do $$ begin for t in 1..{TABLES} loop
             execute format('create table t%s (%s)', t,
                 (select string_agg(format('c%s text default ''x''', c), ', ') from generate_series(1, 20) c));
         end loop; end $$; analyze"
    ))
    .await;
    let up = rig.up().await;
    let alone = alter(&rig, "a", effort).await;
    rig.session("subscribe_table(meta.relation_id('meta', 'column'))").await;
    let column = alter(&rig, "b", effort).await;
    line("ALTER TABLE beside 10,000 columns: nobody | meta.column subscribed", "ms", alone.clone(), column, Bar::None);
    rig.sql(
        "select event.subscribe_table(meta.relation_id('meta', kind)) from event.mirror where kind <> 'column'; unlisten *",
    )
    .await;
    rig.settle().await;
    let all = alter(&rig, "c", effort).await;
    line("ALTER TABLE beside 10,000 columns: nobody | all of meta subscribed", "ms", alone, all, Bar::None);
    up.stop().await;
}

/// Seconds of a demo.
async fn demonstrate() -> f64 {
    let begun = Instant::now();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    assert!(demo.arg("demo").stdout(Stdio::null()).stderr(Stdio::null()).status().await.expect("the demo").success());
    begun.elapsed().as_secs_f64()
}

/// Seconds from `kill -9` until the standby has delivered what was written after it.
async fn take_over(rig: &Rig, effort: Effort) -> Vec<f64> {
    rig.sql("create table watched (id bigint generated always as identity primary key)").await;
    let mut first = rig.up().await;
    rig.session("subscribe_table(meta.relation_id('public', 'watched'))").await;
    let mut took = Vec::new();
    for _ in 0..effort.choose(3, 10) {
        let standby = rig.stand_by().await;
        rig.sql("insert into watched default values").await;
        first.kill().await;
        let begun = Instant::now();
        rig.sql("insert into watched default values").await;
        rig.settle().await;
        took.push(begun.elapsed().as_secs_f64());
        first = standby;
    }
    first.kill().await;
    took
}

/// Milliseconds of the statement, in the middle of forty, a sample a round.
async fn alter(rig: &Rig, column: &str, effort: Effort) -> Vec<f64> {
    let mut rounds = Vec::new();
    for round in 0..effort.rounds() {
        let mut times = Vec::new();
        for table in 1..=40 {
            let begun = Instant::now();
            rig.sql(&format!("alter table t{table} add column {column}{round} integer")).await;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        rounds.push(median(&times).expect("forty"));
    }
    rounds
}
