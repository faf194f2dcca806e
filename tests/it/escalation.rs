//! What runs with Tidewire's rights cannot be made to run for who does not have them.

use crate::support::{Client, Database, Subscriber, Tidewire, tidewire};

async fn refused(client: &Client, sql: &str) -> String {
    match client.try_sql(sql).await {
        Ok(()) => panic!("not refused: {sql}"),
        Err(error) => format!("{} {}", error.code().code(), error.message()),
    }
}

/// What everybody may call. Whoever adds to it thinks first of what the function does for somebody else.
const FOR_ALL: &str =
    "_attnum _caller_may_alter _canonical_key _check_watchable _has_virtual_column _is_caught_up _is_known _is_published
    _is_watched _key_attnums _key_form _key_names _key_text _key_type _key_value _leaves _may_run_code _may_use _mirror_of _mirrors _narrow_publications
    _notification _partition_tree _patience _pinned_element _pinned_text _publication _publish _reached _readable_session _relation _replied_at
    _row_key _session_exists _shown_name _slot _status _subscribe _tidewire_may_alter _unfinished _visible_part ack read
    session_attach session_create session_delete session_detach session_pin
    session_share session_unshare subscribe_column subscribe_field subscribe_row subscribe_table sync unsubscribe unwatch watch";

#[tokio::test]
async fn nothing_but_the_interface_is_open_to_all() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.sql("create role mallory").await;
    let open =
        "from pg_proc where pronamespace = 'event'::regnamespace and has_function_privilege('mallory', oid, 'execute')";
    let names = client.text(&format!("select string_agg(distinct proname, ' ' order by proname) {open}")).await;
    let mut expected: Vec<&str> = FOR_ALL.split_whitespace().collect();
    expected.sort_unstable();
    let mut found: Vec<&str> = names.split(' ').collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    let tables = "from pg_class where relnamespace = 'event'::regnamespace and relkind in ('r', 'p', 'v')";
    for (privilege, expected) in [
        ("select", "_event _readable asked change event installation session status subscribed subscription usage"),
        ("insert, update, truncate, references, trigger", "-"),
        // before 15 with that privilege everything could be locked that the view reads
        ("delete", if client.major().await >= 15 { "event" } else { "-" }),
    ] {
        let names = format!(
            "select coalesce(string_agg(relname, ' ' order by relname), '-') {tables}
             and has_table_privilege('mallory', oid, '{privilege}') and oid not in (select mirror from event.mirror)"
        );
        assert_eq!(client.text(&names).await, expected, "{privilege}");
    }
    // the mirrors are read, as the catalog is, and no more
    let mirrors = "select bool_and(has_table_privilege('mallory', mirror, 'select')
                                   and not has_table_privilege('mallory', mirror, 'insert, update, delete, truncate')) from event.mirror";
    assert_eq!(client.text(mirrors).await, "t");
    let unsafe_definers =
        "select count(*) from pg_proc where pronamespace in ('event'::regnamespace, 'meta'::regnamespace)
        and prosecdef and not 'search_path=pg_catalog, pg_temp' = any (proconfig)";
    assert_eq!(client.text(unsafe_definers).await, "0");
    assert_eq!(
        client.text("select count(*) from pg_class where relnamespace = 'meta'::regnamespace and relkind = 'r'").await,
        "0"
    );
    for schema in ["event", "meta"] {
        assert_eq!(client.text(&format!("select has_schema_privilege('mallory', '{schema}', 'create')")).await, "f");
    }
}

#[tokio::test]
async fn the_internal_functions_do_nothing_for_who_has_no_right_to_it() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql("create role mallory login; create role ann login; create table secret (id int primary key, x text)")
        .await;
    client
        .sql("create table hers (id int primary key); alter table hers owner to ann; grant select on hers to mallory")
        .await;
    let ann = Subscriber::open_as(&database, "ann").await;
    let mut mallory = Subscriber::open_as(&database, "mallory").await;
    let denied = "42501 permission denied for";
    let cases = [
        "_subscribe(null, 'table', 'public.secret'::regclass, null, null, null)",
        "_subscribe(null, 'column', 'public.secret'::regclass, 2::smallint, null, null)",
        "_subscribe(null, 'row', 'public.secret'::regclass, null, '{1}', '{1}')",
        "_subscribe(null, 'field', 'public.secret'::regclass, 2::smallint, '{1}', '{1}')",
        &format!("_subscribe('{}', 'table', 'public.hers'::regclass, null, null, null)", ann.session),
        "_delete_session(null)",
        &format!("_delete_session('{}')", ann.session),
        &format!("_session(10::oid, '{}'::uuid)", ann.session),
        &format!("_session_share(10::oid, '{}'::uuid, 'mallory')", ann.session),
        &format!("_session_attach(10::oid, '{}'::uuid)", ann.session),
        &format!("_do_subscribe(10::oid, '{}'::uuid, 'table', 'public.hers'::regclass, null, null, null)", ann.session),
        "_end('{}', 'x')",
        "_prepare('public.hers'::regclass)",
        "_sweep_schema()",
        "_let_go('public.hers'::regclass)",
        "_identify('public.hers'::regclass)",
        "_keep_watched('public.hers'::regclass)",
        "_ensure_partition(0)",
        "_drop_partitions(1000)",
        "_release('public.hers'::regclass)",
        "_recheck('public.hers'::regclass)",
        "_end_subscriptions(null)",
        "_tell_gap('x', 'x', 'x')",
        "_uninstall()",
        "_watch(10::oid, 'public.hers'::regclass)",
        "_unwatch(10::oid, 'public.hers'::regclass)",
        "_note_watch('public.hers'::regclass, true)",
        "_hold(null)",
        "_default_limits(1, 1, 1)",
        "_count_subscriptions()",
        "_cap_inboxes(1, '1 day')",
        "limit_role('mallory', sessions => -1)",
        "limit_role_reset('mallory')",
    ];
    for call in cases {
        let error = refused(&mallory, &format!("select event.{call}")).await;
        assert!(error.starts_with(denied), "{call}: {error}");
    }
    for call in ["watch", "unwatch", "_publish"] {
        let error = refused(&mallory, &format!("select event.{call}('public.hers'::regclass)")).await;
        assert!(error.starts_with("42501 must be owner of "), "{call}: {error}");
    }
    let call = |command: &str, table: &str| {
        format!("insert into event._call (command, relation) values ('{command}', '{table}'::regclass)")
    };
    for command in ["watch", "note_watch", "unwatch"] {
        let error = refused(&mallory, &call(command, "public.hers")).await;
        assert!(error.starts_with("42501 must be owner of table"), "{command}: {error}");
    }
    for table in ["event.journal", "event.inbox", "event.session", "pg_catalog.pg_authid"] {
        for command in ["watch", "note_watch"] {
            let error = refused(&mallory, &call(command, table)).await;
            assert!(error.starts_with("0A000 cannot watch"), "{command}: {error}");
        }
        let subscribe = format!("select event._subscribe(null, 'table', '{table}'::regclass, null, null, null)");
        let error = refused(&mallory, &subscribe).await;
        assert!(error.starts_with("0A000 cannot watch"), "{subscribe}: {error}");
    }
    // the caller is not for the caller to say
    for forged in [
        "insert into event._call (command, name, durable, caller) values ('session_create', 'x', true, 10)",
        "insert into event._call values ('session_create', null, null, null, null, null, null, null, null, true, null, null, 10)",
        "update event._call set caller = 10",
        "alter view event._call alter caller set default 10",
        "copy event._call (command, caller) from stdin",
    ] {
        let error = refused(&mallory, forged).await;
        assert!(error.starts_with("42501") || error.starts_with("55000"), "{forged}: {error}");
    }
    assert!(refused(&mallory, "insert into event._call (command) values ('x')").await.starts_with("22023"));
    for (kind, rest) in [
        ("table", "1::smallint, null, null"),
        ("all", "null, null, null"),
        ("row", "null, null, null"),
        ("row", "null, '{1}', '{1,2}'"),
    ] {
        let call = format!("select event._subscribe(null, '{kind}', 'public.hers'::regclass, {rest})");
        let error = refused(&mallory, &call).await;
        assert!(error.starts_with("23514") || error.starts_with("22023"), "{call}: {error}");
    }
    assert_eq!(client.text("select count(*) from event.watched").await, "0");
    assert_eq!(client.text("select count(*) from event.subscription").await, "0");

    for statement in [
        "select * from event.journal",
        "select * from event.inbox",
        "select * from event.route",
        "select * from event.watched",
        "insert into event.subscription (session_id, kind, relation, durable) values (gen_random_uuid(), 'table', 1, true)",
        "insert into event.session (owner, durable, pinned) values ('postgres', true, false)",
        "update event.session set owner = 'mallory'",
        "delete from event.session",
        "create table event.mine (id int)",
        "create trigger mine instead of delete on event.event for each row execute function event._event_delete()",
        "alter publication tidewire drop table event.session",
    ] {
        let error = refused(&mallory, statement).await;
        assert!(error.starts_with("42501"), "{statement}: {error}");
    }
    mallory.table("hers").await;
    client.sql("insert into hers values (1); insert into secret values (1, 'x')").await;
    assert_eq!(mallory.told().await, [r#"insert table hers 1 {"id":1}"#]);
}

#[tokio::test]
async fn messages_that_anybody_may_write_into_the_wal_do_no_harm() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role mallory login; create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let mallory = database.connect_as("mallory").await;
    let messages = [
        "".to_owned(),
        "x".to_owned(),
        "null".to_owned(),
        "{\"attach\":\"x\"}".to_owned(),
        "{\"attach\":\"00000000-0000-4000-8000-000000000000\",\"seen\":\"''; drop table t\"}".to_owned(),
        "{\"ddl\":true}".to_owned(),
        format!("{{\"attach\":\"{}\",\"seen\":\"FFFFFFFFFFFFFFFF-FFFFFFFF\"}}", subscriber.session),
        "[".repeat(10_000),
    ];
    for message in messages {
        for transactional in [true, false] {
            let emit = format!("select pg_logical_emit_message({transactional}, 'tidewire', $${message}$$)");
            mallory.sql(&emit).await;
        }
    }
    client.sql("insert into t values (1)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1}"#]);
    assert_eq!(subscriber.inbox().await.len(), 1);
}

/// Functions and operators with just the right types, which PostgreSQL prefers to its own where it finds them.
const TRAPS: &str = "
    create table if not exists public.caught (application text, who name, for_whom name);
    grant insert on public.caught to public;
    create function {}.spring() returns void language sql as
        'insert into public.caught values (current_setting(''application_name''), current_user, session_user)';
    create function {}.array_position(smallint[], smallint) returns int language plpgsql as
        'begin perform {}.spring(); return 1; end';
    create function {}.to_json(text) returns json language plpgsql as 'begin perform {}.spring(); return ''\"x\"''; end';
    create function {}.format(text, name) returns text language plpgsql as 'begin perform {}.spring(); return $1; end';
    create function {}.format(text, text) returns text language plpgsql as 'begin perform {}.spring(); return $1; end';
    create function {}.parse_ident(text) returns text[] language plpgsql as 'begin perform {}.spring(); return array[$1]; end';
    create function {}.has_table_privilege(regrole, oid, text) returns bool language plpgsql as
        'begin perform {}.spring(); return true; end';
    create function {}.has_column_privilege(regrole, oid, smallint, text) returns bool language plpgsql as
        'begin perform {}.spring(); return true; end';
    create function {}.pg_has_role(regrole, regrole, text) returns bool language plpgsql as
        'begin perform {}.spring(); return true; end';
    create function {}.join(text, oid) returns text language plpgsql as 'begin perform {}.spring(); return $1; end';
    create operator {}.|| (leftarg = text, rightarg = oid, function = {}.join);
    create function {}.same(name, text) returns bool language plpgsql as 'begin perform {}.spring(); return true; end';
    create operator {}.= (leftarg = name, rightarg = text, function = {}.same);
    create function {}.same(regrole, oid) returns bool language plpgsql as 'begin perform {}.spring(); return true; end';
    create operator {}.= (leftarg = regrole, rightarg = oid, function = {}.same);
    create function {}.same(oid, regrole) returns bool language plpgsql as 'begin perform {}.spring(); return true; end';
    create operator {}.= (leftarg = oid, rightarg = regrole, function = {}.same);";

#[tokio::test]
async fn nothing_in_the_search_path_is_run_with_tidewires_rights() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create role mallory login; grant create on schema public to mallory").await;
    client.sql("grant create on database postgres to mallory").await;
    let mallory = database.connect_as("mallory").await;
    mallory.sql(&TRAPS.replace("{}", "public")).await;
    mallory.sql("create schema postgres; grant usage on schema postgres to public").await;
    mallory.sql(&TRAPS.replace("{}", "postgres")).await;
    // the traps work
    let naive = database.connect().await;
    assert_eq!(naive.text("select array_position('{2,1}'::smallint[], 2::smallint)").await, "1");
    assert_eq!(client.text("delete from public.caught returning who").await, "postgres");

    let tidewire = Tidewire::up(&database.url()).await;
    client.sql("set search_path = pg_catalog").await;
    client.sql("create table public.secret (a int, b int, x text, primary key (b, a))").await;
    let table = "meta.relation_id('public', 'secret')";
    let mut subscriber = Subscriber::create(client, "event.session_create()").await;
    subscriber.sql("set search_path = pg_catalog").await;
    subscriber.sql(&format!("select event.subscribe_table({table})")).await;
    subscriber
        .sql("select event.subscribe_row(meta.row_id('public', 'secret', array['a', 'b'], array['1', '2']))")
        .await;
    subscriber
        .sql(
            "insert into public.secret values (1, 2, 'x'); update public.secret set x = 'y'; delete from public.secret",
        )
        .await;
    assert_eq!(subscriber.told().await.len(), 3);

    // her own path, her own temporary tables
    let mallory = Subscriber::open_as(&database, "mallory").await;
    mallory.sql("create temp table pg_class (oid oid, relowner oid); create temp table session (id uuid); create temp view pg_roles as select 10::oid as oid, 'mallory'::name as rolname").await;
    mallory.sql("set search_path = pg_temp, postgres, public, event, pg_catalog").await;
    let error = refused(&mallory, &format!("select event.subscribe_table({table})")).await;
    assert!(error.starts_with("42501 permission denied for table"), "{error}");
    let error = refused(&mallory, "select event.watch('public.secret')").await;
    assert!(error.starts_with("42501 must be owner"), "{error}");
    let session = subscriber.session.clone();
    let error = refused(&mallory, &format!("select event.read('{session}')")).await;
    assert!(error.starts_with("42501 permission denied for session"), "{error}");
    mallory.sql("select event.sync()").await;
    drop(mallory);

    let url = database.url();
    let checked = tidewire_text(&["check", "--database-url", &url]).await;
    assert!(checked.contains("tidewire is serving this database"), "{checked}");
    let tail = Tidewire::spawn(&["tail", "secret", "--key", "a=1", "--key", "b=2", "--database-url", &url]);
    tail.wait_for_log("listening to").await;
    subscriber.sql("insert into public.secret values (1, 2, 'x'); delete from public.secret").await;
    tail.lines(1).await;
    assert!(tail.stop().await.success());
    assert_eq!(subscriber.told().await.len(), 2);
    assert!(tidewire.stop().await.success());
    let again = Tidewire::up(&url).await;
    subscriber.sql("insert into public.secret values (1, 2, 'x')").await;
    assert_eq!(subscriber.told().await.len(), 1);
    assert!(again.stop().await.success());
    tidewire_text(&["uninstall", "--database-url", &url]).await;
    assert_eq!(subscriber.text("select count(*) from pg_namespace where nspname = 'event'").await, "0");
    let caught = "select string_agg(concat_ws(' ', application, who, for_whom), ', ') from public.caught
                  where application = 'tidewire' or who <> for_whom";
    assert_eq!(subscriber.rows(caught).await, [[None]]);
}

async fn tidewire_text(args: &[&str]) -> String {
    let output = tidewire(args).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
