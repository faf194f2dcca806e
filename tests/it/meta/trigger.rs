//! Triggers: written, refused.

use super::{refused, rows, stage};

#[tokio::test]
async fn triggers_are_made_changed_and_dropped() {
    let (_database, client) = stage().await;
    client
        .sql(
            r#"create schema shop; create schema "Odd"; create table shop."T""t" ("I d" int, v text);
             create table shop.p (id int) partition by range (id); create table shop.p_1 partition of shop.p for values from (0) to (9);
             create view shop.w as select 1 as one;
             create function shop.nothing() returns trigger language plpgsql as 'begin return new; end';
             create function "Odd"."N N"() returns trigger language plpgsql as 'begin return new; end'"#,
        )
        .await;
    for (sql, expected) in [
        (
            r#"insert into meta.trigger (schema_name, relation_name, name, timing, events, level, condition, function_schema_name, function_name, arguments, comment, enabled) values ('shop', 'T"t', 'tr"g WHEN (', 'before', '{update,insert}', 'row', 'new.v <> '') EXECUTE FUNCTION x('' -- c', 'shop', 'nothing', array['a', '', 'it''s', 'b\c', '\000'], 'com', 'always') returning id, timing, events, update_columns, level, condition, arguments, enabled, inherited, comment"#,
            r#"("(""(shop)"",""T""""t"")","tr""g WHEN (") | before | {insert,update} | - | row | (new.v <> ') EXECUTE FUNCTION x('::text) | {a,"",it's,"b\\c","\\000"} | always | f | com"#,
        ),
        (
            "update meta.trigger set name = 'u', enabled = 'replica', comment = 'x' returning id, enabled, comment, condition",
            r#"("(""(shop)"",""T""""t"")",u) | replica | x | (new.v <> ') EXECUTE FUNCTION x('::text)"#,
        ),
        (
            r#"update meta.trigger set events = '{delete,update}', update_columns = '{v,"I d"}', timing = 'after', condition = null, arguments = null returning timing, events, update_columns, condition, arguments, enabled, comment"#,
            r#"after | {update,delete} | {v,"I d"} | - | {} | replica | x"#,
        ),
        (
            "update meta.trigger set enabled = 'disabled', level = 'statement', old_table = 'O', new_table = 'n', events = '{update}', update_columns = null, function_schema_name = 'Odd', function_name = 'N N', name = 'v' returning id, level, old_table, new_table, events, update_columns, function_schema_name, function_name, enabled, comment",
            r#"("(""(shop)"",""T""""t"")",v) | statement | O | n | {update} | - | Odd | N N | disabled | x"#,
        ),
        ("update meta.trigger set enabled = 'origin', comment = null returning enabled, comment", "origin | -"),
        ("delete from meta.trigger returning id", r#"("(""(shop)"",""T""""t"")",v)"#),
        (
            r#"insert into meta.trigger (id, timing, events, function_schema_name, function_name, is_constraint, "deferrable", deferred, referenced_schema_name, referenced_relation_name) values (meta.trigger_id('shop', 'T"t', 'c'), 'after', '{insert}', 'shop', 'nothing', true, true, true, 'shop', 'p') returning id, level, is_constraint, "deferrable", deferred, referenced_schema_name, referenced_relation_name"#,
            r#"("(""(shop)"",""T""""t"")",c) | row | t | t | t | shop | p"#,
        ),
        (
            "update meta.trigger set name = 'd', enabled = 'disabled', comment = 'x' returning id, enabled, comment, deferred",
            r#"("(""(shop)"",""T""""t"")",d) | disabled | x | t"#,
        ),
        (
            "insert into meta.trigger (schema_name, relation_name, name, timing, events, level, function_schema_name, function_name) values ('shop', 'w', 'i', 'instead of', '{insert,delete}', 'row', 'shop', 'nothing') returning id, timing, events",
            r#"("(""(shop)"",w)",i) | instead of | {insert,delete}"#,
        ),
        (
            "insert into meta.trigger (schema_name, relation_name, name, timing, events, function_schema_name, function_name) values ('shop', 'p', 't', 'after', '{truncate}', 'shop', 'nothing') returning id, events, level",
            r#"("(""(shop)"",p)",t) | {truncate} | statement"#,
        ),
        (
            "insert into meta.trigger (schema_name, relation_name, name, timing, events, level, condition, function_schema_name, function_name) values ('shop', 'p', 'all', 'after', '{insert}', 'row', 'new.id > 0', 'shop', 'nothing') returning id, inherited",
            r#"("(""(shop)"",p)",all) | f"#,
        ),
        (
            "update meta.trigger set enabled = 'disabled' where name = 'all' and inherited returning relation_name, enabled",
            "p_1 | disabled",
        ),
    ] {
        assert_eq!(rows(&client, sql).await, [expected], "{sql}");
    }
    assert_eq!(
        rows(
            &client,
            "select relation_name, condition, enabled, inherited from meta.trigger where name = 'all' order by 1"
        )
        .await,
        ["p | (new.id > 0) | origin | f", "p_1 | (new.id > 0) | disabled | t"]
    );
    client.sql("delete from meta.trigger where not inherited").await;
    assert_eq!(
        client
            .text("select count(*) from pg_trigger where not tgisinternal and tgrelid::regclass::text ~ '^shop'")
            .await,
        "0"
    );
}

#[tokio::test]
async fn what_a_trigger_cannot_become_is_refused_with_the_reason() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create table t (id int); create function tf() returns trigger language plpgsql as 'begin return new; end';
             create trigger t before insert on t for each row execute function tf();
             create constraint trigger c after insert on t deferrable initially deferred for each row execute function tf()",
        )
        .await;
    for (sql, expected) in [
        (
            "update meta.trigger set relation_name = 'x' where name = 't'",
            "0A000 a trigger stays with its relation -- Insert one for the other, and delete this one. To move or rename the relation update meta.table.",
        ),
        (
            "update meta.trigger set id = meta.trigger_id('a', 'b', 'c')",
            "0A000 an id follows the names that it is made of -- Update name.",
        ),
        (
            "update meta.trigger set events = null where name = 't'",
            "23502 a trigger needs an event -- events is of insert, update, delete, truncate.",
        ),
        (
            "update meta.trigger set events = '{select}' where name = 't'",
            "22023 an event is one of insert, update, delete, truncate",
        ),
        (
            "update meta.trigger set timing = 'during' where name = 't'",
            "22023 timing is one of before, after, instead of",
        ),
        (
            "update meta.trigger set enabled = null where name = 't'",
            "22023 enabled is one of origin, disabled, replica, always",
        ),
        (
            r#"update meta.trigger set "deferrable" = true where name = 't'"#,
            "0A000 only a constraint trigger is deferrable and about another relation -- Give is_constraint as true.",
        ),
        (
            "update meta.trigger set is_constraint = true where name = 't'",
            "0A000 a constraint trigger stays as it was made -- Drop it and make another.",
        ),
        (
            "update meta.trigger set deferred = false where name = 'c'",
            "0A000 a constraint trigger stays as it was made -- Drop it and make another.",
        ),
        (
            "update meta.trigger set inherited = true where name = 't'",
            "0A000 whether a trigger is inherited follows its table -- Update meta.partition.",
        ),
        (
            "update meta.trigger set update_columns = '{id}' where name = 't'",
            "22023 update_columns are those of an update -- Have update in events.",
        ),
        ("update meta.trigger set arguments = '{NULL}' where name = 't'", "23502 an argument is a text"),
        (
            "update meta.trigger set function_name = 'none' where name = 't'",
            "42883 function public.none() does not exist",
        ),
        (
            "update meta.trigger set old_table = 'o' where name = 't'",
            "42P17 transition table name can only be specified for an AFTER trigger",
        ),
        (
            "insert into meta.trigger (schema_name, relation_name, name, timing, events) values ('public', 't', 'x', 'before', '{insert}')",
            "23502 a trigger's function's schema needs a name",
        ),
        (
            "insert into meta.trigger (schema_name, relation_name, name, timing, events, function_schema_name, function_name, inherited) values ('public', 't', 'x', 'before', '{insert}', 'public', 'tf', true)",
            "0A000 a partition's trigger comes with that of the partitioned table -- Leave inherited out.",
        ),
        (
            "insert into meta.trigger (schema_name, relation_name, name, timing, events, function_schema_name, function_name, is_constraint, referenced_relation_name) values ('public', 't', 'x', 'after', '{insert}', 'public', 'tf', true, 't')",
            "23502 a referenced relation's schema needs a name",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
}
