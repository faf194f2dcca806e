//! What is not done: for want of privileges, of sense, or of DDL. Nobody gains anything by going through `meta`.

use super::{refused, stage};

#[tokio::test]
async fn everything_is_done_with_the_callers_own_privileges() {
    let (database, client) = stage().await;
    client.sql("create role ann login; create role bob login; create schema hers authorization ann; create table secret (id int)").await;
    let ann = database.connect_as("ann").await;
    let bob = database.connect_as("bob").await;
    ann.sql("insert into meta.table (schema_name, name) values ('hers', 't')").await;
    ann.sql("insert into meta.column (schema_name, relation_name, name, type) values ('hers', 't', 'id', 'int')").await;
    assert_eq!(client.text("select owner from meta.table where name = 't'").await, "ann");
    for (sql, expected) in [
        ("insert into meta.schema (name) values ('his')", "42501 permission denied for database postgres"),
        ("insert into meta.table (schema_name, name) values ('hers', 'u')", "42501 permission denied for schema hers"),
        ("update meta.column set name = 'x' where relation_name = 't'", "42501 permission denied for schema hers"),
        ("delete from meta.table where name = 'secret'", "42501 must be owner of table secret"),
        ("update meta.schema set owner = 'bob' where name = 'hers'", "42501 must be owner of schema hers"),
        (
            "insert into meta.view (schema_name, name, query) values ('hers', 'v', 'select 1')",
            "42501 permission denied for schema hers",
        ),
    ] {
        assert_eq!(refused(&bob, sql).await, expected, "{sql}");
    }
    // as whom one is, not as whom the views are
    bob.sql("create temp table mine (id int)").await;
    assert_eq!(
        refused(&ann, "update meta.table set owner = 'postgres' where name = 't'").await.split(' ').next(),
        Some("42501")
    );
}

#[tokio::test]
async fn what_somebody_put_into_the_callers_search_path_is_not_called() {
    let (database, client) = stage().await;
    client
        .sql("create role mallory login; grant create on schema public to mallory; create table caught (who text)")
        .await;
    client.sql("grant insert on caught to public; create table t (a int primary key, b int); create view v as select a from t").await;
    // without it she makes no function of these types
    client.sql("grant usage on type meta.relation_id, meta.column_id, meta.schema_id to mallory").await;
    let mallory = database.connect_as("mallory").await;
    let trap = |name: &str, types: &str, returns: &str, value: &str| {
        format!(
            "create function public.{name}({types}) returns {returns} language plpgsql as $$
             begin insert into public.caught values (pg_catalog.concat(current_user, ' {name}')); return {value}; end $$"
        )
    };
    for (name, types, returns, value) in [
        ("trap_id", "meta.relation_id, meta.relation_id", "boolean", "false"),
        ("trap_column", "meta.column_id, meta.column_id", "boolean", "false"),
        ("trap_schema", "meta.schema_id, meta.schema_id", "boolean", "false"),
        ("trap_texts", "text[], text[]", "boolean", "false"),
        ("trap_append", "text[], text", "text[]", "$1"),
        ("trap_oid", "oid, regclass", "boolean", "false"),
        ("format", "text, text", "text", "'select 1'"),
        ("format", "text, text, text", "text", "'select 1'"),
        ("array_append", "text[], text", "text[]", "$1"),
        ("coalesce_all", "text, text", "text", "$1"),
    ] {
        mallory.sql(&trap(name, types, returns, value)).await;
    }
    for (operator, types, function) in [
        ("=", ("meta.relation_id", "meta.relation_id"), "trap_id"),
        ("=", ("meta.column_id", "meta.column_id"), "trap_column"),
        ("=", ("meta.schema_id", "meta.schema_id"), "trap_schema"),
        ("=", ("text[]", "text[]"), "trap_texts"),
        ("||", ("text[]", "text"), "trap_append"),
        ("=", ("oid", "regclass"), "trap_oid"),
    ] {
        mallory
            .sql(&format!(
                "create operator public.{operator} (leftarg = {}, rightarg = {}, function = public.{function})",
                types.0, types.1
            ))
            .await;
    }
    client
        .sql(
            "insert into meta.schema (name, comment, owner) values ('s', 'c', 'postgres'); update meta.schema set name = 'r', comment = 'd' where name = 's';
             insert into meta.table (schema_name, name, comment, owner) values ('r', 'x', 'c', 'postgres');
             insert into meta.column (schema_name, relation_name, name, type, \"default\", comment) values ('r', 'x', 'c', 'int', '1', 'c');
             update meta.column set nullable = false, type = 'bigint', \"default\" = '2', comment = 'd', name = 'd', primary_key = true where name = 'c';
             update meta.column set primary_key = false where name = 'd';
             update meta.table set comment = 'x', name = 'y', row_security = true where name = 'x';
             insert into meta.view (schema_name, name, query, options) values ('r', 'w', 'select 1 as one', '{security_barrier=true}');
             update meta.view set options = '{security_barrier=false}', comment = 'x' where name in ('v', 'w');
             delete from meta.view where name = 'w'; delete from meta.column where name = 'd'; delete from meta.table where name = 'y';
             delete from meta.schema where name = 'r'",
        )
        .await;
    assert_eq!(client.rows("select * from caught").await, [[]; 0] as [[Option<String>; 0]; 0]);

    // nor when it comes before PostgreSQL's own, in any relation of meta
    for (name, types, returns, value) in [
        ("texts_equal", "text, text", "boolean", "false"),
        ("texts_joined", "text, text", "text", "$1"),
        ("concat", "text, text", "text", "$1"),
        ("quote_ident", "text", "text", "'x'"),
        ("current_setting", "text", "text", "'1'"),
        ("to_regtype", "text", "regtype", "null"),
        ("to_regclass", "text", "regclass", "null"),
        ("array_to_string", "text[], text", "text", "''"),
    ] {
        mallory.sql(&trap(name, types, returns, value)).await;
    }
    mallory
        .sql(
            "create operator public.= (leftarg = text, rightarg = text, function = public.texts_equal);
             create operator public.<> (leftarg = text, rightarg = text, function = public.texts_equal);
             create operator public.~ (leftarg = text, rightarg = text, function = public.texts_equal);
             create operator public.~* (leftarg = text, rightarg = text, function = public.texts_equal);
             create operator public.|| (leftarg = text, rightarg = text, function = public.texts_joined);
             create domain public.text as pg_catalog.text check (false); create domain public.bool as pg_catalog.bool check (false);
             create domain public.oid as pg_catalog.oid check (false); create domain public.name as pg_catalog.name check (false)",
        )
        .await;
    client.sql("set search_path = public, pg_catalog").await;
    client
        .sql(
            "insert into meta.schema (name) values ('q');
             insert into meta.table (schema_name, name, columns) select 'q', 't', array[row(null, null, null, 'id', 'integer', null, null, null, false, true,
                 null, null, null, null)::meta.column, row(null, null, null, 'v', 'integer', null, null, '1', true, false, null, null, null, 'c')::meta.column];
             insert into meta.type (schema_name, name, kind, labels) values ('q', 'mood', 'enum', '{sad}');
             update meta.type set labels = '{sad,glad}', comment = 'c', name = 'moods' where schema_name operator(pg_catalog.=) 'q';
             insert into meta.function (schema_name, name, parameters, returns, language, body) values ('q', 'f', 'a integer', 'integer', 'sql', 'select 1');
             update meta.function set body = 'select 2', volatility = 'stable', comment = 'c', settings = '{work_mem=1MB}' where schema_name operator(pg_catalog.=) 'q';
             insert into meta.cast (source_type, target_type, method) values ('q.moods', 'integer', 'inout');
             insert into meta.operator (schema_name, name, left_type, right_type, function) values ('q', '!!', null, 'integer', 'q.f');
             insert into meta.sequence (schema_name, name) values ('q', 's');
             update meta.sequence set increment = 2, name = 'r', comment = 'c' where schema_name operator(pg_catalog.=) 'q';
             insert into meta.constraint_check (schema_name, relation_name, name, expression) values ('q', 't', 'c', 'true');
             insert into meta.constraint_unique (schema_name, relation_name, name, columns) values ('q', 't', 'u', '{v}');
             insert into meta.foreign_key (schema_name, relation_name, name, columns, referenced_schema_name, referenced_relation_name, referenced_columns)
                 values ('q', 't', 'fk', '{v}', 'q', 't', '{id}');
             update meta.foreign_key set on_delete = 'cascade', comment = 'c' where schema_name operator(pg_catalog.=) 'q';
             insert into meta.index (schema_name, relation_name, name, columns) values ('q', 't', 'i', '{v}');
             update meta.index set name = 'j', comment = 'c' where name operator(pg_catalog.=) 'i';
             insert into meta.materialized_view (schema_name, name, query) values ('q', 'm', 'select 1 as one');
             insert into meta.policy (schema_name, relation_name, name, using_expression, roles) values ('q', 't', 'p', 'true', '{mallory}');
             update meta.policy set using_expression = 'false', roles = '{public}' where schema_name operator(pg_catalog.=) 'q';
             insert into meta.table_privilege (schema_name, relation_name, role_name, privilege) values ('q', 't', 'mallory', 'SELECT');
             insert into meta.role (name, can_login) values ('quiet', true); update meta.role set create_db = true, comment = 'c' where name operator(pg_catalog.=) 'quiet';
             insert into meta.role_inheritance (role_name, member_name) values ('quiet', 'mallory');
             insert into meta.setting (role_name, name, value) values ('quiet', 'work_mem', '1MB');
             insert into meta.publication (name, tables) select 'pub', array[meta.relation_id('q', 't')];
             insert into meta.comment (object_type, object_names, object_args, comment) values ('table', '{q,t}', '{}', 'c');
             update meta.relation set comment = 'd' where schema_name operator(pg_catalog.=) 'q'; update meta.relation_column set comment = 'd' where schema_name operator(pg_catalog.=) 'q' and relation_name operator(pg_catalog.=) 't';
             delete from meta.setting where role_name operator(pg_catalog.=) 'quiet'; delete from meta.role_inheritance where role_name operator(pg_catalog.=) 'quiet'; delete from meta.role where name operator(pg_catalog.=) 'quiet';
             delete from meta.publication where name operator(pg_catalog.=) 'pub'; delete from meta.cast where target_type operator(pg_catalog.=) 'integer'; delete from meta.operator where schema_name operator(pg_catalog.=) 'q'",
        )
        .await;
    // a text of the catalog that is said once more means what it meant
    mallory.sql(&trap("lower", "pg_catalog.text", "pg_catalog.text", "$1")).await;
    client
        .sql(
            "create table q.w (name pg_catalog.text check (pg_catalog.lower(name) operator(pg_catalog.<>) 'a'));
             create type q.comp as (a pg_catalog.text);
             update meta.column set collation_name = 'pg_catalog.\"C\"' where schema_name operator(pg_catalog.=) 'q' and name operator(pg_catalog.=) 'name';
             update meta.constraint_check set no_inherit = true where schema_name operator(pg_catalog.=) 'q' and relation_name operator(pg_catalog.=) 'w';
             update meta.type set attribute_collations = array['pg_catalog.\"C\"'::pg_catalog.text] where name operator(pg_catalog.=) 'comp';
             insert into q.w values ('b')",
        )
        .await;
    let type_of = "select pg_catalog.string_agg(a.atttypid::pg_catalog.regtype::pg_catalog.text, ',') from pg_catalog.pg_attribute a
                   where a.attname operator(pg_catalog.=) any ('{a,name}') and a.attrelid operator(pg_catalog.=) any ('{q.w,q.comp}'::pg_catalog.regclass[])";
    assert_eq!(client.text(type_of).await, "pg_catalog.text,pg_catalog.text");
    client.sql("set search_path = pg_catalog").await;
    assert_eq!(client.rows("select * from public.caught").await, [[]; 0] as [[Option<String>; 0]; 0]);
}

#[tokio::test]
async fn a_name_or_a_type_is_no_place_for_other_sql() {
    let (_database, client) = stage().await;
    client.sql("create table t (id int); create table victim (id int)").await;
    let evil = "x; drop table victim --";
    for name in [evil, "\"; drop table victim; --", "a b", "Ünï", "%s %I"] {
        let quoted = name.replace('\'', "''");
        client.sql(&format!("insert into meta.schema (name, comment) values ('{quoted}', '{quoted}')")).await;
        client
            .sql(&format!(
                "insert into meta.table (schema_name, name, comment) values ('{quoted}', '{quoted}', '{quoted}')"
            ))
            .await;
        client
            .sql(&format!(
                "insert into meta.column (schema_name, relation_name, name, type, comment) values ('{quoted}', '{quoted}', '{quoted}', 'int', '{quoted}')"
            ))
            .await;
        client
            .sql(&format!(
                "update meta.column set name = name || '!', comment = comment || '!' where schema_name = '{quoted}'"
            ))
            .await;
        client.sql(&format!("update meta.table set name = name || '!' where schema_name = '{quoted}'")).await;
        client.sql(&format!("update meta.schema set name = name || '!' where name = '{quoted}'")).await;
        let found = format!(
            "select schema_name || relation_name || name || comment from meta.column where schema_name = '{quoted}!'"
        );
        assert_eq!(client.text(&found).await, format!("{name}!").repeat(4));
    }
    for given in ["int; drop table victim", "int, add b int", "int default 1", "int)", "", "no_such_type", "int /* "] {
        let insert = format!(
            "insert into meta.column (schema_name, relation_name, name, type) values ('public', 't', 'c', '{given}')"
        );
        refused(&client, &insert).await;
        refused(&client, &format!("update meta.column set type = '{given}' where relation_name = 't'")).await;
    }
    for options in
        ["{\"security_barrier = true) as select 1; drop table victim; --\"}", "{\"x=');drop table victim;--\"}"]
    {
        let insert = format!(
            "insert into meta.view (schema_name, name, query, options) values ('public', 'v', 'select 1 as one', $${options}$$)"
        );
        refused(&client, &insert).await;
    }
    // nor one that is an object's too
    client.sql("create collation \"c;drop/**/table/**/victim;--\" from \"C\"").await;
    refused(&client, "insert into meta.column (schema_name, relation_name, name, type, collation_name) values ('public', 't', 'x', 'text', 'c;drop/**/table/**/victim;--')").await;
    refused(&client, "insert into meta.table (schema_name, name, columns) select 'public', 'x', array[row(null, null, null, 'a', 'text', 'c;drop/**/table/**/victim;--',
                          null, null, true, false, null, null, null, null)::meta.column]").await;
    let long = "x".repeat(64);
    for insert in [
        format!("meta.schema (name) values ('{long}')"),
        format!("meta.table (schema_name, name) values ('public', '{long}')"),
        format!("meta.column (schema_name, relation_name, name, type) values ('public', 't', '{long}', 'int')"),
    ] {
        assert_eq!(refused(&client, &format!("insert into {insert}")).await, "42602 a name has 1 to 63 bytes");
    }
    assert_eq!(client.text("select count(*) from pg_tables where tablename = 'victim'").await, "1");
    assert_eq!(client.text("select count(*) from meta.column where relation_name = 't'").await, "1");
}

#[tokio::test]
async fn what_postgresql_has_no_ddl_for_is_refused_with_the_reason() {
    let (_database, client) = stage().await;
    client.sql("create table t (id int primary key, v int, g int generated always as (1) stored); create view w as select 1 as one").await;
    for (sql, expected) in [
        (
            "update meta.column set position = 9 where name = 'v'",
            "0A000 a column stays in its place -- A new one comes last.",
        ),
        (
            "update meta.column set relation_name = 'u' where name = 'v'",
            "0A000 a column stays in its table -- Add it to the other table, and delete this one. To move or rename the table update meta.table.",
        ),
        (
            "update meta.column set id = meta.column_id('a', 'b', 'c') where name = 'v'",
            "0A000 an id follows the names that it is made of -- Update name.",
        ),
        (
            "update meta.table set id = meta.relation_id('a', 'b')",
            "0A000 an id follows the names that it is made of -- Update schema_name or name.",
        ),
        (
            "update meta.column set generated = 'stored', \"default\" = '1' where name = 'v'",
            "0A000 a column does not become a generated one -- Drop it and add another.",
        ),
        (
            "update meta.column set generated = 'identity always' where name = 'g'",
            "0A000 a generated column does not become another kind of column -- Drop it and add another.",
        ),
        (
            "update meta.column set \"using\" = '1' where name = 'v'",
            "22023 values are converted only to another type -- Give type too.",
        ),
        (
            "insert into meta.column (schema_name, relation_name, name, type, position) values ('public', 't', 'x', 'int', 2)",
            "0A000 a new column comes last -- Leave position out.",
        ),
        (
            "insert into meta.column (schema_name, relation_name, name, type) values ('public', 't', 'x', 'serial')",
            "42704 type \"serial\" does not exist -- A serial is an integer with generated = 'identity by default'.",
        ),
        (
            "insert into meta.column (schema_name, relation_name, name) values ('public', 't', 'x')",
            "23502 a type is missing",
        ),
        (
            "insert into meta.column (schema_name, relation_name, name, type, generated) values ('public', 't', 'x', 'int', 'maybe')",
            "22023 a column is not generated as \"maybe\" -- generated is NULL, stored, virtual, identity always or identity by default.",
        ),
        (
            "insert into meta.column (schema_name, relation_name, name, type, generated) values ('public', 't', 'x', 'int', 'stored')",
            "23502 a generated column needs an expression -- Give it as \"default\".",
        ),
        (
            "insert into meta.column (schema_name, relation_name, name, type, generated, \"default\") values ('public', 't', 'x', 'int', 'identity always', '1')",
            "22023 an identity column has no default",
        ),
        (
            "insert into meta.column (schema_name, relation_name, name, type, \"using\") values ('public', 't', 'x', 'int', '1')",
            "22023 a new column has no values to convert -- Give a \"default\".",
        ),
        (
            "insert into meta.table (id, name) values (meta.relation_id('public', 'x'), 'y')",
            "22023 the id and the names given are of different things",
        ),
        ("insert into meta.table (name) values ('x')", "23502 a table's schema needs a name"),
        ("insert into meta.view (schema_name, name) values ('public', 'x')", "23502 a view needs a query"),
        ("update meta.schema set owner = null where name = 'public'", "23502 a schema's owner needs a name"),
        ("update meta.column set primary_key = null where name = 'id'", "23502 primary_key is true or false"),
        ("update meta.column set nullable = null where name = 'v'", "23502 nullable is true or false"),
        ("update meta.table set row_security = null", "23502 row_security is true or false"),
        (
            "delete from meta.schema where name = 'public'",
            "2BP01 cannot drop schema public because other objects depend on it -- Use DROP ... CASCADE to drop the dependent objects too.",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
    // Tidewire's own and PostgreSQL's are not there
    for name in ["event", "meta", "pg_catalog", "information_schema", "pg_toast"] {
        assert_eq!(
            client.text(&format!("select count(*) from meta.schema where name = '{name}'")).await,
            "0",
            "{name}"
        );
    }
}
