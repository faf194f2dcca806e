//! What hangs is given up, and who is told to stop stops, whatever is being waited for.

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use tidewire::db::cluster::StopMode;

use crate::support::fault::until;
use crate::support::fault_proxy::{Block, Link, Proxy};
use crate::support::{Database, Outside, PATIENCE, Subscriber, Tidewire};

#[tokio::test]
async fn a_stop_does_not_wait_for_a_slot_that_waits_for_a_transaction() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("begin; create table t (id int primary key)").await;
    let tidewire = Tidewire::spawn(&["up", "--database-url", &database.url()]);
    tidewire.wait_for_log("creating replication slot").await;
    let other = database.connect().await;
    let waits =
        "select count(*) from pg_stat_activity where application_name = 'tidewire' and wait_event_type = 'Lock'";
    until("it waits for the transaction", || async { other.text(waits).await == "1" }).await;
    assert!(tidewire.stop().await.success());
    // nor is there anything left in the server that waits on
    other.until("select count(*) from pg_stat_activity where application_name = 'tidewire'", "0").await;
    assert_eq!(other.text("select count(*) from pg_replication_slots").await, "0");

    client.sql("commit").await;
    let tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1}"#]);
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_serves() {
    let database = Database::installed().await;
    let first = database.up().await;
    let second = Tidewire::spawn(&["up", "--database-url", &database.url()]);
    second.wait_for_log("standing by").await;
    assert!(second.stop().await.success());
    assert!(first.stop().await.success());
}

#[tokio::test]
async fn a_stream_that_fell_silent_is_noticed_and_one_that_does_not_open_is_given_up() {
    let database = Database::on_tcp(&[("wal_sender_timeout", "2s")]).await;
    let proxy = Proxy::start(&database).await;
    let tidewire = Tidewire::up(&proxy.url()).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    assert_eq!(subscriber.told().await.len(), 1);

    proxy.block(Some(Block::Silence(Link::Stream)));
    client.sql("insert into t values (2)").await;
    tidewire.wait_for_log("the server does not stream any more").await;
    tidewire.wait_for_log("the server did not start the replication stream within 10 s").await;
    proxy.block(None);
    client.sql("insert into t values (3)").await;
    let expected = [2, 3].map(|id| format!(r#"insert table t {id} {{"id":{id}}}"#));
    assert_eq!(subscriber.told().await, expected);
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_stream_that_does_not_open() {
    let database = Database::on_tcp(&[]).await;
    let proxy = Proxy::start(&database).await;
    proxy.block(Some(Block::Silence(Link::Stream)));
    let client = database.connect().await;
    let slots = "select count(*) from pg_replication_slots";
    let writes =
        "select exists (select from event.server s join pg_stat_activity a on a.pid = s.pid where s.part = 'writer')";
    // without a slot it is the login that does not end, with one the stream's start
    for has_slot in [false, true] {
        if has_slot {
            database.install().await;
        }
        let mut tidewire = Tidewire::spawn(&["up", "--database-url", &proxy.url()]);
        client
            .until(
                if has_slot {
                    writes
                } else {
                    "select count(*) > 0 from pg_stat_activity where application_name = 'tidewire'"
                },
                "t",
            )
            .await;
        tidewire.signal(Signal::SIGTERM);
        let (status, log) = (tidewire.wait().await, tidewire.stderr());
        assert!(status.success(), "{log}");
        assert!(
            !log.contains("did not start the replication stream"),
            "the stop waited until that was given up: {log}"
        );
        assert!(!log.contains("did not answer its login"), "the stop waited until that was given up: {log}");
        assert_eq!(client.text(slots).await, if has_slot { "1" } else { "0" });
        client.until("select count(*) from pg_stat_activity where application_name = 'tidewire'", "0").await;
    }
}

#[tokio::test]
async fn a_login_of_the_stream_that_does_not_end_is_given_up() {
    let database = Database::on_tcp(&[]).await;
    let proxy = Proxy::start(&database).await;
    proxy.block(Some(Block::Silence(Link::Stream)));
    let mut tidewire = Tidewire::spawn(&["up", "--database-url", &proxy.url()]);
    assert_eq!(tidewire.wait().await.code(), Some(1));
    tidewire.wait_for_log("the stream cannot log in: the server did not answer its login within 10 s").await;
    assert_eq!(database.connect().await.text("select count(*) from pg_replication_slots").await, "0");
}

#[tokio::test]
async fn a_return_is_told_once_however_often_the_stream_does_not_open() {
    let mut database = Database::on_tcp(&[]).await;
    let proxy = Proxy::start(&database).await;
    let tidewire = Tidewire::up(&proxy.url()).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    client.sql("select event.sync()").await;
    let session = subscriber.session.clone();
    drop((client, subscriber));
    let data = database.cluster.data_dir().to_owned();
    let backup = data.with_extension("backup");
    database.cluster.stop(StopMode::Fast).await.unwrap();
    assert!(std::process::Command::new("cp").arg("-a").arg(&data).arg(&backup).status().unwrap().success());
    database.cluster.restart(StopMode::Fast).await.unwrap();
    let client = database.connect().await;
    client.sql("insert into t values (2)").await;
    client.sql("select event.sync()").await;
    drop(client);
    database.cluster.stop(StopMode::Fast).await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&backup, &data).unwrap();

    proxy.block(Some(Block::Refuse(Link::Stream)));
    database.cluster.restart(StopMode::Fast).await.unwrap();
    tidewire.wait_for_log("are told of a gap: database_restored").await;
    let failures = || tidewire.stderr().matches("trying again").count();
    let before = failures();
    until("the stream fails to open some times", || async { failures() >= before + 3 }).await;
    proxy.block(None);
    let client = database.connect().await;
    client.sql("insert into t values (3)").await;
    client.sql("select event.sync()").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let held: Vec<String> = subscriber.inbox().await.iter().map(ToString::to_string).collect();
    let expected = [r#"insert table t 1 {"id":1}"#, "gap database_restored", r#"insert table t 3 {"id":3}"#];
    assert_eq!(held, expected);
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn who_connects_and_asks_nothing_keeps_nobody_else_from_asking() {
    const IDLE: usize = 100;
    let database = Database::start().await;
    let tidewire = Tidewire::up_with(&database.url(), &["--listen", "127.0.0.1:0"]).await;
    let outside = Outside::of(&tidewire).await;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let mut stream = TcpStream::connect(outside.address()).await.unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: x").await.unwrap();
        idle.push(stream);
    }
    assert_eq!(outside.get("/live").await, (200, "live\n".to_owned()));
    for mut stream in idle {
        let ended =
            timeout(PATIENCE, async { while stream.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0) {} });
        assert!(ended.await.is_ok(), "a connection that asks nothing stays open");
    }
    assert!(tidewire.stop().await.success());
}
