//! What another role puts into a session's search path stands in for nothing of ours.

use crate::support::{Database, Subscriber, Tidewire, tidewire};

/// Every type of ours that is no array, and no partition's.
const TYPES: &str = "select t.oid::regtype from pg_type t left join pg_class c on c.oid = t.typrelid
    where t.typnamespace in ('event'::regnamespace, 'meta'::regnamespace) and t.typcategory <> 'A' and c.relispartition is not true order by 1";

#[tokio::test]
async fn nobody_else_makes_an_operator_of_our_types() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.sql("create role mallory login; grant create, usage on schema public to mallory").await;
    let mallory = database.connect_as("mallory").await;
    let types = client.rows(TYPES).await;
    assert!(types.len() > 100, "{}", types.len());
    for name in types.iter().flatten().flatten() {
        for (left, right) in
            [(name.clone(), name.clone()), (name.clone(), "record".into()), (format!("{name}[]"), format!("{name}[]"))]
        {
            let sql =
                format!("create function public.same({left}, {right}) returns boolean language sql as 'select true'");
            let error = mallory.try_sql(&sql).await.expect_err(&sql);
            assert!(error.message().starts_with("permission denied for type"), "{sql}: {error}");
        }
        let sql = format!("create temp table squat (a {name})");
        let error = mallory.try_sql(&sql).await.expect_err(&sql);
        assert!(error.message().starts_with("permission denied for type"), "{sql}: {error}");
    }
    // operators of anything and of any row are the most that is left: an error at worst, never a call
    for (argument, outcome) in [("record", "t"), ("anyelement", "42725"), ("anycompatible", "42725")] {
        mallory.sql(&format!("create function public.same({argument}, {argument}) returns boolean language plpgsql as $$ begin raise 'called'; end $$")).await;
        mallory
            .sql(&format!(
                "create operator public.= (leftarg = {argument}, rightarg = {argument}, function = public.same)"
            ))
            .await;
        let victim = database.connect().await;
        let sql = "select count(*) = 0 from meta.table where id = meta.relation_id('public', 't')";
        match victim.try_sql(sql).await {
            Ok(()) => assert_eq!(victim.text(sql).await, outcome),
            Err(error) => assert_eq!(error.code().code(), outcome, "{error}"),
        }
        mallory.sql(&format!("drop operator public.= ({argument}, {argument}); drop function public.same")).await;
    }
}

/// An operator of exactly our type, which a role makes that was granted USAGE on it.
const TRAPS: &str = "
    create table public.caught (operator text, application text);
    grant insert on public.caught to public;
    do $do$ declare type regtype; name text; begin
        for type in select t.oid from pg_type t where t.typnamespace = 'meta'::regnamespace and t.typcategory <> 'A' loop
            foreach name in array array['=', '<>'] loop
                execute format('create function public.%I(%s, %s) returns boolean language plpgsql as %L', 'trap' || name, type, type,
                    format('begin insert into public.caught values (%L, current_setting(''application_name'')); return null; end', name || ' ' || type));
                execute format('create operator public.%s (leftarg = %s, rightarg = %s, function = public.%I)', name, type, type, 'trap' || name);
            end loop;
        end loop;
    end $do$";

#[tokio::test]
async fn our_own_sql_compares_ids_by_postgresqls_operators() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.sql(TRAPS).await;
    let up = database.up().await;
    // as a client that takes no care: the default search path, unqualified operators where the documentation has them
    let mut client = Subscriber::create(client, "event.session_create()").await;
    client.sql("set search_path = \"$user\", public").await;
    for relation in ["table", "column", "primary_key", "schema", "comment"] {
        client.sql(&format!("select event.subscribe_table(meta.relation_id('meta', '{relation}'))")).await;
    }
    client.sql("select event.subscribe_row(meta.row_id('meta', 'table', 'id', '(\"(public)\",person)'))").await;
    client.sql("create table person (id int primary key, name text)").await;
    client.sql("insert into meta.column (schema_name, relation_name, name, type) values ('public', 'person', 'age', 'integer')").await;
    client
        .sql("update meta.column set name = 'years', type = 'bigint' where relation_name = 'person' and name = 'age'")
        .await;
    client.sql("update meta.table set comment = 'people', name = 'people' where schema_name = 'public' and name = 'person'").await;
    client
        .sql("select distinct id from meta.column order by id; select id, count(*) from meta.table group by id")
        .await;
    client.sql("select from meta.table t where t.id::jsonb = meta.relation_id('public', 'people')::jsonb").await;
    client.sql("delete from meta.table where schema_name = 'public' and name = 'people'").await;
    assert!(client.told().await.len() > 10);
    // the traps are there
    client.sql("select from meta.table t where t.id = meta.relation_id('public', 'people')").await;
    assert_eq!(
        client.text("with gone as (delete from public.caught returning operator) select count(*) > 0 from gone").await,
        "t"
    );

    let tail = Tidewire::spawn(&["tail", "meta.column", "--database-url", &database.url()]);
    tail.wait_for_log("listening to").await;
    client.sql("create table seat (id int primary key)").await;
    tail.lines(1).await;
    assert!(tail.stop().await.success());
    assert!(tidewire(&["check", "--database-url", &database.url()]).await.status.success());
    assert!(up.stop().await.success());
    client.sql("drop table seat; create table seat (id bigint primary key)").await;
    let up = database.up().await;
    client.told().await;
    assert!(up.stop().await.success());
    assert_eq!(client.rows("select operator, application from public.caught").await, [[None::<String>; 0]; 0]);
}

/// What the documentation has people paste: README, docs, the program's help.
fn documentation() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    for folder in ["docs", "src/cli", "src/cli/demo", "src/cli/tail"] {
        paths.extend(
            std::fs::read_dir(root.join(folder))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_file()),
        );
    }
    paths.into_iter().map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect()
}

#[tokio::test]
async fn the_documentation_names_our_functions_with_their_schema() {
    let database = Database::installed().await;
    let client = database.connect().await;
    let names = "select distinct proname from pg_proc where pronamespace = 'event'::regnamespace and proname !~ '^_' and proname not in ('read', 'watch', 'ack', 'sync')";
    let names = client.rows(names).await;
    for (path, text) in documentation() {
        assert!(!text.contains("search_path = public"), "{path} puts public before our schemas");
        for name in names.iter().flatten().flatten() {
            for (at, _) in text.match_indices(&format!("{name}(")) {
                let before = &text[..at];
                let is_longer = before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
                assert!(is_longer || before.ends_with("event."), "{path}: {name} without its schema");
            }
        }
    }
}
