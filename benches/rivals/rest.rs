//! What it takes while nothing happens: memory, processor, WAL.

use crate::Effort;
use crate::process::Process;
use crate::report::{Bar, Better, Line, Report};
use crate::rig::{Disk, Rig, pause};

/// What a second at rest takes.
struct Rest {
    /// Of Tidewire, in ms of processor time.
    tidewire: f64,
    server: f64,
    /// Bytes.
    wal: f64,
}

pub async fn run(report: &mut Report, effort: Effort) {
    let seconds = effort.choose(3.0, 20.0);
    let settling = effort.choose(3.0, 10.0);
    let rig = Rig::start(Disk::Durable).await;
    rig.sql(
        "create table t (id bigint primary key, v integer); insert into t select n, n from generate_series(1, 1000) n",
    )
    .await;
    rig.sql("vacuum analyze").await;
    // a minute after the installation it would look at what that wrote, once, in one of the measurements or the other
    rig.sql("alter system set autovacuum = off").await;
    rig.sql("select pg_reload_conf()").await;
    rig.sql("checkpoint").await;
    pause(settling).await;
    let without = measure(&rig, None, seconds).await;
    for subscriptions in [0, 1000] {
        if subscriptions > 0 {
            let up = rig.up().await;
            rig.sql(&format!(
                "select event.session_create();
                 select count(event.subscribe_row(meta.row_id('public', 't', 'id', n::text)))
                 from generate_series(1, {subscriptions}) n;
                 unlisten *"
            ))
            .await;
            rig.settle().await;
            up.stop().await;
        }
        let up = rig.up().await;
        rig.settle().await;
        rig.sql("checkpoint").await;
        pause(settling).await;
        let with = measure(&rig, Some(up.process), seconds).await;
        let mut line = |what: &str, unit, rival: Option<f64>, ours, bar| {
            let what = format!("{subscriptions} subscriptions, {what}");
            let rival = rival.into_iter().collect();
            report.line(Line { what, unit, better: Better::Lower, rival, ours: vec![ours], bar });
        };
        line("memory", "MB", None, up.process.memory(), Bar::Figure(20.0));
        line("processor, a second", "ms", None, with.tidewire, Bar::Figure(1.0));
        line("the server's processor, a second: without | with", "ms", Some(without.server), with.server, Bar::None);
        line("WAL, a second: without | with", "bytes", Some(without.wal), with.wal, Bar::None);
        up.stop().await;
    }
}

async fn measure(rig: &Rig, tidewire: Option<Process>, seconds: f64) -> Rest {
    let server = Process(rig.cluster.pid());
    let look = async || {
        let ours = tidewire.map_or(0.0, Process::processor_time);
        (ours, server.processor_time_with_children(), rig.wal().await)
    };
    let before = look().await;
    pause(seconds).await;
    let after = look().await;
    Rest {
        tidewire: (after.0 - before.0) / seconds,
        server: (after.1 - before.1) / seconds,
        wal: (after.2 - before.2) / seconds,
    }
}
