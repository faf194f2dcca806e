//! At rest nothing happens, and what nobody watches pins nothing.

use std::fs;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::support::fault::Backend;
use crate::support::{Client, Database, PATIENCE, Subscriber, Tidewire};

/// What the slot keeps: where decoding would start again, and what was confirmed.
const SLOT: &str =
    "select restart_lsn || ' ' || confirmed_flush_lsn from pg_replication_slots where slot_name like 'tidewire%'";

/// Writes a few megabytes of WAL; returns the position behind them.
async fn busy(client: &Client, elsewhere: &Client) -> String {
    for client in [client, elsewhere] {
        client.sql("insert into noise select g, repeat('x', 200) from generate_series(1, 4000) g").await;
        client.sql("update noise set b = b || 'y'; truncate noise").await;
    }
    client.text("select pg_current_wal_insert_lsn()").await
}

async fn wait_until(client: &Client, condition: &str) {
    let fulfilled = async {
        while client.text(condition).await != "t" {
            tokio::task::yield_now().await;
        }
    };
    if timeout(PATIENCE, fulfilled).await.is_err() {
        panic!("not within {PATIENCE:?}: {condition}\nthe slot: {}", client.text(SLOT).await);
    }
}

#[tokio::test]
async fn a_quiet_table_pins_no_wal_while_the_rest_of_the_server_is_busy() {
    let database = Database::start_with(&[("max_wal_size", "64MB"), ("min_wal_size", "32MB")]).await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create database other").await;
    let elsewhere = Client::connect(&database.url_of("postgres", "other")).await;
    for client in [&client, &elsewhere] {
        client.sql("create table noise (a int, b text)").await;
    }
    client.sql("create table watched (id int primary key, v int); insert into watched values (1, 1)").await;
    for subscribed in [false, true] {
        let mut subscriber = Subscriber::open(&database).await;
        if subscribed {
            subscriber.table("watched").await;
        }
        for _ in 0..3 {
            let position = busy(&client, &elsewhere).await;
            let passed = format!(
                "select bool_and(confirmed_flush_lsn > '{position}' and restart_lsn >= '{position}')
                 from pg_replication_slots where slot_name like 'tidewire%'"
            );
            // the rest stays busy: a note of the server's that was made while some transaction was open moves nothing
            while client.text(&passed).await != "t" {
                elsewhere.sql("insert into noise values (0, ''); checkpoint").await;
            }
        }
        assert!(subscriber.events().await.is_empty(), "nobody wrote a watched row");
    }
    let kept = "select pg_current_wal_insert_lsn() - min(restart_lsn) < 1000000 from pg_replication_slots";
    assert_eq!(client.text(kept).await, "t");

    // and it was awake all the time
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("watched").await;
    client.sql("update watched set v = 2").await;
    assert_eq!(subscriber.told().await, [r#"update table watched 1 {"v":2}"#]);
}

/// How long a rest is looked at: there is no fact to wait for when nothing happens. The monitor comes by in each.
const REST: Duration = Duration::from_secs(6);

/// What the program and its backends have done since they started.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    /// Processor time, in the ticks of `/proc/PID/stat`: a hundredth of a second each.
    ticks: u64,
    /// How often a thread of theirs woke up.
    wakeups: u64,
}

impl Done {
    fn by(pids: &[u32]) -> Done {
        let mut done = Done::default();
        for task in pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).unwrap()) {
            let task = task.unwrap().path();
            let stat = fs::read_to_string(task.join("stat")).unwrap();
            // utime and stime are the 14th and 15th; the 2nd is a name in parentheses that may hold anything
            let (_, rest) = stat.rsplit_once(") ").unwrap();
            done.ticks += rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>();
            let status = fs::read_to_string(task.join("status")).unwrap();
            let woken = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
            done.wakeups += woken.trim().parse::<u64>().unwrap();
        }
        done
    }
}

/// A rest of the database is a rest of the program.
async fn assert_rests(client: &Client, tidewire: &Tidewire) {
    client.sql("checkpoint").await;
    let mark = client.text("select clock_timestamp()").await;
    client.sql("select event.sync()").await;
    // upkeep follows the last thing that happened
    let kept_up = format!(
        "select bool_and(state = 'idle') and bool_or(query ~ '_tell_skipped|event._near' and state_change > '{mark}')
         from pg_stat_activity where application_name = 'tidewire' and backend_type = 'client backend'"
    );
    wait_until(client, &kept_up).await;
    let mut backends = Vec::new();
    for backend in Backend::ALL {
        backends.push(backend.pid(client).await);
    }
    let upkeep = Backend::ALL.iter().position(|backend| *backend == Backend::Upkeep).unwrap();
    let all = "select count(*) from pg_stat_activity where application_name = 'tidewire'";
    assert_eq!(client.text(all).await, backends.len().to_string(), "{:?}", Backend::ALL);

    // Upkeep may look once more, and within 25 s of the last thing that happened the server itself notes, once, that no
    // transaction runs, at which upkeep looks. Then the writer and the stream say each second that they are there, the monitor
    // looks each five, and upkeep sleeps. Two calm windows in a row are no pause between two looks.
    let mut looks = Vec::new();
    let mut calm = 0;
    while looks.len() < 6 {
        let position = client.text("select pg_current_wal_insert_lsn()").await;
        let before = (Done::by(&[tidewire.pid()]), backends.iter().map(|pid| Done::by(&[*pid])).collect::<Vec<_>>());
        sleep(REST).await;
        let own = Done::by(&[tidewire.pid()]);
        let mut ticks = own.ticks - before.0.ticks;
        let pulse = own.wakeups - before.0.wakeups;
        let mut woken = Vec::new();
        for (pid, before) in backends.iter().zip(&before.1) {
            let done = Done::by(&[*pid]);
            ticks += done.ticks - before.ticks;
            woken.push(done.wakeups - before.wakeups);
        }
        let now = client.text("select pg_current_wal_insert_lsn()").await;
        looks.push(format!(
            "{ticks} ticks, {pulse} wakeups, {woken:?} of {:?}, WAL from {position} to {now}",
            Backend::ALL
        ));
        // ten seconds after its last statement each backend wakes up once to hand in its statistics
        let sleeps = woken[upkeep] <= 2;
        let is_calm = position == now && ticks <= 3 && pulse <= 80 && sleeps && woken.iter().sum::<u64>() <= 48;
        calm = if is_calm { calm + 1 } else { 0 };
        if calm == 2 {
            return;
        }
    }
    panic!("no rest: {looks:#?}");
}

#[tokio::test]
async fn a_database_at_rest_is_left_alone() {
    // what the server itself does about tables that changed
    let database = Database::start_with(&[("autovacuum", "off")]).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    assert_rests(&client, &tidewire).await;
}

#[tokio::test]
async fn after_work_there_is_rest() {
    let database = Database::start_with(&[("autovacuum", "off")]).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v int); create table gone (id int primary key)").await;
    let mut durable = Subscriber::open(&database).await;
    durable.table("t").await;
    durable.row("gone", "1").await;
    let live = Subscriber::create(database.connect().await, "session_create(null, false)").await;
    live.column("t", "v").await;
    let left = Subscriber::open(&database).await;
    left.field("t", "7", "v").await;
    drop(left);
    for turn in 0..50 {
        client.sql(&format!("insert into t select g, {turn} from generate_series({turn}00, {turn}99) g")).await;
        client.sql("update t set v = v + 1 where id % 100 = 7").await;
    }
    client.sql("drop table gone").await;
    let last = durable.events().await.pop().unwrap();
    durable.sql(&format!("select ack('{}', '{}')", durable.session, last.id())).await;
    assert_rests(&client, &tidewire).await;
}
