//! What one transaction takes away while another, still open or of an older snapshot, subscribes to it.

use crate::support::{Client, Database, SEARCH_PATH, Subscriber, Tidewire};

/// Returns when a connection waits for a lock.
async fn until_waiting(client: &Client, pid: &str) {
    client.until(&format!("select cardinality(pg_blocking_pids({pid})) > 0"), "t").await;
}

fn to_table(session: &str) -> String {
    format!("select event.subscribe_table('{session}', meta.relation_id('public', 't'))")
}

struct Stage {
    database: Database,
    _tidewire: Tidewire,
    client: Client,
    /// Subscribed to the table.
    one: Subscriber,
    subscription: String,
    /// Subscribed to nothing.
    other: Subscriber,
}

impl Stage {
    async fn set() -> Stage {
        let database = Database::installed().await;
        let tidewire = database.up().await;
        let client = database.connect().await;
        client.sql("create table t (id int primary key, v text)").await;
        let one = Subscriber::open(&database).await;
        let other = Subscriber::open(&database).await;
        let subscription = one.table("t").await;
        Stage { database, _tidewire: tidewire, client, one, subscription, other }
    }

    /// A subscription begins in an open transaction, its snapshot taken before whatever comes next.
    async fn begin(&self, isolation: &str) {
        self.other.sql(&format!("begin isolation level {isolation}")).await;
        self.other.sql("select 1 from event.subscription").await;
    }
}

#[tokio::test]
async fn who_subscribes_while_the_last_other_goes_is_told() {
    for isolation in ["read committed", "repeatable read"] {
        let mut stage = Stage::set().await;
        stage.begin(isolation).await;
        stage.other.table("t").await;
        stage.one.sql(&format!("select unsubscribe('{}')", stage.subscription)).await;
        // what upkeep does when nobody is subscribed; it may not get to it
        stage.client.sql("set lock_timeout = '200ms'").await;
        let _ = stage.client.try_sql("select event._let_go('t'::regclass)").await;
        stage.other.sql("commit").await;
        // by an older snapshot it takes effect after the commit
        stage.other.sql("select event.sync()").await;
        stage.client.sql("insert into t values (1, 'a')").await;
        assert_eq!(stage.other.told().await, [r#"insert table t 1 {"id":1,"v":"a"}"#], "{isolation}");
    }
}

#[tokio::test]
async fn who_lets_go_decides_by_what_is_committed_not_by_an_old_snapshot() {
    let mut stage = Stage::set().await;
    stage.one.sql("select event.watch('t')").await;
    stage.one.sql(&format!("select unsubscribe('{}')", stage.subscription)).await;
    stage.one.sql("begin isolation level repeatable read").await;
    stage.one.sql("select 1 from event.subscription").await;
    stage.other.table("t").await;
    stage.one.sql("select event.unwatch('t')").await;
    stage.one.sql("commit").await;
    stage.client.sql("insert into t values (1, 'a')").await;
    assert_eq!(stage.other.told().await, [r#"insert table t 1 {"id":1,"v":"a"}"#]);
}

#[tokio::test]
async fn who_subscribes_to_what_is_being_let_go_of_waits_for_that() {
    let stage = Stage::set().await;
    stage.one.sql("select event.watch('t')").await;
    stage.one.sql(&format!("select unsubscribe('{}')", stage.subscription)).await;
    stage.one.sql("begin; select event.unwatch('t')").await;
    let other = stage.other;
    let pid = other.text("select pg_backend_pid()").await;
    let subscribe = to_table(&other.session);
    let subscribing = tokio::spawn(async move {
        other.text(&subscribe).await;
        other
    });
    until_waiting(&stage.client, &pid).await;
    stage.one.sql("commit").await;
    let mut other = subscribing.await.unwrap();
    stage.client.sql("insert into t values (1, 'a'); update t set v = 'b'").await;
    assert_eq!(other.told().await, [r#"insert table t 1 {"id":1,"v":"a"}"#, r#"update table t 1 {"v":"b"}"#]);
}

#[tokio::test]
async fn an_open_transaction_that_lets_go_of_a_session_holds_up_nobody() {
    let stage = Stage::set().await;
    stage.one.sql(&format!("begin; insert into t values (1); select session_delete('{}')", stage.one.session)).await;
    // neither readers nor writers, nor its own cursors and triggers
    stage
        .client
        .sql("set lock_timeout = '100ms'; select from t; insert into t values (2); truncate event.overdue")
        .await;
    stage.one.sql("commit").await;
    stage.client.until("select relreplident from pg_class where relname = 't'", "d").await;
}

#[tokio::test]
async fn a_column_that_is_dropped_while_somebody_subscribes_to_it_ends_the_subscription() {
    let mut stage = Stage::set().await;
    stage.other.sql("begin").await;
    stage.other.column("t", "v").await;
    stage.client.sql("alter table t drop column v").await;
    stage.other.sql("commit").await;
    let ended = stage.other.next_notification().await;
    assert!(ended.payload().contains(r#""reason" : "column_dropped""#), "{}", ended.payload());
}

#[tokio::test]
async fn a_subscription_by_an_old_snapshot_ends_where_its_object_is_gone() {
    let changes = [
        ("alter table t drop column v", "subscribe_column(meta.column_id('public', 't', 'v'))", "column_dropped"),
        (
            "alter table t add w int unique not null default 1, drop constraint t_pkey; alter table t add primary key (w)",
            "subscribe_row(meta.row_id('public', 't', 'id', '1'))",
            "key_changed",
        ),
        (
            "create publication narrow for table t (id)",
            "subscribe_table(meta.relation_id('public', 't'))",
            "cannot_watch",
        ),
        ("drop table t", "subscribe_table(meta.relation_id('public', 't'))", "relation_dropped"),
    ];
    for (change, subscribe, reason) in changes {
        let mut stage = Stage::set().await;
        if change.contains("narrow") && stage.client.major().await < 15 {
            continue;
        }
        stage.one.sql(&format!("select unsubscribe('{}')", stage.subscription)).await;
        stage.client.until("select count(*) from event.watched", "0").await;
        stage.begin("repeatable read").await;
        stage.client.sql(change).await;
        // what is asked of the catalog may find it already
        if let Err(refused) = stage.other.try_sql(&format!("select {subscribe}")).await {
            let code = refused.code().code();
            assert!(["40001", "42703", "0A000", "42P10", "42P01"].contains(&code), "{change}: {refused}");
            continue;
        }
        stage.other.sql("commit").await;
        let ended = stage.other.next_notification().await;
        assert!(ended.payload().contains(&format!(r#""reason" : "{reason}""#)), "{change}: {}", ended.payload());
        stage.client.until("select count(*) from event.subscription", "0").await;
        stage.client.until("select count(*) from event.ending", "0").await;
    }
}

#[tokio::test]
async fn a_privilege_that_is_taken_while_somebody_subscribes_ends_the_subscription() {
    for (give, take) in [
        ("grant select on t to ann", "revoke select on t from ann"),
        ("create role readers; grant select on t to readers; grant readers to ann", "revoke readers from ann"),
    ] {
        let mut stage = Stage::set().await;
        let client = &stage.client;
        client.sql(&format!("create role ann login; {give}")).await;
        let ann = stage.database.connect_as("ann").await;
        ann.sql(SEARCH_PATH).await;
        let mut ann = Subscriber::create(ann, "session_create()").await;
        ann.sql("begin").await;
        ann.table("t").await;
        client.sql(take).await;
        // upkeep has looked at everything since
        let looked = "select privileges = event._privileges() from event.installation";
        while client.text(looked).await != "t" {
            client.sql("insert into t select count(*) + 1 from t").await;
            stage.one.told().await;
        }
        ann.sql("commit").await;
        let ended = loop {
            client.sql("insert into t select count(*) + 1 from t").await;
            let told = ann.next_notification().await;
            if told.payload().contains("subscription_ended") {
                break told.payload().to_owned();
            }
        };
        assert!(ended.contains(r#""reason" : "privilege_revoked""#), "{take}: {ended}");
    }
}

#[tokio::test]
async fn who_attaches_to_a_session_that_is_being_deleted_or_pinned_finds_it_so() {
    let Stage { database: _database, _tidewire, client, one, other, .. } = Stage::set().await;
    let attach = format!("select event.session_attach('{}')", one.session);
    let pid = other.text("select pg_backend_pid()").await;
    one.sql(&format!("begin; select session_pin('{}')", one.session)).await;
    let call = attach.clone();
    let attaching = tokio::spawn(async move {
        other.sql(&call).await;
        other
    });
    until_waiting(&client, &pid).await;
    one.sql("commit").await;
    let other = attaching.await.unwrap();
    let held = format!("select count(*) from event.held where pid = {pid}");
    assert_eq!(client.text(&held).await, "1", "it holds what is pinned");

    one.sql(&format!("begin; select session_delete('{}')", one.session)).await;
    let attaching = tokio::spawn(async move { other.try_sql(&attach).await });
    until_waiting(&client, &pid).await;
    one.sql("commit").await;
    assert_eq!(attaching.await.unwrap().unwrap_err().code().code(), "42704");
}

/// Neither on the table nor on the publication, whatever it subscribes to and however long it goes on.
#[tokio::test]
async fn a_reader_that_subscribes_holds_no_lock_on_anything() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role reader login; create table a (id int primary key, v text); create table w (id int primary key); create table x ()").await;
    client.sql("create table p (id int primary key) partition by list (id); create table p1 partition of p for values in (1)").await;
    client.sql("grant select on a, w, p to reader; select event.watch('w')").await;
    let calls = [
        ("a", "subscribe_table(meta.relation_id('public', 'a'))"),
        ("a", "subscribe_column(meta.column_id('public', 'a', 'v'))"),
        ("a", "subscribe_row(meta.row_id('public', 'a', 'id', '1'))"),
        ("a", "subscribe_field(meta.field_id('public', 'a', 'id', '1', 'v'))"),
        ("p", "subscribe_table(meta.relation_id('public', 'p'))"),
        ("w", "subscribe_table(meta.relation_id('public', 'w'))"),
        ("w", "subscribe_row(meta.row_id('public', 'w', 'id', '1'))"),
        ("event.meta_column", "subscribe_table(meta.relation_id('meta', 'column'))"),
    ];
    for isolation in ["read committed", "repeatable read", "serializable"] {
        for (table, call) in calls {
            let reader = Subscriber::open_as(&database, "reader").await;
            let pid = reader.text("select pg_backend_pid()").await;
            reader.sql(&format!("begin isolation level {isolation}")).await;
            reader.sql(&format!("select event.{call}")).await;
            let held = format!(
                "select coalesce(string_agg(distinct c.relname || ' ' || l.mode, ', '), 'none')
                 from pg_locks l join pg_class c on c.oid = l.relation
                 where l.pid = {pid} and l.mode not in ('AccessShareLock', 'SIReadLock') and c.relnamespace <> 'event'::regnamespace"
            );
            assert_eq!(client.text(&held).await, "none", "{isolation}: {call}");
            // whoever owns it does with it as before
            client
                .sql(&format!(
                    "begin; set local lock_timeout = '5s'; lock table {table} in access exclusive mode; commit"
                ))
                .await;
            client.sql("begin; set local lock_timeout = '5s'; alter publication tidewire add table x; rollback").await;
            client.sql("begin; set local lock_timeout = '5s'; update event.watched set description = description; rollback").await;
            reader.sql("commit").await;
            reader.sql(&format!("select session_delete('{}')", reader.session)).await;
        }
    }
    client.sql("select event.unwatch('w')").await;
    client.until("select count(*) from event.watched", "0").await;
}

/// The subscriber's transaction may be open for ever: nothing that it locked keeps an ending from its place.
#[tokio::test]
async fn a_revoke_acts_at_its_place_whatever_is_locked() {
    let hold = [
        "begin; select unsubscribe('{}')",
        "begin; select session_delete('{session}')",
        "begin; select event.ack('{session}', '{event}'); select event.unsubscribe('{}')",
        "begin; select unsubscribe('{}'); prepare transaction 'held'",
    ];
    let takes = [
        ("revoke select on t from ann", "privilege_revoked"),
        ("alter table t enable row level security", "row_security"),
        (
            "alter table t drop constraint t_pkey, drop column id cascade, add id int primary key generated by default as identity",
            "key_changed",
        ),
    ];
    for (take, reason) in takes {
        for hold in hold {
            let database = Database::start_with(&[("max_prepared_transactions", "5")]).await;
            let _tidewire = database.up().await;
            let client = database.connect().await;
            client
                .sql("create role ann login; create table t (id int primary key, v text); grant select on t to ann")
                .await;
            client.sql("select event.watch('t')").await;
            let mut ann = Subscriber::open_as(&database, "ann").await;
            let subscription = ann.row("t", "1").await;
            client.sql("insert into t values (1, 'a'); update t set v = 'b'").await;
            let event = ann.events().await.remove(0);
            // LISTEN cannot be prepared
            let plain = database.connect_as("ann").await;
            plain.sql(SEARCH_PATH).await;
            let hold =
                hold.replace("{session}", &ann.session).replace("{event}", event.id()).replace("{}", &subscription);
            plain.sql(&hold).await;
            client.sql(take).await;
            client.sql("update t set v = 'after'").await;
            let told: Vec<String> = ann.told().await.into_iter().filter(|event| !event.contains("after")).collect();
            assert_eq!(told, [format!("subscription_ended {reason}")], "{take}, {hold}");
            let inbox = ann.text("select coalesce(string_agg(event::text, ' '), '') from event.event").await;
            assert!(!inbox.contains("after"), "{take}, {hold}: {inbox}");
            plain.sql(if hold.contains("prepare") { "rollback prepared 'held'" } else { "rollback" }).await;
            client.sql("update t set v = 'later'").await;
            assert_eq!(ann.told().await, [""; 0], "{take}, {hold}");
            client.until("select count(*) from event.subscription", "0").await;
            client.until("select count(*) from event.ending", "0").await;
        }
    }
}
