//! How many changes a second go through, beside `pg_recvlogical` writing the same WAL to /dev/null; and how far either falls
//! behind writers at full speed.

use std::time::Instant;

use crate::Effort;
use tidewire::delivery::hub::Hub;

use crate::in_process::{InProcess, LiveSession, attach};
use crate::report::{Bar, Better, Line, Report};
use crate::rig::{Disk, Rig, Up, ended, seconds_between};

pub const TABLE: &str = "create table busy (id bigint primary key, v integer, note text)";

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Somebody who asked for a row that never changes: all work but the delivery.
    Nobody,
    Live,
    Durable(u32),
}

/// A burst and who is told of it.
#[derive(Debug, Clone, Copy)]
struct Case {
    told: Told,
    rows: u32,
    /// Rows of a transaction.
    each: u32,
    bar: Bar,
}

pub async fn run(report: &mut Report, effort: Effort) {
    let rows = effort.choose(50_000, 300_000);
    let none = Bar::None;
    // the more are told, the fewer rows: what is counted are the rows of inboxes
    let cases = [
        Case { told: Told::Nobody, rows, each: 100, bar: Bar::Ratio(0.9) },
        Case { told: Told::Nobody, rows, each: 1, bar: none },
        Case { told: Told::Live, rows, each: 100, bar: none },
        Case { told: Told::Durable(1), rows, each: 100, bar: Bar::Figure(50_000.0) },
        Case { told: Told::Durable(1), rows, each: 1, bar: none },
        Case { told: Told::Durable(10), rows: rows / 2, each: 100, bar: none },
        Case { told: Told::Durable(100), rows: rows / 20, each: 100, bar: none },
    ];
    for case in cases {
        let rig = Rig::start(Disk::Durable).await;
        rig.sql(TABLE).await;
        let (mut rival, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds() {
            round(&rig, case, &mut rival, &mut ours).await;
        }
        let who = match case.told {
            Told::Nobody => "decoded, diffed, routed".to_owned(),
            Told::Live => "one live session".to_owned(),
            Told::Durable(1) => "durable, 1 session".to_owned(),
            Told::Durable(sessions) => format!("durable, {sessions} sessions, each"),
        };
        let what = format!("{} rows in transactions of {}: pg_recvlogical | {who}", case.rows, case.each);
        let (unit, better) = ("rows/s", Better::Higher);
        report.line(Line { what, unit, better, rival, ours: ours.clone(), bar: case.bar });
        if let Told::Durable(sessions @ 2..) = case.told {
            let ours = ours.iter().map(|rate| rate * f64::from(sessions)).collect();
            let what = format!("the same, rows of inboxes with {sessions} sessions");
            report.line(Line { what, unit: "rows/s", better, rival: Vec::new(), ours, bar: Bar::None });
        }
    }
    fall_behind(report, effort).await;
}

const ON_THE_TABLE: &str = "subscribe_table(meta.relation_id('public', 'busy'))";
const ON_NO_ROW: &str = "subscribe_row(meta.row_id('public', 'busy', 'id', '-1'))";

/// The burst is written while Tidewire is stopped; both slots stand before it.
async fn round(rig: &Rig, case: Case, rival: &mut Vec<f64>, ours: &mut Vec<f64>) {
    rig.sql("truncate busy").await;
    let mut sessions = Vec::new();
    let live = if case.told == Told::Live {
        let hub = Hub::default();
        let engine = InProcess::start(rig, &hub).await;
        let session = attach(rig, &hub, ON_THE_TABLE, |_| {}).await;
        rig.leave_the_past().await;
        engine.stop().await;
        Some((hub, session))
    } else {
        let up = rig.up().await;
        match case.told {
            Told::Durable(count) => {
                for _ in 0..count {
                    sessions.push(rig.session(ON_THE_TABLE).await);
                }
            }
            _ => sessions.push(rig.session(ON_NO_ROW).await),
        }
        rig.leave_the_past().await;
        up.stop().await;
        None
    };
    rig.sql("select pg_create_logical_replication_slot('rival', 'pgoutput')").await;
    write(rig, case.rows, case.each).await;
    let end = rig.end_of_wal().await;

    let begun = Instant::now();
    let mut child = rig.pg_recvlogical("tidewire", Some(&end));
    // of a short burst it may be done before it was seen; then its start is part of its time
    let (begun, status) = tokio::select! {
        biased;
        begun = rig.reading("rival") => (begun, ended(&mut child).await),
        status = ended(&mut child) => (begun, status),
    };
    rival.push(f64::from(case.rows) / begun.elapsed().as_secs_f64());
    assert!(status.success(), "pg_recvlogical");
    rig.sql("select pg_drop_replication_slot('rival')").await;

    let (running, begun) = tokio::join!(Running::start(rig, live.as_ref()), rig.reading("tidewire%"));
    let mut done = rig.delivered(&end).await;
    if let Some((_, session)) = &live {
        done = session.count.reach(u64::from(case.rows)).await.max(done);
    }
    ours.push(f64::from(case.rows) / seconds_between(begun, done));
    // without this the figure says nothing
    for session in &sessions {
        let expected = if case.told == Told::Nobody { 0.0 } else { f64::from(case.rows) };
        assert_eq!(rig.waiting_for(session).await, expected, "events in the inbox of session {session}");
    }
    rig.delete_sessions().await;
    running.stop().await;
}

/// Tidewire, as a process or in this one.
enum Running {
    Beside(Up),
    Within(InProcess),
}

impl Running {
    async fn start(rig: &Rig, live: Option<&(Hub, LiveSession)>) -> Running {
        match live {
            None => Running::Beside(rig.up().await),
            Some((hub, _)) => Running::Within(InProcess::start(rig, hub).await),
        }
    }

    async fn stop(self) {
        match self {
            Running::Beside(up) => up.stop().await,
            Running::Within(engine) => engine.stop().await,
        }
    }
}

/// Not waiting for the disk at each transaction: this is only to have something to read.
pub async fn write(rig: &Rig, rows: u32, each: u32) {
    rig.sql("set synchronous_commit = off").await;
    rig.sql(&format!(
        "do $$ begin for i in 0 .. {rows} / {each} - 1 loop
             insert into busy select i * {each} + n, n, 'some text of the usual length' from generate_series(1, {each}) n;
             commit;
         end loop; end $$"
    ))
    .await;
    assert_eq!(rig.number("select count(*) from busy").await, f64::from(rows), "rows written");
}

/// What is left to read when a burst ends, and until when.
#[derive(Default)]
struct Behind {
    megabytes: Vec<f64>,
    share: Vec<f64>,
    seconds: Vec<f64>,
}

/// Either reads while one writer is at full speed.
async fn fall_behind(report: &mut Report, effort: Effort) {
    let rig = Rig::start(Disk::Durable).await;
    rig.sql(TABLE).await;
    let case = Case { told: Told::Durable(1), rows: effort.choose(50_000, 300_000), each: 100, bar: Bar::None };
    let (mut rival, mut ours) = (Behind::default(), Behind::default());
    for _ in 0..effort.rounds() {
        let up = rig.up().await;
        rig.sql("truncate busy").await;
        let session = rig.session(ON_THE_TABLE).await;
        up.stop().await;
        rig.sql("select pg_create_logical_replication_slot('rival', 'pgoutput')").await;
        let child = rig.pg_recvlogical("tidewire", None);
        rig.reading("rival").await;
        let reader = "from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid where s.slot_name = 'rival'";
        write(&rig, case.rows, case.each).await;
        let written = Instant::now();
        let end = rig.end_of_wal().await;
        rival.megabytes.push(rig.number(&format!("select greatest('{end}' - r.sent_lsn, 0) / 1e6 {reader}")).await);
        let sent = rig.wait(&format!("(select r.sent_lsn >= '{end}' {reader})")).await;
        rival.seconds.push(seconds_between(written, sent));
        rig.end_pg_recvlogical(child).await;
        rig.sql("truncate busy").await;

        let up = rig.up().await;
        rig.settle().await;
        rig.sql(&format!("delete from event.inbox where session_id = '{session}'")).await;
        write(&rig, case.rows, case.each).await;
        let written = Instant::now();
        let end = rig.end_of_wal().await;
        let slots = "from pg_replication_slots where slot_name like 'tidewire%'";
        let sql = format!("select greatest('{end}' - confirmed_flush_lsn, 0) / 1e6 {slots}");
        ours.megabytes.push(rig.number(&sql).await);
        ours.share.push(100.0 * (1.0 - rig.waiting_for(&session).await / f64::from(case.rows)));
        ours.seconds.push(seconds_between(written, rig.delivered(&end).await));
        assert_eq!(rig.waiting_for(&session).await, f64::from(case.rows), "events in the inbox");
        rig.delete_sessions().await;
        up.stop().await;
    }
    let mut line = |what: &str, unit, rival, ours| {
        let what = format!("{} rows at full speed, {what}", case.rows);
        report.line(Line { what, unit, better: Better::Lower, rival, ours, bar: Bar::None });
    };
    line("behind at their end: pg_recvlogical | durable, 1 session", "MB WAL", rival.megabytes, ours.megabytes);
    line("of them not delivered at their end: durable, 1 session", "%", Vec::new(), ours.share);
    line("caught up after them: pg_recvlogical | durable, 1 session", "s", rival.seconds, ours.seconds);
}
