//! Bad input gets a clear error and harms nothing.

use crate::support::{Client, Database, SEARCH_PATH, Subscriber};

/// What a statement is refused with: SQLSTATE and message, and the hint behind ` -- ` if there is one.
async fn refused(client: &Client, sql: &str) -> String {
    match client.try_sql(sql).await {
        Ok(()) => panic!("not refused: {sql}"),
        Err(error) => {
            let hint = error.hint().map(|hint| format!(" -- {hint}")).unwrap_or_default();
            format!("{} {}{hint}", error.code().code(), error.message())
        }
    }
}

/// Each call is refused with what is said.
async fn all_refused(client: &Client, cases: &[(&str, &str)]) {
    for (call, expected) in cases {
        assert_eq!(refused(client, &format!("select {call}")).await, *expected, "{call}");
    }
}

/// A subscription is told of what happens, and nothing else is left of what was tried before.
async fn assert_unharmed(database: &Database) {
    let client = database.connect().await;
    client.sql("create table unharmed (id int primary key)").await;
    let mut subscriber = Subscriber::open(database).await;
    assert_eq!(client.text("select count(*) from event.subscription").await, "0");
    assert_eq!(client.text("select count(*) from event.watched").await, "0");
    subscriber.table("unharmed").await;
    client.sql("insert into unharmed values (1)").await;
    assert_eq!(subscriber.told().await, [r#"insert table unharmed 1 {"id":1}"#]);
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_subscribed_to() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql("create table person (id int primary key, name text, gone int, made int generated always as (id) stored)")
        .await;
    client.sql("alter table person drop column gone; create type pair as (a int, b int)").await;
    let subscriber = Subscriber::open(&database).await;
    let quoting = "Names are taken as they are: without quotes, capitals count.";
    all_refused(
        &subscriber,
        &[
            ("subscribe_table(meta.relation_id('public', 'nobody'))", &format!("42P01 relation \"public.nobody\" does not exist -- {quoting}")),
            ("subscribe_table(meta.relation_id('nowhere', 'person'))", &format!("42P01 relation \"nowhere.person\" does not exist -- {quoting}")),
            ("subscribe_table(meta.relation_id('public', 'Person'))", &format!("42P01 relation \"public.Person\" does not exist -- {quoting}")),
            ("subscribe_table(meta.relation_id('public', '\"person\"'))", &format!("42P01 relation \"public.\"person\"\" does not exist -- {quoting}")),
            ("subscribe_table(meta.relation_id(null, null))", &format!("42P01 relation \"<NULL>.<NULL>\" does not exist -- {quoting}")),
            ("subscribe_table(null::meta.relation_id)", &format!("42P01 relation \"<NULL>.<NULL>\" does not exist -- {quoting}")),
            ("subscribe_row(null::meta.row_id)", &format!("42P01 relation \"<NULL>.<NULL>\" does not exist -- {quoting}")),
            ("subscribe_column(meta.column_id('public', 'nobody', 'name'))", &format!("42P01 relation \"public.nobody\" does not exist -- {quoting}")),
            ("subscribe_column(meta.column_id('public', 'person', 'age'))", "42703 column \"age\" of relation \"public.person\" does not exist"),
            ("subscribe_column(meta.column_id('public', 'person', 'gone'))", "42703 column \"gone\" of relation \"public.person\" does not exist"),
            ("subscribe_column(meta.column_id('public', 'person', 'ctid'))", "42703 column \"ctid\" of relation \"public.person\" does not exist"),
            ("subscribe_column(meta.column_id('public', 'person', null))", "42703 column \"<NULL>\" of relation \"public.person\" does not exist"),
            ("subscribe_field(meta.field_id('public', 'person', 'id', '1', 'age'))", "42703 column \"age\" of relation \"public.person\" does not exist"),
            ("subscribe_table(meta.relation_id('public', 'pair'))", "0A000 cannot watch \"public.pair\": it is not a table -- Only ordinary and partitioned tables can be watched."),
        ],
    )
    .await;
    // from PostgreSQL 18 on generated columns are in the stream
    if client.major().await < 18 {
        let made = "subscribe_column(meta.column_id('public', 'person', 'made'))";
        all_refused(&subscriber, &[(made, "0A000 column \"made\" of relation \"public.person\" is generated")]).await;
    }
    assert_unharmed(&database).await;
}

#[tokio::test]
async fn a_key_must_be_the_primary_key_with_values_of_its_types() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table person (id int primary key, name text unique not null)").await;
    client.sql("create table seat (\"row\" char(1), number smallint, primary key (\"row\", number))").await;
    client.sql("create table log (line text)").await;
    client.sql("create type mood as enum ('sad'); create domain even as int check (value % 2 = 0)").await;
    client.sql("create table typed (u uuid primary key); create table feeling (m mood primary key)").await;
    client.sql("create table pairs (e even primary key); create table code (c varchar(3) primary key)").await;
    let subscriber = Subscriber::open(&database).await;
    let whole = " -- Name the row by all columns of its primary key.";
    all_refused(
        &subscriber,
        &[
            ("subscribe_row(meta.row_id('public', 'person', 'name', 'Joe'))", &format!("42P10 the primary key of \"public.person\" is (id), not (name){whole}")),
            ("subscribe_row(meta.row_id('public', 'person', 'nothing', '1'))", &format!("42P10 the primary key of \"public.person\" is (id), not (nothing){whole}")),
            ("subscribe_row(meta.row_id('public', 'person', array['id', 'name'], array['1', 'x']))", &format!("42P10 the primary key of \"public.person\" is (id), not (id, name){whole}")),
            ("subscribe_row(meta.row_id('public', 'person', array['id', 'id'], array['1', '1']))", &format!("42P10 the primary key of \"public.person\" is (id), not (id, id){whole}")),
            ("subscribe_row(meta.row_id('public', 'seat', 'row', 'A'))", &format!("42P10 the primary key of \"public.seat\" is (row, number), not (row){whole}")),
            ("subscribe_row(meta.row_id('public', 'seat', array['row', 'row'], array['A', 'A']))", &format!("42P10 the primary key of \"public.seat\" is (row, number), not (row, row){whole}")),
            ("subscribe_field(meta.field_id('public', 'person', 'name', 'Joe', 'id'))", &format!("42P10 the primary key of \"public.person\" is (id), not (name){whole}")),
            ("subscribe_row(meta.row_id('public', 'seat', array['row', 'number'], array['A']))", "22023 a row is named by as many values as its key has columns"),
            ("subscribe_row(meta.row_id('public', 'seat', array[]::text[], array[]::text[]))", "22023 a row is named by as many values as its key has columns"),
            ("subscribe_row(meta.row_id('public', 'person', 'id', 'three'))", "22023 \"three\" is no value of key column \"id\" -- The column's type is integer."),
            ("subscribe_row(meta.row_id('public', 'person', 'id', ''))", "22023 \"\" is no value of key column \"id\" -- The column's type is integer."),
            ("subscribe_row(meta.row_id('public', 'person', 'id', '3000000000'))", "22023 \"3000000000\" is no value of key column \"id\" -- The column's type is integer."),
            ("subscribe_row(meta.row_id('public', 'person', 'id', '1); drop table person --'))", "22023 \"1); drop table person --\" is no value of key column \"id\" -- The column's type is integer."),
            ("subscribe_field(meta.field_id('public', 'person', 'id', 'x', 'name'))", "22023 \"x\" is no value of key column \"id\" -- The column's type is integer."),
            ("subscribe_row(meta.row_id('public', 'typed', 'u', 'x'))", "22023 \"x\" is no value of key column \"u\" -- The column's type is uuid."),
            ("subscribe_row(meta.row_id('public', 'feeling', 'm', 'glad'))", "22023 \"glad\" is no value of key column \"m\" -- The column's type is public.mood."),
            // the domain's check is not asked: it is code of its owner
            ("subscribe_row(meta.row_id('public', 'pairs', 'e', 'x'))", "22023 \"x\" is no value of key column \"e\" -- The column's type is integer."),
            ("subscribe_row(meta.row_id('public', 'code', 'c', 'abcd'))", "22023 \"abcd\" is no value of key column \"c\" -- The column's type is character varying(3)."),
            ("subscribe_row(meta.row_id('public', 'person', 'id', null))", "22004 a key value is never null (column \"id\")"),
            ("subscribe_row(meta.row_id('public', 'seat', array['row', 'number'], array['A', null]))", "22004 a key value is never null (column \"number\")"),
            ("subscribe_row(meta.row_id('public', 'log', 'line', 'x'))", "55000 table \"public.log\" has no primary key -- Without a key a row has no name. Add a primary key, or subscribe to the table or to a column."),
            ("subscribe_field(meta.field_id('public', 'log', 'line', 'x', 'line'))", "55000 table \"public.log\" has no primary key -- Without a key a row has no name. Add a primary key, or subscribe to the table or to a column."),
            ("subscribe_field(row(meta.row_id('public', 'person', 'id', '1'), meta.column_id('public', 'log', 'line'))::meta.field_id)", "22023 the field's column is of another relation than its row"),
        ],
    )
    .await;
    assert_unharmed(&database).await;
}

#[tokio::test]
async fn what_is_not_in_the_stream_is_refused_with_the_reason() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table person (id int primary key);
             create view grown as select * from person; create materialized view copied as select * from person;
             create unlogged table scratch (id int primary key); create sequence counter;
             create foreign data wrapper elsewhere; create server there foreign data wrapper elsewhere;
             create foreign table far (id int) server there;
             create table visit (id int, day int) partition by range (day);
             create table visit_1 partition of visit for values from (1) to (2);
             create table mixed (id int) partition by range (id);
             create unlogged table mixed_1 partition of mixed for values from (1) to (2);
             create table afar (id int) partition by range (id);
             create foreign table afar_1 partition of afar for values from (1) to (2) server there;
             create table made (a int, id int generated always as (a) stored primary key);",
        )
        .await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.sql("create temp table here (id int primary key)").await;
    let temporary = subscriber.text("select pg_my_temp_schema()::regnamespace").await;
    let tables = "Only ordinary and partitioned tables can be watched.";
    let reads = "Subscribe to the tables that it reads.";
    let own = "it is one of Tidewire's own tables -- What Tidewire writes is not sent through it again.";
    let parts = "All partitions must be ordinary, logged tables.";
    let mut cases = vec![
        ("public", "grown", format!("\"public.grown\": it is a view, which has no rows of its own -- {reads}")),
        ("public", "copied", format!("\"public.copied\": it is a materialized view, and those cannot be published -- {reads}")),
        ("public", "scratch", "\"public.scratch\": it is unlogged: its changes are not in the WAL -- alter table public.scratch set logged;".to_owned()),
        (temporary.as_str(), "here", format!("\"here\": it is temporary: its changes are not in the WAL -- {tables}")),
        ("public", "far", "\"public.far\": it is a foreign table, whose changes happen on another server -- Run Tidewire on that server.".to_owned()),
        ("public", "counter", format!("\"public.counter\": it is not a table -- {tables}")),
        ("public", "person_pkey", format!("\"public.person_pkey\": it is not a table -- {tables}")),
        ("public", "visit_1", "\"public.visit_1\": it is a partition, and changes are told of the root -- Subscribe to public.visit.".to_owned()),
        ("public", "mixed", format!("\"public.mixed\": changes of its partition public.mixed_1 are not in the WAL -- {parts}")),
        ("public", "afar", format!("\"public.afar\": changes of its partition public.afar_1 are not in the WAL -- {parts}")),
        ("pg_catalog", "pg_class", format!("\"pg_class\": it is a system table, and their changes cannot be decoded from the WAL -- {tables}")),
        ("pg_catalog", "pg_roles", format!("\"pg_roles\": it is a system table, and their changes cannot be decoded from the WAL -- {tables}")),
        ("information_schema", "sql_features", format!("\"information_schema.sql_features\": it is a system table, and their changes cannot be decoded from the WAL -- {tables}")),
        ("event", "journal", format!("\"event.journal\": {own}")),
        ("event", "inbox", format!("\"event.inbox\": {own}")),
        ("event", "subscription", format!("\"event.subscription\": {own}")),
        ("event", "event", format!("\"event.event\": it is a view, which has no rows of its own -- {reads}")),
    ];
    if client.major().await < 18 {
        cases.push((
            "public",
            "made",
            format!(
                "\"public.made\": its primary key has a generated column, which is not in the WAL's stream -- {tables}"
            ),
        ));
    } else {
        client.sql("create table thought (id int primary key, g int generated always as (id) virtual)").await;
        cases.push(("public", "thought", "\"public.thought\": it has a virtual generated column -- With REPLICA IDENTITY FULL the updates and deletes of the table's writers would fail. Make the column STORED.".to_owned()));
    }
    for (schema, name, reason) in cases {
        let expected = format!("0A000 cannot watch {reason}");
        let subscribe = format!("select subscribe_table(meta.relation_id('{schema}', '{name}'))");
        assert_eq!(refused(&subscriber, &subscribe).await, expected);
        assert_eq!(refused(&subscriber, &format!("select watch('{schema}.{name}')")).await, expected);
    }
    assert!(refused(&subscriber, "select watch(null)").await.starts_with("22004"));
    assert!(refused(&subscriber, "select watch('nobody')").await.starts_with("42P01"));
    assert!(refused(&subscriber, "select unwatch(null)").await.starts_with("22004"));
    subscriber.sql("select unwatch('person')").await;
    client.sql("alter table scratch set logged; select event.watch('scratch'); select event.unwatch('scratch')").await;
    assert_unharmed(&database).await;
}

#[tokio::test]
async fn who_waits_for_its_own_commit_is_told_at_once() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(SEARCH_PATH).await;
    client.sql("create table person (id int primary key); select session_create()").await;
    client.sql("begin; select subscribe_table('person')").await;
    let told = refused(&client, "select event.sync('1 h')").await;
    assert!(
        told.starts_with("55000 the subscription to table \"public.person\" takes effect after this transaction"),
        "{told}"
    );
    client.sql("rollback").await;
    client.sql("select subscribe_table('person')").await;
    client.sql("select event.sync()").await;
}

#[tokio::test]
async fn a_session_that_is_not_there_or_not_current_is_told() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(SEARCH_PATH).await;
    client.sql("create table person (id int primary key)").await;
    let create = "Call event.session_create() or event.session_attach(session) first, or name the session in each call, as through a pooler. A connection that sends no setting at its start (an application_name, say) is taken for a pooler's.";
    let none = format!("55000 this connection has no current session -- {create}");
    for call in [
        "subscribe_table(meta.relation_id('public', 'person'))",
        "session_detach()",
        "session_pin()",
        "session_attach(null)",
        "session_delete(null)",
        "ack(null, '0000000000000000-00000000')",
    ] {
        assert_eq!(refused(&client, &format!("select {call}")).await, none, "{call}");
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    let missing = format!("42704 session \"{unknown}\" does not exist -- Create one with event.session_create().");
    for call in [
        "session_attach('{}')",
        "session_detach('{}')",
        "session_delete('{}')",
        "session_pin('{}')",
        "session_share('{}', 'postgres')",
        "ack('{}', '0000000000000000-00000000')",
        "event.read('{}')",
        "subscribe_table('{}', meta.relation_id('public', 'person'))",
    ] {
        assert_eq!(refused(&client, &format!("select {}", call.replace("{}", unknown))).await, missing, "{call}");
    }
    assert_eq!(
        refused(&client, &format!("select unsubscribe('{unknown}')")).await,
        format!("42704 subscription \"{unknown}\" does not exist")
    );
    assert!(refused(&client, "select session_attach('x')").await.starts_with("22P02"));
    assert!(refused(&client, "select unsubscribe(null)").await.starts_with("42704"));
    client.sql("set event.current_session = 'nonsense'").await;
    assert!(refused(&client, "select session_detach()").await.starts_with("22P02"));
    client.sql("reset event.current_session").await;

    let subscriber = Subscriber::open(&database).await;
    all_refused(
        &subscriber,
        &[
            ("session_create('')", "22023 a session's name has 1 to 200 bytes"),
            ("session_create(repeat('x', 201))", "22023 a session's name has 1 to 200 bytes"),
            ("session_create(durable => null)", "22004 durable must be true or false"),
            ("session_create('a'), session_create('a', false)", "42710 session \"a\" exists and is durable -- Choose another name, or delete it with event.session_delete(session)."),
            (&format!("session_share('{}', 'nobody')", subscriber.session), "42704 role \"nobody\" does not exist"),
            (&format!("session_share('{}', null)", subscriber.session), "42704 role \"<NULL>\" does not exist"),
        ],
    )
    .await;
    subscriber.sql(&format!("select session_delete('{}')", subscriber.session)).await;
    assert_eq!(refused(&subscriber, "select subscribe_table(meta.relation_id('public', 'person'))").await, none);
    assert_unharmed(&database).await;
}

#[tokio::test]
async fn only_events_that_were_sent_are_acknowledged_and_twice_does_no_harm() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql("create table t (id int primary key)").await;
    subscriber.table("t").await;
    subscriber.sql("insert into t select generate_series(1, 3)").await;
    let events = subscriber.events().await;
    let session = subscriber.session.clone();
    let form = "An event id is 16 hexadecimal digits, a dash and 8 hexadecimal digits, in capitals.";
    for malformed in
        ["", "x", "0", "0000000000000000-0000000g", "000000000000000a-00000001", &format!("{} ", events[0].id())]
    {
        let error = refused(&subscriber, &format!("select ack('{session}', '{malformed}')")).await;
        assert_eq!(error, format!("22023 \"{malformed}\" is not an event id -- {form}"));
    }
    assert_eq!(
        refused(&subscriber, &format!("select ack('{session}', null)")).await,
        format!("22023 \"<NULL>\" is not an event id -- {form}")
    );
    let acknowledged = "Acknowledge the id of an event that the session was sent.";
    for unknown in ["FFFFFFFFFFFFFFFF-00000001".to_owned(), format!("{}-000000FF", events[0].transaction())] {
        let error = refused(&subscriber, &format!("select ack('{session}', '{unknown}')")).await;
        assert_eq!(
            error,
            format!("42704 event \"{unknown}\" is not in the inbox of session \"{session}\" -- {acknowledged}")
        );
    }
    assert_eq!(subscriber.inbox().await, events, "nothing was acknowledged by what was refused");

    let ack = format!("select ack('{session}', '{}')", events[1].id());
    subscriber.sql(&ack).await;
    assert_eq!(subscriber.inbox().await, events[2..]);
    subscriber.sql(&ack).await;
    subscriber.sql(&format!("select ack('{session}', '{}')", events[0].id())).await;
    assert_eq!(subscriber.inbox().await, events[2..]);

    let mut other = Subscriber::open(&database).await;
    other.sql("create table u (id int primary key)").await;
    other.table("u").await;
    other.sql("insert into u values (1)").await;
    let unread = other.events().await;
    subscriber.sql("insert into t values (4)").await;
    let foreign = subscriber.events().await.remove(0);
    let error = refused(&other, &format!("select ack('{}', '{}')", other.session, foreign.id())).await;
    assert!(error.starts_with("42704 event"), "of another session's inbox: {error}");
    assert_eq!(other.inbox().await, unread);
    subscriber.sql(&format!("delete from event.event where id = '{}'", foreign.id())).await;
    let client = database.connect().await;
    let fleeting = Subscriber::create(client, "session_create(durable => false)").await;
    let error = refused(&fleeting, &format!("select ack('{}', '{}')", fleeting.session, events[2].id())).await;
    assert!(error.starts_with("55000 session") && error.contains("keeps no inbox"), "{error}");
    assert_eq!(subscriber.inbox().await, events[2..]);
}

/// What the table's writers do, and must go on being able to do.
async fn write(client: &Client, table: &str) {
    client.sql(&format!("insert into {table} values (1, 1); update {table} set a = 2; delete from {table}")).await;
}

#[tokio::test]
async fn a_publication_of_others_that_would_break_the_writers_is_in_the_way() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    let major = client.major().await;
    client
        .sql(
            "create table wide (id int primary key, a int); create publication fine for table wide;
             create table made (id int primary key, a int, g int generated always as (a) stored);
             create table made_too (like made including all)",
        )
        .await;
    let mut refusals = Vec::new();
    let mut watchable = vec!["wide"];
    if major >= 15 {
        client
            .sql(
                "create table narrow (id int primary key, a int); create publication theirs for table narrow (id);
                 create table part (id int primary key, a int) partition by range (id);
                 create table part_1 partition of part for values from (0) to (10) partition by range (id);
                 create table part_1_1 partition of part_1 for values from (0) to (10);
                 create publication \"their own\" for table part_1 (id) with (publish_via_partition_root);
                 create table filtered (id int primary key, a int);
                 create publication filtering for table filtered where (id > 1)",
            )
            .await;
        refusals.push(("narrow", "publication theirs has a column list or row filter for it"));
        refusals.push(("part", "publication \"their own\" has a column list or row filter for it"));
        watchable.push("filtered");
    }
    if major >= 18 {
        client.sql("create publication keyed for table made; create publication inserts for table made_too with (publish = 'insert')").await;
        client.sql("create schema s; create table s.made (like made including all); create publication schemas for tables in schema s").await;
        refusals.push(("made", "publication keyed leaves out generated columns of it"));
        refusals.push(("s.made", "publication schemas leaves out generated columns of it"));
    } else {
        watchable.push("made");
    }
    watchable.push("made_too");
    let mut subscriber = Subscriber::open(&database).await;
    for (table, reason) in refusals {
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        let subscribe = format!("select subscribe_table(meta.relation_id('{schema}', '{name}'))");
        assert_eq!(
            refused(&subscriber, &subscribe).await,
            format!(
                "0A000 cannot watch \"{schema}.{name}\": {reason} -- \
                 With REPLICA IDENTITY FULL the updates and deletes of the table's writers would fail, or rows would be \
                 missing. Publish all of its columns there."
            )
        );
        write(&client, table).await;
    }
    for table in watchable {
        subscriber.table(table).await;
        write(&client, table).await;
        let told = subscriber.told().await;
        assert_eq!(told.iter().filter(|told| !told.contains(r#"{"g":"#)).count(), 3, "{told:?}");
    }
    if major >= 15 {
        client.sql("drop publication theirs").await;
        subscriber.table("narrow").await;
        write(&client, "narrow").await;
        assert_eq!(subscriber.told().await.len(), 3);
    }
    // and of all tables: it leaves out only generated columns
    client.sql("create publication everything for all tables").await;
    let everything = "publication everything leaves out generated columns of it";
    client.sql("create table late (like made including all)").await;
    let late = "select subscribe_table(meta.relation_id('public', 'late'))";
    if major >= 18 {
        assert!(refused(&subscriber, late).await.contains(everything));
        client.sql("alter publication everything set (publish_generated_columns = stored)").await;
    }
    subscriber.sql(late).await;
    for table in ["wide", "late"] {
        write(&client, table).await;
    }
}

#[tokio::test]
async fn a_busy_table_lets_the_subscription_wait_and_no_writer() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let holder = database.connect().await;
    holder.sql("begin; insert into t values (0)").await;

    let mut subscriber = Subscriber::open(&database).await;
    let url = database.url();
    let writer = tokio::spawn(async move {
        let client = Client::connect(&url).await;
        for id in 1..400 {
            client.sql(&format!("insert into t values ({id})")).await;
        }
    });
    let busy = "55P03 table \"public.t\" is busy -- Try again, or run event.watch at a quiet moment: once a table is watched, \
                subscribing takes no lock.";
    // both answer, and every INSERT is done, while the table stays busy: whatever wants its lock gives up
    assert_eq!(refused(&subscriber, "select watch('t')").await, busy);
    subscriber.try_sql("select subscribe_table(meta.relation_id('public', 't'))").await.unwrap();
    let waits = "select waiting from event.subscription where relation = 't'::regclass";
    assert_eq!(subscriber.text(waits).await, "t");
    let late = subscriber.try_sql("select event.sync('300 ms')").await.unwrap_err();
    assert!(late.message().contains("has not taken effect"), "{late}");
    writer.await.unwrap();
    assert_eq!(client.text("select count(*) from event.watched").await, "0");
    assert_eq!(subscriber.text(waits).await, "t");

    // what a transaction writes that goes on must not be delivered from its middle on
    client.sql("create table f (id int primary key); alter table f replica identity full").await;
    let other = database.connect().await;
    other.sql("begin; insert into f values (0)").await;
    subscriber.try_sql("select subscribe_table(meta.relation_id('public', 'f'))").await.unwrap();
    other.sql("insert into f values (1); commit").await;
    holder.sql("commit").await;
    subscriber.until("select count(*) from event.subscription where waiting", "0").await;
    client.sql("insert into f values (2)").await;
    client.sql("insert into t values (400)").await;
    assert_eq!(subscriber.told().await, [r#"insert table f 2 {"id":2}"#, r#"insert table t 400 {"id":400}"#]);

    // once it is watched it may be as busy as it likes
    holder.sql("begin; lock table t in row exclusive mode").await;
    let mut other = Subscriber::open(&database).await;
    other.table("t").await;
    holder.sql("insert into t values (401); commit").await;
    assert_eq!(other.told().await, [r#"insert table t 401 {"id":401}"#]);

    // the last one to go cannot put a busy table back: that is done later
    holder.sql("begin; insert into t values (402)").await;
    for subscriber in [&subscriber, &other] {
        subscriber.sql(&format!("select session_delete('{}')", subscriber.session)).await;
    }
    assert_eq!(client.text("select relreplident from pg_class where relname = 't'").await, "f");
    holder.sql("commit").await;
    let restored = "select count(*) from pg_class where relname = 't' and relreplident = 'd'";
    while client.text(restored).await == "0" {
        client.sql("create table nudge (); drop table nudge").await;
    }
    // the other goes by itself
    client.until("select count(*) from event.watched", "0").await;
}
