//! What is written is done: by DDL, in the caller's transaction, and RETURNING gives the row as it then is.

use super::{rows, stage};

const COLUMN: &str = "name, type, position, \"default\", nullable, primary_key, generated, comment";

#[tokio::test]
async fn a_table_is_made_column_by_column() {
    let (_database, client) = stage().await;
    assert_eq!(
        rows(&client, "insert into meta.schema (name) values ('shop') returning id, name, owner").await,
        ["(shop) | shop | postgres"]
    );
    // by its names, or by its identifier
    client.sql("insert into meta.table (id, comment) values (meta.relation_id('shop', 'Per \"son'), 'who')").await;
    for (given, expected) in [
        (
            "(schema_name, relation_name, name, type, primary_key, generated) values ('shop', 'Per \"son', 'id', 'bigint', true, 'identity always')",
            "id | bigint | 1 | - | f | t | identity always | -",
        ),
        (
            "(id, type, nullable, \"default\", comment) values (meta.column_id('shop', 'Per \"son', 'na me'), 'varchar(20)', false, '''x''', 'it''s')",
            "na me | character varying(20) | 2 | 'x'::character varying | f | f | - | it's",
        ),
        (
            "(schema_name, relation_name, name, type, generated, \"default\", position) values ('shop', 'Per \"son', 'up', 'text', 'stored', 'upper(\"na me\")', 3)",
            "up | text | 3 | upper((\"na me\")::text) | t | f | stored | -",
        ),
        // a comment ends where the text ends
        (
            "(schema_name, relation_name, name, type, nullable, \"default\") values ('shop', 'Per \"son', 'n', 'integer -- a', false, '1 -- b')",
            "n | integer | 4 | 1 | f | f | - | -",
        ),
    ] {
        assert_eq!(rows(&client, &format!("insert into meta.column {given} returning {COLUMN}")).await, [expected]);
    }
    client.sql("insert into shop.\"Per \"\"son\" (\"na me\") values ('ann')").await;
    assert_eq!(rows(&client, "select * from shop.\"Per \"\"son\"").await, ["1 | ann | ANN | 1"]);
    assert_eq!(rows(&client, "delete from meta.column where name = 'up' returning position").await, ["3"]);
    assert_eq!(
        rows(&client, &format!("select {COLUMN} from meta.column where position > 2")).await,
        ["n | integer | 4 | 1 | f | f | - | -"]
    );
    client.sql("delete from meta.table").await;
    client.sql("delete from meta.schema where name = 'shop'").await;
    assert_eq!(client.text("select count(*) from pg_namespace where nspname = 'shop'").await, "0");
}

#[tokio::test]
async fn one_update_does_all_that_it_says() {
    let (_database, client) = stage().await;
    client.sql("create schema shop; create role ann; create table t (id int, v varchar(9) default '7' not null); insert into t values (1, '3')").await;
    let update = "update meta.column set name = 'n', type = 'integer', \"using\" = 'v::int * 2', \"default\" = '5', nullable = true, comment = 'c'
                  where relation_name = 't' and name = 'v'";
    assert_eq!(
        rows(&client, &format!("{update} returning {COLUMN}, \"using\"")).await,
        ["n | integer | 2 | 5 | t | f | - | c | -"]
    );
    client.sql("insert into t (id) values (2)").await;
    assert_eq!(rows(&client, "select * from t order by id").await, ["1 | 6", "2 | 5"]);
    for (set, expected) in [
        ("primary_key = true", "n | integer | 2 | 5 | f | t | - | c"),
        ("primary_key = false, nullable = true", "n | integer | 2 | 5 | t | f | - | c"),
        (
            "nullable = false, \"default\" = null, generated = 'identity by default'",
            "n | integer | 2 | - | f | f | identity by default | c",
        ),
        ("generated = 'identity always'", "n | integer | 2 | - | f | f | identity always | c"),
        ("generated = null, \"default\" = 'length(''ab'')'", "n | integer | 2 | length('ab'::text) | f | f | - | c"),
        ("\"default\" = null, comment = null", "n | integer | 2 | - | f | f | - | -"),
    ] {
        let update =
            format!("update meta.column set {set} where relation_name = 't' and name = 'n' returning {COLUMN}");
        assert_eq!(rows(&client, &update).await, [expected], "{set}");
    }
    client.sql("create table pair (a int, b int, primary key (a, b)); update meta.column set primary_key = false where relation_name = 'pair'").await;
    assert_eq!(
        rows(&client, "select count(*) from meta.column where relation_name = 'pair' and primary_key").await,
        ["0"]
    );
    client.sql("drop table pair; alter table t add g int generated always as (id + 1) stored").await;
    let update = "update meta.column set generated = null, \"default\" = null where name = 'g' returning generated, \"default\", nullable";
    assert_eq!(rows(&client, update).await, ["- | - | t"]);

    let update = "update meta.table set schema_name = 'shop', name = 'T', owner = 'ann', row_security = true, force_row_security = true,
                  comment = 'moved' where name = 't' returning id, owner, unlogged, row_security, force_row_security, comment";
    assert_eq!(rows(&client, update).await, ["(\"(shop)\",T) | ann | f | t | t | moved"]);
    let update =
        "update meta.table set unlogged = true, row_security = false, force_row_security = false, comment = null
                  returning unlogged, row_security, force_row_security, comment";
    assert_eq!(rows(&client, update).await, ["t | f | f | -"]);
    let update = "update meta.schema set name = 'store', owner = 'ann', comment = 'closed' where name = 'shop' returning id, owner, comment";
    assert_eq!(rows(&client, update).await, ["(store) | ann | closed"]);

    let insert = "insert into meta.view (schema_name, name, query, options) values ('store', 'v', 'select id from store.\"T\"', '{security_barrier=true}')
                  returning id, options, owner, comment";
    assert_eq!(rows(&client, insert).await, ["(\"(store)\",v) | {security_barrier=true} | postgres | -"]);
    let update = "update meta.view set query = 'select id, 1 as one from store.\"T\" -- all', name = 'w', schema_name = 'public', comment = 'c', owner = 'ann'
                  returning id, options, owner, comment, query like '%one%'";
    assert_eq!(rows(&client, update).await, ["(\"(public)\",w) | {security_barrier=true} | ann | c | t"]);
    assert_eq!(rows(&client, "update meta.view set options = null returning options").await, ["-"]);
    client.sql("delete from meta.view").await;
    assert_eq!(client.text("select count(*) from pg_views where viewname = 'w'").await, "0");
}

#[tokio::test]
async fn a_rollback_undoes_it_and_an_update_that_changes_nothing_does_nothing() {
    let (_database, client) = stage().await;
    client.sql("create table t (id int primary key, v int)").await;
    client.sql("begin; insert into meta.table (schema_name, name) values ('public', 'u'); delete from meta.column where name = 'v'; rollback").await;
    assert_eq!(rows(&client, "select relation_name, name from meta.column order by 2").await, ["t | id", "t | v"]);
    // no lock, no new version of anything
    client
        .sql("begin; update meta.table set name = name; update meta.column set type = type, \"default\" = \"default\"")
        .await;
    let locks = "select count(*) from pg_locks where relation = 't'::regclass and mode <> 'AccessShareLock'";
    assert_eq!(client.text(locks).await, "0");
    client.sql("commit").await;
}

#[tokio::test]
async fn a_watched_table_is_told_of_by_the_names_and_types_that_meta_gave_it() {
    let database = crate::support::Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table person (id int primary key, name text)").await;
    let mut subscriber = crate::support::Subscriber::open(&database).await;
    subscriber.table("person").await;
    client
        .sql(
            "begin;
             insert into person values (1, 'ann');
             insert into meta.column (schema_name, relation_name, name, type) values ('public', 'person', 'age', 'integer');
             update person set age = 30;
             update meta.column set name = 'years' where name = 'age';
             update person set years = 31;
             update meta.table set name = 'people' where name = 'person';
             update people set name = 'Ann';
             commit",
        )
        .await;
    assert_eq!(
        subscriber.told().await,
        [
            r#"insert table person 1 {"id":1,"name":"ann"}"#,
            r#"update table person 1 {"age":30}"#,
            r#"update table person 1 {"years":31}"#,
            r#"update table people 1 {"name":"Ann"}"#,
        ]
    );
}
