//! What an installation leaves behind: nothing, whoever installed.

use std::collections::BTreeMap;

use crate::support::{Client, Database, Subscriber, Tidewire, tidewire};

/// Every catalog that a database or the cluster has, but for what has moved without anybody's doing: statistics, sizes,
/// large objects, the ids of transactions, and the settings of a file.
const CATALOGS: &str = "select relname from pg_class
    where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r' and relname not in ('pg_statistic', 'pg_largeobject')
    order by relname";

/// Columns that say how much there is, or until when it was cleaned up.
const MOVES: &[&str] = &[
    "relpages",
    "reltuples",
    "relallvisible",
    "relallfrozen",
    "relfrozenxid",
    "relminmxid",
    "datfrozenxid",
    "datminmxid",
];

/// All rows of all catalogs, as text, and the slots.
async fn catalog(client: &Client) -> BTreeMap<String, Vec<String>> {
    let moves = MOVES.iter().map(|column| format!("'{column}'")).collect::<Vec<_>>().join(", ");
    let mut all = BTreeMap::new();
    for row in client.rows(CATALOGS).await {
        let name = row[0].clone().unwrap();
        let rows = format!("select (to_jsonb(c) - array[{moves}])::text from pg_catalog.{name} c order by 1");
        all.insert(name, client.rows(&rows).await.into_iter().map(|row| row[0].clone().unwrap()).collect());
    }
    let slots = client.rows("select slot_name from pg_replication_slots order by 1").await;
    all.insert("slots".to_owned(), slots.into_iter().map(|row| row[0].clone().unwrap()).collect());
    all
}

/// What one has and the other has not.
fn differences(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let missing = |sign: char, one: &BTreeMap<String, Vec<String>>, other: &BTreeMap<String, Vec<String>>| {
        let rows = one.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (name, row)));
        let gone = rows.filter(|(name, row)| !other.get(*name).is_some_and(|rows| rows.contains(row)));
        gone.map(|(name, row)| format!("{sign} {name} {row}")).collect::<Vec<_>>()
    };
    [missing('-', before, after), missing('+', after, before)].concat()
}

async fn run(args: &[&str]) {
    let output = tidewire(args).await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Installs as a role, watches tables of each replica identity that a role of the application owns, is subscribed to by a
/// reader and by meta, and uninstalls as another.
async fn leaves_nothing(installs: &str, removes: &str) {
    let database = Database::start().await;
    let client = database.connect().await;
    client
        .sql(
            "create role app login; create role reader login; create role tide login replication;
             create role service createrole createdb login replication; grant app to tide, service;
             grant pg_read_all_settings, pg_read_all_stats, pg_monitor, pg_signal_backend to service;
             grant create on database postgres to tide, service; create schema shop authorization app;
             grant usage on schema shop to reader; set role app;
             create table shop.plain (id int primary key, v text); comment on table shop.plain is 'theirs';
             create table shop.full (id int primary key, v text); alter table shop.full replica identity full;
             create table shop.index (id int primary key, v int not null unique);
             alter table shop.index replica identity using index index_v_key;
             create table shop.none (id int primary key); alter table shop.none replica identity nothing;
             create table shop.part (id int, v text, primary key (id)) partition by range (id);
             create table shop.part_1 partition of shop.part for values from (0) to (10);
             grant select on all tables in schema shop to reader; reset role;
             create publication theirs for table shop.plain",
        )
        .await;
    let before = catalog(&client).await;
    let url = database.url_as(installs);
    run(&["install", "--database-url", &url]).await;
    let up = Tidewire::up(&url).await;
    let mut reader = Subscriber::open_as(&database, "reader").await;
    let tables = ["plain", "full", "index", "none", "part"];
    for table in tables {
        reader.sql(&format!("select subscribe_table(meta.relation_id('shop', '{table}'))")).await;
    }
    client.sql("insert into shop.plain values (1); insert into shop.part values (1)").await;
    assert_eq!(reader.told().await.len(), 2);
    reader.sql("select subscribe_table(meta.relation_id('meta', 'table'))").await;
    client.sql("create table shop.later (id int primary key); drop table shop.later").await;
    client.sql("select event.sync()").await;
    client.sql("delete from shop.plain; delete from shop.part; select event.sync()").await;
    assert_eq!(client.text("select count(*) from event.watched where relation = 'shop.plain'::regclass").await, "1");
    assert!(up.stop().await.success());
    drop(reader);
    let remove = ["uninstall", "--database-url", &database.url_as(removes), "--trust-owner", installs];
    // the role that installed needs no such option
    run(if installs == removes { &remove[..3] } else { &remove }).await;
    let left = differences(&before, &catalog(&client).await);
    assert!(left.is_empty(), "installed by {installs}, removed by {removes}:\n{}", left.join("\n"));
}

#[tokio::test]
async fn a_superusers_installation_leaves_nothing() {
    leaves_nothing("postgres", "postgres").await;
}

#[tokio::test]
async fn an_owners_installation_leaves_nothing() {
    leaves_nothing("tide", "tide").await;
}

#[tokio::test]
async fn an_owners_installation_is_removed_by_a_superuser() {
    leaves_nothing("tide", "postgres").await;
}

#[tokio::test]
async fn a_service_administrators_installation_leaves_nothing() {
    leaves_nothing("service", "service").await;
}

#[tokio::test]
async fn a_role_that_may_not_replicate_installs_nothing() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create role service createrole createdb login; grant create on database postgres to service").await;
    let before = catalog(&client).await;
    let url = database.url_as("service");
    for (made, remedy) in [
        ("select", "alter role service replication;  -- as a superuser"),
        // as a service has it that gives nobody the attribute; here it is a role like any other, and the server says so
        (
            "create role rds_replication; grant rds_replication to service",
            "grant rds_replication to service;  -- as the service's administrator",
        ),
    ] {
        client.sql(made).await;
        let refused = tidewire(&["install", "--database-url", &url]).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(said, format!("error: role \"service\" may not replicate\nhint: {remedy}\n"));
        client.sql("drop role if exists rds_replication").await;
    }
    assert_eq!(differences(&before, &catalog(&client).await), [""; 0]);
}
