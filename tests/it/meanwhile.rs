//! What one transaction takes away while another, still open, subscribes to it.

use crate::support::{Client, Database, SEARCH_PATH, Subscriber};

/// Returns when that many connections wait for a lock.
async fn until_waiting(client: &Client, pid: &str) {
    while client.text(&format!("select cardinality(pg_blocking_pids({pid}))")).await == "0" {
        tokio::task::yield_now().await;
    }
}

fn to_table(session: &str) -> String {
    format!("select event.subscribe_table('{session}', meta.relation_id('public', 't'))")
}

/// A server with a table, and two sessions; the first is subscribed to it.
async fn two_sessions() -> (Database, crate::support::Tidewire, Subscriber, Subscriber, String) {
    let database = Database::start().await;
    let tidewire = database.up().await;
    database.connect().await.sql("create table t (id int primary key, v text)").await;
    let one = Subscriber::open(&database).await;
    let other = Subscriber::open(&database).await;
    let subscription = one.table("t").await;
    (database, tidewire, one, other, subscription)
}

#[tokio::test]
async fn who_subscribes_while_the_last_other_goes_is_told() {
    for isolation in ["read committed", "repeatable read"] {
        let (database, _tidewire, one, mut other, subscription) = two_sessions().await;
        let client = database.connect().await;
        other.sql("begin").await;
        other.table("t").await;
        // takes its snapshot before the other's commit, and must not decide by it
        one.sql(&format!("begin isolation level {isolation}; select 1")).await;
        one.sql("select 1 from event.subscription").await;
        one.sql(&format!("select unsubscribe('{subscription}')")).await;
        one.sql("commit").await;
        other.sql("commit").await;
        client.sql("insert into t values (1, 'a')").await;
        assert_eq!(other.told().await, [r#"insert table t 1 {"id":1,"v":"a"}"#], "{isolation}");
    }
}

#[tokio::test]
async fn who_lets_go_decides_by_what_is_committed_not_by_an_old_snapshot() {
    let (database, _tidewire, one, mut other, subscription) = two_sessions().await;
    let client = database.connect().await;
    one.sql("begin isolation level repeatable read").await;
    one.sql("select 1 from event.subscription").await;
    other.table("t").await;
    one.sql(&format!("select unsubscribe('{subscription}')")).await;
    one.sql("commit").await;
    client.sql("insert into t values (1, 'a')").await;
    assert_eq!(other.told().await, [r#"insert table t 1 {"id":1,"v":"a"}"#]);
}

#[tokio::test]
async fn who_subscribes_after_the_last_other_has_gone_waits_for_its_commit() {
    let (database, _tidewire, one, other, subscription) = two_sessions().await;
    let client = database.connect().await;
    one.sql("begin").await;
    one.sql(&format!("select unsubscribe('{subscription}')")).await;
    let pid = other.text("select pg_backend_pid()").await;
    let subscribe = to_table(&other.session);
    let subscribing = tokio::spawn(async move {
        other.text(&subscribe).await;
        other
    });
    until_waiting(&client, &pid).await;
    one.sql("commit").await;
    let mut other = subscribing.await.unwrap();
    client.sql("insert into t values (1, 'a'); update t set v = 'b'").await;
    assert_eq!(other.told().await, [r#"insert table t 1 {"id":1,"v":"a"}"#, r#"update table t 1 {"v":"b"}"#]);
}

#[tokio::test]
async fn a_column_that_is_dropped_while_somebody_subscribes_to_it_ends_the_subscription() {
    let (database, _tidewire, _one, mut other, _) = two_sessions().await;
    let client = database.connect().await;
    other.sql("begin").await;
    other.column("t", "v").await;
    client.sql("alter table t drop column v").await;
    other.sql("commit").await;
    client.sql("insert into t values (1)").await;
    let ended = other.next_notification().await;
    let ended = if ended.payload().contains("subscription_ended") { ended } else { other.next_notification().await };
    assert!(ended.payload().contains(r#""reason" : "column_dropped""#), "{}", ended.payload());
}

#[tokio::test]
async fn a_privilege_that_is_taken_while_somebody_subscribes_ends_the_subscription() {
    let (database, _tidewire, mut one, _other, _) = two_sessions().await;
    let client = database.connect().await;
    client.sql("create role ann login; grant select on t to ann").await;
    let ann = database.connect_as("ann").await;
    ann.sql(SEARCH_PATH).await;
    let mut ann = Subscriber::create(ann, "session_create()").await;
    ann.sql("begin").await;
    ann.table("t").await;
    client.sql("revoke select on t from ann").await;
    // upkeep has looked at everything since
    let looked = "select privileges = event._privileges() from event.installation";
    while client.text(looked).await != "t" {
        client.sql("insert into t select count(*) + 1 from t").await;
        one.told().await;
    }
    ann.sql("commit").await;
    let ended = loop {
        client.sql("insert into t select count(*) + 1 from t").await;
        let told = ann.next_notification().await;
        if told.payload().contains("subscription_ended") {
            break told.payload().to_owned();
        }
    };
    assert!(ended.contains(r#""reason" : "privilege_revoked""#), "{ended}");
}
