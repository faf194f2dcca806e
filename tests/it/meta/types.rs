//! Types, casts and operators: read and refused; types: written.

use super::{refused, rows, same, stage};

/// Every kind of type, cast and operator, odd names; and what is not to be shown.
const SCHEMA: &str = r#"
    create role keeper;
    create schema "Odd ""schema";
    create schema shop;
    create type shop.mood as enum ('sad', 'it''s "ok"', 'happy', E'back\\slash', 'Ünï');
    alter type shop.mood add value 'meh' after 'sad';
    alter type shop.mood owner to keeper;
    comment on type shop.mood is 'how it''s felt';
    create type shop.nothing as enum ();
    create domain shop.price as numeric(10,2) default 1.5 not null
        constraint positive check (value >= 0) constraint "Odd ""na'me" check (value < 1000000 and value <> 13);
    alter domain shop.price add constraint later check (value <> 7) not valid;
    create domain shop.code as text collate "C" default 'x''y' || upper('z');
    create domain "Odd ""schema"."Ünï" as shop.price;
    create type shop.pair as (a integer, "B ""b" varchar(20) collate "C", c shop.mood[], gone int, e timestamp(3) with time zone);
    alter type shop.pair drop attribute gone;
    create type shop.empty as ();
    create type shop.word as (w text);
    create type shop.floats as range (subtype = float8, subtype_diff = float8mi);
    create type shop."Words" as range (subtype = text, subtype_opclass = text_pattern_ops, collation = "C",
                                       multirange_type_name = "Odd ""schema"."Many ""words");
    create type shop.shell;
    create table shop.of_its_own (id int);
    create view shop.seen as select 1 as one;
    create function shop.length_of(shop.word, integer, boolean) returns integer language sql immutable as 'select length($1.w)';
    create function "Odd ""schema"."Fun ""c"(shop.word) returns shop.mood language sql immutable as 'select null::shop.mood';
    create function shop.same(shop.word, shop.word) returns boolean language sql immutable as 'select $1.w = $2.w';
    create function shop.loud(shop.word) returns text language sql immutable as 'select upper($1.w)';
    create cast (shop.word as integer) with function shop.length_of(shop.word, integer, boolean);
    create cast (shop.word as shop.mood) with function "Odd ""schema"."Fun ""c"(shop.word) as assignment;
    create cast (varchar as shop.mood) with inout as implicit;
    create cast (bytea as text) without function;
    create cast (shop.word as meta.schema_id) with inout;
    create operator shop.== (function = shop.same, leftarg = shop.word, rightarg = shop.word, commutator = operator(shop.==),
        negator = operator("Odd ""schema".!==), restrict = eqsel, join = eqjoinsel, hashes, merges);
    create operator shop.!! (function = shop.loud, rightarg = shop.word);
"#;

/// What meta says, and what PostgreSQL does.
const READ: &[(&str, &str, &str)] = &[
    (
        "types",
        "select schema_name, name, kind, owner from meta.type",
        r#"select nspname::text, typname::text, case typtype when 'e' then 'enum' when 'd' then 'domain' when 'c'
             then 'composite' when 'r' then 'range' end, typowner::regrole::text from pg_type t join pg_namespace n
             on n.oid = typnamespace left join pg_class c on c.oid = typrelid where nspname in ('shop',
             'Odd "schema') and typtype in ('e', 'd', 'c', 'r') and relkind is not distinct from case typtype when
             'c' then 'c'::"char" end"#,
    ),
    (
        "labels",
        "select name, u.* from meta.type, unnest(labels) with ordinality u",
        "select typname::text, enumlabel::text, row_number() over (partition by typname order by enumsortorder) from pg_enum join pg_type t on t.oid = enumtypid",
    ),
    (
        "attributes",
        "select name, a, t, c from meta.type, unnest(attribute_names, attribute_types, attribute_collations) u(a, t, c)",
        "select udt_name::text, attribute_name::text, (select format_type(atttypid, atttypmod) from pg_attribute
             where attrelid = format('%I.%I', udt_schema, udt_name)::regclass and attname = attribute_name),
             collation_schema || '.' || quote_ident(collation_name) from information_schema.attributes where
             udt_schema = 'shop'",
    ),
    (
        "domains",
        r#"select schema_name, name, "default", split_part(collation_name, '.', 2), regexp_replace(base_type, '\(.*|shop.price', '') from meta.type where kind = 'domain'"#,
        r#"select domain_schema::text, domain_name::text, domain_default::text, '"' || collation_name || '"', case
             when domain_name = 'Ünï' then '' else data_type::text end from information_schema.domains where
             domain_schema in ('shop', 'Odd "schema')"#,
    ),
    (
        "nullability",
        "select name from meta.type where not nullable",
        r#"select typname::text from pg_type where typtype = 'd' and typnotnull and typnamespace in ('shop'::regnamespace, '"Odd ""schema"'::regnamespace)"#,
    ),
    (
        "checks",
        "select name, c, format('CHECK (%s)', e) || case v when false then ' NOT VALID' else '' end from
             meta.type, unnest(check_names, check_expressions, check_validated) u(c, e, v)",
        r#"select typname::text, conname::text, pg_get_constraintdef(k.oid) from pg_constraint k join pg_type t on
             t.oid = contypid where contype = 'c' and typnamespace in ('shop'::regnamespace,
             '"Odd ""schema"'::regnamespace)"#,
    ),
    (
        "ranges",
        "select name, subtype, collation_name, subtype_opclass, subtype_diff, canonical, multirange_name from meta.type where kind = 'range'",
        r#"select typname::text, rngsubtype::regtype::text, case typname when 'Words' then 'pg_catalog."C"' end,
             (select 'pg_catalog.' || opcname from pg_opclass o where o.oid = rngsubopc and not opcdefault),
             'pg_catalog.' || nullif(rngsubdiff::text, '-'), nullif(rngcanonical::text, '-'),
             rngmultitypid::regtype::text from pg_range join pg_type t on t.oid = rngtypid where typnamespace in
             ('shop'::regnamespace, '"Odd ""schema"'::regnamespace)"#,
    ),
    (
        "casts",
        "select source_type, target_type, replace(function, ', ', ','), left(method, 1), left(context, 1) from meta.cast",
        "select castsource::regtype::text, casttarget::regtype::text, nullif(castfunc::regprocedure::text, '-'),
             castmethod::text, case castcontext when 'i' then 'i' else castcontext::text end from pg_cast where oid
             >= 16384 and 'meta' not in (select nspname from pg_type t join pg_namespace n on n.oid = typnamespace
             where t.oid in (castsource, casttarget)) and not exists (select from pg_range where rngtypid =
             castsource)",
    ),
    (
        "operators",
        "select format('%I.%s(%s,%s)', schema_name, name, coalesce(left_type, 'NONE'), right_type), result_type,
             function, commutator, negator, restrict_function, join_function, hashes, merges, owner from
             meta.operator",
        r#"select oid::regoperator::text, oprresult::regtype::text, oprcode::text, nullif(oprcom::regoper::text,
             '0'), nullif(oprnegate::regoper::text, '0'), 'pg_catalog.' || nullif(oprrest::text, '-'), 'pg_catalog.'
             || nullif(oprjoin::text, '-'), oprcanhash, oprcanmerge, oprowner::regrole::text from pg_operator where
             oprnamespace in ('shop'::regnamespace, '"Odd ""schema"'::regnamespace) and oprcode <> 0"#,
    ),
];

/// Each gives one row.
const WRITTEN: &[(&str, &str)] = &[
    (
        r#"insert into meta.type (schema_name, name, kind, labels, comment) values ('shop', 'Mo"od', 'enum', '{b,d}', 'it''s') returning *"#,
        r#"("(shop)","Mo""od") | shop | Mo"od | enum | {b,d} | - | - | - | - | - | - | - | - | - | - | - | - | - | - | - | - | postgres | it's"#,
    ),
    (
        "update meta.type set labels = '{a,b,c,d,e}', name = 'mood', schema_name = 'store', comment = null, owner = 'ann' returning id, labels, owner, comment",
        r#"("(store)",mood) | {a,b,c,d,e} | ann | -"#,
    ),
    ("update meta.type set labels = '{a,b,C,d,it''s}' where name = 'mood' returning labels", "{a,b,C,d,it's}"),
    (
        r#"insert into meta.type (id, kind, attribute_names, attribute_types) values (meta.type_id('shop', 'pair'),
             'composite', '{a,"B \"b",c}', '{int -- x,store.mood[],varchar(9)}') returning *"#,
        r#"("(shop)",pair) | shop | pair | composite | - | {a,"B \"b",c} | {integer,store.mood[],"character varying(9)"} | - | - | - | - | - | - | - | - | - | - | - | - | - | - | postgres | -"#,
    ),
    (
        r#"update meta.type set attribute_names = '{a,bee,c,d}', attribute_types =
             '{bigint,store.mood[],character varying(9),text}', attribute_collations = '{NULL,NULL,"\"C\""}' where
             name = 'pair' returning attribute_names, attribute_types, attribute_collations"#,
        r#"{a,bee,c,d} | {bigint,store.mood[],"character varying(9)",text} | {NULL,NULL,"pg_catalog.\"C\"",NULL}"#,
    ),
    (
        "update meta.type set attribute_names = '{bee,z}', attribute_types = '{store.mood[],int}',
             attribute_collations = null where name = 'pair' returning attribute_names, attribute_types,
             attribute_collations",
        "{bee,z} | {store.mood[],integer} | -",
    ),
    (
        r#"insert into meta.type (schema_name, name, kind, base_type, collation_name, "default", nullable,
             check_expressions, check_names, check_validated, owner) values ('shop', 'code', 'domain',
             'varchar(9) -- x', '"C"', '''x'' -- d', false, '{value <> ''a'' -- y, length(value) < 8}', '{one,NULL}',
             '{t,f}', 'ann') returning *"#,
        r#"("(shop)",code) | shop | code | domain | - | - | - | - | character varying(9) | pg_catalog."C" | 'x'::character varying | f | - | {code_check,one} | {"(length((VALUE)::text) < 8)","((VALUE)::text <> 'a'::text)"} | {f,t} | - | - | - | - | - | ann | -"#,
    ),
    (
        r#"update meta.type set "default" = null, nullable = true, check_names = '{two,one,z}', check_expressions =
             check_expressions || 'value is not null'::text, check_validated = null, name = 'coda' where name =
             'code' returning name, "default", nullable, check_names, check_expressions, check_validated"#,
        r#"coda | - | t | {one,two,z} | {"((VALUE)::text <> 'a'::text)","(length((VALUE)::text) < 8)","(VALUE IS NOT NULL)"} | -"#,
    ),
    (
        r#"update meta.type set check_names = '{two}', check_expressions = '{value <> ''q''}', "default" = '1'
             where name = 'coda' returning "default", check_names, check_expressions, check_validated"#,
        r#"1 | {two} | {"((VALUE)::text <> 'q'::text)"} | -"#,
    ),
    (
        r#"insert into meta.type (schema_name, name, kind, subtype, subtype_diff, multirange_name) values ('shop', 'r', 'range', 'float8', 'float8mi', '"Mul ti"') returning *"#,
        r#"("(shop)",r) | shop | r | range | - | - | - | - | - | - | - | - | - | - | - | - | double precision | - | pg_catalog.float8mi | - | shop."Mul ti" | postgres | -"#,
    ),
    (
        "update meta.type set multirange_name = 'store.many', name = 'q', schema_name = 'store', owner = 'ann',
             comment = 'c' where name = 'r' returning id, multirange_name, owner, comment",
        r#"("(store)",q) | store.many | ann | c"#,
    ),
    ("delete from meta.type where name = 'pair' returning id, kind", r#"("(shop)",pair) | composite"#),
];

/// The same of what came with PostgreSQL 17.
const NAMED: &[(&str, &str)] = &[
    (
        "insert into meta.type (schema_name, name, kind, base_type, nullable, not_null_name) values ('shop', 'n',
             'domain', 'int', false, 'my nn') returning nullable, not_null_name",
        "f | my nn",
    ),
    ("update meta.type set not_null_name = null where name = 'n' returning nullable, not_null_name", "f | -"),
    ("update meta.type set nullable = true where name = 'n' returning nullable, not_null_name", "t | -"),
];

/// Code, message and hint.
const REFUSED: &[(&str, &str)] = &[
    (
        "update meta.type set labels = '{a,b}' where name = 'mood'",
        "0A000 the labels of an enum stay, in their order -- Labels can be added, or renamed while their number stays. To remove one make another type.",
    ),
    (
        "update meta.type set labels = '{a,c,b}' where name = 'mood'",
        "0A000 a label stays in its place -- Make another type.",
    ),
    (
        "update meta.type set labels = '{a,x,y,z}' where name = 'mood'",
        "0A000 the labels of an enum stay, in their order -- Labels can be added, or renamed while their number stays. To remove one make another type.",
    ),
    ("update meta.type set labels = '{a,b,c,NULL}' where name = 'mood'", "23502 a label needs a text"),
    (
        "update meta.type set kind = 'domain' where name = 'mood'",
        "0A000 a type stays of its kind -- Drop it and make another.",
    ),
    (
        "update meta.type set id = meta.type_id('a', 'b') where name = 'mood'",
        "0A000 an id follows the names that it is made of -- Update schema_name or name.",
    ),
    ("update meta.type set owner = null where name = 'mood'", "23502 a type's owner needs a name"),
    (
        "update meta.type set attribute_names = '{b,a}' where name = 'pair'",
        "0A000 an attribute stays in its place -- A new one comes last.",
    ),
    (
        "update meta.type set attribute_names = '{a}' where name = 'pair'",
        "22023 each attribute has a name and a type -- attribute_names, attribute_types and attribute_collations go side by side.",
    ),
    ("update meta.type set attribute_types = '{int,NULL}' where name = 'pair'", "23502 an attribute needs a type"),
    (
        "update meta.type set attribute_types = '{integer,bigint}' where name = 'pair'",
        r#"0A000 cannot alter type "pair" because column "t.p" uses it"#,
    ),
    (
        "update meta.type set base_type = 'bigint' where name = 'd'",
        "0A000 a type keeps its base_type, its subtype and its collation -- Drop it and make another.",
    ),
    ("update meta.type set nullable = null where name = 'd'", "23502 nullable is true or false"),
    (
        "update meta.type set check_validated = '{f}' where name = 'd'",
        "0A000 what a check has looked at stays so -- Leave check_validated as it is.",
    ),
    (
        "update meta.type set check_names = '{one,one}', check_expressions = '{true,true}' where name = 'd'",
        r#"42710 there are two of the name "one""#,
    ),
    ("update meta.type set labels = '{}' where name = 'd'", "22023 a type of kind domain has no labels"),
    (
        "update meta.type set subtype_diff = null where name = 'r'",
        "0A000 a range keeps its operator class and functions -- Drop it and make another.",
    ),
    ("update meta.type set multirange_name = null where name = 'r'", "23502 a multirange needs a name"),
    (
        "insert into meta.type (schema_name, name, kind) values ('shop', 'x', 'base')",
        "0A000 a base type is made of functions in C -- Run CREATE TYPE, or CREATE EXTENSION, as SQL.",
    ),
    (
        "insert into meta.type (schema_name, name) values ('shop', 'x')",
        "22023 a type is an enum, a domain, a composite type or a range -- kind is enum, domain, composite or range.",
    ),
    (
        "insert into meta.type (schema_name, name, kind) values ('shop', 'x', 'domain')",
        "23502 a domain needs a base_type",
    ),
    (
        "insert into meta.type (schema_name, name, kind, labels) values ('shop', repeat('x', 64), 'enum', '{a}')",
        "42602 a name has 1 to 63 bytes",
    ),
    (
        "insert into meta.type (schema_name, name, kind, base_type) values ('shop', 'x', 'domain', 'int; drop table shop.t')",
        r#"42601 syntax error at or near ";""#,
    ),
    (
        "insert into meta.type (schema_name, name, kind, subtype, multirange_name) values ('shop', 'x', 'range', 'int', 'x) ; drop table shop.t')",
        r#"22023 string is not a valid identifier: "x) ; drop table shop.t""#,
    ),
    (
        "delete from meta.type where name = 'pair'",
        "2BP01 cannot drop type shop.pair because other objects depend on it -- Use DROP ... CASCADE to drop the dependent objects too.",
    ),
    (
        "update meta.cast set target_type = 'integer'",
        "0A000 a cast stays between its types -- Delete this cast and insert another.",
    ),
    (
        "update meta.cast set context = 'maybe'",
        r#"22023 the context of a cast is not "maybe" -- context is explicit, assignment or implicit."#,
    ),
    (
        "update meta.cast set method = 'function'",
        "22023 a cast is done by a function, by way of its text, or not at all -- Either function is given, or method is inout or binary.",
    ),
    (
        "insert into meta.cast (source_type, target_type, function) values ('text', 'shop.mood', 'shop.none(text)')",
        r#"42883 function "shop.none(text)" does not exist"#,
    ),
    ("insert into meta.cast (source_type) values ('text')", "23502 a cast needs a source_type and a target_type"),
    (
        "update meta.operator set name = '<>'",
        "0A000 an operator keeps its name, its types and its function -- Drop it and make another.",
    ),
    (
        "update meta.operator set negator = null",
        "0A000 a commutator or negator stays, and so do hashes and merges -- Drop the operator and make another.",
    ),
    (
        "update meta.operator set hashes = false",
        "0A000 a commutator or negator stays, and so do hashes and merges -- Drop the operator and make another.",
    ),
    (
        "update meta.operator set result_type = 'text'",
        "0A000 an operator keeps its name, its types and its function -- Drop it and make another.",
    ),
    (
        "insert into meta.operator (schema_name, name, right_type, function) values ('shop', '+/*', 'shop.mood', 'shop.same')",
        r#"42602 "+/*" is not a name for an operator -- It is made of + - * / < > = ~ ! @ # % ^ & | ` ? without -- and /*."#,
    ),
    (
        "insert into meta.operator (schema_name, name, right_type, function, result_type) values ('shop', '@', 'shop.mood', 'shop.same', 'text')",
        "0A000 what an operator gives is what its function returns -- Leave result_type out.",
    ),
    (
        "insert into meta.operator (schema_name, name, right_type) values ('shop', '@', 'shop.mood')",
        "23502 an operator needs a right_type and a function",
    ),
    (
        "insert into meta.operator (schema_name, name, right_type, function) values ('shop', '@', 'shop.mood', 'x); drop table shop.t; --')",
        r#"22023 string is not a valid identifier: "x); drop table shop.t; --""#,
    ),
];

#[tokio::test]
async fn types_casts_and_operators_are_what_postgresqls_own_catalog_says() {
    let (_database, client) = stage().await;
    client.sql(SCHEMA).await;
    // nothing is found by the search path: every name is told with its schema
    client.sql("set search_path = pg_catalog").await;
    for (what, ours, theirs) in READ {
        same(&client, what, ours, theirs).await;
    }
    assert_eq!(client.text("select string_agg(comment, '') from meta.type").await, "how it's felt");
    for (relation, id) in [
        ("type", "meta.type_id(schema_name, name)"),
        ("cast", "meta.cast_id(source_type, target_type)"),
        ("operator", "meta.operator_id(schema_name, name, left_type, right_type)"),
    ] {
        let differing = format!(
            "select count(*) filter (where id is distinct from {id}), count(distinct id), count(*) from meta.{relation}"
        );
        let counted = rows(&client, &differing).await.remove(0);
        let count = counted.rsplit(" | ").next().unwrap();
        assert!(counted == format!("0 | {count} | {count}") && count != "0", "{relation}: {counted}");
    }
}

#[tokio::test]
async fn a_type_of_each_kind_is_made_and_altered_and_dropped() {
    let (_database, client) = stage().await;
    client.sql("create schema shop; create schema store; create role ann; set search_path = pg_catalog").await;
    for (sql, expected) in WRITTEN {
        assert_eq!(rows(&client, sql).await, [*expected], "{sql}");
    }
    // what a check is commented with stays when it checks something else
    client.sql("comment on constraint two on domain shop.coda is 'why'").await;
    client.sql("update meta.type set check_expressions = '{value <> ''r''}' where name = 'coda'").await;
    let comment = "select obj_description(oid, 'pg_constraint') from pg_constraint where conname = 'two'";
    assert_eq!(client.text(comment).await, "why");
    if client.text("select current_setting('server_version_num')::int >= 170000").await == "t" {
        for (sql, expected) in NAMED {
            assert_eq!(rows(&client, sql).await, [*expected], "{sql}");
        }
    }
    // an update that changes nothing does nothing
    let update = "update meta.type set name = name, labels = labels, check_names = check_names, attribute_types = attribute_types";
    client.sql(&format!("begin; {update}")).await;
    assert_eq!(rows(&client, "select pg_current_xact_id_if_assigned()").await, ["-"]);
    client.sql("commit; delete from meta.type").await;
    let left = "select count(*) from pg_type where typnamespace in ('shop'::regnamespace, 'store'::regnamespace)";
    assert_eq!(client.text(left).await, "0");
}

#[tokio::test]
async fn what_types_casts_and_operators_have_no_ddl_for_is_refused_with_the_reason() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create schema shop; create type shop.mood as enum ('a', 'b', 'c'); create type shop.pair as (a int, b
             int); create domain shop.d as int constraint one check (value > 0); create type shop.r as range (subtype
             = float8, subtype_diff = float8mi); create table shop.t (p shop.pair); create cast (varchar as
             shop.mood) with inout; create function shop.same(shop.mood, shop.mood) returns boolean language sql
             immutable as 'select true'; create operator shop.== (function = shop.same, leftarg = shop.mood, rightarg
             = shop.mood, hashes, negator = operator(shop.!==))",
        )
        .await;
    for (sql, expected) in REFUSED {
        assert_eq!(refused(&client, sql).await, *expected, "{sql}");
    }
    assert_eq!(client.text("select count(*) from pg_tables where schemaname = 'shop'").await, "1");
}
