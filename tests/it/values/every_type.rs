//! Every type that the server has, each with values at its edges, through insert, update and delete; and the same where
//! the database's own settings would spell the values otherwise.

use std::collections::BTreeSet;

use super::odd_texts::create_database;
use super::samples;
use super::server_types::ServerTypes;
use super::watched_table::{Column, ORACLE, WatchedTable};
use crate::support::{Client, Database, Tidewire};

/// Rows with more columns than this may not fit into a page: each takes up to 20 bytes there, a name 64.
const COLUMNS: usize = 120;

/// Puts values of all types through insert, update and delete.
async fn compare_every_type(url: &str) {
    let tidewire = Tidewire::up(url).await;
    let client = Client::connect(url).await;
    client.sql(ORACLE).await;
    client.sql(samples::SETUP).await;
    let types = ServerTypes::read(&client).await;
    let columns: Vec<Column> = types.iter().map(|(oid, of)| Column::of_type(&types, oid, of)).collect();
    assert!(columns.len() > 200, "PostgreSQL 14 has 150 such types, the test adds some");
    let session = client.text("select event.session_create()").await;
    // What it holds can be read: nobody has to be notified.
    client.sql("select event.session_detach()").await;
    for (at, columns) in columns.chunks(COLUMNS).enumerate() {
        let name = format!("values_{at}");
        let table = WatchedTable::create(&client, &session, &name, columns).await;
        table.insert_and_compare().await;
        table.update_and_compare().await;
        table.delete_and_compare().await;
    }
    assert!(!tidewire.stderr().contains("WARN"), "{}", tidewire.stderr());
}

#[tokio::test]
async fn a_value_of_any_type_is_what_to_jsonb_gives() {
    let database = Database::start().await;
    compare_every_type(&database.url()).await;
}

#[tokio::test]
async fn a_value_of_an_extensions_type_is_what_to_jsonb_gives() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(ORACLE).await;
    let before: BTreeSet<u32> = ServerTypes::read(&client).await.iter().map(|(oid, _)| oid).collect();
    // Those of PostgreSQL's own package that a distribution may have left out.
    let available = client
        .rows("select name from pg_available_extensions where name in ('hstore', 'citext', 'ltree', 'cube') order by name")
        .await;
    for extension in available.iter().flatten().flatten() {
        client.sql(&format!("create extension {extension} schema public")).await;
    }
    if available.iter().flatten().flatten().any(|name| name == "hstore") {
        client.sql("create domain public.tags as public.hstore; create type public.tagged as (t public.tags, h public.hstore[])").await;
    }
    let types = ServerTypes::read(&client).await;
    let columns = types.iter().filter(|(oid, _)| !before.contains(oid));
    let columns: Vec<Column> = columns.map(|(oid, of)| Column::of_type(&types, oid, of)).collect();
    let session = client.text("select event.session_create()").await;
    let table = WatchedTable::create(&client, &session, "extended", &columns).await;
    table.insert_and_compare().await;
    table.update_and_compare().await;
    table.delete_and_compare().await;
}

#[tokio::test]
async fn a_databases_and_a_roles_own_settings_change_no_value() {
    let database = Database::start().await;
    let client = database.connect().await;
    client
        .sql(
            "create schema odd; create table odd.pg_type (odd text); create table odd.pg_attribute (odd text);
             create table odd.pg_class (odd text); create table odd.plain (odd text);
             alter database postgres set datestyle = 'German, DMY'; alter database postgres set extra_float_digits = 0;
             alter database postgres set intervalstyle = 'iso_8601'; alter database postgres set bytea_output = 'escape';
             alter database postgres set quote_all_identifiers = on; alter database postgres set timezone = 'Asia/Kolkata';
             alter role postgres set client_encoding = 'LATIN1'; alter role postgres set timezone = 'America/St_Johns';
             alter role postgres in database postgres set search_path = 'odd', 'public', 'pg_catalog';
             alter role postgres in database postgres set standard_conforming_strings = off;",
        )
        .await;
    compare_every_type(&database.url()).await;
}

#[tokio::test]
async fn a_database_in_latin1_tells_the_same_in_utf8() {
    let database = Database::start().await;
    compare_every_type(&create_database(&database, "LATIN1").await).await;
}

#[tokio::test]
async fn a_database_without_an_encoding_tells_the_same_in_utf8() {
    let database = Database::start().await;
    compare_every_type(&create_database(&database, "SQL_ASCII").await).await;
}
