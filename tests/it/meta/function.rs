//! Functions, procedures, aggregates and their parameters: read (with triggers), written, refused.

use super::{refused, rows, same, stage};

/// What functions and triggers there can be.
const SCHEMA: &str = include_str!("sample/function.sql");

#[tokio::test]
async fn functions_parameters_and_triggers_are_what_postgresqls_own_catalog_says() {
    let (_database, client) = stage().await;
    client.sql("create role keeper; create role clerk").await;
    client.sql(&SCHEMA.replace("programs", "shop")).await;
    // nothing is found by the search path: every name is told with its schema
    client.sql("set search_path = pg_catalog").await;
    for (what, ours, theirs) in [
        (
            "functions",
            "select format('%I.%I(%s)', schema_name, name, array_to_string(parameter_types, ',')), kind, parameters, returns, language,
                    security_definer, volatility, \"strict\", leakproof, cost, rows, settings, owner, comment
             from meta.function",
            "select oid::regprocedure::text, (array['function', 'procedure', 'aggregate', 'window'])[position(prokind in 'fpaw')],
                    pg_get_function_arguments(oid), pg_get_function_result(oid),
                    case when prokind <> 'a' then (select lanname::text from pg_language l where l.oid = prolang) end, prosecdef,
                    case when plain then (array['immutable', 'stable', 'volatile'])[position(provolatile in 'isv')] end,
                    case when plain then proisstrict end, case when plain then proleakproof end, case when plain then procost end,
                    nullif(prorows, 0), proconfig, proowner::regrole::text, obj_description(oid, 'pg_proc')
             from pg_proc, lateral (select prokind in ('f', 'w') as plain) k
             where pronamespace::regnamespace::text in ('public', 'shop', '\"Odd \"\"schema\"')",
        ),
        (
            "bodies",
            "select schema_name, name, body from meta.function where language is not null",
            "select n.nspname::text, p.proname::text, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
             from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('shop', 'Odd \"schema') and p.prokind <> 'a'",
        ),
        (
            "parameters",
            "select schema_name, function_name, position, name, \"default\",
                    case when mode in ('in', 'variadic') then 'IN' when mode = 'inout' then 'INOUT' else 'OUT' end from meta.function_parameter",
            "select specific_schema::text, regexp_replace(specific_name, '_\\d+$', ''), ordinal_position::integer, parameter_name::text,
                    parameter_default::text, parameter_mode::text
             from information_schema.parameters where specific_schema in ('shop', 'Odd \"schema')",
        ),
        (
            "parameter types",
            "select schema_name, function_name, position, type from meta.function_parameter",
            "select n.nspname::text, p.proname::text, u.place::integer, u.type::regtype::text
             from pg_proc p join pg_namespace n on n.oid = p.pronamespace,
                  unnest(coalesce(proallargtypes, proargtypes::oid[])) with ordinality as u(type, place)
             where n.nspname in ('shop', 'Odd \"schema')",
        ),
        (
            "triggers",
            "select schema_name, relation_name, name, upper(event), lower(condition), upper(level), upper(timing), old_table, new_table
             from meta.trigger, unnest(events) as event where event <> 'truncate' and not name like 'Ev%' and not inherited",
            "select event_object_schema::text, event_object_table::text, trigger_name::text, event_manipulation::text, lower(action_condition),
                    action_orientation::text, action_timing::text, action_reference_old_table::text, action_reference_new_table::text
             from information_schema.triggers
             where trigger_schema in ('shop', 'Odd \"schema') and not trigger_name like 'Ev%' and event_object_table <> 'parted_1'",
        ),
    ] {
        same(&client, what, ours, theirs).await;
    }
    let odd = "select events, update_columns, arguments, function_schema_name, function_name, condition from meta.trigger where name like 'Ev%'";
    assert_eq!(
        rows(&client, odd).await,
        [
            r#"{insert,update,delete} | {"Pri\"ce",tags} | {a,"",it's,"b\\c","\\000",Ünï,") EXECUTE FUNCTION shop.nothing("} | Odd "schema | Trig ger | -"#
        ]
    );
    for (relation, id) in [
        ("function", "meta.function_id(schema_name, name, parameter_types)"),
        ("function_parameter", "meta.function_parameter_id(schema_name, function_name, parameter_types, position)"),
        ("trigger", "meta.trigger_id(schema_name, relation_name, name)"),
    ] {
        let differing = format!(
            "select count(*) filter (where id is distinct from {id}) || ' of ' || (count(distinct id) = count(*)) || ' ' || (count(*) > 9) from meta.{relation}"
        );
        assert_eq!(client.text(&differing).await, "0 of true true", "{relation}");
    }
}

#[tokio::test]
async fn functions_procedures_and_aggregates_are_made_changed_and_dropped() {
    let (_database, client) = stage().await;
    client.sql("create schema shop; create schema other; create role keeper; create role clerk").await;
    for (sql, expected) in [
        (
            r#"insert into meta.function (schema_name, name, parameters, returns, language, body, comment, owner) values ('shop', 'F"x', 'a int, b text default ''it''''s'' -- b', 'text -- t', 'sql', 'select b || a', 'c', 'keeper') returning id, parameter_types, kind, parameters, returns, language, body, volatility, cost, owner, comment"#,
            r#"("(shop)","F""x","{integer,text}") | {integer,text} | function | a integer, b text DEFAULT 'it''s'::text | text | sql | select b || a | volatile | 100 | keeper | c"#,
        ),
        (
            r#"insert into meta.function (schema_name, name, parameters, returns, body, body_is_sql, "strict", rows, settings, volatility, parallel) values ('shop', 'F"x', 'bigint', 'setof bigint', 'return $1 + 1 -- one', true, true, 5, '{"search_path=a, \"B \"\"c\", \"$user\"",work_mem=1MB,"DateStyle=ISO, DMY"}', 'stable', 'safe') returning id, body, body_is_sql, "strict", rows, settings, volatility, parallel, owner, comment"#,
            r#"("(shop)","F""x",{bigint}) | RETURN ($1 + 1) | t | t | 5 | {"search_path=a, \"B \"\"c\", \"$user\"",work_mem=1MB,"DateStyle=ISO, DMY"} | stable | safe | postgres | -"#,
        ),
        (
            r#"insert into meta.function (id, kind, language, body) values (meta.function_id('shop', 'pay', '{integer}'), 'procedure', 'plpgsql', 'begin null; end') returning id, kind, parameters, returns, volatility, "strict", parallel, cost"#,
            r#"("(shop)",pay,{integer}) | procedure | IN integer | - | - | - | - | -"#,
        ),
        (
            "insert into meta.function (schema_name, name, kind, parameters, language, body, comment) values ('shop', 'pay', 'procedure', 'in a bigint, out b text', 'plpgsql', 'begin b := a; end', 'x') returning id, parameters, comment",
            r#"("(shop)",pay,{bigint}) | IN a bigint, OUT b text | x"#,
        ),
        (
            "insert into meta.function (schema_name, name, kind, parameters, body, parallel, comment) values ('shop', 'total', 'aggregate', 'numeric', 'sfunc = numeric_add, stype = numeric, initcond = ''0.5'' -- s', 'safe', 'sum') returning id, parameters, returns, language, body, parallel, cost, comment",
            r#"("(shop)",total,{numeric}) | numeric | numeric | - | sfunc = pg_catalog.numeric_add, stype = numeric, initcond = '0.5' | safe | - | sum"#,
        ),
        (
            "insert into meta.function (schema_name, name, kind, body) values ('shop', 'counted', 'aggregate', 'sfunc = int8inc, stype = bigint, initcond = 0') returning id, parameters, returns",
            r#"("(shop)",counted,{}) |  | bigint"#,
        ),
        (
            r#"insert into meta.function (schema_name, name, parameters, returns, language, body) values ('shop', 'two', 'n integer, double precision, variadic more text[] default ''{a}''', 'table (a int, "B b" text)', 'sql', 'select n, more[1]') returning id, parameters, returns, rows"#,
            r#"("(shop)",two,"{integer,""double precision"",text[]}") | n integer, double precision, VARIADIC more text[] DEFAULT '{a}'::text[] | TABLE(a integer, "B b" text) | 1000"#,
        ),
        (
            r#"update meta.function set body = 'select b || a || 1', volatility = 'stable', "strict" = true, cost = 0.3, settings = array['search_path=""'], name = 'g', schema_name = 'other', comment = null, owner = 'clerk' where comment = 'c' returning id, body, volatility, "strict", cost, settings, owner, comment"#,
            r#"("(other)",g,"{integer,text}") | select b || a || 1 | stable | t | 0.3 | {"search_path=\"\""} | clerk | -"#,
        ),
        (
            r#"update meta.function set volatility = 'immutable', "strict" = false, security_definer = true, leakproof = true, parallel = 'restricted', cost = null, settings = '{work_mem=2MB}' where name = 'g' returning body, volatility, "strict", security_definer, leakproof, parallel, cost, settings, owner"#,
            "select b || a || 1 | immutable | f | t | t | restricted | 100 | {work_mem=2MB} | clerk",
        ),
        (
            "update meta.function set parameters = 'a int, b text default ''y'' || 1', language = 'plpgsql', body = 'begin return b; end' where name = 'g' returning parameters, language, body, volatility, security_definer, settings, owner",
            "a integer, b text DEFAULT ('y'::text || 1) | plpgsql | begin return b; end | immutable | t | {work_mem=2MB} | clerk",
        ),
        (
            r#"update meta.function set rows = null, settings = array_remove(settings, 'work_mem=1MB') where name = 'F"x' returning rows, settings"#,
            r#"1000 | {"search_path=a, \"B \"\"c\", \"$user\"","DateStyle=ISO, DMY"}"#,
        ),
        (
            "update meta.function set security_definer = true, settings = '{work_mem=1MB}', comment = 'in', name = 'paid' where parameters = 'IN a bigint, OUT b text' returning id, security_definer, settings, comment",
            r#"("(shop)",paid,{bigint}) | t | {work_mem=1MB} | in"#,
        ),
        (
            "update meta.function set body = 'sfunc = numeric_add, stype = numeric', parallel = 'unsafe', owner = 'keeper', name = 'sum', comment = null where name = 'total' returning id, body, parallel, owner, comment",
            r#"("(shop)",sum,{numeric}) | sfunc = pg_catalog.numeric_add, stype = numeric | unsafe | keeper | -"#,
        ),
        (
            r#"update meta.function_parameter set "default" = '''{b}'' -- c' where function_name = 'two' and position = 3 returning id, name, mode, type, "default""#,
            r#"("(""(shop)"",two,""{integer,""""double precision"""",text[]}"")",3) | more | variadic | text[] | '{b}'::text[]"#,
        ),
        (
            r#"update meta.function_parameter set name = 'Fa"ctor' where function_name = 'two' and position = 2 returning position, name, mode, type, "default""#,
            r#"2 | Fa"ctor | in | double precision | -"#,
        ),
        (r#"select other.g(1), shop."F""x"(41), shop.sum(v) from (values (1.5), (2)) as t(v)"#, "y1 | 42 | 3.5"),
    ] {
        assert_eq!(rows(&client, sql).await, [expected], "{sql}");
    }
    assert_eq!(
        rows(&client, "select mode, name, type, \"default\" from meta.function_parameter where function_name = 'two' order by position").await,
        ["in | n | integer | -", r#"in | Fa"ctor | double precision | -"#, "variadic | more | text[] | '{b}'::text[]", "table | a | integer | -", "table | B b | text | -"]
    );
    client.sql("delete from meta.function").await;
    assert_eq!(
        client.text("select count(*) from pg_proc where pronamespace::regnamespace::text in ('shop', 'other')").await,
        "0"
    );
}

#[tokio::test]
async fn what_a_function_cannot_become_is_refused_with_the_reason() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create table t (id int); create function f(a integer default 1) returns int language sql as 'select 1';
             create procedure p() language sql as 'select 1'; create aggregate a(numeric) (sfunc = numeric_add, stype = numeric);
             create function tf() returns trigger language plpgsql as 'begin return new; end';
             create trigger t before insert on t for each row execute function tf()",
        )
        .await;
    for (sql, expected) in [
        (
            "update meta.function set parameters = 'a bigint' where name = 'f'",
            "0A000 a function keeps the types of its parameters -- Drop it and make another.",
        ),
        (
            "update meta.function set parameter_types = '{bigint}' where name = 'f'",
            "0A000 a function keeps the types of its parameters -- Drop it and make another.",
        ),
        (
            "update meta.function set parameters = 'a integer' where name = 'f'",
            "42P13 cannot remove parameter defaults from existing function -- Use DROP FUNCTION f(integer) first.",
        ),
        (
            "update meta.function set kind = 'procedure' where name = 'f'",
            "0A000 a function stays one, as a procedure and an aggregate do -- Drop it and make another.",
        ),
        (
            "update meta.function set id = meta.function_id('a', 'b', '{}')",
            "0A000 an id follows the names that it is made of -- Update schema_name or name.",
        ),
        (
            "update meta.function set volatility = null where name = 'f'",
            "22023 volatility is one of immutable, stable, volatile",
        ),
        (r#"update meta.function set "strict" = null where name = 'f'"#, "23502 strict is true or false"),
        ("update meta.function set owner = null where name = 'f'", "23502 a function's owner needs a name"),
        (
            "update meta.function set parallel = 'perhaps' where name = 'f'",
            "22023 parallel is one of safe, restricted, unsafe",
        ),
        ("update meta.function set settings = '{work_mem}' where name = 'f'", "22023 a setting is name=value"),
        (
            "update meta.function set cost = 5 where name = 'a'",
            "0A000 an aggregate has no language, volatility, cost or settings of its own -- The functions that it is made of have.",
        ),
        (
            "update meta.function set returns = 'text' where name = 'a'",
            "0A000 what an aggregate returns follows the functions that it is made of -- Update body.",
        ),
        (
            "update meta.function set returns = 'text' where name = 'p'",
            "0A000 a procedure returns nothing -- What it gives back are its out and inout parameters.",
        ),
        ("update meta.function set cost = 5 where name = 'p'", "42P13 invalid attribute in procedure definition"),
        (
            "insert into meta.function (schema_name, name, body, language) values ('public', 'x', 'select 1', 'sql')",
            "42P13 function result type must be specified",
        ),
        (
            "insert into meta.function (schema_name, name, body, returns) values ('public', 'x', 'select 1', 'int')",
            "42P13 no language specified",
        ),
        (
            "insert into meta.function (schema_name, name, parameters, language, returns, body) values ('public', 'f', 'b int', 'sql', 'int', 'select 1')",
            r#"42723 function "f" already exists with same argument types"#,
        ),
        (
            "delete from meta.function where name = 'tf'",
            "2BP01 cannot drop function tf() because other objects depend on it -- Use DROP ... CASCADE to drop the dependent objects too.",
        ),
        (
            "insert into meta.function_parameter (schema_name, function_name, position) values ('public', 'f', 2)",
            "0A000 a parameter comes with its function -- Insert a function with it into meta.function.",
        ),
        (
            "delete from meta.function_parameter where function_name = 'f'",
            "0A000 a parameter goes with its function -- Drop the function and make another.",
        ),
        (
            "update meta.function_parameter set name = 'b' where function_name = 'f'",
            r#"42P13 cannot change name of input parameter "a" -- Use DROP FUNCTION f(integer) first."#,
        ),
        (
            "update meta.function_parameter set type = 'text' where function_name = 'f'",
            "0A000 a parameter keeps its place, mode and type -- Drop the function and make another.",
        ),
        (
            "update meta.function_parameter set name = 'x' where function_name = 'a'",
            "0A000 an aggregate keeps its parameters -- Drop it and make another.",
        ),
    ] {
        assert_eq!(refused(&client, sql).await, expected, "{sql}");
    }
}

/// To replace a thing is to say all of it once more: that is read as it was meant, whatever is in the caller's search path.
#[tokio::test]
async fn what_is_said_again_to_replace_a_function_or_a_trigger_keeps_its_meaning() {
    let (_database, client) = stage().await;
    client
        .sql(
            "create schema evil; create schema own; create table caught (who text);
             create function evil.trap(text, text) returns text language plpgsql as $$ begin insert into public.caught values ('||'); return 'evil'; end $$;
             create function evil.trap(integer, integer) returns integer language plpgsql as $$ begin insert into public.caught values ('+'); return 6; end $$;
             create function evil.lower(text) returns text language plpgsql as $$ begin insert into public.caught values ('lower'); return 'evil'; end $$;
             create operator evil.|| (leftarg = text, rightarg = text, function = evil.trap);
             create operator evil.+ (leftarg = integer, rightarg = integer, function = evil.trap);
             create function own.f(a text default lower('X') || 'y', b integer default 1 + 1) returns text
                 language sql return $1 || lower($1) || (b + 1);
             create function own.g(a text default lower('X') || 'y', b integer default 1 + 1) returns text language plpgsql as 'begin return 1; end';
             create table own.t (a int, v text);
             create function own.tf() returns trigger language plpgsql as 'begin return new; end';
             create trigger tr before update on own.t for each row when (old.a + 1 <> new.a + 2 and old.v = lower(new.v)) execute function own.tf();
             set search_path = evil, pg_catalog",
        )
        .await;
    for (sql, expected) in [
        (
            "update meta.function set body = 'begin return 2; end', comment = 'x', settings = '{work_mem=1MB}' where name = 'g' returning parameters, returns, body, settings, comment",
            "a text DEFAULT (lower('X'::text) || 'y'::text), b integer DEFAULT (1 + 1) | text | begin return 2; end | {work_mem=1MB} | x",
        ),
        (
            "update meta.function set security_definer = true, returns = 'text ' where name = 'f' returning parameters, body",
            "a text DEFAULT (lower('X'::text) || 'y'::text), b integer DEFAULT (1 + 1) | RETURN ((a || lower(a)) || (b + 1))",
        ),
        (
            r#"update meta.function_parameter set "default" = '5' where function_name = 'f' and position = 2 returning "default""#,
            "5",
        ),
        (
            "update meta.function set parameters = pg_catalog.concat(parameters, ' '), cost = 3 where name = 'f' returning parameters",
            "a text DEFAULT (lower('X'::text) || 'y'::text), b integer DEFAULT 5",
        ),
        (
            "update meta.trigger set arguments = '{a}' returning condition, arguments",
            "(((old.a + 1) <> (new.a + 2)) AND (old.v = lower(new.v))) | {a}",
        ),
        ("show search_path", "evil, pg_catalog"),
    ] {
        assert_eq!(rows(&client, sql).await, [expected], "{sql}");
    }
    assert_eq!(rows(&client, "select * from public.caught").await, [""; 0]);
}
