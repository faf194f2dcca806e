//! How many changes a second go through, beside `pg_recvlogical` writing the same WAL to /dev/null.

use std::time::Instant;

use tokio::process::Command;

use crate::rig::{Rig, line, rounds};

pub async fn run(rig: &Rig, quick: bool) {
    let rows = if quick { 50_000 } else { 300_000 };
    rig.sql("create table busy (id bigint primary key, v integer, note text)").await;
    for (what, subscribe) in [
        ("decoded, diffed, routed (nobody is told)", "event.subscribe_row(meta.row_id('public', 'busy', 'id', '-1'))"),
        ("durable, one session on the table", "event.subscribe_table(meta.relation_id('public', 'busy'))"),
    ] {
        let (mut rival, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds(quick) {
            let up = rig.up().await;
            rig.sql(&format!(
                "select event.session_create('bench'); select {subscribe}; unlisten *; select event.sync()"
            ))
            .await;
            up.stop().await;
            rig.sql("select pg_create_logical_replication_slot('rival', 'pgoutput')").await;
            rig.sql("truncate busy").await;
            rig.sql(&format!(
                "do $$ begin for i in 0 .. {rows} / 100 - 1 loop
                     insert into busy select i * 100 + n, n, 'some text of the usual length' from generate_series(1, 100) n;
                     commit;
                 end loop; end $$"
            ))
            .await;
            let end = rig.text("select pg_current_wal_lsn()::text").await;
            let started = Instant::now();
            receive(rig, &end).await;
            rival.push(f64::from(rows) / started.elapsed().as_secs_f64());
            rig.sql("select pg_drop_replication_slot('rival')").await;

            let up = rig.up().await;
            let started = Instant::now();
            // as pg_recvlogical ends at that position; event.sync also makes sure of what is not flushed, which takes it a second
            rig.sql(&format!(
                "do $$ begin
                     while exists (select from pg_replication_slots where confirmed_flush_lsn < '{end}') loop
                         perform pg_sleep(0.001);
                     end loop; end $$"
            ))
            .await;
            ours.push(f64::from(rows) / started.elapsed().as_secs_f64());
            rig.sql(
                "select event.session_delete((select id from event.session where name = 'bench')); select event.sync()",
            )
            .await;
            up.stop().await;
        }
        line(&format!("changes/s: pg_recvlogical | {what}"), &rival, &ours);
    }
}

/// Its end position is the first that it does not write: it stops when the server is there.
async fn receive(rig: &Rig, end: &str) {
    let status = Command::new(rig.binaries.program("pg_recvlogical"))
        .args(["--start", "--slot", "rival", "--no-loop", "-f", "/dev/null", "-h", "127.0.0.1", "-U", "postgres"])
        .args(["-d", "postgres", "-p", &rig.cluster.port().to_string(), "--endpos", end])
        .args(["-o", "proto_version=1", "-o", "publication_names=tidewire"])
        .status()
        .await
        .expect("pg_recvlogical");
    assert!(status.success());
}
