//! What is written to keys, checks, foreign keys, exclusions and indexes is done, or refused.

use super::{refused, rows, stage};

const KEY: &str = "name, columns, include, nulls_not_distinct, without_overlaps, \"deferrable\", deferred, options, inherited, comment";
const PRIMARY: &str = "name, columns, include, without_overlaps, \"deferrable\", deferred, options, inherited, comment";
const CHECK: &str = "name, expression, no_inherit, validated, enforced, inherited, comment";
const FOREIGN: &str =
    "name, columns, referenced_schema_name, referenced_relation_name, referenced_columns, period, on_update, on_delete,
    on_delete_columns, match, \"deferrable\", deferred, validated, enforced, inherited, comment";
const EXCLUSION: &str =
    "name, method, elements, include, predicate, \"deferrable\", deferred, options, inherited, comment";
const INDEX: &str = "name, columns, include, method, is_unique, nulls_not_distinct, predicate, options, constraint_name, inherited, clustered,
    valid, comment";

/// What is written, and what of the row is then there.
const WRITTEN: &[(&str, &str, &str)] = &[
    (
        "insert into meta.primary_key (schema_name, relation_name, columns) values ('public', 't', '{id}')",
        PRIMARY,
        "t_pkey | {id} | - | f | f | f | - | f | -",
    ),
    (
        "update meta.primary_key set name = 'Key \"t', comment = 'it''s', options = '{fillfactor=50}' where relation_name = 't'",
        PRIMARY,
        "Key \"t | {id} | - | f | f | f | {fillfactor=50} | f | it's",
    ),
    (
        "insert into meta.constraint_unique (id, columns, include, \"deferrable\", deferred, options, comment)
         values (meta.constraint_id('public', 't', 'u'), '{v,name}', '{at}', true, true, '{fillfactor=60}', 'twice')",
        KEY,
        "u | {v,name} | {at} | f | f | t | t | {fillfactor=60} | f | twice",
    ),
    // PostgreSQL chooses the name
    (
        "insert into meta.constraint_unique (schema_name, relation_name, columns) values ('public', 't', '{v,id}')",
        KEY,
        "t_v_id_key | {v,id} | - | f | f | f | f | - | f | -",
    ),
    (
        "update meta.constraint_unique set name = 'w', options = null, comment = null where name = 'u'",
        KEY,
        "w | {v,name} | {at} | f | f | t | t | - | f | -",
    ),
    (
        "insert into meta.constraint_check (schema_name, relation_name, expression, validated) values ('public', 't', 'v > 0 -- a', false)",
        CHECK,
        "t_v_check | (v > 0) | f | f | t | f | -",
    ),
    (
        "update meta.constraint_check set validated = true, name = 'c', comment = 'more' where name = 't_v_check'",
        CHECK,
        "c | (v > 0) | f | t | t | f | more",
    ),
    // made anew, in one command
    (
        "update meta.constraint_check set expression = 'v > 1', name = 'd', no_inherit = true where name = 'c'",
        CHECK,
        "d | (v > 1) | t | t | t | f | more",
    ),
    (
        "insert into meta.foreign_key (schema_name, relation_name, columns, referenced_relation_name, validated)
         values ('public', 't', '{v}', 'other', false)",
        FOREIGN,
        "t_v_fkey | {v} | public | other | {k} | f | no action | no action | - | simple | f | f | f | t | f | -",
    ),
    (
        "update meta.foreign_key set name = 'f', comment = 'to', \"deferrable\" = true, deferred = true, validated = true",
        FOREIGN,
        "f | {v} | public | other | {k} | f | no action | no action | - | simple | t | t | t | t | f | to",
    ),
    (
        "update meta.foreign_key set referenced_columns = '{v}', on_delete = 'cascade', on_update = 'set null', match = 'full', name = 'g'",
        FOREIGN,
        "g | {v} | public | other | {v} | f | set null | cascade | - | full | t | t | t | t | f | to",
    ),
    (
        "update meta.foreign_key set \"deferrable\" = false, deferred = false",
        FOREIGN,
        "g | {v} | public | other | {v} | f | set null | cascade | - | full | f | f | t | t | f | to",
    ),
    (
        "insert into meta.constraint_exclusion (schema_name, relation_name, method, elements, predicate, \"deferrable\")
         values ('public', 't', 'gist', '{at WITH && -- a}', 'v > 0 -- b', true)",
        EXCLUSION,
        "t_at_excl | gist | {\"at WITH &&\"} | - | (v > 0) | t | f | - | f | -",
    ),
    (
        "update meta.constraint_exclusion set name = 'x', comment = 'd', options = '{fillfactor=70}'",
        EXCLUSION,
        "x | gist | {\"at WITH &&\"} | - | (v > 0) | t | f | {fillfactor=70} | f | d",
    ),
    (
        "insert into meta.index (schema_name, relation_name, columns) values ('public', 't', '{lower(name) -- a,\"v desc\"}')",
        INDEX,
        "t_lower_v_idx | {lower(name),\"v DESC\"} | - | btree | f | f | - | - | - | f | f | t | -",
    ),
    (
        "insert into meta.index (id, relation_name, columns, include, is_unique, options, clustered, comment)
         values (meta.relation_id('public', 'I \"x'), 't', '{id}', '{v}', true, '{fillfactor=60}', true, 'fast')",
        INDEX,
        "I \"x | {id} | {v} | btree | t | f | - | {fillfactor=60} | - | f | t | t | fast",
    ),
    (
        "update meta.index set name = 'J', options = '{fillfactor=70,deduplicate_items=off}', clustered = false, comment = null where name = 'I \"x'",
        INDEX,
        "J | {id} | {v} | btree | t | f | - | {fillfactor=70,deduplicate_items=off} | - | f | f | t | -",
    ),
    // a constraint's index: its constraint has its name
    (
        "update meta.index set name = 'W', comment = 'its index', clustered = true where name = 'w'",
        INDEX,
        "W | {v,name} | {at} | btree | t | f | - | - | W | f | t | t | its index",
    ),
];

#[tokio::test]
async fn a_constraint_is_made_altered_and_dropped_as_a_row() {
    let (_database, client) = stage().await;
    client.sql("create table t (id int, v int, at tsrange, name text); create table other (k int primary key, v int unique)").await;
    for (sql, returning, expected) in WRITTEN {
        assert_eq!(rows(&client, &format!("{sql} returning {returning}")).await, [*expected], "{sql}");
    }
    // by one at a time, in whichever order the rows come
    client.sql("update meta.index set clustered = (name = 'J') where name in ('W', 'J')").await;
    assert_eq!(client.text("select string_agg(name, ' ') from meta.index where clustered").await, "J");
    // what is as it was is not touched
    client
        .sql("begin; update meta.foreign_key set name = name; update meta.index set columns = columns; update meta.constraint_check set expression = expression")
        .await;
    let locks = "select count(*) from pg_locks where relation = 't'::regclass and mode <> 'AccessShareLock'";
    assert_eq!(client.text(locks).await, "0");
    client.sql("commit; delete from meta.index where constraint_name is null; delete from meta.constraint_exclusion; delete from meta.foreign_key").await;
    client
        .sql("delete from meta.constraint_check; delete from meta.constraint_unique; delete from meta.primary_key")
        .await;
    let left = "select (select count(*) from pg_constraint where conrelid = 't'::regclass and contype <> 'n')
                     + (select count(*) from pg_index where indrelid = 't'::regclass)";
    assert_eq!(client.text(left).await, "0");
}

const REFUSED: &[(&str, &str)] = &[
    (
        "insert into meta.primary_key (schema_name, relation_name, columns) values ('public', 'u', '{}')",
        "23502 a key needs columns",
    ),
    (
        "insert into meta.primary_key (schema_name, columns) values ('public', '{id}')",
        "23502 a key's table needs a name",
    ),
    (
        "insert into meta.primary_key (schema_name, relation_name, columns, comment) values ('public', 'u', '{id}', 'c')",
        "0A000 PostgreSQL chooses the name, by which the comment would be given -- Give name, or update comment after it.",
    ),
    (
        "insert into meta.primary_key (schema_name, relation_name, columns, inherited) values ('public', 'u', '{id}', true)",
        "0A000 what is inherited comes with the parent's -- Leave inherited out.",
    ),
    (
        "update meta.primary_key set columns = '{v}'",
        "0A000 of a key the name, the comment and the options can change -- Drop it and make another.",
    ),
    (
        "update meta.primary_key set relation_name = 'u'",
        "0A000 a key stays in its table -- Make it in the other table, and delete this one. To move or rename the table update meta.table.",
    ),
    ("update meta.primary_key set name = null", "23502 a key needs a name"),
    (
        "update meta.primary_key set id = meta.constraint_id('a', 'b', 'c')",
        "0A000 an id follows the names that it is made of -- Update name.",
    ),
    (
        "update meta.primary_key set inherited = true",
        "0A000 whether a key is inherited follows its table -- Inherit or attach the table, or end that.",
    ),
    (
        "delete from meta.primary_key",
        "2BP01 cannot drop constraint k on table t because other objects depend on it -- Use DROP ... CASCADE to drop the dependent objects too.",
    ),
    (
        "insert into meta.constraint_check (schema_name, relation_name, name) values ('public', 't', 'c')",
        "23502 a check needs an expression",
    ),
    ("update meta.constraint_check set validated = null", "23502 validated is true or false"),
    (
        "update meta.constraint_check set validated = false",
        "0A000 what was validated stays so -- Drop it and make another.",
    ),
    (
        "update meta.foreign_key set on_delete = 'explode'",
        "22023 a foreign key does not do that -- on_update and on_delete are no action, restrict, cascade, set null or set default.",
    ),
    ("update meta.foreign_key set match = 'some'", "22023 a foreign key does not match so -- match is simple or full."),
    ("update meta.foreign_key set deferred = true", "42601 constraint declared INITIALLY DEFERRED must be DEFERRABLE"),
    (
        "insert into meta.foreign_key (schema_name, relation_name, columns) values ('public', 't', '{id}')",
        "23502 a referenced table needs a name",
    ),
    (
        "insert into meta.foreign_key (schema_name, relation_name, columns, referenced_relation_name) values ('public', 't', '{id,null}', 'u')",
        "23502 a column needs a name",
    ),
    ("insert into meta.index (schema_name, relation_name) values ('public', 't')", "23502 an index needs columns"),
    (
        "insert into meta.index (schema_name, relation_name, columns, constraint_name) values ('public', 't', '{id}', 'x')",
        "0A000 a constraint's index comes with it -- Insert into meta.primary_key, meta.constraint_unique or meta.constraint_exclusion.",
    ),
    (
        "insert into meta.index (schema_name, relation_name, columns, clustered) values ('public', 't', '{id}', true)",
        "0A000 PostgreSQL chooses the name, by which the table would be clustered -- Give name, or update clustered after it.",
    ),
    (
        "insert into meta.index (schema_name, relation_name, columns, valid) values ('public', 't', '{id}', false)",
        "0A000 an index is made to be valid -- Leave valid out.",
    ),
    (
        "update meta.index set columns = '{v}' where name = 'k'",
        "0A000 an index stays as it was made, but for name, options, clustered and comment -- Drop it and make another.",
    ),
    ("update meta.index set valid = false", "0A000 valid is what was found -- REINDEX makes an index valid."),
    (
        "update meta.index set schema_name = 'x'",
        "0A000 a table's index stays in its table -- Make it in the other table, and delete this one. To move or rename the table update meta.table.",
    ),
    (
        "delete from meta.index",
        "0A000 a constraint's index goes with it -- Delete from meta.primary_key, meta.constraint_unique or meta.constraint_exclusion.",
    ),
    (
        "insert into meta.constraint_exclusion (schema_name, relation_name) values ('public', 't')",
        "23502 an exclusion needs elements -- What is compared, and how: during WITH &&.",
    ),
    (
        "update meta.constraint_exclusion set elements = '{id with =}'",
        "0A000 of an exclusion the name, the comment and the options can change -- Drop it and make another.",
    ),
];

#[tokio::test]
async fn what_cannot_be_done_to_a_constraint_is_refused_with_the_reason() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create table t (id int constraint k primary key, v int constraint c check (v > 0) constraint f references t);
             create table u (id int); alter table t add constraint x exclude (v with =)",
        )
        .await;
    for (sql, expected) in REFUSED {
        assert_eq!(refused(&client, sql).await, *expected, "{sql}");
    }
}
