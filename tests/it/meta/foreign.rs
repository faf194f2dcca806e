//! Foreign-data wrappers, servers, tables and their columns. A wrapper without a handler will do: nothing is read through it.

use super::{refused, rows, same, stage};

const SCHEMA: &str = r#"
    create schema shop;
    create schema "Odd ""schema";
    create role keeper superuser;
    create foreign data wrapper "Wr ""ap" options (debug 'tr''ue', empty '', a 'b=c');
    create foreign data wrapper checked validator postgresql_fdw_validator;
    create server "Se ""rver" type 'ty''pe' version '1.0' foreign data wrapper "Wr ""ap" options (host 'there', "Odd, name" 'a,"b"\');
    create server near foreign data wrapper checked options (host 'here', port '5433');
    alter server near owner to keeper;
    create table shop.parent (id int not null, v text default 'v');
    create foreign table shop."Fa ""r" (
        id bigint not null,
        "na ""me" varchar(20) options (column_name 'na''me', other '') collate "C" default 'x' not null,
        tags text[] default '{a,b}',
        gone int,
        doubled numeric(10,2) generated always as (id * 2) stored,
        at timestamp(3) with time zone)
    server "Se ""rver" options (table_name 'a b', schema_name 'it''s');
    alter foreign table shop."Fa ""r" drop column gone;
    alter foreign table shop."Fa ""r" owner to keeper;
    create foreign table "Odd ""schema".empty () server near;
    create foreign table shop.child (own int options (p 'q')) inherits (shop.parent) server "Se ""rver";
    create table shop.parted (id int, v text) partition by range (id);
    create foreign table shop.part partition of shop.parted for values from (0) to (10) server near;
"#;

#[tokio::test]
async fn foreign_things_are_what_information_schema_says() {
    let (_database, client) = stage().await;
    client.sql(SCHEMA).await;
    let option = "split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)";
    for (what, ours, theirs) in [
        (
            "wrappers",
            "select name, owner from meta.foreign_data_wrapper".to_owned(),
            "select foreign_data_wrapper_name::text, authorization_identifier::text from information_schema.foreign_data_wrappers",
        ),
        (
            "wrappers' options",
            format!("select name, {option} from meta.foreign_data_wrapper, unnest(options) o"),
            "select foreign_data_wrapper_name::text, option_name::text, option_value::text from information_schema.foreign_data_wrapper_options",
        ),
        (
            "wrappers' functions",
            "select name, handler, validator from meta.foreign_data_wrapper".to_owned(),
            "select fdwname::text, null, case when fdwvalidator <> 0 then 'pg_catalog.' || fdwvalidator::regproc::text end from pg_foreign_data_wrapper",
        ),
        (
            "servers",
            "select name, foreign_data_wrapper_name, type, version, owner from meta.foreign_server".to_owned(),
            "select foreign_server_name::text, foreign_data_wrapper_name::text, foreign_server_type::text, foreign_server_version::text,
                    authorization_identifier::text from information_schema.foreign_servers",
        ),
        (
            "servers' options",
            format!("select name, {option} from meta.foreign_server, unnest(options) o"),
            "select foreign_server_name::text, option_name::text, option_value::text from information_schema.foreign_server_options",
        ),
        (
            "tables",
            "select schema_name, name, server_name, owner, inherits from meta.foreign_table".to_owned(),
            "select foreign_table_schema::text, foreign_table_name::text, foreign_server_name::text,
                    (select pg_get_userbyid(relowner)::text from pg_class where relname = foreign_table_name),
                    case foreign_table_name when 'child' then array[meta.relation_id('shop', 'parent')] end
             from information_schema.foreign_tables",
        ),
        (
            "tables' options",
            format!("select schema_name, name, {option} from meta.foreign_table, unnest(options) o"),
            "select foreign_table_schema::text, foreign_table_name::text, option_name::text, option_value::text
             from information_schema.foreign_table_options",
        ),
        (
            "columns",
            "select schema_name, relation_name, name, position, nullable, \"default\", generated = 'stored', collation_name
             from meta.foreign_column"
                .to_owned(),
            "select table_schema::text, table_name::text, column_name::text, ordinal_position::int, is_nullable = 'YES',
                    coalesce(column_default, generation_expression)::text, case when is_generated = 'ALWAYS' then true end,
                    collation_schema || '.' || quote_ident(collation_name)
             from information_schema.columns join information_schema.foreign_tables
                  on (foreign_table_schema, foreign_table_name) = (table_schema, table_name)",
        ),
        (
            "types",
            "select relation_name, name, type, inherited from meta.foreign_column".to_owned(),
            "select relname::text, attname::text, format_type(atttypid, atttypmod), attinhcount > 0
             from pg_attribute join pg_class c on c.oid = attrelid where relkind = 'f' and attnum > 0 and not attisdropped",
        ),
        (
            "columns' options",
            format!("select schema_name, relation_name, name, {option} from meta.foreign_column, unnest(options) o"),
            "select table_schema::text, table_name::text, column_name::text, option_name::text, option_value::text
             from information_schema.column_options",
        ),
    ] {
        same(&client, what, &ours, theirs).await;
    }
    for (relation, id) in [
        ("foreign_data_wrapper", "meta.foreign_data_wrapper_id(name)"),
        ("foreign_server", "meta.foreign_server_id(name)"),
        ("foreign_table", "meta.relation_id(schema_name, name)"),
        ("foreign_column", "meta.column_id(schema_name, relation_name, name)"),
    ] {
        let ids = format!("select count(distinct id) = count(*) and bool_and(id = {id}) from meta.{relation}");
        assert_eq!(client.text(&ids).await, "t", "{relation}");
    }
}

#[tokio::test]
async fn a_foreign_table_is_made_from_its_wrapper_to_its_columns_and_changed() {
    let (_database, client) = stage().await;
    client
        .sql("create schema shop; create table shop.parent (p int); create role keeper; set search_path = nowhere")
        .await;
    for (sql, expected) in [
        (
            "insert into meta.foreign_data_wrapper (name, options, comment) values ('W \"w', '{\"debug=tr''ue\",empty=,a=b=c}', 'it''s') returning *",
            "(\"W \"\"w\") | W \"w | - | - | {debug=tr'ue,empty=,a=b=c} | postgres | it's",
        ),
        (
            "update meta.foreign_data_wrapper set name = 'w', options = '{b=1,a=b}', comment = null returning *",
            "(w) | w | - | - | {a=b,b=1} | postgres | -",
        ),
        (
            "update meta.foreign_data_wrapper set options = null, validator = 'postgresql_fdw_validator' returning *",
            "(w) | w | - | pg_catalog.postgresql_fdw_validator | - | postgres | -",
        ),
        ("update meta.foreign_data_wrapper set validator = null returning *", "(w) | w | - | - | - | postgres | -"),
        (
            "insert into meta.foreign_server (id, foreign_data_wrapper_name, type, version, options, comment)
             values (meta.foreign_server_id('S \"s'), 'w', 'ty''pe', '1.0', '{host=there,\"Odd name=v\"}', 'far') returning *",
            "(\"S \"\"s\") | S \"s | w | ty'pe | 1.0 | {host=there,\"Odd name=v\"} | postgres | far",
        ),
        (
            "update meta.foreign_server set name = 's', version = null, options = '{host=here,port=1}', comment = 'near', owner = 'keeper' returning *",
            "(s) | s | w | ty'pe | - | {host=here,port=1} | keeper | near",
        ),
        (
            "insert into meta.foreign_table (schema_name, name, server_name, options, inherits, comment)
             values ('shop', 'F \"t', 's', '{\"table_name=a b\"}', array[meta.relation_id('shop', 'parent')], 'c') returning *",
            "(\"(shop)\",\"F \"\"t\") | shop | F \"t | s | {\"table_name=a b\"} | {\"(\\\"(shop)\\\",parent)\"} | postgres | c",
        ),
        (
            "insert into meta.foreign_column (schema_name, relation_name, name, type, collation_name, \"default\", nullable, options, comment)
             values ('shop', 'F \"t', 'na \"me', 'varchar(20) -- x', '\"C\"', '''x'' -- y', false, '{column_name=n}', 'c')
             returning name, type, collation_name, position, \"default\", nullable, generated, options, inherited, comment",
            "na \"me | character varying(20) | pg_catalog.\"C\" | 2 | 'x'::character varying | f | - | {column_name=n} | f | c",
        ),
        (
            "insert into meta.foreign_column (id, type, generated, \"default\", position)
             values (meta.column_id('shop', 'F \"t', 'g'), 'int', 'stored', 'p + 1', 3) returning name, \"default\", generated, position, options",
            "g | (p + 1) | stored | 3 | -",
        ),
        (
            "update meta.foreign_column set name = 'n', type = 'text', collation_name = null, \"default\" = '1', nullable = true, options = '{x=y}',
                    comment = null where position = 2 returning name, type, collation_name, \"default\", nullable, options, comment",
            "n | text | - | 1 | t | {x=y} | -",
        ),
        (
            "update meta.foreign_column set generated = null, \"default\" = null, options = '{z=}' where name = 'g' returning generated, options",
            "- | {z=}",
        ),
        (
            "update meta.foreign_table set name = 'f', schema_name = 'public', inherits = null, options = '{x=y}', comment = 'm', owner = 'keeper' returning *",
            "(\"(public)\",f) | public | f | s | {x=y} | - | keeper | m",
        ),
        ("delete from meta.foreign_column where name = 'g' returning position", "3"),
        ("select string_agg(name, ',' order by position) from meta.foreign_column", "p,n"),
        ("delete from meta.foreign_table returning name", "f"),
        ("delete from meta.foreign_server returning name", "s"),
        ("delete from meta.foreign_data_wrapper returning name", "w"),
    ] {
        assert_eq!(rows(&client, sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn what_foreign_things_cannot_do_is_refused_with_the_reason() {
    let (database, client) = stage().await;
    client.sql(SCHEMA).await;
    client.sql("create role ann login").await;
    for (sql, expected) in [
        (
            "update meta.foreign_server set type = null where type is not null",
            "0A000 a foreign server keeps its type -- Drop it and make another.",
        ),
        (
            "update meta.foreign_server set foreign_data_wrapper_name = 'x'",
            "0A000 a foreign server keeps its foreign-data wrapper -- Drop it and make another.",
        ),
        (
            "update meta.foreign_table set server_name = 'x'",
            "0A000 a foreign table stays on its server -- Drop it and make another.",
        ),
        ("update meta.foreign_table set options = '{a}'", "22023 an option is name=value, which \"a\" is not"),
        (
            "update meta.foreign_data_wrapper set handler = 'f(); drop table shop.parent'",
            "22023 string is not a valid identifier: \"f(); drop table shop.parent\"",
        ),
        ("update meta.foreign_data_wrapper set handler = 'shop.nope'", "42883 function shop.nope() does not exist"),
        ("insert into meta.foreign_server (name) values ('x')", "23502 a foreign server's wrapper needs a name"),
        (
            "insert into meta.foreign_column (schema_name, relation_name, name, type) values ('shop', 'child', 'x', 'serial')",
            "42704 type \"serial\" does not exist -- A serial is an integer with generated = 'identity by default'.",
        ),
        (
            "insert into meta.foreign_column (schema_name, relation_name, name, type, generated) values ('shop', 'child', 'x', 'int', 'identity always')",
            "0A000 a foreign table has no identity columns -- Leave generated out.",
        ),
        (
            "insert into meta.foreign_column (schema_name, relation_name, name, type, position) values ('shop', 'child', 'x', 'int', 1)",
            "0A000 a new column comes last -- Leave position out.",
        ),
        ("update meta.foreign_column set position = 9", "0A000 a column stays in its place -- A new one comes last."),
        (
            "update meta.foreign_column set inherited = not inherited",
            "0A000 whether a column is inherited follows its table -- Update meta.foreign_table's inherits.",
        ),
        ("update meta.foreign_column set nullable = null", "23502 nullable is true or false"),
        (
            "delete from meta.foreign_server where name = 'near'",
            "2BP01 cannot drop server near because other objects depend on it -- Use DROP ... CASCADE to drop the dependent objects too.",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
    let ann = database.connect_as("ann").await;
    for (sql, expected) in [
        (
            "insert into meta.foreign_data_wrapper (name) values ('hers')",
            "42501 permission denied to create foreign-data wrapper \"hers\" -- Must be superuser to create a foreign-data wrapper.",
        ),
        (
            "insert into meta.foreign_server (name, foreign_data_wrapper_name) values ('hers', 'checked')",
            "42501 permission denied for foreign-data wrapper checked",
        ),
        (
            "update meta.foreign_server set version = '2' where name = 'near'",
            "42501 must be owner of foreign server near",
        ),
    ] {
        assert_eq!(refused(&ann, sql).await, expected, "{sql}");
    }
}
