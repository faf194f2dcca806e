//! What fails twice at the same place is set aside: a gap stands in its place, and the walk goes on.

use tidewire::crash::{FAIL_VARIABLE, LONGEST_VARIABLE, SLOW_VARIABLE, STOPS};

use crate::support::{Database, Subscriber, Tidewire, command, tidewire as tidewire_once};

/// What the inbox holds, shown.
async fn held(subscriber: &Subscriber) -> Vec<String> {
    subscriber.sql("select event.sync()").await;
    subscriber.inbox().await.iter().map(ToString::to_string).collect()
}

fn insert(id: u32, v: &str) -> String {
    format!(r#"insert table t {id} {{"id":{id},"v":"{v}"}}"#)
}

#[tokio::test]
async fn a_change_that_fails_at_any_stop_becomes_a_gap() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text); create table u (id int primary key, v text)").await;
    for way in STOPS.iter().flat_map(|stop| [format!("{stop}:poison"), format!("panic:{stop}:poison")]) {
        println!("{way}");
        let tidewire = Tidewire::up_armed(&database.url(), FAIL_VARIABLE, &way, &[]).await;
        let mut concerned = Subscriber::open(&database).await;
        concerned.table("t").await;
        let live = Subscriber::create(database.connect().await, "session_create(null, false)").await;
        let mut live = live;
        live.column("t", "v").await;
        let mut other = Subscriber::open(&database).await;
        other.table("u").await;
        client.sql("begin; insert into t values (1, 'a'); insert into u values (1, 'a')").await;
        client.sql("insert into t values (2, 'poison'); insert into t values (3, 'c'); commit").await;
        client.sql("insert into t values (4, 'd'); insert into u values (4, 'd')").await;
        let expected = [insert(1, "a"), "gap change_failed".to_owned(), insert(3, "c"), insert(4, "d")];
        assert_eq!(held(&concerned).await, expected, "{way}");
        assert_eq!(concerned.told().await, expected, "{way}");
        let heard: Vec<String> = live.told().await.iter().map(|told| told.replace("column t", "table t")).collect();
        assert_eq!(heard, expected, "{way}");
        assert_eq!(other.told().await.len(), 2, "{way}");
        let ids: Vec<String> = concerned.inbox().await.iter().map(|event| event.id().to_owned()).collect();
        assert!(!tidewire.stderr().contains("trying again"), "{}", tidewire.stderr());
        let said = "select count(*) || ' ' || max(stop) from event.failure where id = any ";
        assert_eq!(client.text(&format!("{said}(array['{}'])", ids.join("','"))).await, "1 walk", "{way}");
        // a new start begins behind it
        tidewire.kill().await;
        let tidewire = Tidewire::up_armed(&database.url(), FAIL_VARIABLE, &way, &[]).await;
        client.sql("insert into t values (5, 'e')").await;
        let after: Vec<String> = { held(&concerned).await };
        assert_eq!(after[..4], expected, "{way}");
        assert_eq!(after[4..], [insert(5, "e")], "{way}");
        for subscriber in [&concerned, &live, &other] {
            client.sql(&format!("select event.session_delete('{}')", subscriber.session)).await;
        }
        client.sql("truncate t, u").await;
        assert!(tidewire.stop().await.success());
    }
}

#[tokio::test]
async fn of_a_message_that_fails_in_its_middle_nothing_is_left() {
    let database = Database::start().await;
    let tidewire = Tidewire::up_armed(&database.url(), FAIL_VARIABLE, "panic:render.2:poison", &[]).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text, w text); insert into t values (1, 'a', 'a')").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("begin; update t set v = 'b'; update t set v = 'poison', w = 'b'; update t set v = 'd'; commit").await;
    let update = |v: &str| format!(r#"update table t 1 {{"v":"{v}"}}"#);
    let expected = [update("b"), "gap change_failed".to_owned(), update("d")];
    assert_eq!(held(&subscriber).await, expected);
    assert_eq!(subscriber.told().await, expected);
    let numbers: Vec<String> = subscriber.inbox().await.iter().map(|event| event.id()[17..].to_owned()).collect();
    assert_eq!(numbers, ["00000001", "00000002", "00000003"]);
    let total = "select max(total) = sum(bytes) from event.inbox";
    assert_eq!(client.text(total).await, "t");
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_row_of_our_own_that_fails_is_a_gap_for_all() {
    let database = Database::start().await;
    let tidewire = Tidewire::up_armed(&database.url(), FAIL_VARIABLE, "panic:decode:poison", &[]).await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1, 'a')").await;
    client.sql("select event.session_create('poison')").await;
    client.sql("insert into t values (2, 'b')").await;
    // it is inserted and updated
    let gap = || "gap change_failed".to_owned();
    assert_eq!(held(&subscriber).await, [insert(1, "a"), gap(), gap(), insert(2, "b")]);
    subscriber.drain();
    client.sql("insert into t values (3, 'c')").await;
    assert_eq!(subscriber.told().await, [insert(3, "c")]);
    assert_eq!(tidewire.stderr().matches("trying again").count(), 4, "{}", tidewire.stderr());
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_change_that_cannot_be_stored_becomes_a_gap() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("alter table event.journal add constraint clean check (value not like '%poison%')").await;
    let poisoned = [1, 130, 131, 300];
    client
        .sql("insert into t select g, case when g in (1, 130, 131, 300) then 'poison' else 'x' end from generate_series(1, 300) g")
        .await;
    client.sql("insert into t values (301, 'poison'); insert into t values (302, 'x')").await;
    let expected: Vec<String> = (1..=302)
        .map(|id| if poisoned.contains(&id) || id == 301 { "gap change_failed".to_owned() } else { insert(id, "x") })
        .collect();
    assert_eq!(held(&subscriber).await, expected);
    assert_eq!(subscriber.told().await, expected);
    assert_eq!(subscriber.last_ids().await.len(), 2);
    let last = client.text("select last_set_aside from event.status where set_aside = 5").await;
    let ids: Vec<String> = subscriber.inbox().await.iter().map(|event| event.id().to_owned()).collect();
    assert_eq!(last, ids[300]);
    assert_eq!(client.text("select string_agg(distinct stop || code, ',') from event.failure").await, "write23514");
    tidewire.wait_for_log("is set aside (write: 23514)").await;
    let checked = tidewire_once(&["check", "--database-url", &database.url()]).await;
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains("5 changes were set aside") && checked.contains(&last), "{checked}");
    // the first time a COPY failed
    assert_eq!(tidewire.stderr().matches("trying again").count(), 1, "{}", tidewire.stderr());
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_step_without_end_ends_the_process_and_is_not_tried_again() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let start = || {
        let mut command = command(&["up", "--database-url", &database.url()]);
        command.env(SLOW_VARIABLE, "1000000:poison").env(LONGEST_VARIABLE, "3");
        Tidewire::run(command)
    };
    let mut first = start();
    first.lines(1).await;
    let second = start();
    second.wait_for_log("standing by").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client
        .sql("insert into t values (1, 'a'); insert into t values (2, 'poison'); insert into t values (3, 'c')")
        .await;
    assert_eq!(first.wait().await.code(), Some(1));
    assert!(first.stderr().contains("the walk has been at message 2 of the transaction"), "{}", first.stderr());
    second.lines(1).await;
    let expected = [insert(1, "a"), "gap change_failed".to_owned(), insert(3, "c")];
    assert_eq!(held(&subscriber).await, expected);
    assert_eq!(subscriber.told().await, expected);
    assert!(second.stop().await.success());
}

/// A type whose values can be stored and not written as text.
const UNSENDABLE: &str = "create type odd;
    create function odd_in(cstring) returns odd language internal immutable strict as 'int4in';
    create function odd_out(odd) returns cstring language internal stable strict as 'enum_out';
    create type odd (input = odd_in, output = odd_out, internallength = 4, passedbyvalue, alignment = int4);
    create table o (id int primary key, v odd)";

#[tokio::test]
async fn a_transaction_that_the_server_cannot_send_is_a_gap_for_all() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(UNSENDABLE).await;
    client.sql("create table t (id int primary key, v text); create table u (id int primary key, v text)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    subscriber.table("o").await;
    let live = Subscriber::create(database.connect().await, "session_create(null, false)").await;
    let mut live = live;
    live.table("t").await;
    client.sql("insert into t values (1, 'a')").await;
    assert_eq!(subscriber.told().await.len(), 1);
    // a part of it is stored before it comes to the row
    let part = "insert into t select g, repeat('x', 1000) from generate_series(1001, 9000) g";
    let subscribe = format!("select event.subscribe_table('{}', meta.relation_id('public', 'u'))", subscriber.session);
    client
        .sql(&format!(
            "begin; {subscribe}; {part}; insert into o values (1, '7'); insert into t values (2, 'b'); commit"
        ))
        .await;
    client.sql("insert into t values (3, 'c'); insert into u values (3, 'c')").await;
    // the gap is told at the place at which it was found
    let gaps = "select count(*) from event.journal j join event.inbox i using (id) where j.change = 'gap'";
    client.until(gaps, "1").await;
    let inbox = subscriber.inbox().await;
    let shown: Vec<String> = inbox.iter().map(ToString::to_string).collect();
    let expected = [insert(3, "c"), insert(3, "c").replace("table t", "table u"), "gap change_failed".to_owned()];
    let before = shown.len() - expected.len();
    assert_eq!(shown[before..], expected);
    assert!(shown[..before].iter().all(|event| event.starts_with("insert table t")), "{before}");
    assert_eq!(inbox.last().unwrap().json["from"].as_str().unwrap()[..16], inbox[before - 1].id()[..16]);
    let mut ids: Vec<&str> = inbox.iter().map(|event| event.id()).collect();
    assert!(ids.is_sorted());
    ids.dedup();
    assert_eq!(ids.len(), inbox.len());
    let heard = live.told().await;
    assert_eq!(heard.iter().filter(|told| *told == "gap change_failed").count(), 1);
    assert_eq!(heard[heard.len() - 2], insert(3, "c"));
    assert_eq!(tidewire.stderr().matches("trying again").count(), 2, "{}", tidewire.stderr());
    tidewire.wait_for_log("it is passed over, and 2 sessions are told of a gap").await;
    assert_eq!(client.text("select stop || ' ' || code from event.failure").await, "read unsendable");

    // one that is killed at any time in between comes to it again
    tidewire.kill().await;
    client.sql("insert into o values (2, '7')").await;
    client.sql("insert into t values (4, 'd')").await;
    let mut tidewire = database.up().await;
    for _ in 0..3 {
        tidewire.wait_for_log("trying again").await;
        tidewire.kill().await;
        tidewire = database.up().await;
    }
    client.until(gaps, "2").await;
    let after = held(&subscriber).await;
    assert_eq!(after[shown.len()..], [insert(4, "d"), "gap change_failed".to_owned()]);
    assert!(tidewire.stop().await.success());
}

/// Arrays that no function of the interface makes, and a caller can give all the same.
const ODD_ARRAYS: [(&str, &str); 8] = [
    ("'{1}'", "'{NULL}'"),
    ("'{1}'", "'{{1}}'"),
    ("'{1}'", "'[0:0]={1}'"),
    ("'{1}'", "'{}'"),
    ("'{NULL}'", "'{1}'"),
    ("'{{1}}'", "'{1}'"),
    ("'[0:0]={1}'", "'{1}'"),
    ("'{1}'", "'{1,2}'"),
];

#[tokio::test]
async fn an_array_of_an_odd_form_is_no_key() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let subscriber = Subscriber::open(&database).await;
    for (attnums, key) in ODD_ARRAYS {
        for (kind, attnum) in [("row", "null"), ("field", "2"), ("table", "null"), ("column", "2")] {
            let call = format!(
                "insert into event._call (command, session, kind, relation, attnum, key_attnums, key)
                 values ('subscribe', '{}', '{kind}', 'public.t'::regclass, {attnum}, {attnums}, {key})",
                subscriber.session
            );
            let error = subscriber.try_sql(&call).await.expect_err(&call);
            assert_eq!(error.code().code(), "22023", "{call}: {}", error.message());
        }
    }
    for (kind, attnum, attnums, key) in [("row", "null", "'{1}'", "'{1}'"), ("field", "2", "'{1}'", "'{1}'")] {
        let call = format!(
            "insert into event._call (command, session, kind, relation, attnum, key_attnums, key)
             values ('subscribe', '{}', '{kind}', 'public.t'::regclass, {attnum}, {attnums}, {key})",
            subscriber.session
        );
        subscriber.sql(&call).await;
    }
}

/// Whatever came into the table, however: the program starts, and everybody else is told.
#[tokio::test]
async fn a_row_that_is_no_subscription_stops_no_start() {
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("select event.sync('20 s')").await;
    tidewire.stop().await;
    for constraint in ["route_key_check", "route_visible_check"] {
        client.sql(&format!("alter table event.route drop constraint if exists {constraint}")).await;
    }
    for key in ["{NULL}", "{{1}}", "[0:0]={1}", "{}"] {
        client
            .sql(&format!(
                "insert into event.route (subscription_id, session_id, kind, relation, key, durable)
                 values (gen_random_uuid(), '{}', 'row', 'public.t'::regclass, '{key}', true)",
                subscriber.session
            ))
            .await;
    }
    client
        .sql(&format!(
            "insert into event.route (subscription_id, session_id, kind, relation, visible, durable)
             values (gen_random_uuid(), '{0}', 'table', 'public.t'::regclass, '{{NULL}}', true),
                    (gen_random_uuid(), '{0}', 'nothing', 'public.t'::regclass, null, true)",
            subscriber.session
        ))
        .await;
    let tidewire = database.up().await;
    tidewire.wait_for_log("is ignored").await;
    client.sql("insert into t values (1, 'x')").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1,"v":"x"}"#]);
}

/// What a transaction that is passed over did to subscriptions holds, and nobody's open transaction is waited for.
#[tokio::test]
async fn an_open_subscriber_delays_no_transaction_passed_over() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(UNSENDABLE).await;
    client.sql("create table t (id int primary key, v text); create role bob login; create role mallory login").await;
    client.sql("grant select on t to bob, mallory; grant select on o to public").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    subscriber.table("o").await;
    let mut bob = Subscriber::open_as(&database, "bob").await;
    bob.table("t").await;
    let gone = Subscriber::open(&database).await;
    let subscription = gone.table("t").await;
    let mallory = database.connect_as("mallory").await;
    mallory.sql("begin; select event.session_create('held')").await;
    mallory.try_sql("select event.subscribe_table(meta.relation_id('public', 't'))").await.unwrap();

    let unsubscribe = format!("select event.unsubscribe('{subscription}')");
    client
        .sql(&format!("begin; revoke select on t from bob; {unsubscribe}; insert into o values (1, '7'); commit"))
        .await;
    client.sql("insert into t values (1, 'a')").await;
    assert_eq!(held(&subscriber).await, [insert(1, "a"), "gap change_failed".to_owned()]);
    assert_eq!(subscriber.told().await.len(), 2);
    let bobs = bob.told().await;
    assert!(bobs.iter().any(|told| told.contains("privilege_revoked")), "{bobs:?}");
    assert!(!gone.inbox().await.iter().any(|event| event.operation() == "insert"), "{:?}", gone.inbox().await);
    client.sql("insert into t values (2, 'b')").await;
    assert_eq!(bob.told().await, [""; 0]);
    // others subscribe meanwhile, and what was held open takes effect with its commit
    let mut other = Subscriber::open(&database).await;
    other.table("t").await;
    mallory.sql("commit").await;
    client.sql("insert into t values (3, 'c')").await;
    assert_eq!(other.told().await, [insert(3, "c")]);
    let theirs =
        "select string_agg(j.key_values[1], ',' order by i.id) from event.inbox i join event.journal j using (id)
        join event.session s on s.id = i.session_id where s.name = 'held' and j.change <> 'gap'";
    assert_eq!(client.text(theirs).await, "3");
}
