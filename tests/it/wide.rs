//! What is large in other ways than a transaction: one change that thousands are told of, rows of many megabytes, an inbox that is
//! to be sent again.

use crate::support::{Database, Subscriber};

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[tokio::test]
async fn one_update_that_thousands_are_told_of_is_written_in_parts_and_as_a_whole() {
    const COLUMNS: usize = 20;
    // With 10,000 a single message to the server would be larger than any may be.
    let sessions = number("TIDEWIRE_SESSIONS", 2000);
    let database = Database::start_in(None, &[]).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    let columns: Vec<String> = (0..COLUMNS).map(|at| format!("c{at} text default ''")).collect();
    client.sql(&format!("create table t (id int primary key, {})", columns.join(", "))).await;
    client.sql("insert into t values (1)").await;
    let mut first = Subscriber::open(&database).await;
    first.table("t").await;
    // as the functions make them, which would take a while
    client
        .sql(&format!(
            "begin;
             insert into event.session (name, owner, durable, pinned)
             select g, s.owner, true, false from event.session s, generate_series(2, {sessions}) g;
             insert into event.subscription (session_id, kind, relation, durable)
             select s.id, b.kind, b.relation, true
             from event.subscription b join event.session s on s.name is not null;
             commit"
        ))
        .await;
    client.sql("select event.sync()").await;
    let before = tidewire.megabytes("VmHWM");

    let values: Vec<String> = (0..COLUMNS).map(|at| format!("c{at} = repeat('{}', 6000)", at % 10)).collect();
    client.sql(&format!("update t set {}", values.join(", "))).await;
    client.sql("update t set c0 = 'after'").await;
    client.sql("select event.sync('100 s')").await;
    let events = first.events().await;
    assert_eq!(events.len(), COLUMNS + 1);
    let shape = client
        .text(
            "select concat_ws(' ', count(*), count(distinct session_id), count(distinct id), count(*) filter (where last))
             from event.inbox",
        )
        .await;
    assert_eq!(shape, format!("{} {sessions} {} {}", sessions * (COLUMNS + 1), COLUMNS + 1, sessions * 2));
    let after = tidewire.megabytes("VmHWM");
    println!(
        "{sessions} sessions: peak memory {before} MB before, {after} MB after {} MB of notifications",
        sessions * COLUMNS * 6 / 1000
    );
    assert!(after < before + 60 + sessions * COLUMNS / 5000, "peak memory {before} MB before, {after} MB after");
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn rows_of_many_megabytes_are_not_read_ahead_by_the_dozen() {
    const ROWS: usize = 80;
    const BYTES: usize = 4_000_000;
    let database = Database::start_in(None, &[]).await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text)").await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    subscriber.sql("select session_detach()").await;
    client.sql("select event.sync()").await;
    let before = tidewire.megabytes("VmHWM");
    client.sql(&format!("insert into t select g, repeat('x', {BYTES}) from generate_series(1, {ROWS}) g")).await;
    client.sql("select event.sync('100 s')").await;
    let whole = format!("select count(*) from event.journal where length(value::json ->> 'v') = {BYTES}");
    assert_eq!(client.text(&whole).await, ROWS.to_string());
    let after = tidewire.megabytes("VmHWM");
    println!("peak memory {before} MB before, {after} MB after {} MB", ROWS * BYTES / 1_000_000);
    assert!(after < before + 35 * BYTES / 1_000_000, "peak memory {before} MB before, {after} MB after");
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn who_asks_for_a_large_inbox_again_and_again_holds_up_nobody() {
    const EVENTS: usize = 3000;
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table large (id int primary key); create table small (id int primary key)").await;
    let mut large = Subscriber::open(&database).await;
    large.table("large").await;
    let mut small = Subscriber::open(&database).await;
    small.table("small").await;
    client.sql(&format!("insert into large select generate_series(1, {EVENTS})")).await;
    assert_eq!(large.events().await.len(), EVENTS);

    // what attaching writes into the WAL: whoever may use the session can
    let again = format!(r#"{{"attach": "{}", "seen": ""}}"#, large.session);
    let attach = format!("update event.session set attached_at = now() where id = '{}'", large.session);
    client
        .sql(&format!(
            "do $$ begin for n in 1..3 loop
                 {attach}; perform pg_logical_emit_message(true, 'tidewire', '{again}');
             end loop; end $$"
        ))
        .await;
    client.sql(&format!("insert into large values ({})", EVENTS + 1)).await;
    client.sql("insert into small values (1)").await;
    assert_eq!(small.told().await, [r#"insert table small 1 {"id":1}"#]);
    client.until("select count(*) from event.unnotified", "0").await;
    let told = large.events().await;
    let ids: Vec<String> = large.inbox().await.iter().map(|event| event.id().to_owned()).collect();
    // who has yet to be told of the gap is told of nothing before it: what came meanwhile is in it, or behind it
    let (gap, behind) = told.split_first().unwrap();
    assert_eq!(gap.json["reason"], "notifications_skipped");
    assert_eq!(gap.json["from"], *ids[0]);
    let last = EVENTS + 1 - behind.len();
    assert_eq!(gap.json["to"], *ids[last - 1]);
    assert!(behind.iter().map(|event| event.id()).eq(&ids[last..]), "{behind:?}");
    assert_eq!(ids.len(), EVENTS + 1, "nothing of it is lost");

    // from here on as before, for everybody
    client.sql(&format!("insert into large values ({}); insert into small values (2)", EVENTS + 2)).await;
    assert_eq!(large.told().await, [format!(r#"insert table large {0} {{"id":{0}}}"#, EVENTS + 2)]);
    assert_eq!(small.told().await, [r#"insert table small 2 {"id":2}"#]);
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn who_attaches_while_delivery_is_behind_is_told_of_everything_once() {
    const EVENTS: usize = 3000;
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let first = Subscriber::open(&database).await;
    first.table("t").await;
    first.sql("select event.sync()").await;
    assert!(tidewire.stop().await.success());
    client.sql(&format!("insert into t select generate_series(1, {EVENTS})")).await;
    let mut late = Subscriber::attach(database.connect().await, &first.session).await;
    client.sql(&format!("insert into t values ({})", EVENTS + 1)).await;
    let tidewire = database.up().await;
    let events = late.events().await;
    let ids: Vec<&str> = events.iter().map(|event| event.id()).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "each once, in order");
    assert_eq!(ids.len(), EVENTS + 1);
    assert!(events.iter().all(|event| event.operation() == "insert"));
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_transaction_of_nothing_but_attach_messages_stops_nothing() {
    // more than go into one batch
    const SESSIONS: usize = 25_000;
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key); create table other (id int primary key)").await;
    let mut first = Subscriber::open(&database).await;
    first.table("t").await;
    let mut bystander = Subscriber::open(&database).await;
    bystander.table("other").await;
    // as the functions make them, which would take a while
    client
        .sql(&format!(
            "begin;
             insert into event.session (name, owner, durable, pinned)
             select g, s.owner, true, false from event.session s, generate_series(2, {SESSIONS}) g
             where s.id = '{0}';
             insert into event.subscription (session_id, kind, relation, durable)
             select s.id, b.kind, b.relation, true from event.subscription b join event.session s on s.name is not null
             where b.session_id = '{0}';
             commit",
            first.session
        ))
        .await;
    client.sql("insert into t values (1)").await;
    client.sql("select event.sync()").await;
    assert_eq!(client.text("select count(*) from event.inbox").await, SESSIONS.to_string());
    first.events().await;
    for who in ["id from event.session", "gen_random_uuid() as id from generate_series(1, 50000)"] {
        let again = format!(
            "select count(pg_logical_emit_message(true, 'tidewire', json_build_object('attach', id, 'seen', '')::text))
             from (select {who}) s"
        );
        client.text(&again).await;
        client.sql("insert into other values (1); delete from other").await;
        assert_eq!(bystander.told().await, ["insert table other 1 {\"id\":1}", "delete table other 1"]);
    }
    assert!(!tidewire.stderr().contains("trying again"), "{}", tidewire.stderr());
    assert!(tidewire.stop().await.success());
}
