//! Schema changes that change rows: what is not in the stream is told as what it is, or as a gap.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Database, Subscriber};

/// A copy of table t that is made of nothing but events, and read anew at a gap.
#[derive(Default)]
struct Copy {
    /// By key; with the partition that holds the row.
    rows: BTreeMap<String, (String, Value)>,
}

impl Copy {
    async fn read(reader: &Subscriber) -> Copy {
        let query = "select t.id::text, n.nspname || '.' || c.relname, to_jsonb(t)::text
                     from t join pg_class c on c.oid = t.tableoid join pg_namespace n on n.oid = c.relnamespace";
        let rows = reader.rows(query).await;
        let row = |row: Vec<Option<String>>| {
            let [id, part, row] = [0, 1, 2].map(|at| row[at].clone().unwrap());
            (id, (part, serde_json::from_str(&row).unwrap()))
        };
        Copy { rows: rows.into_iter().map(row).collect() }
    }
}

const PARTED: &str = "create table t (id int primary key, v int) partition by range (id);
    create table low partition of t for values from (0) to (10);
    create table high partition of t for values from (10) to (20) partition by range (id);
    create table high_1 partition of high for values from (10) to (15);
    create table high_2 partition of high for values from (15) to (20);
    create schema old; alter table low set schema old; insert into t select g, g from generate_series(0, 19) g";

#[tokio::test]
async fn what_a_partition_held_is_gone_when_it_leaves() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    for leaves in [
        "drop table old.low",
        "alter table t detach partition old.low",
        "drop table high",
        "alter table t detach partition high",
        "alter table high detach partition high_2; drop table high_1",
        "drop schema old cascade",
    ] {
        client.sql(PARTED).await;
        let mut reader = Subscriber::open(&database).await;
        reader.table("t").await;
        let mut copy = Copy::read(&reader).await;
        client
            .sql(&format!(
                "begin; update t set v = 100 where id = 12; {leaves}; update t set v = 200 where id = 12; commit"
            ))
            .await;
        let is = Copy::read(&reader).await;
        let events = reader.events().await;
        assert!(events.iter().any(|event| event.operation() == "truncate"), "{leaves}");
        for event in events {
            match event.operation() {
                "truncate" => copy.rows.retain(|_, (part, _)| *part != event.relation()),
                _ => {
                    let (_, row) = copy.rows.get_mut("12").unwrap();
                    row["v"] = event.payload().unwrap()["v"].clone();
                }
            }
        }
        assert_eq!(copy.rows, is.rows, "{leaves}");
        client.sql("set client_min_messages = warning; drop table t; drop table if exists high; drop schema if exists old cascade").await;
        client.sql("drop table if exists low, high_1, high_2").await;
    }
}

/// What table t is, what is done to it, and whether values are others afterwards.
const DONE: [(&str, &str, bool); 11] = [
    (
        PARTED,
        "create table more (id int not null, v int); insert into more values (20, 1); alter table t attach partition more for values from (20) to (30)",
        true,
    ),
    (PARTED, "create table more partition of t for values from (20) to (30); insert into t values (20, 1)", false),
    (PARTED, "alter table t alter v type text using 'x' || v", true),
    (PARTED, "alter table high_1 set (fillfactor = 50); vacuum full high_1; cluster high_1 using high_1_pkey", false),
    (
        "create table t (id int primary key, v int); insert into t values (1, 1)",
        "alter table t alter v type bigint using v * 10",
        true,
    ),
    (
        "create table t (id int primary key, v int); insert into t values (1, 1)",
        "alter table t add column w float default random()",
        true,
    ),
    (
        "create table t (id int primary key, v int); insert into t values (1, 1)",
        "alter table t add column w int default 7",
        true,
    ),
    (
        "create table t (id int primary key, v int); insert into t values (1, 1)",
        "alter table t add column w serial",
        true,
    ),
    (
        "create table t (id int primary key, v int); insert into t values (1, 1)",
        "alter table t add column w int; alter table t drop column v",
        false,
    ),
    (
        "create table t (id int primary key, v int); insert into t values (1, 1)",
        "alter table t alter v set default 7; alter table t rename v to w",
        false,
    ),
    (
        "create table t (id int primary key, v int)",
        "alter table t alter v type text using 'x'; alter table t add column w int default 7",
        false,
    ),
];

#[tokio::test]
async fn values_that_a_schema_change_makes_are_a_gap() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table other (id int primary key)").await;
    let mut bystander = Subscriber::open(&database).await;
    bystander.table("other").await;
    for (made, done, is_gap) in DONE {
        client.sql(made).await;
        let mut reader = Subscriber::open(&database).await;
        reader.table("t").await;
        for statement in done.split("; ") {
            client.sql(statement).await;
        }
        client.sql("delete from t where id = 1").await;
        let told: Vec<String> = reader.told().await.into_iter().filter(|told| !told.starts_with("delete")).collect();
        match is_gap {
            true => assert_eq!(told, ["gap rewritten"], "{done}"),
            false => assert!(!told.iter().any(|told| told.starts_with("gap")), "{done}: {told:?}"),
        }
        client.sql("set client_min_messages = warning; drop table t cascade; drop schema if exists old cascade").await;
    }
    assert!(bystander.events().await.is_empty());
}
