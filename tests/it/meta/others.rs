//! Extensions, publications, and the comments of whatever can have one.

use super::{refused, rows, same, stage};

/// One of each kind of what can have a comment, as far as it takes no files, and a comment on it.
const COMMENTED: &str = r#"
    create schema shop; comment on schema shop is 'c';
    create schema "Odd ""schema"; comment on schema "Odd ""schema" is 'c';
    create table "Odd ""schema"."T a" (id int primary key, "C ü" int check ("C ü" > 0)); comment on table "Odd ""schema"."T a" is 'c';
    comment on column "Odd ""schema"."T a"."C ü" is 'c'; comment on constraint "T a_C ü_check" on "Odd ""schema"."T a" is 'c';
    comment on index "Odd ""schema"."T a_pkey" is 'c';
    create view shop.v as select 1 as x; comment on view shop.v is 'c'; comment on column shop.v.x is 'c';
    create materialized view shop.mv as select 1 as x; comment on materialized view shop.mv is 'c'; comment on column shop.mv.x is 'c';
    create sequence shop.s; comment on sequence shop.s is 'c';
    create type shop.comp as (a int); comment on type shop.comp is 'c'; comment on column shop.comp.a is 'c';
    create type shop."Mo od" as enum ('a'); comment on type shop."Mo od" is 'c';
    create domain shop."D d" as int constraint "K k" check (value > 0); comment on domain shop."D d" is 'c';
    comment on constraint "K k" on domain shop."D d" is 'c';
    create function shop.f(a int, b text[], c shop."Mo od", variadic e int[]) returns int language sql as 'select 1'; comment on function shop.f is 'c';
    create procedure shop.p(a int, inout b text) language sql as 'select ''a'''; comment on procedure shop.p is 'c';
    create aggregate shop."Ag g"(*) (sfunc = int8inc, stype = bigint, initcond = '0'); comment on aggregate shop."Ag g"(*) is 'c';
    create aggregate shop.a3(float8 order by anyelement)
        (sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_disc_final, finalfunc_extra);
    comment on aggregate shop.a3(float8 order by anyelement) is 'c';
    create function shop.neg(shop.comp) returns int language sql as 'select 1';
    create operator shop.!! (rightarg = shop.comp, function = shop.neg); comment on operator shop.!! (none, shop.comp) is 'c';
    create function shop.eq(shop.comp, int) returns bool language sql as 'select true';
    create operator shop.=== (leftarg = shop.comp, rightarg = int, function = shop.eq); comment on operator shop.=== (shop.comp, int) is 'c';
    create operator class shop."oc x" for type int using btree as operator 1 <, operator 3 =, function 1 btint4cmp(int, int);
    comment on operator class shop."oc x" using btree is 'c'; comment on operator family shop."oc x" using btree is 'c';
    create cast (shop.comp as int) with function shop.neg(shop.comp); comment on cast (shop.comp as int) is 'c';
    create collation shop."Co l" from "C"; comment on collation shop."Co l" is 'c';
    create conversion shop."Cv" for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8; comment on conversion shop."Cv" is 'c';
    create foreign data wrapper "W w"; comment on foreign data wrapper "W w" is 'c';
    create server "S s" foreign data wrapper "W w"; comment on server "S s" is 'c';
    create foreign table shop."Ft" (a int) server "S s"; comment on foreign table shop."Ft" is 'c'; comment on column shop."Ft".a is 'c';
    create publication "Pu b"; comment on publication "Pu b" is 'c';
    create function shop.trg() returns trigger language plpgsql as 'begin return new; end';
    create trigger "Tr g" before insert on "Odd ""schema"."T a" for each row execute function shop.trg();
    comment on trigger "Tr g" on "Odd ""schema"."T a" is 'c';
    create rule "Ru l" as on insert to "Odd ""schema"."T a" do also nothing; comment on rule "Ru l" on "Odd ""schema"."T a" is 'c';
    create policy "Po l" on "Odd ""schema"."T a"; comment on policy "Po l" on "Odd ""schema"."T a" is 'c';
    create statistics shop."St" on id, "C ü" from "Odd ""schema"."T a"; comment on statistics shop."St" is 'c';
    create text search configuration shop."Tc" (copy = simple); comment on text search configuration shop."Tc" is 'c';
    create text search dictionary shop."Td" (template = simple); comment on text search dictionary shop."Td" is 'c';
    create text search parser shop."Tp" (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);
    comment on text search parser shop."Tp" is 'c';
    create text search template shop."Tt" (lexize = dsimple_lexize); comment on text search template shop."Tt" is 'c';
    select lo_create(4242424); comment on large object 4242424 is 'c';
    create access method "Am" type table handler heap_tableam_handler; comment on access method "Am" is 'c';
    create function shop.etf() returns event_trigger language plpgsql as 'begin end';
    create event trigger "Et" on ddl_command_start execute function shop.etf(); comment on event trigger "Et" is 'c';
    create language "La ng" handler plpgsql_call_handler; comment on language "La ng" is 'c';
    create function shop.ts(internal) returns internal immutable language internal as 'int4out';
    create transform for shop.comp language sql (from sql with function shop.ts(internal));
    comment on transform for shop.comp language sql is 'c';
    create role keeper; comment on role keeper is 'c';
"#;

#[tokio::test]
async fn every_comment_is_shown_taken_away_and_made_again() {
    let (_database, client) = stage().await;
    client.sql(COMMENTED).await;
    let everything = "select classoid, objoid, objsubid, description from pg_description
                      union all select classoid, objoid, 0, description from pg_shdescription";
    client.sql(&format!("create temp table before as {everything}")).await;
    same(
        &client,
        "comments",
        "select object_type, object_names, object_args, comment from meta.comment where comment = 'c'",
        "select a.type, a.object_names, a.object_args, b.description
         from before b, pg_identify_object_as_address(b.classoid, b.objoid, b.objsubid) a where b.description = 'c'",
    )
    .await;
    // whatever the settings that change how names are written
    client.sql("set search_path = nowhere; set quote_all_identifiers = on").await;
    assert_eq!(
        client.text("select count(*) = count(distinct id) and bool_and(id = meta.comment_id(object_type, object_names, object_args)) from meta.comment").await,
        "t"
    );
    assert_eq!(client.text("select count(*) from meta.comment where comment = 'c'").await, "46");
    // Tidewire says of everything what it is, and PostgreSQL too
    let others = "select string_agg(identity, ', ' order by identity) from meta.comment where comment <> 'c' and object_type <> 'database'";
    assert_eq!(client.text(others).await, "plpgsql, public");
    client.sql("create temp table kept as select * from meta.comment; delete from meta.comment").await;
    assert_eq!(client.text("select count(*) from meta.comment").await, "0");
    client.sql("insert into meta.comment (id, comment) select id, comment from kept").await;
    same(&client, "made again", everything, "select * from before").await;
    client.sql("update meta.comment set comment = comment || '''!' where comment = 'c'").await;
    assert_eq!(client.text("select count(*) from meta.comment where comment = 'c''!'").await, "46");
}

#[tokio::test]
async fn a_comment_is_of_ones_own_and_of_what_there_is() {
    let (_database, client) = stage().await;
    client.sql("create table t (id int); comment on table t is 'c'; create function f(int, text) returns int language sql as 'select 1'").await;
    client.sql("create view v as select 1 as x").await;
    for (sql, expected) in [
        (
            "insert into meta.comment (object_type, object_names, object_args, comment) values ('function', '{public,f}', '{int4,text}', 'f') returning *",
            "(function,\"{public,f}\",\"{integer,pg_catalog.text}\") | function | {public,f} | {integer,pg_catalog.text} | public.f(integer,pg_catalog.text) | f",
        ),
        (
            "insert into meta.comment (object_type, object_names, comment) values ('table column', '{public,v,x}', 'x') returning *",
            "(\"view column\",\"{public,v,x}\",{}) | view column | {public,v,x} | {} | public.v.x | x",
        ),
        ("update meta.comment set comment = 'y' where identity = 'public.v.x' returning comment", "y"),
        ("delete from meta.comment where identity = 'public.v.x' returning comment", "y"),
        (
            "select string_agg(identity, ', ' order by identity) from meta.comment where object_names[1] = 'public'",
            "public, public.f(integer,pg_catalog.text), public.t",
        ),
    ] {
        assert_eq!(rows(&client, sql).await, [expected], "{sql}");
    }
    let not_shown = "Comments are not shown on what is PostgreSQL's, Tidewire's, an extension's, or another database.";
    for (sql, expected) in [
        (
            "insert into meta.comment (object_type, object_names, comment) values ('table', '{public,t}', 'x')",
            "23505 table public.t has a comment -- Update it.".to_owned(),
        ),
        (
            "insert into meta.comment (object_type, object_names, comment) values ('table', '{public,u}', 'x')",
            "42P01 relation \"public.u\" does not exist".to_owned(),
        ),
        (
            "insert into meta.comment (object_type, object_names, object_args, comment) values ('operator', '{public,!}', '{int}', 'x')",
            "42883 operator public.! (int) does not exist".to_owned(),
        ),
        (
            "insert into meta.comment (object_type, object_names, comment) values ('table', '{pg_catalog,pg_class}', 'x')",
            format!("0A000 table pg_catalog.pg_class is not yours to comment here -- {not_shown}"),
        ),
        (
            "insert into meta.comment (object_type, object_names, comment) values ('schema', '{event}', 'x')",
            format!("0A000 schema event is not yours to comment here -- {not_shown}"),
        ),
        (
            "insert into meta.comment (object_type, object_names, comment) values ('table', '{public,t}', '')",
            "23502 a comment has a text -- To take it away delete it.".to_owned(),
        ),
        (
            "update meta.comment set comment = null",
            "23502 a comment has a text -- To take it away delete it.".to_owned(),
        ),
        (
            "update meta.comment set object_names = '{public,u}'",
            "0A000 a comment stays with what it is of -- Insert one for the other object, and delete this one."
                .to_owned(),
        ),
        (
            "insert into meta.comment (comment) values ('x')",
            "23502 a comment needs what it is of -- Give object_type and object_names.".to_owned(),
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
}

const PUBLISHED: &str = r#"
    create schema shop; create schema "Odd ""schema"; create role keeper superuser;
    create table shop.a (id int primary key, "na me" text, n int);
    create table shop.b (id int primary key, "na me" text);
    create table "Odd ""schema"."c ""x" (id int primary key);
"#;

#[tokio::test]
async fn a_publication_is_made_changed_and_dropped_and_tidewires_own_is_not_there() {
    let (_database, client) = stage().await;
    client.sql(PUBLISHED).await;
    client.sql("set search_path = nowhere").await;
    for (sql, expected) in [
        (
            "insert into meta.publication (name) values ('Pub \"e') returning id, name, all_tables, tables, publish, via_root, owner, comment",
            "(\"Pub \"\"e\") | Pub \"e | f | - | {insert,update,delete,truncate} | f | postgres | -",
        ),
        (
            "insert into meta.publication (name, tables, publish, via_root, comment)
             values ('p', array[meta.relation_id('shop', 'b'), meta.relation_id('Odd \"schema', 'c \"x')], '{insert,truncate}', true, 'c''c')
             returning name, tables[1] = meta.relation_id('Odd \"schema', 'c \"x'), tables[2] = meta.relation_id('shop', 'b'), publish, via_root, comment",
            "p | t | t | {insert,truncate} | t | c'c",
        ),
        (
            "update meta.publication set tables = array_remove(tables, meta.relation_id('shop', 'b')) || meta.relation_id('shop', 'a'), via_root = false,
                    publish = '{}', name = 'P 2', comment = null, owner = 'keeper' where name = 'p'
             returning name, tables[2] = meta.relation_id('shop', 'a'), cardinality(tables), publish, via_root, owner, comment",
            "P 2 | t | 2 | {} | f | keeper | -",
        ),
        (
            "insert into meta.publication (name, all_tables, comment) values ('all', true, 'x') returning all_tables, tables, comment",
            "t | - | x",
        ),
    ] {
        assert_eq!(rows(&client, sql).await, [expected], "{sql}");
    }
    for (what, ours, theirs) in [
        (
            "publications",
            "select name, owner, all_tables, 'insert' = any (publish), 'update' = any (publish), 'delete' = any (publish),
                    'truncate' = any (publish), via_root from meta.publication",
            "select pubname::text, pg_get_userbyid(pubowner)::text, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot
             from pg_publication where pubname <> 'tidewire'",
        ),
        (
            "published tables",
            "select p.name, (t.schema_id).name, t.name from meta.publication p, unnest(p.tables) t",
            "select pubname::text, schemaname::text, tablename::text from pg_publication_tables where pubname not in ('tidewire', 'all')",
        ),
    ] {
        same(&client, what, ours, theirs).await;
    }
    for (sql, expected) in [
        (
            "update meta.publication set all_tables = true where name = 'P 2'",
            "0A000 whether a publication is of all tables stays -- Drop it and make another.",
        ),
        (
            "insert into meta.publication (name, all_tables, tables) values ('x', true, array[meta.relation_id('shop', 'b')])",
            "22023 a publication of all tables names none",
        ),
        ("update meta.publication set publish = null", "23502 publish is a list -- An empty one is {}."),
        ("update meta.publication set via_root = null", "23502 via_root is true or false"),
        (
            "insert into meta.publication (name, tables) values ('x', array[meta.relation_id('shop', 'nope')])",
            "42P01 relation \"shop.nope\" does not exist",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
    assert_eq!(rows(&client, "delete from meta.publication returning name").await.len(), 3);
}

#[tokio::test]
async fn a_publication_has_row_filters_columns_and_schemas() {
    let (_database, client) = stage().await;
    client.sql(PUBLISHED).await;
    let (a, b) = ("meta.relation_id('shop', 'a')", "meta.relation_id('shop', 'b')");
    if client.major().await < 15 {
        let insert = "insert into meta.publication (name, schemas) values ('p', '{shop}')";
        assert_eq!(
            refused(&client, insert).await,
            "0A000 before PostgreSQL 15 a publication is of whole tables -- Leave row_filters, columns and schemas out."
        );
        return;
    }
    for (sql, expected) in [
        (
            format!("insert into meta.publication (name, tables, row_filters, columns) values ('p', array[{b}, {a}], '{{id > 0 -- b}}',
                            array[meta.column_id('shop', 'a', 'na me'), meta.column_id('shop', 'a', 'id')]) returning row_filters, columns, schemas"),
            "{NULL,\"(id > 0)\"} | {\"(\\\"(\\\"\\\"(shop)\\\"\\\",a)\\\",id)\",\"(\\\"(\\\"\\\"(shop)\\\"\\\",a)\\\",\\\"na me\\\")\"} | -",
        ),
        (
            "update meta.publication set columns = null, schemas = '{\"Odd \\\"schema\"}', row_filters = '{n > 1,id > 0}' returning row_filters, columns, schemas".to_owned(),
            "{\"(n > 1)\",\"(id > 0)\"} | - | {\"Odd \\\"schema\"}",
        ),
        (
            format!("update meta.publication set tables = array[{b}], row_filters = '{{id < 0}}' returning cardinality(tables), row_filters, schemas"),
            "1 | {\"(id < 0)\"} | {\"Odd \\\"schema\"}",
        ),
        (
            format!("update meta.publication set tables = tables || {a}, schemas = '{{shop}}' returning cardinality(tables), row_filters, schemas"),
            "2 | {NULL,\"(id < 0)\"} | {shop}",
        ),
        ("update meta.publication set tables = null, row_filters = null returning tables, row_filters, schemas".to_owned(), "- | - | {shop}"),
        (
            format!("update meta.publication set schemas = null, tables = array[{b}, {a}], row_filters = '{{id = 1}}' returning row_filters, schemas"),
            "{NULL,\"(id = 1)\"} | -",
        ),
    ] {
        assert_eq!(rows(&client, &sql).await, [expected], "{sql}");
    }
    same(
        &client,
        "filters",
        "select (t.schema_id).name, t.name, p.row_filters[t.place] from meta.publication p, unnest(p.tables) with ordinality t(schema_id, name, place)",
        "select schemaname::text, tablename::text, rowfilter from pg_publication_tables where pubname = 'p'",
    )
    .await;
    for (sql, expected) in [
        (
            "update meta.publication set tables = tables[2:]",
            "22023 row_filters is by the places of tables -- Give both, or only put tables behind those that are there.",
        ),
        (
            "update meta.publication set row_filters = row_filters || '{x}'",
            "22023 row_filters is longer than tables -- A filter has the place that the table has in tables.",
        ),
        (
            "update meta.publication set columns = array[meta.column_id('shop', 'x', 'id')]",
            "22023 columns has some of a table that is not in tables",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn an_extension_is_created_moved_and_dropped() {
    let (_database, client) = stage().await;
    same(
        &client,
        "extensions",
        "select name, schema_name, version, relocatable, owner, comment from meta.extension",
        "select extname::text, extnamespace::regnamespace::text, extversion, extrelocatable, pg_get_userbyid(extowner)::text,
                obj_description(oid, 'pg_extension') from pg_extension",
    )
    .await;
    for (sql, expected) in [
        ("update meta.extension set name = 'x'", "0A000 an extension keeps its name -- Drop it and make another."),
        (
            "update meta.extension set owner = 'x'",
            "0A000 an extension belongs to who created it -- Drop it, and have the other one create it.",
        ),
        (
            "insert into meta.extension (name, owner) values ('x', 'y')",
            "0A000 an extension belongs to who creates it -- Leave owner out.",
        ),
        (
            "update meta.extension set relocatable = not relocatable",
            "0A000 whether an extension is relocatable is its own -- Leave relocatable as it is.",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
    if client.text("select count(*) from pg_available_extensions where name = 'hstore'").await == "0" {
        eprintln!("not tried: these server programs come without hstore");
        return;
    }
    client.sql("create schema shop; create schema store").await;
    for (sql, expected) in [
        (
            "insert into meta.extension (name, schema_name, version, comment) values ('hstore', 'shop', '1.4', 'h''s') returning *",
            "(hstore) | hstore | shop | 1.4 | t | postgres | h's",
        ),
        (
            "update meta.extension set schema_name = 'store', version = '1.6', comment = null where name = 'hstore' returning *",
            "(hstore) | hstore | store | 1.6 | t | postgres | -",
        ),
        (
            "update meta.extension set version = null where name = 'hstore'
             returning version = (select default_version from pg_available_extensions where name = 'hstore')",
            "t",
        ),
        ("delete from meta.extension where name = 'hstore' returning name", "hstore"),
        ("select count(*) from pg_extension where extname = 'hstore'", "0"),
    ] {
        assert_eq!(rows(&client, sql).await, [expected], "{sql}");
    }
}
