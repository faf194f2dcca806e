//! A step of the walk that takes long is slow, and nothing more.

use tidewire::crash::SLOW_VARIABLE;

use crate::support::fault::{Backend, until, until_within};
use crate::support::{Database, Outside, PATIENCE, Subscriber, Tidewire};

#[tokio::test]
async fn a_step_of_ten_seconds_is_slow_and_no_restart() {
    let database = Database::start().await;
    let args = ["--listen", "127.0.0.1:0", "--stall-after", "3"];
    let first = Tidewire::up_armed(&database.url(), SLOW_VARIABLE, "10000:slowly", &args).await;
    let second = Tidewire::spawn(&["up", "--database-url", &database.url()]);
    second.wait_for_log("standing by").await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1, 'before')").await;
    subscriber.events().await;
    let (writer, lease) = (Backend::Writer.pid(&client).await, Backend::Lease.pid(&client).await);

    client.sql("insert into t values (2, 'slowly')").await;
    client.sql("insert into t values (3, 'after')").await;
    let held = "select count(*) from event.event where session_id = ";
    let held = format!("{held}'{}'", subscriber.session);
    until("the slow one has arrived", || async { client.text(&held).await == "3" }).await;
    let told = [(2, "slowly"), (3, "after")].map(|(id, v)| format!(r#"insert table t {id} {{"id":{id},"v":"{v}"}}"#));
    assert_eq!(subscriber.told().await, told);
    assert_eq!(client.text(&held).await, "3");
    assert_eq!((Backend::Writer.pid(&client).await, Backend::Lease.pid(&client).await), (writer, lease));
    assert!(!first.stderr().contains("trying again"), "{}", first.stderr());
    assert!(!second.stdout().starts_with("ready"), "{}", second.stdout());
    assert_eq!(Outside::of(&first).await.get("/ready").await.0, 200);
    assert!(second.stop().await.success() && first.stop().await.success());
}

#[tokio::test]
async fn a_slow_transaction_is_done_though_the_stream_ends() {
    const ROWS: usize = 30;
    // eight messages are read ahead: the server hears nothing meanwhile, and ends the stream several times
    let database = Database::start_with(&[("wal_sender_timeout", "1s")]).await;
    let tidewire = Tidewire::up_armed(&database.url(), SLOW_VARIABLE, "300:slowly*", &[]).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql(&format!("insert into t select g, 'slowly' from generate_series(1, {ROWS}) g")).await;
    client.sql("insert into t values (0, 'after')").await;
    let held = format!("select count(*) from event.inbox where session_id = '{}'", subscriber.session);
    let all = || async { client.text(&held).await == (ROWS + 1).to_string() };
    until_within("all has arrived", 3 * PATIENCE, all).await;
    let ids: Vec<String> = subscriber.inbox().await.iter().map(|event| event.key().concat()).collect();
    let expected: Vec<String> = (1..=ROWS).chain([0]).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
    assert_eq!(subscriber.last_ids().await.len(), 2);
    assert!(tidewire.stderr().contains("trying again"), "the stream did not end");
    assert!(!tidewire.stderr().contains("the server does not stream any more"), "{}", tidewire.stderr());
    assert!(tidewire.stop().await.success());
}
