//! What people type: tables and rows by name and plain values.

use crate::support::{Database, SEARCH_PATH, Subscriber};

const TABLES: &str = "create table person (id int primary key, name text, score int); insert into person values (3, 'Sandy', 1), (4, 'Nancy', 1);
    create table \"Odd table\" (\"a b\" text, n numeric, at date, v int, primary key (n, \"a b\", at));
    insert into \"Odd table\" values ('x,\"y', 1.50, '2026-01-05', 1);
    create table tagged (tags text[] primary key, v int); insert into tagged values ('{a,b}', 1);
    create table stamped (at timestamptz primary key, v int); insert into stamped values ('2026-01-05 12:00Z', 1)";

#[tokio::test]
async fn a_short_form_is_the_same_subscription_as_the_long_one() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.sql(TABLES).await;
    subscriber.sql("set timezone = 'Asia/Kolkata'; set datestyle = 'German, DMY'").await;
    let odd = "'public', 'Odd table', array['n', 'a b', 'at'], array['1.5', 'x,\"y', '2026-01-05']";
    let cases: Vec<(String, Vec<&str>)> = vec![
        (
            "subscribe_table(meta.relation_id('public', 'person'))".to_owned(),
            vec![
                "subscribe_table('public.person')",
                "subscribe_table('person')",
                "subscribe_table('person'::regclass)",
                "subscribe_table('PERSON'::text)",
                "subscribe_table('person', session => null)",
                "subscribe_table(relation => 'person')",
            ],
        ),
        (
            "subscribe_column(meta.column_id('public', 'person', 'score'))".to_owned(),
            vec!["subscribe_column('person', 'score')", "subscribe_column('person'::regclass, 'score')"],
        ),
        (
            "subscribe_row(meta.row_id('public', 'person', 'id', '3'))".to_owned(),
            vec![
                "subscribe_row('person', 3)",
                "subscribe_row('person', '3')",
                "subscribe_row('person'::regclass, 3::bigint)",
                "subscribe_row('person'::regclass, '03')",
                "subscribe_row('public.person', 3.0::numeric(3,0))",
            ],
        ),
        (
            "subscribe_field(meta.field_id('public', 'person', 'id', '3', 'score'))".to_owned(),
            vec![
                "subscribe_field('person', 3, 'score')",
                "subscribe_field('person', '3', 'score')",
                "subscribe_field('person'::regclass, 3, 'score')",
                "subscribe_field('person'::regclass, '3', 'score')",
            ],
        ),
        (
            format!("subscribe_row(meta.row_id({odd}))"),
            vec![
                "subscribe_row('\"Odd table\"', array['1.5', 'x,\"y', '2026-1-5'])",
                "subscribe_row('\"Odd table\"'::regclass, '{1.500,\"x,\\\"y\",5.1.2026}')",
            ],
        ),
        (
            "subscribe_row(meta.row_id('public', 'tagged', 'tags', '{a,b}'))".to_owned(),
            vec!["subscribe_row('tagged', array['a', 'b'])", "subscribe_row('tagged', '{a, b}')"],
        ),
        (
            "subscribe_row(meta.row_id('public', 'stamped', 'at', '2026-01-05 12:00Z'))".to_owned(),
            vec![
                "subscribe_row('stamped', timestamptz '2026-01-05 12:00Z')",
                "subscribe_row('stamped', '05.01.2026 17:30')",
            ],
        ),
        (
            "subscribe_table(meta.relation_id('meta', 'column'))".to_owned(),
            vec!["subscribe_table('meta.column')", "subscribe_table('meta.column'::regclass)"],
        ),
    ];
    for (long, forms) in cases {
        let expected = subscriber.text(&format!("select {long}")).await;
        for short in forms {
            assert_eq!(subscriber.text(&format!("select {short}")).await, expected, "{short}");
        }
    }
    let other = Subscriber::open(&database).await;
    let own = other.text(&format!("select subscribe_table('person', session => '{}')", subscriber.session)).await;
    assert_eq!(own, subscriber.text("select subscribe_table('person')").await, "for a session that is named");
}

#[tokio::test]
async fn a_short_form_resolves_names_as_its_caller_does() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create schema one; create schema two; create table one.t (id int primary key); create table two.t (id int primary key)").await;
    client.sql("create role bob login; grant usage on schema one, two to bob; grant select on two.t to bob; select event.watch('one.t'), event.watch('two.t')").await;
    let bob = Subscriber::open_as(&database, "bob").await;
    for form in ["'t'", "'t'::regclass", "'t'::text"] {
        bob.sql("set search_path = two, one").await;
        bob.sql(&format!("select event.subscribe_table({form})")).await;
        assert_eq!(bob.text("select string_agg(relation, ',') from event.subscribed").await, "two.t", "{form}");
        bob.sql("set search_path = one, two").await;
        let error = bob.try_sql(&format!("select event.subscribe_table({form})")).await.unwrap_err();
        assert_eq!(error.message(), "permission denied for table \"one.t\"", "{form}");
    }
    // of the caller's path only the name is made: what it has in front of PostgreSQL's own is not called
    client.sql("create schema trap; grant usage on schema trap to bob").await;
    client.sql("create function trap.subscribe_table(regclass, uuid) returns uuid language plpgsql as $$ begin raise exception 'caught'; end $$").await;
    client.sql("create function trap.format(text, int) returns text language plpgsql as $$ begin raise exception 'caught'; end $$").await;
    bob.sql("set search_path = trap, two, event, pg_catalog").await;
    bob.sql("select event.subscribe_table('t'), event.subscribe_row('t', 3), event.subscribe_field('t', 3, 'id'), event.subscribe_column('t', 'id')").await;

    for (call, message) in [
        ("subscribe_table('nowhere')", "relation \"nowhere\" does not exist"),
        ("subscribe_table(0::regclass)", "relation '-' does not exist"),
        ("subscribe_table(null::regclass)", "relation null does not exist"),
        ("subscribe_row('t', null::int)", "a key value is never null (column \"id\")"),
        ("subscribe_row('t', 'x')", "\"x\" is no value of key column \"id\""),
        ("subscribe_column('t', 'x')", "column \"x\" of relation \"two.t\" does not exist"),
        ("subscribe_row('pair', 1)", "the primary key of \"public.pair\" is (a, b)"),
        ("subscribe_row('pair', array[1, 2, 3])", "the primary key of \"public.pair\" is (a, b)"),
    ] {
        client.sql("create table if not exists public.pair (a int, b int, primary key (a, b)); grant select on pair to bob").await;
        bob.sql("set search_path = two, public").await;
        let error = bob.try_sql(&format!("select event.{call}")).await.expect_err(call);
        assert_eq!(error.message(), message, "{call}");
    }
}

#[tokio::test]
async fn a_person_reads_subscriptions_by_names() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLES).await;
    client
        .sql("create role bob login; create role eve login; grant select on all tables in schema public to bob")
        .await;
    client.sql("select event.watch('person'), event.watch('\"Odd table\"')").await;
    let bob = Subscriber::create(database.connect_as("bob").await, "session_create('mine')").await;
    bob.sql("select subscribe_field('person', 3, 'score'), subscribe_row('\"Odd table\"', array['1.50', 'x,\"y', '2026-01-05'])").await;
    bob.sql("set quote_all_identifiers = on").await;
    let shown = "select session, owner::text, kind, relation, \"column\"::text, key::text, state from event.subscribed order by kind";
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(
        bob.rows(shown).await,
        [
            vec![
                text("mine"),
                text("\"bob\""),
                text("field"),
                text("public.person"),
                text("score"),
                text(r#"{ "id" : "3" }"#),
                text("active")
            ],
            vec![
                text("mine"),
                text("\"bob\""),
                text("row"),
                text("public.\"Odd table\""),
                None,
                text(r#"{ "n" : "1.5", "a b" : "x,\"y", "at" : "2026-01-05" }"#),
                text("active")
            ],
        ]
    );
    let eve = database.connect_as("eve").await;
    eve.sql(SEARCH_PATH).await;
    assert_eq!(eve.text("select count(*) from event.subscribed").await, "0", "of others nothing is seen");
}

#[tokio::test]
async fn names_are_read_alike_whatever_is_quoted() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql(TABLES).await;
    subscriber.table("person").await;
    subscriber.sql("set quote_all_identifiers = on; update person set score = 2").await;
    assert_eq!(subscriber.told().await.len(), 2);
    assert_eq!(subscriber.text("select relation from event.read(null)").await, "public.person");
    assert_eq!(subscriber.text("select relation from event.change").await, "public.person");
}

#[tokio::test]
async fn a_schema_change_minds_no_setting_of_arrays() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.sql(TABLES).await;
    subscriber.table("person").await;
    let client = database.connect().await;
    client.sql("set array_nulls = off; set client_min_messages = warning").await;
    client.sql("alter table person add extra int; alter schema public owner to postgres; create schema s; alter table person set schema s").await;
    client.sql("create role bob; drop owned by bob").await;
    assert_eq!(client.text("select count(*) from event.overdue").await, "0", "each was followed at once");
}
