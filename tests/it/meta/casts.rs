//! Casts and operators, written.

use super::{rows, stage};

/// Each gives one row.
const WRITTEN: &[(&str, &str)] = &[
    (
        "insert into meta.cast (source_type, target_type, function, comment) values ('text', 'word', 'word_of(text)', 'it''s') returning *",
        "(text,shop.word) | text | shop.word | shop.word_of(text) | function | explicit | it's",
    ),
    (
        "insert into meta.cast (id, function, context) values (meta.cast_id('shop.word', 'shop.mood'), 'shop.mood_of(word, int4, bool)', 'implicit') returning *",
        "(shop.word,shop.mood) | shop.word | shop.mood | shop.mood_of(shop.word, integer, boolean) | function | implicit | -",
    ),
    (
        "insert into meta.cast (source_type, target_type, method, context) values ('varchar(9) -- x', 'mood', 'inout', 'assignment') returning *",
        r#"("character varying",shop.mood) | character varying | shop.mood | - | inout | assignment | -"#,
    ),
    (
        "insert into meta.cast (source_type, target_type, method) values ('bytea', 'text', 'binary') returning *",
        "(bytea,text) | bytea | text | - | binary | explicit | -",
    ),
    (
        "update meta.cast set context = 'assignment' where source_type = 'text' returning *",
        "(text,shop.word) | text | shop.word | shop.word_of(text) | function | assignment | it's",
    ),
    (
        "update meta.cast set function = null, method = 'inout', comment = comment || '!' where source_type = 'text' returning *",
        "(text,shop.word) | text | shop.word | - | inout | assignment | it's!",
    ),
    (
        "update meta.cast set comment = null where source_type = 'text' returning *",
        "(text,shop.word) | text | shop.word | - | inout | assignment | -",
    ),
    ("delete from meta.cast where source_type = 'bytea' returning id", "(bytea,text)"),
    (
        "insert into meta.operator (schema_name, name, left_type, right_type, function, commutator, negator,
             restrict_function, join_function, hashes, merges, comment, owner) values ('shop', '==', 'word',
             'word -- x', 'same', '==', 'store.!==', 'eqsel', 'pg_catalog.eqjoinsel', true, true, 'it''s',
             'postgres') returning *",
        r#"("(shop)",==,shop.word,shop.word) | shop | == | shop.word | shop.word | boolean | shop.same | shop.== | store.!== | pg_catalog.eqsel | pg_catalog.eqjoinsel | t | t | postgres | it's"#,
    ),
    (
        "insert into meta.operator (id, function) values (meta.operator_id('shop', '!!', null, 'shop.word'), 'shop.loud') returning *",
        r#"("(shop)",!!,,shop.word) | shop | !! | - | shop.word | text | shop.loud | - | - | - | - | f | f | postgres | -"#,
    ),
    (
        "update meta.operator set schema_name = 'store', owner = 'ann', comment = 'aloud' where name = '!!' returning id, owner, comment",
        r#"("(store)",!!,,shop.word) | ann | aloud"#,
    ),
    (
        "update meta.operator set restrict_function = null, join_function = 'neqjoinsel', comment = null where name = '==' returning id, restrict_function, join_function, comment",
        r#"("(shop)",==,shop.word,shop.word) | - | pg_catalog.neqjoinsel | -"#,
    ),
    ("delete from meta.operator where name = '!!' returning id", r#"("(store)",!!,,shop.word)"#),
];

#[tokio::test]
async fn a_cast_and_an_operator_are_made_and_altered_and_dropped() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create schema shop; create schema store; create role ann; create type shop.word as (w text); create type
             shop.mood as enum ('a'); create function shop.word_of(text) returns shop.word language sql immutable as
             'select row($1)::shop.word'; create function shop.mood_of(shop.word, int, bool) returns shop.mood
             language sql immutable as 'select null::shop.mood'; create function shop.same(shop.word, shop.word)
             returns boolean language sql immutable as 'select $1.w = $2.w'; create function shop.loud(shop.word)
             returns text language sql immutable as 'select upper($1.w)'; set search_path = shop",
        )
        .await;
    for (sql, expected) in WRITTEN {
        assert_eq!(rows(&client, sql).await, [*expected], "{sql}");
    }
    // PostgreSQL makes an operator that it knows by name only, as another's negator, with that link or without it. Minor
    // versions differ (15.18 without, 15.20 with it), so the same pair made in SQL says what is right.
    client
        .sql(
            "create schema twin; create operator twin.== (function = same, leftarg = word, rightarg = word,
                 commutator = operator(twin.==), negator = operator(twin.!==));
             create operator twin.!== (function = same, leftarg = word, rightarg = word)",
        )
        .await;
    let made = "insert into meta.operator (schema_name, name, left_type, right_type, function)
                values ('store', '!==', 'word', 'word', 'same') returning id, negator, commutator";
    let twin = "select case when oprnegate <> 0 then 'shop.==' end, case when oprcom <> 0 then 'store.!==' end
                from pg_operator where oprname = '!==' and oprnamespace = 'twin'::regnamespace";
    let links = rows(&client, twin).await.concat();
    assert_eq!(rows(&client, made).await, [format!(r#"("(store)",!==,shop.word,shop.word) | {links}"#)]);
    client.sql("drop schema twin cascade").await;
    if client.text("select current_setting('server_version_num')::int >= 170000").await == "t" {
        let update = "update meta.operator set commutator = '!==', merges = true, hashes = true where name = '!==' returning commutator, hashes, merges";
        assert_eq!(rows(&client, update).await, ["store.!== | t | t"]);
    }
    // what was made with the cast has what it does, and not the cast
    client.sql("create view made as select 'a'::varchar::mood as mood").await;
    let update = "update meta.cast set context = 'explicit' where source_type = 'character varying' returning context";
    assert_eq!(rows(&client, update).await, ["explicit"]);
    assert_eq!(client.text("select mood from made").await, "a");
    client.sql("drop view made; delete from meta.cast; delete from meta.operator").await;
    let left = "select count(*) from pg_operator where oprnamespace = 'shop'::regnamespace";
    assert_eq!(client.text(left).await, "0");
}
