//! A task that breaks down is not missed in silence.

use std::time::Duration;

use crate::support::fault::until_within;
use crate::support::{Database, Outside, Subscriber, Tidewire};

#[tokio::test]
async fn when_upkeep_breaks_down_all_begins_anew() {
    let database = Database::start().await;
    let tidewire = Tidewire::panicking(&database.url(), "upkeep:2", &[]);
    tidewire.lines(1).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    let subscription = subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    tidewire.wait_for_log("upkeep broke down; trying again").await;
    client.sql("insert into t values (2)").await;
    let told = [1, 2].map(|id| format!(r#"insert table t {id} {{"id":{id}}}"#));
    assert_eq!(subscriber.told().await, told);
    // and does its work
    subscriber.sql(&format!("select unsubscribe('{subscription}')")).await;
    client.until("select relreplident from pg_class where relname = 't'", "d").await;
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn when_the_monitor_breaks_down_live_says_so_and_events_are_delivered() {
    let database = Database::start().await;
    let tidewire = Tidewire::panicking(&database.url(), "monitor:2", &["--listen", "127.0.0.1:0"]);
    tidewire.lines(1).await;
    let outside = Outside::of(&tidewire).await;
    assert_eq!(outside.get("/live").await, (200, "live\n".to_owned()));
    // three times as long as its tasks may be silent
    until_within("it is not alive", Duration::from_secs(90), || async {
        let (status, said) = outside.get("/live").await;
        status == 503 && said.starts_with("the program's tasks have not run for 3")
    })
    .await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1}"#]);
    assert!(tidewire.stop().await.success());
}
