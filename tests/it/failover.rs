//! PostgreSQL 17 and newer: the slot is on the standby too, and a promoted standby's sessions miss nothing.

use tidewire::db::cluster::{Cluster, ClusterOptions, StopMode};

use crate::support::{Client, Database, Subscriber};

/// A standby of the server, which is stopped for it and runs again. Made by hand: pg_basebackup does not come with every
/// server that the tests run on.
async fn standby_of(primary: &mut Database) -> Database {
    primary.connect().await.sql("select pg_create_physical_replication_slot('standby', true)").await;
    primary.cluster.stop(StopMode::Fast).await.unwrap();
    let signal = primary.cluster.data_dir().join("standby.signal");
    std::fs::write(&signal, "").unwrap();
    let (socket, port) = (primary.cluster.socket_dir().display(), primary.cluster.port());
    let conninfo = format!("host='{socket}' port={port} user=postgres dbname=postgres");
    let settings = [
        ("shared_buffers", "16MB"),
        ("primary_conninfo", &conninfo),
        ("primary_slot_name", "standby"),
        ("hot_standby_feedback", "on"),
        // it starts while its primary is down
        ("wal_retrieve_retry_interval", "100ms"),
    ];
    let options = ClusterOptions {
        template: Some(primary.cluster.data_dir().to_owned()),
        temporary_in: primary.cluster.data_dir().parent().and_then(|folder| folder.parent()).map(Into::into),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..ClusterOptions::temporary()
    };
    let standby = Cluster::start(options).await.unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(&signal).unwrap();
    primary.cluster.restart(StopMode::Fast).await.unwrap();
    Database { cluster: standby }
}

/// Returns when the standby has replayed all that was committed.
async fn catch_up(primary: &Client, standby: &Client) {
    let end = primary.text("select pg_current_wal_flush_lsn()").await;
    let reached = format!("select coalesce(pg_last_wal_replay_lsn() >= '{end}', false)");
    while standby.text(&reached).await != "t" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_promoted_standby_goes_on_where_the_slot_was() {
    let mut primary = Database::start().await;
    if primary.connect().await.major().await < 17 {
        // slots do not survive a failover there: the sessions are told of a gap (tests of module gaps)
        return;
    }
    let standby = standby_of(&mut primary).await;
    let client = primary.connect().await;
    client.sql("alter system set synchronized_standby_slots = 'standby'").await;
    client.sql("select pg_reload_conf()").await;
    let tidewire = primary.up().await;
    assert_eq!(client.text("select failover from pg_replication_slots where slot_name like 'tidewire%'").await, "t");
    client.sql("create table t (id bigserial primary key)").await;
    let mut subscriber = Subscriber::open(&primary).await;
    subscriber.table("t").await;

    // the standby keeps its copy once the slot has come to where the copy began
    let on_standby = standby.connect().await;
    on_standby.sql("alter system set sync_replication_slots = on").await;
    on_standby.sql("select pg_reload_conf()").await;
    let is_synced = "select exists (select from pg_replication_slots where slot_name like 'tidewire%' and synced and not temporary)";
    loop {
        client.sql("insert into t default values").await;
        subscriber.events().await;
        // The slot advances to where the WAL says that nothing runs, which the server does by itself every 15 s.
        client.sql("select pg_log_standby_snapshot()").await;
        catch_up(&client, &on_standby).await;
        // wakes the worker, which sleeps longer each time that it has to wait
        on_standby.sql("select pg_reload_conf()").await;
        if on_standby.text(is_synced).await == "t" {
            break;
        }
    }
    // what nobody has delivered when the primary dies
    tidewire.kill().await;
    client.sql("insert into t select from generate_series(1, 10)").await;
    catch_up(&client, &on_standby).await;
    let session = subscriber.session.clone();
    drop((subscriber, client));
    primary.cluster.stop(StopMode::Immediate).await.unwrap();

    on_standby.sql("select pg_promote()").await;
    let _tidewire = standby.up().await;
    on_standby.sql("insert into t default values").await;
    let subscriber = Subscriber::attach(standby.connect().await, &session).await;
    subscriber.sql("select event.sync()").await;
    let inbox = subscriber.inbox().await;
    let inserted = inbox.iter().filter(|event| event.operation() == "insert").map(|event| event.key().concat());
    let expected = on_standby.rows("select id from t order by id").await;
    let expected: Vec<_> = expected.into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(inserted.collect::<Vec<_>>(), expected);
    // the last that was acknowledged to the old primary may not have been in the standby's inbox, so it is said
    let others = inbox.iter().filter(|event| event.operation() != "insert").map(ToString::to_string);
    assert_eq!(others.collect::<Vec<_>>(), ["gap database_restored"]);
}
