//! Names are taken, kept and told as they are, whatever is in them.

use serde_json::Value;

use crate::support::{Client, Database, Event, SEARCH_PATH, Subscriber};

/// Names of relations and columns; each is also a key's value.
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "Ünï Çode",
        "a.b",
        "quo\"te",
        "quo\"\"te\"",
        "it's",
        "CamelCase",
        "select",
        " ",
        " leading and trailing ",
        "back\\slash\\",
        "100% %s %I %1$s",
        "$1 $$ $body$",
        "{a,\"b\"}",
        "(row,1)",
        "null",
        "new\nline\ttab",
        "名前 🦀",
        "--; drop table x; /*",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(["x".repeat(63), format!("{}y", "é".repeat(31)), "\"".repeat(63)]);
    assert!(names.iter().all(|name| name.len() <= 63));
    names
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value of JSON that PostgreSQL makes.
async fn json(client: &Client, expression: &str) -> Value {
    serde_json::from_str(&client.text(&format!("select ({expression})::json")).await).unwrap()
}

#[tokio::test]
async fn every_kind_of_subscription_takes_every_name() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(SEARCH_PATH).await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(Subscriber::open(&database).await);
    }
    let names = names();
    let mut expected = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let schema = &names[(at + 1) % names.len()];
        let column = &names[(at + 2) % names.len()];
        let key = &names[(at + 3) % names.len()];
        let value = &names[(at + 4) % names.len()];
        let table = format!("{}.{}", quoted(schema), quoted(name));
        let (qcolumn, qkey) = (quoted(column), quoted(key));
        let (lschema, lname, lcolumn, lkey, lvalue) =
            (literal(schema), literal(name), literal(column), literal(key), literal(value));
        client.sql(&format!("create schema if not exists {}", quoted(schema))).await;
        client.sql(&format!("create table {table} ({qcolumn} text, {qkey} text primary key)")).await;
        let row = format!("{lschema}, {lname}, {lkey}, {lvalue}");
        let targets = [
            ("table", format!("relation_id({lschema}, {lname})")),
            ("column", format!("column_id({lschema}, {lname}, {lcolumn})")),
            ("row", format!("row_id({row})")),
            ("field", format!("field_id({row}, {lcolumn})")),
        ];
        for (session, (kind, target)) in sessions.iter().zip(&targets) {
            let subscribe = format!("select subscribe_{kind}(meta.{target})");
            let subscription = session.text(&subscribe).await;
            assert_eq!(session.text(&subscribe).await, subscription);
        }
        client.sql(&format!("insert into {table} values ('before', {lvalue}), ('other', '?')")).await;
        client.sql(&format!("update {table} set {qcolumn} = {lname}")).await;
        client.sql(&format!("delete from {table} where {qkey} = {lvalue}")).await;
        client.sql(&format!("update {table} set {qkey} = '!'")).await;
        client.sql(&format!("truncate {table}")).await;

        let row_id = json(&client, &format!("meta.row_id({row})")).await;
        let relation_id = json(&client, &format!("meta.relation_id({lschema}, {lname})")).await;
        expected.push((row_id, relation_id, serde_json::json!({ column.as_str(): name.as_str() })));
    }
    let wide = "insert insert update update delete delete insert truncate";
    let narrow = "update delete truncate";
    for (session, (operations, kind)) in
        sessions.iter_mut().zip([(wide, "table"), (wide, "column"), (narrow, "row"), (narrow, "field")])
    {
        let events = session.events().await;
        let events: Vec<_> = events.chunks(operations.split(' ').count()).collect();
        assert_eq!(events.len(), expected.len());
        for (events, (row_id, relation_id, payload)) in events.into_iter().zip(&expected) {
            let found: Vec<_> = events.iter().map(Event::operation).collect();
            assert_eq!(found.join(" "), operations, "{kind}: {relation_id}");
            assert!(events.iter().all(|event| event.json["subscription_type"] == kind));
            let update = events.iter().find(|event| event.operation() == "update").unwrap();
            assert_eq!(update.json["row_id"], *row_id);
            assert_eq!(update.json["payload"], *payload);
            assert_eq!(events.last().unwrap().json["relation_id"], *relation_id);
        }
    }
    // the log quotes as PostgreSQL does: its names are those of the tables
    let unknown =
        "select count(*) from (select distinct relation from event.change) c where to_regclass(c.relation) is null";
    assert_eq!(client.text(unknown).await, "0");
    assert_eq!(client.text("select count(distinct relation) from event.change").await, names.len().to_string());
}

#[tokio::test]
async fn composite_keys_are_told_apart() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table seat (\"Row\" text, v int, \"n o\" text, primary key (\"n o\", \"Row\"));
              create table many (a int, b uuid, c date, d timestamptz, e numeric(8,2), f bytea, g char(3), h bool,
                                 v int, primary key (a, b, c, d, e, f, g, h))",
        )
        .await;
    let values = ["", "a", "b", "ab", "a,b", ",", "\"", "\\", "{}", "null", " "];
    let mut sessions = Vec::new();
    let pairs: Vec<(&str, &str)> = values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))).collect();
    let seat = |columns: &str, (row, number): (&str, &str), swapped: bool| {
        let (row, number) = (literal(row), literal(number));
        let given = if swapped { format!("{number}, {row}") } else { format!("{row}, {number}") };
        format!("select subscribe_row(meta.row_id('public', 'seat', array[{columns}], array[{given}]))")
    };
    let chosen = [("", ""), ("a", "b"), ("ab", ""), ("", "ab"), ("a,b", ","), ("null", "null"), ("\"", "\\")];
    for pair in chosen {
        let session = Subscriber::open(&database).await;
        let subscription = session.text(&seat("'Row', 'n o'", pair, false)).await;
        assert_eq!(session.text(&seat("'n o', 'Row'", pair, true)).await, subscription, "the key's order is the key's");
        sessions.push((pair, session));
    }
    for (row, number) in &pairs {
        client.sql(&format!("insert into seat values ({}, 0, {})", literal(row), literal(number))).await;
    }
    client.sql("update seat set v = 1").await;
    for ((row, number), session) in &mut sessions {
        let [event] = session.events().await.try_into().unwrap();
        assert_eq!(event.key(), [*number, *row]);
    }

    // a key in another spelling is the same key
    let session = &mut sessions[0].1;
    let columns = "array['a','b','c','d','e','f','g','h']";
    let given = "array['+07', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'yesterday'::date::text,
                       '2026-01-02 03:04:05+02', '1e1', '\\x0A', 'x', 'yes']";
    session.sql(&format!("select subscribe_field(meta.field_id('public', 'many', {columns}, {given}, 'v'))")).await;
    client
        .sql("insert into many values (7, 'a0eebc999c0b4ef8bb6d6bb9bd380a11', 'yesterday', '2026-01-02 01:04:05Z', 10, '\\x0a', 'x', true, 0)")
        .await;
    client.sql("update many set v = 1").await;
    let [event] = session.events().await.try_into().unwrap();
    let yesterday = client.text("select 'yesterday'::date").await;
    assert_eq!(
        event.key(),
        [
            "7",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            &yesterday,
            "2026-01-02 01:04:05+00",
            "10.00",
            "\\x0a",
            "x  ",
            "t"
        ]
    );
}
