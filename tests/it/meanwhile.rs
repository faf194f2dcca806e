//! What one transaction takes away while another, still open or of an older snapshot, subscribes to it.

use tokio::time::timeout;

use crate::support::{Client, Database, PATIENCE, SEARCH_PATH, Subscriber, Tidewire};

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
        let database = Database::start().await;
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
async fn who_subscribes_by_a_snapshot_in_which_a_table_is_not_what_it_is_fails() {
    let changes = [
        ("alter table t drop column v", "subscribe_column(meta.column_id('public', 't', 'v'))"),
        (
            "alter table t add w int unique not null default 1, drop constraint t_pkey; alter table t add primary key (w)",
            "subscribe_row(meta.row_id('public', 't', 'id', '1'))",
        ),
        ("create publication narrow for table t (id)", "subscribe_table(meta.relation_id('public', 't'))"),
        ("select event.unwatch('t')", "watch('t')"),
    ];
    for (change, subscribe) in changes {
        let stage = Stage::set().await;
        if change.contains("narrow") && stage.client.major().await < 15 {
            continue;
        }
        stage.one.sql("select event.watch('t')").await;
        stage.one.sql(&format!("select unsubscribe('{}')", stage.subscription)).await;
        stage.begin("repeatable read").await;
        stage.client.sql(change).await;
        let refused = stage.other.try_sql(&format!("select {subscribe}")).await.unwrap_err();
        // what is asked of the catalog first may find it too
        let code = refused.code().code();
        assert!(["40001", "42703", "0A000", "42P10"].contains(&code), "{change}: {refused}");
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
    let held = format!("select count(*) from pg_locks where pid = {pid} and locktype = 'advisory'");
    assert_eq!(client.text(&held).await, "1", "it holds what is pinned");

    one.sql(&format!("begin; select session_delete('{}')", one.session)).await;
    let attaching = tokio::spawn(async move { other.try_sql(&attach).await });
    until_waiting(&client, &pid).await;
    one.sql("commit").await;
    assert_eq!(attaching.await.unwrap().unwrap_err().code().code(), "42704");
}

#[tokio::test]
async fn who_waits_for_another_first_subscription_holds_no_table_meanwhile() {
    let stage = Stage::set().await;
    if stage.client.major().await < 15 {
        eprintln!("not tried: before 15 who alters a publication waits for nobody");
        return;
    }
    stage.client.sql("create table a (id int primary key); create table b (id int primary key)").await;
    // the publication is altered, and that is not committed
    stage.one.sql("begin").await;
    stage.one.table("a").await;
    let pid = stage.other.text("select pg_backend_pid()").await;
    let to_b = "select subscribe_table(meta.relation_id('public', 'b'))";
    let trying = async {
        loop {
            let error = stage.other.try_sql(to_b).await.unwrap_err();
            assert!(error.message().contains("is busy"), "{error}");
        }
    };
    let held = "select count(*) from pg_locks where relation = 'b'::regclass and granted and mode <> 'AccessShareLock'";
    let looks = async {
        let mut seen = 0;
        while seen < 3 {
            let waits = stage.client.text(&format!("select cardinality(pg_blocking_pids({pid})) > 0")).await == "t";
            let locks = stage.client.text(held).await;
            if waits {
                seen += 1;
                assert_eq!(locks, "0", "the writers of b would wait for what has nothing to do with it");
            }
        }
    };
    // it waits for 200 ms at a time
    let looked = async {
        tokio::select! {
            () = trying => {}
            () = looks => {}
        }
    };
    assert!(timeout(PATIENCE, looked).await.is_ok(), "it was not seen to wait");
    stage.one.sql("commit").await;
    stage.other.sql(to_b).await;
}
