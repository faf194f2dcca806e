//! Who may be told what: the privileges of the session's owner decide, and nobody gains any by asking in another way.

use crate::support::{Client, Database, Subscriber};

async fn refused(client: &Client, sql: &str) -> String {
    match client.try_sql(sql).await {
        Ok(()) => panic!("not refused: {sql}"),
        Err(error) => {
            let hint = error.hint().map(|hint| format!(" -- {hint}")).unwrap_or_default();
            format!("{} {}{hint}", error.code().code(), error.message())
        }
    }
}

/// What the superuser has to run, as the hint of a refusal says it.
fn hint(refusal: &str) -> &str {
    refusal.split_once(" -- ").unwrap_or_else(|| panic!("no hint: {refusal}")).1
}

#[tokio::test]
async fn select_on_all_that_would_be_told_is_needed() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role reader login; create schema shop").await;
    client.sql("create table shop.item (id int primary key, name text, cost int)").await;
    let mut reader = Subscriber::open_as(&database, "reader").await;
    let table = "select subscribe_table(meta.relation_id('shop', 'item'))";
    let row = "select subscribe_row(meta.row_id('shop', 'item', 'id', '1'))";
    let name = "select subscribe_column(meta.column_id('shop', 'item', 'name'))";
    let cost = "select subscribe_column(meta.column_id('shop', 'item', 'cost'))";
    let name_of_1 = "select subscribe_field(meta.field_id('shop', 'item', 'id', '1', 'name'))";
    let denied = "42501 permission denied for table \"shop.item\" -- grant select on shop.item to reader;";

    client.sql("grant select on shop.item to reader").await;
    for subscribe in [table, row, name, name_of_1] {
        let error = refused(&reader, subscribe).await;
        assert_eq!(error, "42501 permission denied for schema \"shop\" -- grant usage on schema shop to reader;");
    }
    client.sql("revoke all on shop.item from reader").await;
    client.sql("grant usage on schema shop to reader").await;
    for subscribe in [table, row, name, name_of_1] {
        assert_eq!(refused(&reader, subscribe).await, denied);
    }
    // one column, and not the key
    client.sql("grant select (name) on shop.item to reader").await;
    for subscribe in [table, row, name, cost, name_of_1] {
        assert_eq!(refused(&reader, subscribe).await, denied);
    }
    assert_eq!(client.text("select count(*) from event.watched").await, "0");

    client.sql("grant select (id) on shop.item to reader").await;
    for subscribe in [table, row, cost] {
        assert_eq!(refused(&reader, subscribe).await, denied);
    }
    reader.sql(name).await;
    reader.sql(name_of_1).await;
    client.sql("insert into shop.item values (1, 'cup', 700); update shop.item set name = 'mug', cost = 800").await;
    client.sql("delete from shop.item").await;
    assert_eq!(
        reader.told().await,
        [
            r#"insert column shop.item 1 {"id":1,"name":"cup"}"#,
            r#"update column shop.item 1 {"name":"mug"}"#,
            "delete column shop.item 1"
        ]
    );
    assert!(!reader.text("select string_agg(event::text, '') from event.event").await.contains("cost"));
    assert!(!reader.text("select string_agg(value::text, '') from event.change").await.contains("cost"));

    client.sql(hint(denied)).await;
    reader.sql(table).await;
    reader.sql(row).await;
    client.sql("insert into shop.item values (2, 'jug', 900)").await;
    assert_eq!(reader.told().await, [r#"insert table shop.item 2 {"id":2,"name":"jug","cost":900}"#]);
}

#[tokio::test]
async fn a_table_without_a_key_tells_nothing_to_who_may_not_read_it() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role reader login; create table log (line text)").await;
    let reader = Subscriber::open_as(&database, "reader").await;
    for call in [
        "subscribe_table(meta.relation_id('public', 'log'))",
        "subscribe_column(meta.column_id('public', 'log', 'line'))",
        "event._subscribe(null, 'column', 'public.log'::regclass, 1::smallint, null, null)",
    ] {
        let error = refused(&reader, &format!("select {call}")).await;
        assert!(error.starts_with("42501 permission denied for table"), "{call}: {error}");
    }
    // a number that no column has
    let call = "event._subscribe(null, 'column', 'public.log'::regclass, 9::smallint, null, null)";
    assert!(refused(&reader, &format!("select {call}")).await.starts_with("42703"));
}

#[tokio::test]
async fn a_table_of_another_owner_is_watched_by_whoever_may_alter_it() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create role tide login replication; grant create on database postgres to tide").await;
    client.sql("create role \"Own\" login; create role reader login; grant create on schema public to \"Own\"").await;
    let _tidewire = crate::support::Tidewire::up(&database.url_as("tide")).await;
    client.sql("grant \"Own\" to postgres; set role \"Own\"").await;
    client.sql("create table a (id int primary key); create table b (id int primary key); create table c (id int primary key)").await;
    client.sql("grant select on a, b, c to reader; reset role").await;
    let owner = database.connect_as("Own").await;
    let mut reader = Subscriber::open_as(&database, "reader").await;

    let error = refused(&reader, "select subscribe_table(meta.relation_id('public', 'a'))").await;
    assert_eq!(
        error,
        "42501 must be owner of table \"public.a\" -- \
         Ask its owner or a superuser to run once: select event.watch('public.a');"
    );
    let error = refused(&owner, "select event.watch('public.a')").await;
    assert_eq!(
        error,
        "42501 cannot put table \"public.a\" into publication \"tidewire\" -- \
         As an administrator: grant \"Own\" to tide; or run event.watch as a superuser."
    );
    // as a superuser
    client.sql("select event.watch('public.a')").await;
    reader.table("a").await;
    client.sql("insert into a values (1); update a set id = 2").await;
    assert_eq!(
        reader.told().await,
        [r#"insert table a 1 {"id":1}"#, "delete table a 1", r#"insert table a 2 {"id":2}"#]
    );
    let error = refused(&reader, "select event.unwatch('public.a')").await;
    assert_eq!(error, "42501 must be owner of table \"public.a\"");
    reader.sql("select unsubscribe(id) from event.subscription").await;
    client.sql("select event.unwatch('public.a')").await;
    assert_eq!(client.text("select relreplident from pg_class where relname = 'a'").await, "d");
    assert_eq!(client.text("select count(*) from event.watched").await, "0");

    // with the membership tidewire does it by itself
    client.sql("grant \"Own\" to tide").await;
    reader.table("b").await;
    owner.sql("select event.watch('public.c')").await;
    reader.table("c").await;
    client.sql("insert into b values (1); insert into c values (1)").await;
    assert_eq!(reader.told().await, [r#"insert table b 1 {"id":1}"#, r#"insert table c 1 {"id":1}"#]);

    // and so does an owner who may alter the publication too
    client.sql("create role twice login; grant tide to twice; grant create on schema public to twice").await;
    let mut twice = Subscriber::open_as(&database, "twice").await;
    twice.sql("create table d (id int primary key); select event.watch('public.d')").await;
    twice.table("d").await;
    twice.sql("insert into d values (1)").await;
    assert_eq!(twice.told().await, [r#"insert table d 1 {"id":1}"#]);
    twice
        .sql("create table e (id int primary key); select event.watch('public.e'); select event.unwatch('public.e')")
        .await;
    assert_eq!(client.text("select relreplident from pg_class where relname = 'e'").await, "d");
}

#[tokio::test]
async fn row_level_security_that_applies_to_the_owner_is_refused() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role boss login; create role reader login; create role auditor login bypassrls").await;
    client.sql("grant create on schema public to boss").await;
    let boss = Subscriber::open_as(&database, "boss").await;
    boss.sql("create table t (id int primary key); alter table t enable row level security").await;
    boss.sql("create policy few on t using (id < 10); grant select on t to reader, auditor").await;
    let subscribe = "select subscribe_table(meta.relation_id('public', 't'))";
    let applies = |role: &str| {
        format!(
            "0A000 row-level security of \"public.t\" applies to role \"{role}\" -- \
             Use a session whose owner owns the table or has BYPASSRLS."
        )
    };
    let reader = Subscriber::open_as(&database, "reader").await;
    assert_eq!(refused(&reader, subscribe).await, applies("reader"));
    let all = [boss, Subscriber::open_as(&database, "auditor").await, Subscriber::open(&database).await];
    for mut subscriber in all {
        subscriber.sql(subscribe).await;
        client.sql("insert into t values (11)").await;
        assert_eq!(subscriber.told().await, [r#"insert table t 11 {"id":11}"#]);
        client.sql("delete from t").await;
    }
    // a session of who may see all does not help who may not
    let auditor = Subscriber::open_as(&database, "auditor").await;
    auditor.sql(&format!("select session_share('{}', 'reader')", auditor.session)).await;
    let shared = Subscriber::attach(database.connect_as("reader").await, &auditor.session).await;
    assert_eq!(refused(&shared, subscribe).await, applies("reader"));

    client.sql("alter table t force row level security").await;
    let boss = Subscriber::open_as(&database, "boss").await;
    assert_eq!(refused(&boss, subscribe).await, applies("boss"));
    Subscriber::open(&database).await.sql(subscribe).await;
}

/// Changes something until the session is told that its subscription ended; returns why.
async fn ended(client: &Client, subscriber: &mut Subscriber, change: &str) -> String {
    let begun = std::time::Instant::now();
    while begun.elapsed() < crate::support::PATIENCE {
        client.sql(change).await;
        let told = subscriber.told().await;
        if let Some(ended) = told.iter().find(|event| event.starts_with("subscription_ended")) {
            return ended.clone();
        }
    }
    panic!("the subscription did not end");
}

#[tokio::test]
async fn a_subscription_ends_with_the_privilege() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    let cases = [
        ("revoke select on t from reader", "subscribe_table(meta.relation_id('public', 't'))", "privilege_revoked"),
        (
            "revoke select (a) on t from narrow",
            "subscribe_column(meta.column_id('public', 't', 'a'))",
            "privilege_revoked",
        ),
        (
            "revoke select (id) on t from narrow",
            "subscribe_field(meta.field_id('public', 't', 'id', '1', 'a'))",
            "privilege_revoked",
        ),
        (
            "revoke select (b) on t from narrow",
            "subscribe_column(meta.column_id('public', 't', 'a'))",
            "privilege_revoked",
        ),
        // its inserts would still have all columns
        (
            "revoke select on t from reader; grant select (id, a) on t to reader",
            "subscribe_column(meta.column_id('public', 't', 'a'))",
            "privilege_revoked",
        ),
        ("alter table t enable row level security", "subscribe_table(meta.relation_id('public', 't'))", "row_security"),
        (
            "alter table t enable row level security",
            "subscribe_column(meta.column_id('public', 't', 'a'))",
            "row_security",
        ),
    ];
    client.sql("create role reader login; create role narrow login").await;
    for (what, call, reason) in cases {
        client.sql("create table t (id int primary key, a int, b int, c int); insert into t values (1, 0, 0, 0)").await;
        client.sql("grant select on t to reader; grant select (id, a, b) on t to narrow").await;
        let role = if what.contains("narrow") { "narrow" } else { "reader" };
        let mut subscriber = Subscriber::open_as(&database, role).await;
        let mut witness = Subscriber::open(&database).await;
        let subscription = subscriber.text(&format!("select {call}")).await;
        witness.sql(&format!("select {call}")).await;
        let change = "update t set a = a + 1";
        client.sql(change).await;
        assert_eq!(subscriber.told().await.len(), 1, "{what}");
        client.sql(what).await;
        assert_eq!(ended(&client, &mut subscriber, change).await, format!("subscription_ended {reason}"), "{what}");
        let told = format!("event->>'subscription_id' = '{subscription}'");
        assert_eq!(subscriber.text(&format!("select count(*) from event.event where {told}")).await, "1");
        assert_eq!(subscriber.text("select count(*) from event.subscription").await, "0");
        client.sql(&format!("{change}; insert into t values (2, 0, 0, 0)")).await;
        assert_eq!(subscriber.told().await, [""; 0], "{what}");
        witness.events().await;
        client.sql(change).await;
        assert!(!witness.told().await.is_empty(), "who may read it goes on: {what}");
        for session in [&subscriber, &witness] {
            session.sql(&format!("select session_delete('{}')", session.session)).await;
        }
        client.sql("drop table t").await;
    }
}

#[tokio::test]
async fn what_is_committed_after_the_privilege_is_gone_is_not_told() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role boss; create role reader login").await;
    let cases = [
        ("revoke select on s.t from reader", "privilege_revoked"),
        ("revoke select on all tables in schema s from reader", "privilege_revoked"),
        ("revoke usage on schema s from reader", "privilege_revoked"),
        ("revoke all on s.t from reader; grant select (id) on s.t to reader", "privilege_revoked"),
        ("alter table s.t enable row level security", "row_security"),
        (
            "alter table s.t rename to u; revoke select on s.u from reader; alter table s.u rename to t",
            "privilege_revoked",
        ),
        (
            "begin; insert into s.t values (2); revoke select on s.t from reader; insert into s.t values (3); commit",
            "privilege_revoked",
        ),
    ];
    for (what, reason) in cases {
        client.sql("create schema s; create table s.t (id int primary key)").await;
        client.sql("grant usage on schema s to reader; grant select on s.t to reader").await;
        let mut subscriber = Subscriber::open_as(&database, "reader").await;
        subscriber.sql("select subscribe_table(meta.relation_id('s', 't'))").await;
        client.sql("insert into s.t values (1)").await;
        client.sql(what).await;
        client.sql("insert into s.t values (4)").await;
        let told = subscriber.told().await;
        assert_eq!(told.first().unwrap(), r#"insert table s.t 1 {"id":1}"#, "{what}");
        assert_eq!(told.last().unwrap(), &format!("subscription_ended {reason}"), "{what}");
        assert_eq!(told.len(), if what.contains("(2)") { 3 } else { 2 }, "{what}: {told:?}");
        subscriber.sql(&format!("select session_delete('{}')", subscriber.session)).await;
        client.sql("drop schema s cascade").await;
    }
}

#[tokio::test]
async fn a_subscription_ends_with_what_the_privilege_came_from() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role team; create role reader login; create role auditor login bypassrls; create role root login superuser").await;
    client.sql("create table t (id int primary key, n int); create table closed (id int primary key, n int)").await;
    client.sql("alter table closed enable row level security; grant select on t, closed to team, auditor").await;
    client.sql("insert into t values (1, 0); insert into closed values (1, 0); create table other (id serial)").await;
    let cases = [
        ("reader", "grant team to reader", "t", "revoke team from reader", "privilege_revoked"),
        ("auditor", "select", "closed", "alter role auditor nobypassrls", "row_security"),
        ("root", "select", "closed", "alter role root nosuperuser", "row_security"),
    ];
    for (role, grant, table, revoke, reason) in cases {
        client.sql(grant).await;
        let mut subscriber = Subscriber::open_as(&database, role).await;
        subscriber.table(table).await;
        client.sql(revoke).await;
        // no change of the table itself is needed
        let told = ended(&client, &mut subscriber, "insert into other default values").await;
        assert_eq!(told, format!("subscription_ended {reason}"), "{revoke}");
        client.sql(&format!("update {table} set n = n + 1")).await;
        assert_eq!(subscriber.told().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_session_goes_with_its_owner() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role leaving login; create table t (id int primary key); grant select on t to public").await;
    let subscriber = Subscriber::open_as(&database, "leaving").await;
    subscriber.table("t").await;
    drop(subscriber);
    client.sql("drop role leaving").await;
    while client.text("select count(*) from event.session").await != "0" {
        client.sql("insert into t select coalesce(max(id), 0) + 1 from t").await;
    }
    assert_eq!(client.text("select count(*) from event.subscription").await, "0");
}

#[tokio::test]
async fn a_session_is_its_owners_and_of_those_it_is_shared_with() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.grant_writes().await;
    client
        .sql("create role ann login; create role eve login; create role team; create role tom login; grant team to tom")
        .await;
    client.sql("create table t (id int primary key); create table ours (id int primary key)").await;
    client.sql("grant select on t to ann; grant select on ours to ann, eve, tom").await;
    let mut ann = Subscriber::open_as(&database, "ann").await;
    let subscription = ann.table("t").await;
    client.sql("insert into t values (1)").await;
    let event = ann.events().await.remove(0);

    let eve = Subscriber::open_as(&database, "eve").await;
    let session = ann.session.clone();
    let denied = format!(
        "42501 permission denied for session \"{session}\" -- \
         Its owner can let you in: select event.session_share(session, role)."
    );
    let calls = [
        format!("session_attach('{session}')"),
        format!("session_detach('{session}')"),
        format!("session_delete('{session}')"),
        format!("session_share('{session}', 'eve')"),
        format!("session_pin('{session}')"),
        format!("ack('{session}', '{}')", event.id()),
        format!("event.read('{session}')"),
        format!("unsubscribe('{subscription}')"),
        format!("subscribe_table('{session}', meta.relation_id('public', 'ours'))"),
    ];
    for call in &calls {
        assert_eq!(refused(&eve, &format!("select {call}")).await, denied, "{call}");
    }
    eve.sql(&format!("set event.current_session = '{session}'")).await;
    assert_eq!(refused(&eve, "select subscribe_table(meta.relation_id('public', 'ours'))").await, denied);
    for hidden in ["session", "subscription", "event", "change"] {
        let own = if hidden == "session" { "1" } else { "0" };
        assert_eq!(eve.text(&format!("select count(*) from event.{hidden}")).await, own, "{hidden}");
    }
    eve.sql("delete from event.event").await;
    assert_eq!(ann.inbox().await, std::slice::from_ref(&event));

    // shared, it is read, acknowledged and subscribed with, but it stays ann's
    ann.sql(&format!("select session_share('{session}', 'team'); select session_share('{session}', 'team')")).await;
    assert_eq!(ann.text("select shared_with from event.session").await, "{team}");
    let mut tom = Subscriber::attach(database.connect_as("tom").await, &session).await;
    assert_eq!(tom.events().await, std::slice::from_ref(&event));
    assert_eq!(tom.inbox().await, std::slice::from_ref(&event));
    // what is sent again is sent on the session's channel, to all that listen there
    assert_eq!(ann.events().await, std::slice::from_ref(&event));
    tom.table("ours").await;
    let error = refused(&tom, "select subscribe_table(meta.relation_id('public', 't'))").await;
    assert!(error.starts_with("42501 permission denied for table"), "tom gains nothing: {error}");
    for call in [&calls[2], &calls[3], &calls[4]] {
        let error = refused(&tom, &format!("select {call}")).await;
        assert_eq!(error, format!("42501 must be owner of session \"{session}\""), "{call}");
    }
    client.sql("insert into ours values (1)").await;
    assert_eq!(ann.told().await, [r#"insert table ours 1 {"id":1}"#]);
    tom.sql(&format!("select {}", calls[5])).await;
    assert_eq!(tom.inbox().await.len(), 1);

    // the role set is the one that asks
    client.sql("grant ann to eve").await;
    let plain = database.connect_as("eve").await;
    plain.sql("set role ann").await;
    plain.sql(&format!("select event.session_delete('{session}')")).await;
    assert_eq!(client.text("select count(*) from event.session").await, "1", "eve's own");
}

#[tokio::test]
async fn a_role_is_who_it_is_however_its_name_is_written() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.grant_writes().await;
    client.sql("create role ann login; create role \"Ann\" login; create role \"my app\" login").await;
    client.sql("create table t (id int primary key); grant select on t to ann, \"my app\"").await;
    let mut ann = Subscriber::open_as(&database, "ann").await;
    ann.table("t").await;
    let mut app = Subscriber::open_as(&database, "my%20app").await;
    app.table("t").await;
    client.sql("insert into t values (1)").await;
    let event = ann.events().await.remove(0);
    assert_eq!(app.events().await, std::slice::from_ref(&event));
    assert_eq!(app.inbox().await, std::slice::from_ref(&event));
    for relation in ["session", "subscription", "event", "change"] {
        for (role, expected) in [(&ann, "1"), (&app, "1")] {
            assert_eq!(role.text(&format!("select count(*) from event.{relation}")).await, expected, "{relation}");
        }
        let other = database.connect_as("Ann").await;
        other.sql("delete from event.event").await;
        assert_eq!(other.text(&format!("select count(*) from event.{relation}")).await, "0", "{relation}");
    }
    assert_eq!(ann.inbox().await, std::slice::from_ref(&event));
}

/// Each in the transaction of the change behind it.
#[tokio::test]
async fn every_way_to_revoke_acts_at_its_place() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role ann login").await;
    for (at, revoke) in [
        "revoke select on s.t from ann",
        "revoke select on all tables in schema s from ann",
        "revoke usage on schema s from ann",
        "do $$ begin revoke select on s.t from ann; exception when others then null; end $$",
        // which drops nothing here
        "drop owned by ann",
    ]
    .into_iter()
    .enumerate()
    {
        client.sql("create schema s; create table s.t (id int primary key, v text)").await;
        client.sql("grant usage on schema s to ann; grant select on s.t to ann").await;
        let mut ann = Subscriber::open_as(&database, "ann").await;
        ann.sql("select subscribe_table(meta.relation_id('s', 't'))").await;
        client.sql(&format!("insert into s.t values ({at}, 'before')")).await;
        client.sql(&format!("begin; {revoke}; update s.t set v = 'after'; commit")).await;
        let before = format!(r#"insert table s.t {at} {{"id":{at},"v":"before"}}"#);
        assert_eq!(ann.told().await, [before, "subscription_ended privilege_revoked".to_owned()], "{revoke}");
        client.sql("drop table s.t; drop schema s").await;
    }
}
