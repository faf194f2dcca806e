//! Partitions that join where no event trigger may be: Tidewire was not installed by a superuser, and describes them a second late.

use crate::support::fault::until;
use crate::support::{Client, Database, Subscriber, Tidewire};

struct Stage {
    database: Database,
    /// The superuser.
    client: Client,
    /// The tables' owner, and Tidewire's role.
    owner: Client,
    /// Subscribed to a table with partitions.
    subscriber: Subscriber,
    /// Subscribed to one without.
    bystander: Subscriber,
    /// None while it is stopped.
    tidewire: Option<Tidewire>,
}

impl Stage {
    async fn set() -> Stage {
        let database = Database::start_with(&[("synchronous_commit", "local")]).await;
        let client = database.connect().await;
        client.sql("create role tide login replication; grant create on database postgres to tide").await;
        client.sql("grant create on schema public to tide").await;
        let tidewire = Tidewire::up(&database.url_as("tide")).await;
        let owner = database.connect_as("tide").await;
        owner.sql("create table parts (id int primary key, v int) partition by range (id)").await;
        owner.sql("create table parts_1 partition of parts for values from (0) to (10)").await;
        owner.sql("create table t (id int primary key)").await;
        let subscriber = Subscriber::open_as(&database, "tide").await;
        subscriber.table("parts").await;
        let bystander = Subscriber::open_as(&database, "tide").await;
        bystander.table("t").await;
        Stage { database, client, owner, subscriber, bystander, tidewire: Some(tidewire) }
    }

    /// A partition for the ids from `id` on.
    async fn partition(&self, id: u32) {
        self.owner
            .sql(&format!("create table parts_{id} partition of parts for values from ({id}) to ({id} + 10)"))
            .await;
    }

    async fn fill(&self, id: u32) {
        self.owner.sql(&format!("insert into parts values ({id}, 1); update parts set v = 2; delete from parts")).await;
    }

    async fn stop(&mut self) {
        assert!(self.tidewire.take().unwrap().stop().await.success());
    }

    async fn up(&mut self) {
        self.tidewire = Some(Tidewire::up(&self.database.url_as("tide")).await);
    }

    /// How many partitions the engine's description of the table has.
    fn described() -> &'static str {
        "select json_array_length(description::json -> 'partitions') from event.described where relation = 'parts'::regclass"
    }
}

/// What is told of [`Stage::fill`].
fn filled(id: u32) -> Vec<String> {
    vec![
        format!(r#"insert table parts {id} {{"id":{id},"v":1}}"#),
        format!(r#"update table parts {id} {{"v":2}}"#),
        format!("delete table parts {id}"),
    ]
}

#[tokio::test]
async fn a_partition_that_joins_is_told_from_its_first_row_on() {
    let mut stage = Stage::set().await;
    stage.partition(10).await;
    stage.fill(10).await;
    assert_eq!(stage.subscriber.told().await, filled(10));
    // with nobody there who could have described it
    stage.stop().await;
    for id in [20, 30] {
        stage.partition(id).await;
        stage.fill(id).await;
    }
    stage.owner.sql("truncate parts_30").await;
    stage.up().await;
    let emptied = || vec!["truncate table parts_30".to_owned()];
    assert_eq!(stage.subscriber.told().await, [filled(20), filled(30), emptied()].concat());
    // once they are known, a truncated table is one again, also when some have left it
    stage.client.until(Stage::described(), "4").await;
    stage.owner.sql("truncate parts").await;
    assert_eq!(stage.subscriber.told().await, ["truncate table parts"]);
    stage.owner.sql("alter table parts detach partition parts_30").await;
    stage.client.until(Stage::described(), "3").await;
    stage.owner.sql("truncate parts; truncate parts_30").await;
    assert_eq!(stage.subscriber.told().await, ["truncate table parts_30", "truncate table parts"]);
    stage.stop().await;
}

#[tokio::test]
async fn rows_that_a_partition_brings_along_are_a_gap() {
    let mut stage = Stage::set().await;
    let joins = "create table parts_10 (id int not null, v int); insert into parts_10 values (10, 1);
                 alter table parts attach partition parts_10 for values from (10) to (20)";
    stage.owner.sql(joins).await;
    stage.client.until(Stage::described(), "2").await;
    assert_eq!(stage.subscriber.told().await, ["gap rewritten"]);
    assert!(stage.bystander.told().await.is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn one_that_nobody_can_see_yet_is_waited_for() {
    let mut stage = Stage::set().await;
    stage.client.sql("alter system set synchronous_standby_names = 'nobody'").await;
    stage.client.sql("select pg_reload_conf()").await;
    let writer = stage.database.connect_as("tide").await;
    writer.sql("set synchronous_commit = on").await;
    let commit = "begin; create table parts_10 partition of parts for values from (10) to (20);
                  insert into parts values (11, 1); commit";
    let waiting = tokio::spawn(async move { writer.sql(commit).await });
    let waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
    until("the commit waits", || async { stage.client.text(waits).await == "1" }).await;
    // tidewire has read it once it asks whether it can be read
    let asked = "select count(*) from pg_stat_activity where application_name = 'tidewire'
                 and query like '%pg_current_snapshot%' and query_start > clock_timestamp() - interval '1 second'
                 and query_start > (select state_change from pg_stat_activity where wait_event = 'SyncRep')";
    until("tidewire has met it", || async { stage.client.text(asked).await != "0" }).await;
    stage.client.sql("alter system reset synchronous_standby_names").await;
    stage.client.sql("select pg_reload_conf()").await;
    waiting.await.unwrap();
    assert_eq!(stage.subscriber.told().await, [r#"insert table parts 11 {"id":11,"v":1}"#]);
    stage.stop().await;
}

#[tokio::test]
async fn one_that_left_before_it_was_known_is_a_gap_for_those_whom_it_may_concern() {
    let mut stage = Stage::set().await;
    for (id, leaves) in [(10, "alter table parts detach partition parts_10"), (20, "drop table parts_20")] {
        stage.stop().await;
        stage.partition(id).await;
        stage.fill(id).await;
        stage.owner.sql(leaves).await;
        stage
            .owner
            .sql("insert into parts values (1, 1); delete from parts; insert into t values (1); delete from t")
            .await;
        stage.up().await;
        let mut told = stage.subscriber.told().await;
        told.extend(stage.subscriber.told().await);
        told.sort();
        let known = [r#"delete table parts 1"#, "gap partition_gone", r#"insert table parts 1 {"id":1,"v":1}"#];
        assert_eq!(told, known, "{leaves}");
        assert_eq!(stage.bystander.told().await, ["insert table t 1 {\"id\":1}", "delete table t 1"]);
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_table_without_a_key_whose_writers_would_fail_is_refused() {
    let mut stage = Stage::set().await;
    stage.owner.sql("create table keyless (id int, v int) partition by range (id)").await;
    stage.owner.sql("create table keyless_1 partition of keyless for values from (0) to (10)").await;
    let subscribe = "select subscribe_table(meta.relation_id('public', 'keyless'))";
    let error = stage.subscriber.try_sql(subscribe).await.unwrap_err();
    assert!(error.message().contains("partitions and no primary key"), "{error}");
    assert!(error.hint().unwrap().contains("as a superuser"), "{error}");
    stage.owner.sql("create table keyless_2 partition of keyless for values from (10) to (20)").await;
    stage.owner.sql("insert into keyless values (11, 1); update keyless set v = 2; delete from keyless").await;
    // one that loses its key while it is watched is served as before
    stage.owner.sql("alter table parts drop constraint parts_pkey").await;
    stage.partition(10).await;
    let identity = "select relreplident from pg_class where relname = 'parts_10'";
    stage.client.until(identity, "f").await;
    stage.owner.sql("insert into parts values (11, 1); update parts set v = 2; delete from parts").await;
    stage.stop().await;
}
