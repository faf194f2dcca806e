//! What is seen from outside: `/live`, `/ready`, `/metrics`. Ready is what delivers; each way in which delivery can come to a
//! halt is staged, and the way back.

use std::collections::{HashMap, HashSet};

use nix::sys::signal::Signal;

use crate::support::fault::{Backend, children, signal};
use crate::support::{Client, Database, Outside, Subscriber, Tidewire, tidewire};

const LISTEN: [&str; 4] = ["--listen", "127.0.0.1:0", "--stall-after", "1"];

/// What is not to stall is given more: the machine may be busy with other tests.
const PATIENT: [&str; 4] = ["--listen", "127.0.0.1:0", "--stall-after", "3"];

/// A server, the program with a short patience, a table, and who is told of it.
struct Stage {
    database: Database,
    tidewire: Tidewire,
    outside: Outside,
    subscriber: Subscriber,
    client: Client,
    row: u32,
}

impl Stage {
    async fn set() -> Stage {
        Stage::set_with(&LISTEN).await
    }

    async fn set_with(args: &[&str]) -> Stage {
        Stage::set_on(Database::start().await, args).await
    }

    async fn set_on(database: Database, args: &[&str]) -> Stage {
        let tidewire = Tidewire::up_with(&database.url(), args).await;
        let outside = Outside::of(&tidewire).await;
        let subscriber = Subscriber::open(&database).await;
        subscriber.sql("create table t (id int primary key, v text)").await;
        subscriber.table("t").await;
        let client = database.connect().await;
        // the subscription is work too: once it is done, what a test makes fail is the first that is written
        client.sql("select event.sync()").await;
        outside.until_ready().await;
        Stage { database, tidewire, outside, subscriber, client, row: 0 }
    }

    async fn insert(&mut self) {
        self.row += 1;
        self.client.sql(&format!("insert into t values ({})", self.row)).await;
    }

    /// Back to ready, with all events told.
    async fn goes_on(&mut self) {
        self.outside.until_ready().await;
        self.insert().await;
        self.subscriber.events().await;
        let told = self.subscriber.inbox().await;
        assert_eq!(told.len(), usize::try_from(self.row).unwrap());
    }
}

#[tokio::test]
async fn ready_says_both_addresses_and_all_three_pages_answer() {
    let database = Database::start().await;
    let tidewire = Tidewire::up_with(&database.url(), &LISTEN).await;
    let outside = Outside::of(&tidewire).await;
    let shown = database.url();
    assert_eq!(tidewire.lines(1).await, [format!("ready {shown} http://{}", outside.address())]);
    assert!(!outside.address().ends_with(":0"));
    outside.until_ready().await;
    assert_eq!(outside.get("/live").await, (200, "live\n".to_owned()));
    assert_eq!(outside.get("/metrics").await.0, 200);
    assert_eq!(outside.get("/").await.0, 404);

    // an address that cannot be had ends it before it touches the database
    for at in [outside.address(), "127.0.0.1", "nowhere.invalid:80"] {
        let output = self::tidewire(&["up", "--database-url", &shown, "--listen", at]).await;
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(&format!("error: cannot listen on \"{at}\": ")), "{stderr}");
    }
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn nothing_listens_unless_it_is_asked_to() {
    let database = Database::start().await;
    for (args, expected) in [(&[] as &[&str], 0), (&LISTEN, 1)] {
        let tidewire = Tidewire::up_with(&database.url(), args).await;
        let pid = tidewire.pid();
        let sockets: HashSet<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
            .collect();
        assert!(!sockets.is_empty());
        let listening = ["tcp", "tcp6", "udp", "udp6"]
            .iter()
            .flat_map(|kind| {
                let table = std::fs::read_to_string(format!("/proc/{pid}/net/{kind}")).unwrap_or_default();
                table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
            })
            .filter(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                // 0A: LISTEN
                fields[3] == "0A" && sockets.contains(fields[9])
            })
            .count();
        assert_eq!(listening, expected);
        assert!(tidewire.stop().await.success());
    }
}

#[tokio::test]
async fn a_batch_that_cannot_be_written_is_a_stall_until_it_is() {
    let mut stage = Stage::set().await;
    let holder = stage.database.connect().await;
    holder.sql("begin; lock table event.journal").await;
    stage.insert().await;
    stage.outside.until_unready("a batch has been in writing for").await;
    assert_eq!(stage.outside.get("/live").await.0, 200);
    stage.tidewire.wait_for_log("delivery is stalled: a batch has been in writing for").await;
    assert!(stage.outside.figure("tidewire_batch_in_writing_seconds").await.unwrap() > 1.0);
    assert_eq!(stage.outside.figure("tidewire_ready").await, Some(0.0));
    stage.outside.until_figure("tidewire_wal_lag_seconds", |lag| lag > 1.0).await;
    assert!(stage.outside.figure("tidewire_wal_lag_bytes").await.unwrap() > 0.0);
    holder.sql("rollback").await;
    stage.goes_on().await;
    stage.tidewire.wait_for_log("delivery goes on").await;
    assert_eq!(stage.outside.figure("tidewire_stalls_total").await, Some(1.0));
    stage.outside.until_figure("tidewire_wal_lag_seconds", |lag| lag == 0.0).await;
}

#[tokio::test]
async fn a_commit_that_waits_for_a_standby_is_a_stall_with_its_own_reason() {
    // Tidewire's own commits would wait too, and which of the two comes first is chance
    let settings = [("synchronous_standby_names", "nobody"), ("synchronous_commit", "local")];
    let mut stage = Stage::set_on(Database::start_with(&settings).await, &LISTEN).await;
    let writer = stage.database.connect().await;
    writer.sql("set synchronous_commit = on").await;
    let pid = writer.text("select pg_backend_pid()").await;
    let hanging = tokio::spawn(async move {
        let _ = writer.batch_execute("insert into t values (1000)").await;
        writer
    });
    stage.outside.until_unready("until its changes can be read: a commit waits").await;
    stage.client.sql(&format!("select pg_cancel_backend({pid})")).await;
    hanging.await.unwrap();
    stage.row += 1;
    stage.goes_on().await;
}

#[tokio::test]
async fn a_frozen_server_is_a_stall_and_ready_answers_all_the_same() {
    let mut stage = Stage::set().await;
    // nothing may be in writing, which would be the reason then
    stage.goes_on().await;
    let server = stage.database.cluster.pid();
    let all = [vec![server], children(server)].concat();
    all.iter().for_each(|pid| signal(*pid, Signal::SIGSTOP));
    stage.outside.until_unready("the database has not answered for").await;
    assert_eq!(stage.outside.get("/live").await.0, 200);
    stage.tidewire.wait_for_log("delivery is stalled: the database has not answered").await;
    all.iter().for_each(|pid| signal(*pid, Signal::SIGCONT));
    stage.goes_on().await;
}

#[tokio::test]
async fn a_frozen_walsender_is_a_stall_once_there_is_something_to_deliver() {
    let mut stage = Stage::set().await;
    stage.goes_on().await;
    let pid = Backend::Stream.pid(&stage.client).await;
    signal(pid, Signal::SIGSTOP);
    stage.insert().await;
    stage.outside.until_unready("the stream has not moved for").await;
    signal(pid, Signal::SIGCONT);
    stage.goes_on().await;
}

#[tokio::test]
async fn a_batch_that_fails_over_and_over_is_never_ready_in_between() {
    let mut stage = Stage::set().await;
    stage.client.sql("alter table event.inbox add constraint never check (false) not valid").await;
    stage.insert().await;
    stage.outside.until_unready("trying again: the database answered with an error").await;
    // well into the third attempt
    while !stage.tidewire.stderr().contains("trying again in 800 ms") {
        let (status, text) = stage.outside.get("/ready").await;
        assert_eq!(status, 503, "{text}");
        // an error's own text may quote somebody's data
        assert!(!text.contains("never"), "{text}");
    }
    assert!(stage.outside.figure("tidewire_retries_total").await.unwrap() >= 4.0);
    stage.client.sql("alter table event.inbox drop constraint never").await;
    stage.goes_on().await;
}

#[tokio::test]
async fn a_program_whose_lock_is_gone_begins_anew_though_nothing_happens() {
    let mut stage = Stage::set().await;
    stage.goes_on().await;
    let holder = "select pid from event.server where part = 'lease'";
    let pid = stage.client.text(holder).await;
    stage.client.sql(&format!("select pg_terminate_backend({pid})")).await;
    stage.tidewire.wait_for_log("; trying again in").await;
    stage.goes_on().await;
    assert_ne!(stage.client.text(holder).await, pid);
}

#[tokio::test]
async fn a_burst_that_is_being_worked_on_is_no_stall() {
    let mut stage = Stage::set_with(&PATIENT).await;
    let start = std::time::Instant::now();
    // there is something to deliver at every look, for longer than is given to what does not move
    while start.elapsed() < std::time::Duration::from_secs(5) {
        let rows = format!("insert into t select n from generate_series({}, {}) n", stage.row + 1, stage.row + 5);
        stage.client.sql(&rows).await;
        stage.row += 5;
        let (status, text) = stage.outside.get("/ready").await;
        assert_eq!(status, 200, "{text} after {:?}", start.elapsed());
    }
    stage.goes_on().await;
}

#[tokio::test]
async fn who_starts_or_stands_by_says_so_and_is_not_ready() {
    let database = Database::start().await;
    let url = database.url();
    let client = database.connect().await;
    client.sql("create table t (id int primary key); begin; insert into t values (1)").await;
    let args = [&["up", "--database-url", &url], LISTEN.as_slice()].concat();
    let first = Tidewire::spawn(&args);
    let outside = Outside::of(&first).await;
    outside.until_unready("creating the replication slot, which waits for the transactions that are open").await;
    assert_eq!(outside.figure("tidewire_state{state=\"creating_slot\"}").await, Some(1.0));
    assert_eq!(outside.get("/live").await.0, 200);
    client.sql("commit").await;
    outside.until_ready().await;

    let second = Tidewire::spawn(&args);
    let beside = Outside::of(&second).await;
    beside.until_unready("standing by: another tidewire serves the database").await;
    beside.until_figure("tidewire_slot_active", |active| active == 1.0).await;
    assert_eq!(beside.figure("tidewire_state{state=\"standing_by\"}").await, Some(1.0));
    first.kill().await;
    beside.until_ready().await;
}

#[tokio::test]
async fn a_stopped_server_is_told_and_so_is_its_return() {
    let mut stage = Stage::set().await;
    stage.goes_on().await;
    let session = stage.subscriber.session.clone();
    drop((stage.subscriber, stage.client));
    stage.database.cluster.stop(tidewire::db::cluster::StopMode::Fast).await.unwrap();
    stage.outside.until_unready("trying again: the connection to the database failed").await;
    stage.database.cluster.restart(tidewire::db::cluster::StopMode::Fast).await.unwrap();
    stage.outside.until_ready().await;
    stage.client = stage.database.connect().await;
    stage.subscriber = Subscriber::attach(stage.database.connect().await, &session).await;
    stage.goes_on().await;
}

#[tokio::test]
async fn a_gap_is_counted() {
    let mut stage = Stage::set().await;
    stage.goes_on().await;
    let slot = stage.client.text("select slot_name from pg_replication_slots").await;
    // between the end of its reader and the next attempt
    while stage
        .client
        .try_sql(&format!(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots; select pg_drop_replication_slot('{slot}')"
        ))
        .await
        .is_err()
    {}
    stage.outside.until_figure("tidewire_gaps_total{reason=\"slot_lost\"}", |gaps| gaps == 1.0).await;
    stage.row += 1;
    stage.goes_on().await;
}

#[tokio::test]
async fn the_figures_are_those_of_the_database_and_name_nobody() {
    let mut stage = Stage::set().await;
    stage.client.sql("create table secret_name (id int primary key)").await;
    stage.subscriber.table("secret_name").await;
    let live =
        Subscriber::create(stage.database.connect().await, "session_create('secret_session', durable => false)").await;
    live.row("t", "2").await;
    for _ in 0..3 {
        stage.insert().await;
    }
    stage.client.sql("update t set v = 'secret_value' where id in (1, 2)").await;
    stage.client.sql("begin; delete from t where id = 3; rollback").await;
    stage.subscriber.sql("select event.sync()").await;
    let outside = &stage.outside;
    // three inserts and two updates, and rows of Tidewire's own before
    assert!(outside.figure("tidewire_changes_total").await.unwrap() >= 5.0);
    outside.until_figure("tidewire_inbox_rows_written_total", |rows| rows == 5.0).await;
    outside.until_figure("tidewire_notifications_total", |events| events == 6.0).await;
    assert!(outside.figure("tidewire_batches_total").await.unwrap() >= 1.0);
    let inbox: f64 = stage.client.text("select count(*) from event.inbox").await.parse().unwrap();
    outside.until_figure("tidewire_inbox_rows", |rows| rows == inbox).await;
    outside.until_figure("tidewire_subscriptions", |count| count == 3.0).await;
    outside.until_figure("tidewire_sessions{kind=\"durable\"}", |count| count == 1.0).await;
    outside.until_figure("tidewire_sessions{kind=\"live\"}", |count| count == 1.0).await;
    outside.until_figure("tidewire_inbox_oldest_seconds", |age| age > 0.0).await;
    outside.until_figure("tidewire_inbox_bytes", |bytes| bytes > 0.0).await;
    assert_eq!(outside.figure("tidewire_slot_active").await, Some(1.0));
    assert_eq!(outside.figure("tidewire_slot_wal_status{status=\"reserved\"}").await, Some(1.0));
    assert_eq!(outside.figure("tidewire_slot_safe_bytes").await, Some(f64::INFINITY));
    assert!(outside.figure("process_resident_memory_bytes").await.unwrap() > 1e6);

    let (_, text) = outside.get("/metrics").await;
    for word in ["secret", &stage.subscriber.session, &live.session, "public"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert_well_formed(&text);
}

/// As the text format has it: every series is described and has a type, no series stands twice.
fn assert_well_formed(text: &str) {
    let mut types: HashMap<&str, &str> = HashMap::new();
    let mut described = HashSet::new();
    let mut series = HashSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(described.insert(name) && !help.is_empty(), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            types.insert(name, kind);
        } else {
            let (one, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            let name = one.split('{').next().unwrap();
            assert!(types.contains_key(name) && described.contains(name), "{line}");
            assert!(series.insert(one), "{line}");
        }
    }
    assert!(series.len() > 30, "{text}");
}
