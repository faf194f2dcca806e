//! Who calls is the role that acts in the statement, wherever PostgreSQL runs somebody's code: each context is compared with what
//! that role gets when it calls by itself.

use crate::support::{Client, Database, Subscriber};

/// Tries every call on a session, a subscription and a table of somebody's, undoes it, and says how each went.
const PROBE: &str = r#"
create table public.target (vic uuid, att uuid, subscription uuid, event text);
create table public.seen (context text, who text, outcome text);
create table public.context (name text);
grant select on public.target, public.context to public; grant insert on public.seen to public;
create function public.tried(call text) returns text language plpgsql as $$
declare result text;
begin
    begin
        execute call into result;
        raise exception 'undo' using errcode = 'UNDO1';
    exception when sqlstate 'UNDO1' then return coalesce(result, 'ok');
              when others then return sqlstate;
    end;
end $$;
create function public.outcome() returns text language plpgsql as $$
declare t public.target;
begin
    select * into t from public.target;
    return concat_ws(' ',
        'read ' || public.tried(format('select count(*) from event.read(%L)', t.vic)),
        'ack ' || public.tried(format('select event.ack(%L, %L)', t.vic, t.event)),
        'share ' || public.tried(format('select event.session_share(%L, ''att'')', t.vic)),
        'unshare ' || public.tried(format('select event.session_unshare(%L, ''att'')', t.vic)),
        'theirs ' || public.tried(format('select 1 from event.subscribe_table(%L, meta.relation_id(''public'', ''secret''))', t.att)),
        'mine ' || public.tried(format('select 1 from event.subscribe_table(%L, meta.relation_id(''public'', ''secret''))', t.vic)),
        'column ' || public.tried(format('select 1 from event._subscribe(%L, ''column'', ''public.secret''::regclass, 2::smallint, null, null)', t.att)),
        'unsubscribe ' || public.tried(format('select event.unsubscribe(%L)', t.subscription)),
        'watch ' || public.tried('select event.watch(''public.secret'')'),
        'unwatch ' || public.tried('select event.unwatch(''public.secret'')'),
        'sessions ' || public.tried('select count(*) from event.session'),
        'subscriptions ' || public.tried('select count(*) from event.subscription'),
        'events ' || public.tried('select count(*) from event.event'),
        'changes ' || public.tried('select count(*) from event.change'),
        'delete ' || public.tried('with gone as (delete from event.event returning 1) select count(*) from gone'),
        'forge ' || public.tried(format('insert into event._call (command, session, name, caller) values (''session_share'', %L, ''att'', 10) returning result', t.vic)));
end $$;
create function public.probe() returns int language plpgsql as $$
begin
    insert into public.seen select c.name, current_user, public.outcome() from public.context c;
    return 1;
end $$;
create function public.spring() returns trigger language plpgsql as $$
begin
    perform public.probe();
    return coalesce(new, old);
end $$;
-- an index takes what says that it does not change
create function public.same(x int) returns int language plpgsql immutable as $$
begin
    perform public.probe();
    return x;
end $$;"#;

/// A context, what sets it up as "att", and what the victim then does, as "vic" or as the superuser.
const CONTEXTS: &[(&str, &str, &str, &str)] = &[
    ("direct", "", "vic", "select public.probe()"),
    (
        "foreign key's cascade",
        "create table child (id int references public.parent on delete cascade); insert into child values (1);
         create trigger t before delete on child for each row execute function public.spring()",
        "vic",
        "delete from public.parent",
    ),
    (
        "foreign key's update",
        "create table child (id int references public.parent on update set null); insert into child values (1);
         create trigger t before update on child for each row execute function public.spring()",
        "vic",
        "update public.parent set id = 2",
    ),
    ("analyze", "create index on att.t (public.same(id))", "postgres", "analyze att.t"),
    ("reindex", "create index on att.t (public.same(id))", "postgres", "reindex table att.t"),
    ("vacuum", "create index on att.t (public.same(id))", "postgres", "vacuum analyze att.t"),
    ("index expression", "create index on att.t (public.same(id))", "vic", "insert into att.t values (7)"),
    (
        "default",
        "alter table att.t alter id set default public.probe() + 100",
        "vic",
        "insert into att.t default values",
    ),
    (
        "check",
        "alter table att.t add check (public.same(id) is not null) not valid",
        "vic",
        "insert into att.t values (8)",
    ),
    (
        "trigger",
        "create trigger t before insert on att.t for each row execute function public.spring()",
        "vic",
        "insert into att.t values (9)",
    ),
    ("view", "create view att.v as select public.probe(); grant select on att.v to public", "vic", "table att.v"),
    (
        "rule",
        "create rule r as on insert to att.t do also select public.probe()",
        "vic",
        "insert into att.t values (10)",
    ),
    (
        "policy",
        "alter table att.t enable row level security; create policy p on att.t using (public.probe() = 1)",
        "vic",
        "table att.t",
    ),
    (
        "materialized view",
        "create materialized view att.m as select public.probe() with no data",
        "postgres",
        "refresh materialized view att.m",
    ),
    (
        "definer's function",
        "create function att.f() returns int language sql security definer as 'select public.probe()'",
        "vic",
        "select att.f()",
    ),
    (
        "function with a role set",
        "create function att.f() returns int language sql set role = 'att' as 'select public.probe()'",
        "postgres",
        "select att.f()",
    ),
    ("session's role", "", "postgres", "set role att; select public.probe(); reset role"),
    (
        "session authorization",
        "",
        "postgres",
        "set session authorization att; select public.probe(); reset session authorization",
    ),
];

#[tokio::test]
async fn who_calls_is_the_role_that_acts() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let root = database.connect().await;
    root.sql("create role vic login; create role att login; create schema att authorization att").await;
    root.sql("grant usage on schema att to public").await;
    root.sql("create table secret (id int primary key, v text); grant select on secret to vic; alter table secret owner to vic").await;
    root.sql("create table other (id int primary key); grant select on other to vic, att; select event.watch('other')")
        .await;
    root.sql(PROBE).await;
    let mut vic = Subscriber::open_as(&database, "vic").await;
    let subscription = vic.table("other").await;
    let att = Subscriber::open_as(&database, "att").await;
    root.sql("insert into other values (1)").await;
    let event = vic.events().await.remove(0);
    root.sql(&format!(
        "insert into target values ('{}', '{}', '{subscription}', '{}')",
        vic.session,
        att.session,
        event.id()
    ))
    .await;
    // what each gets that calls by itself
    let outcome = "select public.outcome()";
    let (of_att, of_vic, of_root) = (att.text(outcome).await, vic.text(outcome).await, root.text(outcome).await);
    assert_eq!(
        of_att,
        "read 42501 ack 42501 share 42501 unshare 42501 theirs 42501 mine 42501 column 42501 unsubscribe 42501 watch 42501 \
         unwatch 42501 sessions 1 subscriptions 0 events 0 changes 0 delete 0 forge 42501"
    );
    assert_eq!(
        of_vic,
        "read 1 ack  share  unshare  theirs 42501 mine 1 column 42501 unsubscribe  watch  unwatch  sessions 1 subscriptions 1 \
         events 1 changes 1 delete 1 forge 42501"
    );
    for (name, set_up, role, does) in CONTEXTS {
        root.sql("create table parent (id int primary key); insert into parent values (1); grant all on parent to vic")
            .await;
        root.sql("grant select, references on parent to att; delete from context; delete from seen").await;
        let attacker = database.connect_as("att").await;
        attacker.sql("create table att.t (id int); insert into att.t values (1); grant all on att.t to vic").await;
        attacker.sql("set search_path = att").await;
        attacker.sql(set_up).await;
        root.sql(&format!("delete from seen; insert into context values ($${name}$$)")).await;
        let victim = if *role == "postgres" { database.connect().await } else { database.connect_as(role).await };
        for statement in does.split("; ") {
            victim.sql(statement).await;
        }
        let seen = root.rows("select who, outcome from seen").await;
        assert!(!seen.is_empty(), "{name}: the probe did not run");
        for row in seen {
            let (who, outcome) = (row[0].clone().unwrap(), row[1].clone().unwrap());
            let expected = match who.as_str() {
                "att" => &of_att,
                "vic" => &of_vic,
                _ => &of_root,
            };
            assert_eq!(&outcome, expected, "{name}, as {who}");
        }
        root.sql("drop table parent cascade; drop owned by att; create schema att authorization att").await;
        root.sql("grant usage on schema att to public").await;
    }
    assert_eq!(vic.inbox().await.len(), 1, "nothing was done");
}

/// Autovacuum visits by itself: nobody has to do anything.
#[tokio::test]
async fn autovacuum_runs_code_of_a_table_as_its_owner() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let root = database.connect().await;
    root.sql("alter system set autovacuum_naptime = '1s'").await;
    root.sql("select pg_reload_conf()").await;
    root.sql("create role vic login; create role att login; create schema att authorization att").await;
    root.sql("create table secret (id int primary key, v text); grant select on secret to vic").await;
    root.sql(PROBE).await;
    let vic = Subscriber::open_as(&database, "vic").await;
    let att = Subscriber::open_as(&database, "att").await;
    vic.sql(&format!("select session_share('{}', 'att')", vic.session)).await;
    root.sql(&format!(
        "insert into target values ('{}', '{}', null, '0000000000000001-00000001')",
        vic.session, att.session
    ))
    .await;
    att.sql(
        "create table att.t (id int) with (autovacuum_analyze_threshold = 1); create index on att.t (public.same(id))",
    )
    .await;
    root.sql("insert into context values ('autovacuum')").await;
    att.sql("alter table att.t set (autovacuum_analyze_scale_factor = 0)").await;
    att.sql("insert into att.t select generate_series(1, 100)").await;
    root.sql("delete from seen").await;
    root.until("select count(*) > 0 from seen where who = 'att'", "t").await;
    let expected = att.text("select public.outcome()").await;
    assert_eq!(root.text("select string_agg(distinct outcome, '|') from seen").await, expected);
    assert!(expected.contains("theirs 42501 mine 42501"), "{expected}");
}

/// A role's name says nothing: another role may have it by now.
#[tokio::test]
async fn a_role_that_was_renamed_is_not_the_new_one_of_its_name() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let root = database.connect().await;
    root.sql("create role team; create role att login; grant team to att; create table feed (id int primary key)")
        .await;
    let att = database.connect_as("att").await;
    att.sql("set role team").await;
    let gone = database.connect_as("att").await;
    gone.sql("set role team").await;
    root.sql("alter role team rename to team_old; create role team login; grant select on feed to team").await;
    let team = Subscriber::create(database.connect_as("team").await, "session_create('feed')").await;
    team.table("feed").await;

    assert_eq!(att.text("select current_user").await, "team_old");
    let session = att.text("select event.session_create('feed')").await;
    assert_ne!(session, team.session);
    let owner = format!("select owner from event.session where id = '{session}'");
    assert_eq!(root.text(&owner).await, "team_old");
    assert_eq!(denied(&att, &format!("select event.read('{}')", team.session)).await, "42501");
    assert_eq!(denied(&att, &format!("select event.session_attach('{}')", team.session)).await, "42501");
    assert_eq!(denied(&att, "select event.subscribe_table(meta.relation_id('public', 'feed'))").await, "42501");
    assert_eq!(att.text("select count(*) from event.session").await, "1");

    // dropped, it is nobody
    root.sql(&format!(
        "revoke team_old from att; delete from event.session where id = '{session}'; drop role team_old"
    ))
    .await;
    for call in [
        "select event.session_create('feed')".to_owned(),
        format!("select event.session_attach('{}')", team.session),
        format!("select event.read('{}')", team.session),
        format!("select event.ack('{}', '0000000000000001-00000001')", team.session),
        "select count(*) from event.session".to_owned(),
        "select count(*) from event.event".to_owned(),
    ] {
        assert!(gone.try_sql(&call).await.is_err(), "{call}");
    }
}

async fn denied(client: &Client, sql: &str) -> String {
    client.try_sql(sql).await.map_or_else(|error| error.code().code().to_owned(), |()| "done".to_owned())
}

/// Its owner can give a composite type another attribute while a value of it is read: one of a domain, whose check is code.
#[tokio::test]
async fn a_key_of_anothers_composite_type_is_refused() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let root = database.connect().await;
    root.sql("create role mallory login; grant create on schema public to mallory; create type ours as (a int)").await;
    root.sql("create type many as range (subtype = ours)").await;
    root.sql("create table trusted (k ours primary key); create table trusted_range (k many primary key)").await;
    let mallory = database.connect_as("mallory").await;
    mallory
        .sql(
            "create function evil(text) returns boolean language plpgsql as $$ begin
                 if current_user <> 'mallory' then execute 'alter role mallory superuser'; end if;
                 return true;
             end $$;
             create domain dom as text check (evil(value)); create type c2 as (a int); create type ranged as range (subtype = c2);
             create type outer2 as (c c2); create domain over_c2 as c2; create domain over_array as c2[];
             create table row_type (k c2 primary key); create table row_array (k c2[] primary key);
             create table row_range (k ranged primary key); create table nested (k outer2 primary key);
             create table domain_key (k over_c2 primary key); create table domain_array (k over_array primary key);
             create table of_table (k row_type primary key);
             grant select on row_type, row_array, row_range, nested, domain_key, domain_array, of_table to public",
        )
        .await;
    let subscriber = Subscriber::open(&database).await;
    mallory.sql("begin; alter type c2 drop attribute a, add attribute a dom").await;
    let (mut sent, pid) = (Vec::new(), subscriber.text("select pg_backend_pid()").await);
    for (table, key) in [
        ("row_type", "(1)"),
        ("row_array", "{(1)}"),
        ("row_range", r#"["(1)","(2)")"#),
        ("nested", "((1))"),
        ("domain_key", "(1)"),
        ("domain_array", "{(1)}"),
        ("of_table", "((1))"),
    ] {
        let subscribe = format!("select subscribe_row(meta.row_id('public', '{table}', 'k', $${key}$$))");
        let mut subscribed = std::pin::pin!(subscriber.try_sql(&subscribe));
        let waits = format!("select count(*) from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock'");
        let error = loop {
            tokio::select! {
                error = &mut subscribed => break error,
                // what waits for the type's owner goes on as the owner likes
                waiting = root.text(&waits) => if waiting == "1" { mallory.sql("commit").await },
            }
        };
        sent.push(format!("{table}: {:?}", error.map_err(|error| error.code().code().to_owned())));
    }
    assert_eq!(mallory.text("select rolsuper from pg_roles where rolname = 'mallory'").await, "f", "{sent:?}");
    for said in &sent {
        assert!(said.ends_with(r#"Err("0A000")"#), "{sent:?}");
    }
    // nobody but a superuser can change these
    subscriber.sql("select subscribe_row(meta.row_id('public', 'trusted', 'k', '(1)'))").await;
    subscriber.sql(r#"select subscribe_row(meta.row_id('public', 'trusted_range', 'k', '["(1)","(2)")'))"#).await;
}
