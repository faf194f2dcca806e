//! Publications of others: FOR ALL TABLES has Tidewire's own tables in it, and everything goes on.

use crate::support::{Database, Subscriber};

#[tokio::test]
async fn every_table_of_ours_has_a_key() {
    let database = Database::start().await;
    database.install().await;
    let without = "select string_agg(c.oid::regclass::text, ', ') from pg_class c
                   where c.relnamespace in ('event'::regnamespace, 'meta'::regnamespace) and c.relkind in ('r', 'p')
                     and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
                     and not (c.relnamespace = 'event'::regnamespace and c.relname like 'meta\\_%' and c.relreplident = 'f')";
    assert_eq!(database.connect().await.rows(without).await, [[None]]);
}

#[tokio::test]
async fn a_publication_of_all_tables_keeps_nothing_from_being_done() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create publication everything for all tables").await;
    client.sql("create role reader login; create role readers; grant readers to reader").await;
    client.sql("create table t (id int primary key, v int); create table kept (id int primary key, v int)").await;
    client.sql("grant select on t to readers; grant select on kept to reader").await;
    let tidewire = database.up().await;
    let mut reader = Subscriber::open_as(&database, "reader").await;
    for table in ["t", "kept"] {
        reader.table(table).await;
    }
    client.sql("insert into t values (1, 1); update t set v = 2; delete from t").await;
    let told = reader.events().await;
    assert_eq!(told.len(), 3);
    reader.sql(&format!("select ack('{}', '{}')", reader.session, told[2].id())).await;
    assert!(reader.inbox().await.is_empty());
    // a schema change that cannot be followed at once, because somebody keeps what is to be updated
    let holder = database.connect().await;
    holder.sql("begin; select from event.watched where relation = 'kept'::regclass for update").await;
    client.sql("set client_min_messages = error; alter table kept add column w int").await;
    holder.sql("rollback").await;
    client.until("select count(*) from event.overdue", "0").await;
    client.sql("insert into kept values (1, 1, 1)").await;
    assert_eq!(reader.told().await, [r#"insert table kept 1 {"id":1,"v":1,"w":1}"#]);
    // what no event trigger tells of
    client.sql("revoke readers from reader; insert into kept values (2, 2, 2)").await;
    let ended =
        format!("select count(*) from event.subscription where session_id = '{}' and ended is null", reader.session);
    client.until(&ended, "1").await;
    client.sql("insert into t values (2, 2)").await;
    let told = reader.told().await;
    assert_eq!(told, [r#"insert table kept 2 {"id":2,"v":2,"w":2}"#, "subscription_ended privilege_revoked"]);
    reader.sql(&format!("select session_delete('{}')", reader.session)).await;
    client.until("select count(*) from event.watched", "0").await;
    assert!(!tidewire.stderr().contains("upkeep failed"), "{}", tidewire.stderr());
}

#[tokio::test]
async fn a_table_that_is_taken_out_is_put_back_and_a_gap_told() {
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key); create table other (id int primary key)").await;
    let mut reader = Subscriber::open(&database).await;
    reader.table("t").await;
    let mut bystander = Subscriber::open(&database).await;
    bystander.table("other").await;
    client.sql("begin; alter publication tidewire drop table t; insert into t values (1); commit").await;
    client.until("select count(*) from pg_publication_tables where tablename = 't'", "1").await;
    client.sql("insert into t values (2); insert into other values (2)").await;
    assert_eq!(reader.told().await, ["gap unpublished", r#"insert table t 2 {"id":2}"#]);
    assert_eq!(bystander.told().await, [r#"insert table other 2 {"id":2}"#]);
    tidewire
        .wait_for_log(
            "table public.t was taken out of our publication and is in it again: 1 sessions are told of a gap",
        )
        .await;
    assert_eq!(client.text("select count(*) from event.gap").await, "0");
}
