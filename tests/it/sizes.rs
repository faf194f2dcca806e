//! What somebody makes large costs the others nothing: neither their events' time, nor the program's memory, nor the server's.
//!
//! Each test has a victim, who is told of a change behind the large thing.

use std::time::Duration;

use crate::support::{Client, Database, Subscriber, Tidewire, processor_time};

/// The program with a batch or two, a row of the largest size on its way, and its copies: at most.
const PEAK: usize = 400;

/// A victim, who is subscribed to a table that somebody else writes to.
struct Victim {
    subscriber: Subscriber,
    writer: Client,
    told: usize,
    /// What the program had computed when she was last told of something.
    computed: Duration,
}

impl Victim {
    async fn of(database: &Database) -> Victim {
        let writer = database.connect().await;
        writer.sql("create table hers (id int primary key)").await;
        let subscriber = Subscriber::open(database).await;
        subscriber.table("hers").await;
        Victim { subscriber, writer, told: 0, computed: Duration::ZERO }
    }

    /// She is told of a change, and the program did not compute for longer than that before.
    async fn is_told_for(&mut self, tidewire: &Tidewire, most: Duration) {
        self.told += 1;
        let before = self.computed;
        self.writer.sql(&format!("insert into hers values ({})", self.told)).await;
        let told = self.subscriber.next_notification().await;
        assert!(told.payload().contains(&format!("\"payload\" : {{\"id\":{}}}", self.told)), "{}", told.payload());
        self.computed = processor_time(tidewire.pid());
        let took = self.computed - before;
        println!("she was told, for {took:?} of processor time since the time before");
        assert!(took < most, "{took:?}");
    }
}

/// Processor time of a debug build; what it bounds takes a few seconds at most.
const LITTLE: Duration = Duration::from_secs(15);

async fn begin() -> (Database, Tidewire, Victim, Client) {
    let database = Database::start_in(None, &[]).await;
    let tidewire = database.up().await;
    let victim = Victim::of(&database).await;
    victim
        .writer
        .sql("create role att login; create schema atts authorization att; grant create on database postgres to att")
        .await;
    let attacker = database.connect_as("att").await;
    (database, tidewire, victim, attacker)
}

fn peak(tidewire: &Tidewire, most: usize) {
    let peak = tidewire.megabytes("VmHWM");
    println!("peak memory {peak} MB");
    assert!(peak < most, "peak memory {peak} MB");
}

#[tokio::test]
async fn a_message_of_any_size_is_let_go_of() {
    let (_database, tidewire, mut victim, attacker) = begin().await;
    for prefix in ["tidewire", "other"] {
        let content = r#"'{"x":[' || repeat('0,', 50000000) || '0]}'"#;
        attacker
            .sql(&format!("select pg_logical_emit_message(true, '{prefix}', {content}) from generate_series(1, 3)"))
            .await;
        attacker.sql(&format!("select pg_logical_emit_message(false, '{prefix}', {content})")).await;
    }
    victim.is_told_for(&tidewire, LITTLE).await;
    // the client's buffer and its copy of what it hands over
    peak(&tidewire, 280);
}

#[tokio::test]
async fn only_who_attaches_is_sent_again() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let mut victim = Victim::of(&database).await;
    victim.writer.sql("create role att login").await;
    victim.is_told_for(&tidewire, LITTLE).await;
    let session = victim.subscriber.session.clone();
    let attacker = database.connect_as("att").await;
    let message =
        format!("select pg_logical_emit_message(true, 'tidewire', '{{\"attach\":\"{session}\",\"seen\":\"\"}}')");
    // what may have been missed is what was written before that
    victim.writer.sql("select event.sync()").await;
    attacker.sql(&message).await;
    victim.is_told_for(&tidewire, LITTLE).await;
    assert!(victim.subscriber.drain().is_empty(), "nothing is sent again");
    let other = database.connect().await;
    other
        .sql(&format!(
            "begin; update event.session set attached_at = now() where id = '{session}'; {message}; {message}; commit"
        ))
        .await;
    victim.writer.sql("select event.sync()").await;
    assert_eq!(victim.subscriber.events().await.len(), 2, "once");
}

#[tokio::test]
async fn many_messages_for_many_sessions_are_cheap() {
    const SESSIONS: usize = 3000;
    let database = Database::start_in(None, &[]).await;
    let tidewire = database.up().await;
    let mut victim = Victim::of(&database).await;
    let client = database.connect().await;
    client
        .sql(&format!(
            "create table t (id int primary key); insert into t values (1); select event.watch('t'); begin;
             insert into event.session (name, owner, durable, pinned) select g, 'postgres'::regrole, true, false from generate_series(1, {SESSIONS}) g;
             insert into event.subscription (session_id, kind, relation, durable)
             select id, 'table', 't'::regclass, true from event.session where name is not null;
             commit; delete from t"
        ))
        .await;
    client.sql("select event.sync('100 s')").await;
    assert_eq!(client.text(&format!("select (count(*) >= {SESSIONS})::text from event.inbox")).await, "true");
    // those of all sessions, by who may not attach and by who may
    let messages =
        "select count(pg_logical_emit_message(true, 'tidewire', json_build_object('attach', s.id, 'seen', '')::text))
                    from event.session s, generate_series(1, 100)";
    client.sql(messages).await;
    victim.is_told_for(&tidewire, LITTLE).await;
    client
        .sql(
            "do $$ declare s uuid; begin for s in select id from event.session where name is not null loop
                 update event.session set attached_at = now() where id = s;
                 perform pg_logical_emit_message(true, 'tidewire', json_build_object('attach', s, 'seen', '')::text);
             end loop; end $$",
        )
        .await;
    victim.is_told_for(&tidewire, 2 * LITTLE).await;
    peak(&tidewire, 120);
}

#[tokio::test]
async fn a_mirror_has_the_beginning_of_what_is_large() {
    let (_database, tidewire, mut victim, attacker) = begin().await;
    attacker.sql("create schema own").await;
    for kind in ["comment", "function", "type", "column", "setting"] {
        victim.subscriber.sql(&format!("select event.subscribe_table(meta.relation_id('meta', '{kind}'))")).await;
    }
    attacker
        .sql(
            "select lo_create(424242);
             do $$ begin execute 'comment on large object 424242 is ''' || repeat('x', 50000000) || ''''; end $$;
             do $$ begin execute 'comment on large object 424242 is ''' || repeat('y', 50000001) || ''''; end $$;
             do $$ begin execute 'create function own.f(a text default ''' || repeat('x', 20000000) || ''') returns text language plpgsql as ''begin /*'
                 || repeat('z', 20000000) || '*/ end'''; end $$;
             do $$ begin execute 'create type own.e as enum (' || (select string_agg(quote_literal(g || repeat('x', 50)), ',') from generate_series(1, 20000) g) || ')'; end $$;
             do $$ begin execute 'create table own.t (a text default ''' || repeat('d', 10000000) || ''')'; end $$;
",
        )
        .await;
    let client = &victim.writer;
    client
        .sql("do $$ begin execute 'alter role att set own.setting = ''' || repeat('s', 10000000) || ''''; end $$")
        .await;
    // by the event trigger; then by upkeep, which finds nothing else
    for _ in 0..2 {
        let longest = "select max(n)::text from (select octet_length(m::text) as n from event.meta_comment m union all
                       select octet_length(m::text) from event.meta_function m union all select octet_length(m::text) from event.meta_type m union all
                       select octet_length(m::text) from event.meta_setting m union all select octet_length(m::text) from event.meta_column m) n";
        client.until("select count(*)::text from event.meta_function where name = 'f'", "1").await;
        client.until("select count(*)::text from event.meta_comment where comment like 'yyy%'", "1").await;
        assert!(client.text(longest).await.parse::<usize>().unwrap() < 700_000);
        for (query, expected) in [
            (
                "select right(comment, 24) from event.meta_comment where object_names = '{424242}'",
                "yyyy... (50000001 bytes)",
            ),
            ("select right(body, 22) from event.meta_function where name = 'f'", "zz... (2000"),
            ("select labels[1] from event.meta_type where name = 'e'", "... (20000 texts"),
            ("select right(\"default\", 22) from event.meta_column where relation_name = 't'", "dd... (100"),
        ] {
            let text = client.text(query).await;
            assert!(text.contains(expected) || expected.contains(&text), "{text}");
        }
        client
            .sql("select event._compare(k) from unnest(array['comment', 'function', 'type', 'column', 'setting']) k")
            .await;
    }
    victim.subscriber.drain();
    while !victim.subscriber.events().await.is_empty() {}
    victim.is_told_for(&tidewire, LITTLE).await;
    peak(&tidewire, 150);
}

#[tokio::test]
async fn json_that_explodes_is_written_up_to_the_limit() {
    let (_database, tidewire, mut victim, attacker) = begin().await;
    attacker
        .sql(
            "do $$ begin execute 'create type atts.wide as (' || (select string_agg('n' || lpad(g::text, 59, '0') || ' int', ',') from generate_series(1, 1500) g)
                 || ')'; end $$;
             create table atts.ar (id int primary key, a atts.wide[], b atts.wide[]); insert into atts.ar values (1)",
        )
        .await;
    let his = Subscriber::create(_database.connect_as("att").await, "session_create()").await;
    his.sql("select event.subscribe_table(meta.relation_id('atts', 'ar'))").await;
    attacker
        .sql(
            "do $$ declare many text := format('array_fill((%s)::atts.wide, array[40000])', '(' || repeat('null,', 1499) || 'null)'); begin
                 execute format('insert into atts.ar values (2, %s)', many);
                 execute format('update atts.ar set a = %s, b = %s where id = 1', many, many);
             end $$",
        )
        .await;
    victim.is_told_for(&tidewire, 2 * LITTLE).await;
    assert_eq!(his.inbox().await.iter().map(ToString::to_string).collect::<Vec<_>>(), vec!["gap change_too_large"; 3]);
    peak(&tidewire, PEAK);
}

#[tokio::test]
async fn a_type_of_too_many_parts_is_told_as_text() {
    let (database, tidewire, mut victim, attacker) = begin().await;
    attacker
        .sql(
            "create type atts.t0 as (a int, b int);
             do $$ begin for i in 1..17 loop
                 execute format('create type atts.t%s as (a atts.t%s, b atts.t%s)', i, i - 1, i - 1);
             end loop; end $$;
             create table atts.w (id int primary key, e atts.t1, f atts.t0[], c atts.t17, d atts.t16);",
        )
        .await;
    let his = Subscriber::create(database.connect_as("att").await, "session_create()").await;
    his.sql("select event.subscribe_table(meta.relation_id('atts', 'w'))").await;
    let length = "select max(octet_length(description))::text from event.watched";
    assert!(victim.writer.text(length).await.parse::<usize>().unwrap() < 10_000);
    attacker
        .sql("insert into atts.w values (1, row(row(1, 2), null), array[row(3, 4)::atts.t0], null, row(null, null))")
        .await;
    victim.is_told_for(&tidewire, LITTLE).await;
    let told = his.inbox().await.remove(0);
    let expected = r#"{"id":1,"c":null,"d":"(,)","e":{"a":{"a":1,"b":2},"b":null},"f":[{"a":3,"b":4}]}"#;
    assert_eq!(
        told.payload().unwrap(),
        serde_json::from_str::<serde_json::Value>(expected).unwrap().as_object().unwrap()
    );
    let before = victim.writer.processor_time().await;
    victim
        .writer
        .sql("create function public.f() returns int language sql as 'select 1'; drop function public.f()")
        .await;
    let took = victim.writer.processor_time().await - before;
    assert!(took < LITTLE, "others' DDL took {took:?}");
    peak(&tidewire, 60);
}

#[tokio::test]
async fn what_may_be_seen_of_a_large_row_is_found_at_once() {
    const ROWS: usize = 3;
    let (database, tidewire, mut victim, attacker) = begin().await;
    attacker
        .sql(
            "create table atts.big (id int primary key, \"a\"\"b\" int, hidden json, \"ü\" text);
             revoke select on atts.big from att; grant select (id, \"a\"\"b\", \"ü\"), insert on atts.big to att",
        )
        .await;
    let mut his = Subscriber::create(database.connect_as("att").await, "session_create()").await;
    his.sql("select event.subscribe_column(meta.column_id('atts', 'big', 'a\"b'))").await;
    attacker
        .sql(&format!(
            "insert into atts.big select g, g, (select ('[' || string_agg('1', ',') || ']')::json from generate_series(1, 150000)), 'ä' || g
             from generate_series(1, {ROWS}) g"
        ))
        .await;
    let told = his.events().await;
    assert_eq!(told.len(), ROWS);
    assert_eq!(told[2].json["payload"].to_string(), r#"{"id":3,"a\"b":3,"ü":"ä3"}"#);
    let again = Subscriber::attach(database.connect_as("att").await, &his.session).await;
    victim.is_told_for(&tidewire, Duration::from_secs(5)).await;
    assert_eq!(his.inbox().await, told, "byte for byte");
    let read = format!("select string_agg(value::text, ' ' order by id) from event.read('{}')", his.session);
    assert!(again.text(&read).await.starts_with(r#"{"id":1,"a\"b":1,"ü":"ä1"} "#));
    let took = again.processor_time().await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    peak(&tidewire, 100);
}

#[tokio::test]
async fn keys_are_weighed_and_shared() {
    const COLUMNS: usize = 1500;
    let (database, tidewire, mut victim, attacker) = begin().await;
    let columns = |with: &str| (0..COLUMNS).map(|at| format!("c{at} {with}")).collect::<Vec<_>>().join(", ");
    attacker.sql(&format!("create table atts.wide (k text primary key, {})", columns("int default 0"))).await;
    let his = Subscriber::create(database.connect_as("att").await, "session_create()").await;
    his.sql("select event.subscribe_table(meta.relation_id('atts', 'wide'))").await;
    attacker.sql("insert into atts.wide (k) values (repeat('x', 200000)), (repeat('y', 8000))").await;
    victim.is_told_for(&tidewire, LITTLE).await;
    for key in ["x", "y"] {
        let update = format!("update atts.wide set {} where k like '{key}%'", columns("= c0 + 1"));
        attacker.sql(&format!("begin; {}; commit", vec![update; 3].join("; "))).await;
    }
    victim.is_told_for(&tidewire, Duration::from_secs(60)).await;
    let gaps = format!(
        "select count(*)::text from event.inbox i join event.journal j using (id) where session_id = '{}' and change = 'gap'",
        his.session
    );
    assert_eq!(
        victim.writer.text(&gaps).await,
        (3 * COLUMNS + 1).to_string(),
        "a key that is longer than any sane one is told of as a gap"
    );
    let weighed = format!(
        "select (sum(i.bytes)::float8 / sum(octet_length(j.row) + octet_length(j.key_values[1]) + coalesce(octet_length(j.value), 0) + 200)
                 between 0.5 and 2)::text
         from event.inbox i join event.journal j using (id) where i.session_id = '{}' and j.change <> 'gap'",
        his.session
    );
    assert_eq!(victim.writer.text(&weighed).await, "true");
    peak(&tidewire, 150);
}

#[tokio::test]
async fn what_is_stored_can_be_read_however_deep_it_is() {
    let (database, tidewire, mut victim, _attacker) = begin().await;
    victim.writer.sql("create table j (id int, d json)").await;
    victim.subscriber.table("j").await;
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for levels in [100, 101, 6000] {
        victim.writer.sql(&format!("insert into j values ({levels}, '{}')", nested(levels))).await;
    }
    // the deepest that PostgreSQL takes
    let deepest = "do $$ begin for levels in reverse 20000..5000 by 50 loop
        begin insert into j values (0, (repeat('[', levels) || repeat(']', levels))::json); exit; exception when statement_too_complex then null; end;
    end loop; end $$";
    victim.writer.sql(deepest).await;
    victim.writer.sql("select event.sync()").await;
    let session = &victim.subscriber.session;
    let client = database.connect().await;
    for query in [
        format!("select string_agg(json_typeof(value -> 'd'), ' ' order by id) from event.read('{session}')"),
        format!(
            "select string_agg(json_typeof(event -> 'payload' -> 'd'), ' ' order by id) from event.event where session_id = '{session}'"
        ),
        "select string_agg(json_typeof(value -> 'd'), ' ' order by id) from event.change where relation = 'public.j'"
            .to_owned(),
    ] {
        assert_eq!(client.text(&query).await, "array string string string", "{query}");
    }
    assert_eq!(client.text("select max(d::text) from j where id = 6000").await, nested(6000), "the table has it");
    let told = format!("select value -> 'd' #>> '{{}}' from event.read('{session}') where value ->> 'id' = '6000'");
    assert_eq!(client.text(&told).await, nested(6000));
    victim.subscriber.drain();
    victim.is_told_for(&tidewire, LITTLE).await;
}

#[tokio::test]
async fn a_subscription_to_a_long_key_takes_no_more_than_another() {
    const SUBSCRIPTIONS: usize = 400;
    let (database, tidewire, mut victim, _attacker) = begin().await;
    let client = database.connect().await;
    client.sql("create table t (id text primary key, v int); insert into t values ('k' || repeat('x', 9000), 0)").await;
    let his = Subscriber::open(&database).await;
    his.row("t", &format!("k{}", "x".repeat(9000))).await;
    victim.is_told_for(&tidewire, LITTLE).await;
    let before = tidewire.megabytes("VmRSS");
    client
        .sql(&format!(
            "insert into event.subscription (session_id, kind, relation, key_attnums, key, durable)
             select b.session_id, b.kind, b.relation, b.key_attnums, array[g || repeat('x', 200000)], true
             from event.subscription b, generate_series(1, {SUBSCRIPTIONS}) g where b.kind = 'row'"
        ))
        .await;
    client.sql("update t set v = 1").await;
    victim.is_told_for(&tidewire, LITTLE).await;
    assert_eq!(his.inbox().await.len(), 1, "its own is found");
    let after = tidewire.megabytes("VmRSS");
    assert!(after < before + 70, "{before} MB before, {after} MB after");
}

/// Texts that PostgreSQL keeps and cannot write with the stack that a session has. Some it does not keep either, for their length.
const DEEP: &str = "set max_stack_depth = '6MB';
    do $$ declare
        deep text := 'a' || repeat('+1', 12000);
        zero text := replace(deep, 'a', '0');
        statement text;
    begin
        create table deep (a int primary key, b int);
        create function deep_run() returns trigger language plpgsql as 'begin return new; end';
        foreach statement in array array[
            format('alter table deep alter b set default %s', zero),
            format('alter table deep add check (%s > 0)', deep),
            format('create view deep_view as select %s as x from deep', deep),
            format('create materialized view deep_stored as select %s as x from deep with no data', deep),
            format('create index deep_index on deep ((%s))', deep),
            format('create table deep_parts (a int, b int) partition by range ((%s))', deep),
            format('create policy deep_policy on deep using (%s > 0)', deep),
            format('create function deep_default(x int default %s) returns int language sql as %L', zero, 'select 1'),
            format('create function deep_body(x int) returns int language sql return %s', replace(deep, 'a', 'x')),
            format('create trigger deep_trigger before insert on deep for each row when (new.%s > 0) execute function deep_run()', deep),
            format('create domain deep_domain as int default %s check (%s > 0)', zero, replace(deep, 'a', 'value'))] loop
            begin
                execute statement;
            exception when program_limit_exceeded then
                raise warning 'not kept: %', left(statement, 40);
            end;
        end loop;
    end $$";

#[tokio::test]
async fn a_text_too_deep_to_be_written_hides_nothing_else() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(DEEP).await;
    let other = database.connect().await;
    let error = other.try_sql("select pg_get_viewdef('deep_view'::regclass)").await.unwrap_err();
    assert_eq!(error.code().code(), "54001");
    let kinds = other.rows("select kind from event.mirror order by place").await;
    for kind in kinds.iter().flatten().flatten() {
        other.text(&format!("select count(length(r::text)) from meta.{kind} r")).await;
    }
    let told = "select string_agg(distinct query, ', ') from meta.view where name = 'deep_view'";
    assert_eq!(other.text(told).await, "... (error 54001)");
    let mut subscriber = Subscriber::open(&database).await;
    for kind in ["view", "column", "index", "trigger", "policy", "function", "constraint_check", "table", "type"] {
        subscriber.sql(&format!("select subscribe_table(meta.relation_id('meta', '{kind}'))")).await;
    }
    other.sql("create table plain (id int); create view plain_view as select 1 as one").await;
    let told = subscriber.told().await;
    for needed in ["insert table meta.view", "insert table meta.column", "insert table meta.table"] {
        assert!(told.iter().any(|told| told.starts_with(needed)), "{needed}: {told:?}");
    }
    assert!(!told.iter().any(|told| told.starts_with("subscription_ended")), "{told:?}");
}
