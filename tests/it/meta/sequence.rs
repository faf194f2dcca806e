//! Sequences and materialized views: written, refused.

use super::{refused, rows, stage};

/// Each gives one row.
const SEQUENCES_AND_MATERIALIZED_VIEWS: &[(&str, &str)] = &[
    (
        r#"insert into meta.sequence (schema_name, name) values ('shop', 's "1') returning *"#,
        r#"("(shop)","s ""1") | shop | s "1 | bigint | 1 | 1 | 1 | 9223372036854775807 | 1 | f | - | f | f | postgres | -"#,
    ),
    (
        "insert into meta.sequence (id, type, start, increment, minimum, maximum, cache, cycle, owned_by,
          owner, comment) values (meta.relation_id('shop', 'down'), 'int4 -- x', -5, -2, -100, -1, 7, true,
          meta.column_id('shop', 't', 'id'), 'postgres', 'it''s') returning *",
        r#"("(shop)",down) | shop | down | integer | -5 | -2 | -100 | -1 | 7 | t | ("(""(shop)"",t)",id) | f | f | postgres | it's"#,
    ),
    (
        "update meta.sequence set owned_by = null, owner = 'keeper', schema_name = 'store', name = 'Up', type
          = 'bigint', start = 2, increment = 1, minimum = null, maximum = null, cache = 1, cycle = false,
          comment = null where name = 'down' returning *",
        r#"("(store)",Up) | store | Up | bigint | 2 | 1 | 1 | 9223372036854775807 | 1 | f | - | f | f | keeper | -"#,
    ),
    (r#"select nextval('store."Up"')"#, "2"),
    (
        "update meta.sequence set owned_by = meta.column_id('shop', 't', 'own'), owner = 'postgres',
          schema_name = 'shop', start = 9, type = 'smallint' where name = 'Up' returning type, start, maximum,
          owned_by, identity, owner",
        r#"smallint | 9 | 32767 | ("(""(shop)"",t)",own) | f | postgres"#,
    ),
    (r#"select nextval('shop."Up"')"#, "3"),
    (
        "update meta.sequence set start = 1000, minimum = 1000, maximum = 5000, increment = 5, cache = 3,
          cycle = true, name = 'ids', comment = 'of t' where identity returning *",
        r#"("(shop)",ids) | shop | ids | bigint | 1000 | 5 | 1000 | 5000 | 3 | t | ("(""(shop)"",t)",own) | t | f | postgres | of t"#,
    ),
    ("insert into shop.t (id) values (1) returning own", "1000"),
    ("delete from meta.sequence where name = 'Up' returning id, owned_by", r#"("(shop)",Up) | ("(""(shop)"",t)",own)"#),
    (
        r#"insert into meta.materialized_view (schema_name, name, query, options, comment) values ('shop',
          'M "v', 'select 1 as one; -- all', '{fillfactor=70}', 'it''s') returning *"#,
        r#"("(shop)","M ""v") | shop | M "v | SELECT 1 AS one | {fillfactor=70} | t | postgres | it's"#,
    ),
    (
        "insert into meta.materialized_view (id, query, populated, owner) values (meta.relation_id('shop',
          'W'), 'select 2 as two; ', false, 'keeper') returning *",
        r#"("(shop)",W) | shop | W | SELECT 2 AS two | - | f | keeper | -"#,
    ),
    (
        "update meta.materialized_view set populated = true, schema_name = 'store', name = 'w', owner =
          'postgres', options = '{fillfactor=50,autovacuum_enabled=false}', comment = 'full' where name = 'W'
          returning *",
        r#"("(store)",w) | store | w | SELECT 2 AS two | {fillfactor=50,autovacuum_enabled=false} | t | postgres | full"#,
    ),
    ("select * from store.w", "2"),
    (
        "update meta.materialized_view set populated = false, options = null, comment = null where name = 'w' returning *",
        r#"("(store)",w) | store | w | SELECT 2 AS two | - | f | postgres | -"#,
    ),
    ("delete from meta.materialized_view where name = 'w' returning query", "SELECT 2 AS two"),
];

const REFUSED: &[(&str, &str)] = &[
    (
        "insert into meta.sequence (schema_name, name, identity) values ('public', 'x', true)",
        "0A000 an identity column makes its sequence -- Leave identity out, or insert the column into meta.column, with generated, and update its sequence.",
    ),
    (
        "insert into meta.sequence (schema_name, name, type) values ('public', 'x', 'text')",
        "22023 a sequence's type is smallint, integer or bigint",
    ),
    (
        "insert into meta.sequence (schema_name, name, owned_by) values ('public', 'x', meta.column_id('public', 't', null))",
        "23502 a sequence's column needs a name",
    ),
    (
        "delete from meta.sequence where identity",
        "0A000 an identity column's sequence goes with the column -- Update meta.column's generated, or delete the column.",
    ),
    (
        "update meta.sequence set identity = false where identity",
        "0A000 whether a sequence is an identity column's follows the column -- Update meta.column's generated.",
    ),
    (
        "update meta.sequence set owned_by = null where identity",
        "0A000 an identity column keeps its sequence -- Update meta.column's generated.",
    ),
    (
        "update meta.sequence set owner = 'pg_monitor' where identity",
        r#"0A000 cannot change owner of sequence "t_own_seq""#,
    ),
    (
        "update meta.sequence set id = meta.relation_id('public', 'x') where name = 's'",
        "0A000 an id follows the names that it is made of -- Update schema_name or name.",
    ),
    ("update meta.sequence set start = null where name = 's'", "23502 start is a number"),
    ("update meta.sequence set cycle = null where name = 's'", "23502 cycle is true or false"),
    ("update meta.sequence set minimum = 5 where name = 's'", "22023 START value (1) cannot be less than MINVALUE (5)"),
    (
        "update meta.materialized_view set query = 'select 2'",
        "0A000 a materialized view keeps its query -- Drop it and make another.",
    ),
    ("update meta.materialized_view set populated = null", "23502 populated is true or false"),
    (
        "update meta.materialized_view set id = meta.relation_id('public', 'x')",
        "0A000 an id follows the names that it is made of -- Update schema_name or name.",
    ),
    (
        "insert into meta.materialized_view (schema_name, name) values ('public', 'x')",
        "23502 a materialized view needs a query",
    ),
];

/// By the owner.
const OWN: &[(&str, &str)] = &[
    (
        "insert into meta.sequence (schema_name, name, owner) values ('hers', 's', 'ann') returning id, owner",
        r#"("(hers)",s) | ann"#,
    ),
    ("insert into meta.relation (schema_name, name) values ('hers', 't') returning id, owner", r#"("(hers)",t) | ann"#),
    (
        "insert into meta.relation_column (schema_name, relation_name, name, type) values ('hers', 't', 'id', 'bigint') returning id",
        r#"("(""(hers)"",t)",id)"#,
    ),
    (
        "update meta.sequence set start = 5, owned_by = meta.column_id('hers', 't', 'id') where name = 's' returning start, owned_by",
        r#"5 | ("(""(hers)"",t)",id)"#,
    ),
    (
        "insert into meta.materialized_view (schema_name, name, query) values ('hers', 'm',
          'select 1 as one') returning id, owner, populated",
        r#"("(hers)",m) | ann | t"#,
    ),
    (
        "update meta.relation_column set name = 'uno' where relation_name = 'm' returning id",
        r#"("(""(hers)"",m)",uno)"#,
    ),
];

/// By somebody else.
const OTHERS: &[(&str, &str)] = &[
    ("update meta.sequence set start = 7", "42501 permission denied for sequence s"),
    ("update meta.sequence set cache = 7", "42501 must be owner of sequence s"),
    ("delete from meta.sequence", "42501 must be owner of sequence s"),
    ("insert into meta.sequence (schema_name, name) values ('hers', 'x')", "42501 permission denied for schema hers"),
    ("update meta.materialized_view set options = '{fillfactor=50}'", "42501 must be owner of materialized view m"),
    ("delete from meta.materialized_view", "42501 must be owner of materialized view m"),
    ("update meta.relation set comment = 'x' where name = 't'", "42501 must be owner of table t"),
    (
        "update meta.relation_column set name = 'x' where relation_name = 'm'",
        "42501 must be owner of materialized view m",
    ),
];

#[tokio::test]
async fn a_sequence_and_a_materialized_view_are_made_and_altered_and_dropped() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create schema shop; create schema store; create role keeper; create table shop.t (id int, own bigint generated always as identity)",
        )
        .await;
    for (sql, expected) in SEQUENCES_AND_MATERIALIZED_VIEWS {
        assert_eq!(rows(&client, sql).await, [*expected], "{sql}");
    }
    let unlogged =
        "insert into meta.sequence (schema_name, name, unlogged) values ('shop', 'u', true) returning unlogged";
    if client.text("select current_setting('server_version_num')::int >= 150000").await == "t" {
        assert_eq!(rows(&client, unlogged).await, ["t"]);
        let update = "update meta.sequence set unlogged = false where name = 'u' returning unlogged";
        assert_eq!(rows(&client, update).await, ["f"]);
    } else {
        let reason = "0A000 before PostgreSQL 15 no sequence is unlogged -- Leave unlogged out.";
        assert_eq!(refused(&client, unlogged).await, reason);
    }
    // what is as it was is not touched
    client.sql("begin; update meta.sequence set name = name; update meta.materialized_view set query = query").await;
    let locks = "select count(*) from pg_locks l join pg_class c on c.oid = l.relation
                 where c.relnamespace = 'shop'::regnamespace and l.mode <> 'AccessShareLock'";
    assert_eq!(client.text(locks).await, "0");
    client.sql("commit").await;
}

#[tokio::test]
async fn a_sequence_and_a_materialized_view_are_altered_with_the_callers_own_privileges() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create role ann; create role bob; create schema hers authorization ann; grant usage on schema hers to bob;
             set role ann",
        )
        .await;
    for (sql, expected) in OWN {
        assert_eq!(rows(&client, sql).await, [*expected], "{sql}");
    }
    client.sql("set role bob").await;
    for (sql, expected) in OTHERS {
        assert_eq!(refused(&client, sql).await, *expected, "{sql}");
    }
}

#[tokio::test]
async fn what_a_sequence_or_a_materialized_view_cannot_be_is_refused_with_the_reason() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create table t (id int primary key, own int generated always as identity); create view v as select id from t;
             create materialized view m as select 1 as one; create sequence s; create table p (id int) partition by list (id); create table p1 partition of p for values in (1)",
        )
        .await;
    for (sql, expected) in REFUSED {
        assert_eq!(refused(&client, sql).await, *expected, "{sql}");
    }
    assert_eq!(client.text("select count(*) from meta.sequence").await, "2");
}
