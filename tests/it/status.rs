//! `event.status`, the log and `tidewire check`: how it stands, and a slot's loss foretold before it happens.

use crate::support::fault::until;
use crate::support::{Client, Database, Outside, Subscriber, Tidewire, tidewire};

/// Segments are of 16 MB: a slot may keep eight.
const LIMIT: [(&str, &str); 3] =
    [("max_slot_wal_keep_size", "128MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")];

/// Moves the log on by a segment, which is all that counts for a slot, though hardly anything is written.
async fn use_up_a_segment(client: &Client) {
    client.sql("select pg_logical_emit_message(false, 'test', repeat('x', 100)), pg_switch_wal()").await;
}

/// Stops the program; to the server its walsender may be there for a moment more.
async fn stop(up: Tidewire, client: &Client) {
    assert!(up.stop().await.success());
    until("the slot is free", || async { client.text("select active from pg_replication_slots").await == "f" }).await;
}

async fn check(database: &Database) -> (i32, String) {
    let output = tidewire(&["check", "--database-url", &database.url()]).await;
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_slots_loss_is_foretold_before_it_happens() {
    let database = Database::start_with(&LIMIT).await;
    let args = ["--listen", "127.0.0.1:0", "--stall-after", "1"];
    let up = Tidewire::up_with(&database.url(), &args).await;
    let outside = Outside::of(&up).await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql("create table t (id int primary key)").await;
    subscriber.table("t").await;
    let client = database.connect().await;
    client.sql("insert into t values (0)").await;
    assert_eq!(subscriber.events().await.len(), 1);
    let safe: i64 = client.text("select safe_bytes from event.status").await.parse().unwrap();
    assert!(safe > 0);
    assert_eq!(client.rows("select lost_in from event.status").await, [[None]]);
    // the monitor may have looked before the stream was open
    until("no loss is foretold", || async {
        outside.figure("tidewire_slot_lost_in_seconds").await == Some(f64::INFINITY)
    })
    .await;

    // delivery comes to a halt while the rest of the database goes on
    let holder = database.connect().await;
    holder.sql("begin; lock table event.journal").await;
    client.sql("insert into t values (1)").await;
    use_up_a_segment(&client).await;
    outside.until_unready("a batch has been in writing").await;
    use_up_a_segment(&client).await;
    up.wait_for_log("will be lost in").await;
    assert!(up.stderr().contains("keeps ") && up.stderr().contains("more each second"));
    let left = outside.until_figure("tidewire_slot_lost_in_seconds", f64::is_finite).await;
    assert!(left > 0.0);
    let left = outside.figure("tidewire_slot_safe_bytes").await.unwrap();
    assert!(left > 0.0, "{left}");
    // both segments
    outside.until_figure("tidewire_slot_retained_bytes", |bytes| bytes > 1.6e7).await;
    assert!(outside.figure("tidewire_slot_safe_bytes").await.unwrap() < safe as f64);
    // what is locked cannot be counted, which does not keep the rest from being told
    let row = "select wal_status <> 'lost', serving, inbox_bytes is null, notification_queue from event.status";
    let expected = ["t", "t", "t", "0"].map(|value| Some(value.to_owned()));
    assert_eq!(client.rows(row).await, [expected]);
    assert_eq!(client.text("select safe_bytes = safe_wal_size from event.status, pg_replication_slots").await, "t");

    // and when it goes on, nothing was lost and nothing is foretold
    holder.sql("rollback").await;
    assert_eq!(subscriber.events().await.len(), 1);
    outside.until_figure("tidewire_slot_lost_in_seconds", f64::is_infinite).await;
    assert_eq!(client.rows("select lost_in from event.status").await, [[None]]);
    assert_eq!(client.text("select serving from event.status").await, "t");

    // nobody logs while it is stopped: event.status and the check say it
    stop(up, &client).await;
    use_up_a_segment(&client).await;
    client.sql("insert into t values (2)").await;
    use_up_a_segment(&client).await;
    let row = "select serving, lost_in > '0', lag > '0', lag_bytes > 16000000, wal_rate > 0, wal_status <> 'lost' from event.status";
    let expected = ["f", "t", "t", "t", "t", "t"].map(|value| Some(value.to_owned()));
    assert_eq!(client.rows(row).await, [expected]);
    let (code, text) = check(&database).await;
    assert_eq!(code, 0, "{text}");
    let line = text.lines().find(|line| line.contains("bytes behind")).unwrap();
    assert!(line.starts_with("warning") && line.contains("more each second: it will be lost in "), "{line}");

    // until it is
    until("the slot is lost", || async {
        use_up_a_segment(&client).await;
        client.sql("checkpoint").await;
        client.text("select wal_status from event.status").await == "lost"
    })
    .await;
    assert_eq!(client.text("select lost_in from event.status").await, "00:00:00");
    let (code, text) = check(&database).await;
    assert!(code == 1 && text.contains("was lost: too much WAL was unread"), "{text}");
    let up = Tidewire::up_with(&database.url(), &args).await;
    up.wait_for_log("1 sessions are told of a gap: slot_lost").await;
    subscriber.events().await;
    assert_eq!(subscriber.inbox().await.last().unwrap().operation(), "gap");
    assert_eq!(client.rows("select lost_in from event.status").await, [[None]]);
}

#[tokio::test]
async fn without_a_limit_nothing_is_lost_and_what_is_kept_is_told() {
    let database = Database::start().await;
    let client = database.connect().await;
    stop(database.up().await, &client).await;
    // what is before them in the first one does not count
    for _ in 0..4 {
        use_up_a_segment(&client).await;
    }
    let row = "select serving, wal_status, safe_bytes, lost_in, retained_bytes > 40000000 from event.status";
    let expected = [Some("f"), Some("reserved"), None, None, Some("t")].map(|value| value.map(str::to_owned));
    assert_eq!(client.rows(row).await, [expected]);
    let (_, text) = check(&database).await;
    assert!(text.contains("max_slot_wal_keep_size is unlimited"), "{text}");
    let line = text.lines().find(|line| line.contains("bytes behind")).unwrap();
    assert!(line.contains(" more each second") && !line.contains("lost"), "{line}");
}

#[tokio::test]
async fn the_status_is_what_the_tables_say() {
    let database = Database::installed().await;
    let up = database.up().await;
    let first = Subscriber::open(&database).await;
    first.sql("create table t (id int primary key)").await;
    first.table("t").await;
    first.row("t", "1").await;
    let second = Subscriber::open(&database).await;
    second.row("t", "2").await;
    let live = Subscriber::create(database.connect().await, "session_create(durable => false)").await;
    live.table("t").await;
    let client = database.connect().await;
    client.sql("insert into t values (1), (2), (3)").await;
    client.sql("delete from t where id = 2").await;
    client.sql("select event.sync()").await;
    first.sql("select ack(current_setting('event.current_session')::uuid, (select min(id) from event.event))").await;
    let same = "select to_jsonb(s) - array['lag', 'wal_rate', 'retained_bytes', 'lag_bytes', 'inbox_bytes', 'nearest_limit', 'nearest_limit_used'] =
        jsonb_build_object(
            'serving', true, 'program', (select program from event.installation), 'slot', r.slot_name,
            'wal_status', r.wal_status, 'safe_bytes', r.safe_wal_size, 'lost_in', null,
            'durable_sessions', (select count(*) from event.session where durable),
            'live_sessions', (select count(*) from event.session where not durable),
            'subscriptions', (select count(*) from event.subscription),
            'inbox_rows', (select count(*) from event.inbox),
            'oldest_event', (select min(id) from event.inbox),
            'oldest_event_at', (select min(committed_at) from event.journal where id = (select min(id) from event.inbox)),
            'notification_queue', 0, 'set_aside', 0, 'last_set_aside', null)
        from event.status s, pg_replication_slots r";
    assert_eq!(client.text(same).await, "t", "{:?}", client.text("select to_jsonb(s) from event.status s").await);
    let parts = "coalesce(pg_partition_root(oid), oid) in ('event.inbox'::regclass, 'event.journal'::regclass)";
    let bytes = format!(
        "select inbox_bytes = (select sum(pg_total_relation_size(oid)) from pg_class where relkind = 'r' and {parts}) from event.status"
    );
    assert_eq!(client.text(&bytes).await, "t");
    assert_eq!(client.text("select retained_bytes between 1 and 100000000 from event.status").await, "t");

    // the rest of the database goes on for as long as nobody reads
    stop(up, &client).await;
    // the server itself may have noted since which transactions run
    let lag: i64 = client.text("select lag_bytes from event.status").await.parse().unwrap();
    assert!(lag < 1000, "{lag}");
    client.sql("select pg_logical_emit_message(true, 'test', repeat('x', 100000))").await;
    let behind: i64 = client.text("select lag_bytes from event.status").await.parse().unwrap();
    assert!((100_000..200_000).contains(&behind), "{behind}");
    assert_eq!(client.text("select serving from event.status").await, "f");
    client.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots").await;
    assert_eq!(client.text("select wal_status from event.status").await, "missing");

    // where there are many, what the statistics say is near enough
    client.sql("create table many as select n from generate_series(1, 300000) n; analyze many").await;
    let estimate: i64 = client.text("select event._rows('many')").await.parse().unwrap();
    assert!((290_000..310_000).contains(&estimate), "{estimate}");
}

#[tokio::test]
async fn everybody_may_read_the_status_and_nothing_beneath_it() {
    let database = Database::start().await;
    let client = database.connect().await;
    client
        .sql("create role owner login replication; grant create on database postgres to owner; create role ann login")
        .await;
    // whoever installs it may be no superuser, and may not look at the log's files
    let _up = Tidewire::up(&database.url_as("owner")).await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.sql("create table t (id int primary key)").await;
    subscriber.sql("select event.watch('t')").await;
    subscriber.table("t").await;
    subscriber.sql("insert into t values (1)").await;
    subscriber.sql("select event.sync()").await;
    let ann = database.connect_as("ann").await;
    let query =
        "select serving, slot, wal_status, durable_sessions, subscriptions, inbox_rows, oldest_event from event.status";
    let seen = ann.rows(query).await;
    assert_eq!(seen, client.rows(query).await);
    assert_eq!(seen[0][5].as_deref(), Some("1"));
    // before 15 the server counts a moment later
    ann.until("select wal_rate > 0 from event.status", "t").await;
    for call in [
        "event._rows('event.session')",
        "event._bytes('event.inbox')",
        "event._oldest_event()",
        "event._wal_written('0/0')",
    ] {
        let refused = ann.try_sql(&format!("select {call}")).await.unwrap_err();
        assert_eq!(refused.code().code(), "42501", "{call}");
    }
    let columns = "select string_agg(attname, ' ' order by attnum) from pg_attribute
                   where attrelid = 'event.status'::regclass and attnum > 0
                     and col_description(attrelid, attnum) is null";
    assert_eq!(ann.text(columns).await, "durable_sessions live_sessions subscriptions");
}

/// From PostgreSQL 18 on a slot that is not read for long may be given up too.
#[tokio::test]
async fn a_slot_that_will_be_given_up_for_idleness_is_foretold() {
    let database = Database::start().await;
    let client = database.connect().await;
    if client.major().await < 18 {
        return;
    }
    client.sql("alter system set idle_replication_slot_timeout = '1h'").await;
    client.sql("select pg_reload_conf()").await;
    let in_force = || async { client.text("show idle_replication_slot_timeout").await == "1h" };
    until("the setting is in force", in_force).await;
    let up = database.up().await;
    assert_eq!(client.rows("select lost_in from event.status").await, [[None]]);
    stop(up, &client).await;
    let due = "select lost_in > '50 minutes' and lost_in <= '1 hour' from event.status";
    assert_eq!(client.text(due).await, "t");
    let (_, text) = check(&database).await;
    assert!(text.contains("it will be lost in 00:59:"), "{text}");
}
