//! A role keeps no more than its limits allow, and no other role notices.

use std::fmt::Write as _;

use tokio_postgres::error::DbError;

use crate::gaps::{TABLE, held, write};
use crate::support::fault::{until, until_within};
use crate::support::{Client, Database, Outside, PATIENCE, SEARCH_PATH, Subscriber, Tidewire, tidewire};

/// Two roles that may read a table which is watched.
const ROLES: &str =
    "create role ann login; create role bob login; grant select on t to ann, bob; select event.watch('t')";

/// What upkeep does every ten seconds, with the limits of a single inbox out of reach.
const COUNT: &str = "select event._count_subscriptions(); select event._cap_inboxes(pg_size_bytes('1GB'), '7 days')";

async fn stage(database: &Database, args: &[&str]) -> (Tidewire, Client) {
    let tidewire = Tidewire::up_with(&database.url(), args).await;
    let client = database.connect().await;
    client.sql(SEARCH_PATH).await;
    client.sql(TABLE).await;
    client.sql(ROLES).await;
    (tidewire, client)
}

async fn as_role(database: &Database, role: &str) -> Client {
    let client = database.connect_as(role).await;
    client.sql(SEARCH_PATH).await;
    client
}

/// The error of a call that reaches a limit.
async fn refused(client: &Client, sql: &str) -> DbError {
    let Err(error) = client.try_sql(sql).await else { panic!("not refused: {sql}") };
    assert_eq!(error.code().code(), "53400", "{error}");
    error
}

fn assert_says(error: &DbError, message: &str, detail: &str, hint: &str) {
    assert_eq!(error.message(), message);
    assert_eq!(error.detail(), Some(detail));
    assert!(error.hint().is_some_and(|text| text.ends_with(hint)), "{:?}", error.hint());
}

/// One row of the superuser's view of what roles keep.
async fn used(client: &Client, role: &str) -> String {
    let counts = "sessions || ' ' || subscriptions || ' ' || sign(inbox_bytes)";
    client
        .text(&format!("select coalesce((select {counts} from event.usage where role = '{role}'::regrole), '-')"))
        .await
}

fn subscribe(rows: &str) -> String {
    format!("select count(subscribe_row(meta.row_id('public', 't', 'id', n::text))) from generate_series({rows}) n")
}

#[tokio::test]
async fn a_role_has_no_more_sessions_than_its_limit() {
    let database = Database::start().await;
    let (_tidewire, client) = stage(&database, &["--role-max-sessions", "3"]).await;
    let bob = as_role(&database, "bob").await;
    for name in ["one", "two", "three"] {
        bob.sql(&format!("select session_create('{name}')")).await;
    }
    let error = refused(&bob, "select session_create()").await;
    assert_says(
        &error,
        "too many sessions for role \"bob\"",
        "The limit \"sessions\" of the role is 3.",
        "can raise the limit: select event.limit_role('bob', sessions => 6);",
    );
    // within one transaction and one statement too
    refused(&as_role(&database, "ann").await, "select session_create() from generate_series(1, 4)").await;
    bob.sql("select session_create('two')").await;
    as_role(&database, "ann").await.sql("select session_create() from generate_series(1, 3)").await;

    client.sql("select limit_role('bob', sessions => 4)").await;
    bob.sql("select session_create()").await;
    refused(&bob, "select session_create()").await;
    bob.sql("select session_delete(id) from event.session where name = 'one'; select session_create()").await;
    client.sql("select limit_role('bob', sessions => -1)").await;
    bob.sql("select session_create() from generate_series(1, 10)").await;
    client.sql("select limit_role_reset('bob')").await;
    refused(&bob, "select session_create()").await;
}

#[tokio::test]
async fn a_role_has_no_more_subscriptions_than_its_limit() {
    let database = Database::start().await;
    let (_tidewire, client) = stage(&database, &["--role-max-subscriptions", "20"]).await;
    let bob = Subscriber::open_as(&database, "bob").await;
    // one transaction sees itself
    let error = refused(&bob, &subscribe("1, 21")).await;
    assert_says(
        &error,
        "too many subscriptions for role \"bob\"",
        "The limit \"subscriptions\" of the role is 20.",
        "can raise the limit: select event.limit_role('bob', subscriptions => 40);",
    );
    assert_eq!(client.text("select count(*) from event.subscription").await, "0");
    // what it failed to add does not count
    bob.sql(&subscribe("1, 12")).await;
    // of other connections and sessions it knows what upkeep counted
    client.sql(COUNT).await;
    let more = Subscriber::open_as(&database, "bob").await;
    more.sql(&subscribe("1, 8")).await;
    client.sql(COUNT).await;
    refused(&bob, &subscribe("13, 13")).await;
    refused(&more, &subscribe("9, 9")).await;
    // the same again is no other subscription
    bob.sql(&subscribe("1, 12")).await;
    // and a count that is too old refuses nothing
    bob.sql("select unsubscribe(id) from event.subscription where key = '{1}'").await;
    bob.sql(&subscribe("1, 1")).await;
    more.sql(&subscribe("1, 1")).await;

    let ann = Subscriber::open_as(&database, "ann").await;
    ann.sql(&subscribe("1, 20")).await;
    // a shared session is its owner's, whichever role subscribes
    ann.sql(&format!("select session_share('{}', 'bob')", ann.session)).await;
    client.sql("select limit_role('ann', subscriptions => 21)").await;
    bob.sql(&format!("select subscribe_table('{}', meta.relation_id('public', 't'))", ann.session)).await;
    client.sql(COUNT).await;
    let column = format!("select subscribe_column('{}', meta.column_id('public', 't', 'note'))", ann.session);
    assert_eq!(refused(&bob, &column).await.message(), "too many subscriptions for role \"ann\"");
    client.sql("select limit_role('bob', subscriptions => 21)").await;
    bob.sql(&subscribe("13, 13")).await;
    refused(&bob, &subscribe("14, 14")).await;
}

#[tokio::test]
async fn a_subscription_with_a_long_key_counts_for_more() {
    let database = Database::start().await;
    let (_tidewire, client) = stage(&database, &["--role-max-subscriptions", "20"]).await;
    client
        .sql("create table long (id text primary key); grant select on long to bob; select event.watch('long')")
        .await;
    let bob = Subscriber::open_as(&database, "bob").await;
    let row = |bytes: u32| format!("select subscribe_row(meta.row_id('public', 'long', 'id', repeat('x', {bytes})))");
    bob.sql(&row(9500)).await;
    client.sql(COUNT).await;
    assert_eq!(used(&client, "bob").await, "1 10 0");
    refused(&bob, &row(200_000)).await;
    bob.sql(&row(9600)).await;
    client.sql(COUNT).await;
    refused(&bob, &row(1)).await;
}

#[tokio::test]
async fn a_role_over_its_inbox_limit_loses_its_largest_inbox() {
    let database = Database::start().await;
    let (_tidewire, client) = stage(&database, &[]).await;
    let large = Subscriber::open_as(&database, "bob").await;
    large.table("t").await;
    let small = Subscriber::open_as(&database, "bob").await;
    small.sql(&subscribe("1, 20")).await;
    let other = Subscriber::open_as(&database, "ann").await;
    other.table("t").await;
    write(&client, "insert into t select n, '' from generate_series(1, 50) n").await;
    write(&client, "update t set note = repeat('x', 1500)").await;
    assert_eq!((large.inbox().await.len(), small.inbox().await.len()), (100, 20));
    let mut before = held(&other).await;
    let kept = held(&small).await;
    client.sql("select limit_role('bob', inbox_size => '100 kB'), limit_role('ann', inbox_size => '200 kB')").await;
    client.sql(COUNT).await;
    write(&client, "insert into t values (51, 'later')").await;
    let later = r#"insert table t 51 {"id":51,"note":"later"}"#;
    assert_eq!(held(&large).await, ["gap inbox_full", later]);
    assert_eq!(held(&small).await, kept);
    before.push(later.to_owned());
    assert_eq!(held(&other).await, before);
    // below the limit nothing more is taken; a limit below what is left takes the next
    let ids = "select string_agg(i.session_id || i.id, ' ' order by i.session_id, i.id) from event.inbox i";
    let left = client.text(ids).await;
    client.sql(COUNT).await;
    client.sql("select event.sync()").await;
    assert_eq!(client.text(ids).await, left);
    client.sql("select limit_role('bob', inbox_size => '10 kB')").await;
    client.sql(COUNT).await;
    write(&client, "delete from t where id = 51").await;
    assert_eq!(held(&small).await, ["gap inbox_full"]);
    assert_eq!(held(&other).await.len(), before.len() + 1);
    // of inboxes that hold nothing but their gap nothing more is taken
    large.sql("delete from event.event where event ->> 'operation' <> 'gap'").await;
    client.sql("select limit_role('bob', inbox_size => '1 bytes')").await;
    let left = client.text(ids).await;
    client.sql(COUNT).await;
    client.sql("select event.sync()").await;
    assert_eq!(client.text(ids).await, left);
}

#[tokio::test]
async fn many_sessions_of_a_role_are_bounded_together_by_the_program() {
    let database = Database::start().await;
    let (tidewire, client) = stage(&database, &["--role-max-inbox-size", "100kB"]).await;
    let bob = as_role(&database, "bob").await;
    let mut all = String::new();
    for _ in 0..30 {
        writeln!(all, "select session_create(); select subscribe_table(meta.relation_id('public', 't'));").unwrap();
    }
    bob.sql(&all).await;
    let other = Subscriber::open_as(&database, "ann").await;
    other.table("t").await;
    write(&client, "insert into t select n, repeat('x', 1000) from generate_series(1, 10) n").await;
    // 30 inboxes of some 11 kB; those that are emptied keep a gap each
    until_within("the role is below its limit", PATIENCE * 2, || async {
        write(&client, "create table if not exists noise (id int); insert into noise values (1)").await;
        tidewire.stderr().contains("inbox_full")
            && client.text("select inbox_bytes < max_inbox_bytes from event.usage where role = 'bob'::regrole").await
                == "t"
    })
    .await;
    let full = "select count(*) from (select from event.inbox i join event.session s on s.id = i.session_id
                where s.owner = 'bob'::regrole group by s.id having count(*) = 10) s";
    let full: u32 = client.text(full).await.parse().unwrap();
    assert!((5..=9).contains(&full), "{full} inboxes are whole, as many as there is room for");
    assert_eq!(other.inbox().await.len(), 10);
}

#[tokio::test]
async fn what_a_role_keeps_is_counted_as_it_comes_and_goes() {
    let database = Database::start().await;
    let (_tidewire, client) = stage(&database, &[]).await;
    client.sql("create role carl; create role mon login; grant pg_monitor to mon").await;
    let bob = Subscriber::open_as(&database, "bob").await;
    bob.sql(&subscribe("1, 5")).await;
    bob.table("t").await;
    let live = Subscriber::create(database.connect_as("bob").await, "session_create(durable => false)").await;
    live.sql(&subscribe("1, 2")).await;
    client.sql("set role carl; select session_create('left'); reset role").await;
    write(&client, "insert into t values (1)").await;
    client.sql(COUNT).await;
    assert_eq!(used(&client, "bob").await, "2 8 1");
    assert_eq!(used(&client, "carl").await, "1 0 0");
    // each role sees its own row, a monitor all
    let seen = "select coalesce(string_agg(role::text, ' ' order by role::text), '-') from event.usage";
    assert_eq!(bob.text(seen).await, "bob");
    assert_eq!(as_role(&database, "ann").await.text(seen).await, "-");
    assert_eq!(as_role(&database, "mon").await.text(seen).await, "bob carl");
    let nearest = "select coalesce(nearest_limit, '-') from event.status";
    assert_eq!(bob.text(nearest).await, "role \"bob\": 2 of 20000 sessions");
    assert_eq!(as_role(&database, "ann").await.text(nearest).await, "-");

    bob.sql("select unsubscribe(id) from event.subscription where key = '{3}'; delete from event.event").await;
    client.sql(COUNT).await;
    assert_eq!(used(&client, "bob").await, "2 7 0");
    bob.sql(&format!("select session_delete('{}')", live.session)).await;
    client.sql(COUNT).await;
    assert_eq!(used(&client, "bob").await, "1 5 0");
    client.sql("select limit_role('carl', sessions => 7); drop role carl").await;
    let left = "select count(*) from event.session where name = 'left'";
    until("the role's session is deleted", || async {
        write(&client, "insert into t values (2); delete from t where id = 2").await;
        client.text(left).await == "0"
    })
    .await;
    client.sql(COUNT).await;
    assert_eq!(client.text("select string_agg(role::text, ' ') from event.used").await, "bob");
    assert_eq!(client.text("select string_agg(role::oid::text, ' ') from event.quota").await, "0");
}

#[tokio::test]
async fn the_defaults_let_a_million_subscriptions_be() {
    let database = Database::start().await;
    let (tidewire, client) = stage(&database, &[]).await;
    let limits = "select sessions || ' ' || subscriptions || ' ' || pg_size_pretty(inbox_bytes) from event.quota where role::oid = 0";
    assert_eq!(client.text(limits).await, "20000 2000000 8192 MB");
    assert!(tidewire.stop().await.success());
    // what the program is told at its start is the default from then on
    let args = ["--role-max-sessions", "7", "--role-max-subscriptions", "8", "--role-max-inbox-size", "9MB"];
    Tidewire::up_with(&database.url(), &args).await.stop().await;
    assert_eq!(client.text(limits).await, "7 8 9216 kB");
    let output = tidewire_with(&database, &["--role-max-inbox-size", "much"]).await;
    assert!(output.contains("role-max-inbox-size: ") && output.contains("It looks like 2GB"), "{output}");
}

async fn tidewire_with(database: &Database, args: &[&str]) -> String {
    let url = database.url();
    let output = tidewire(&[&["up", "--database-url", &url], args].concat()).await;
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn counting_writes_nothing_when_nothing_moved() {
    let database = Database::start().await;
    let (_tidewire, client) = stage(&database, &[]).await;
    let bob = Subscriber::open_as(&database, "bob").await;
    bob.sql(&subscribe("1, 5")).await;
    write(&client, "insert into t values (1)").await;
    client.sql(COUNT).await;
    let rows = "select string_agg(u::text || u.xmin::text, ' ') from event.used u";
    let before = client.text(rows).await;
    for _ in 0..3 {
        client.sql("begin").await;
        client.sql(COUNT).await;
        // a transaction that wrote, or locked a row, has an id
        assert_eq!(client.text("select pg_current_xact_id_if_assigned() is null").await, "t");
        client.sql("commit").await;
    }
    assert_eq!(client.text(rows).await, before);
    // the program itself does not count subscriptions while none come or go
    let mark = "select event._subscriptions_mark()";
    let (first, is_other) = (client.text(mark).await, "select event._subscriptions_mark() is distinct from");
    write(&client, "insert into t values (2)").await;
    assert_eq!(client.text(&format!("{is_other} '{first}'")).await, "f");
    bob.sql(&subscribe("6, 6")).await;
    until("the mark moves", || async {
        // before 15 a connection that rests keeps its numbers to itself
        bob.sql("select 1").await;
        client.text(&format!("{is_other} '{first}'")).await == "t"
    })
    .await;
}

#[tokio::test]
async fn a_role_near_its_limit_is_reported_once() {
    let database = Database::start().await;
    let args = ["--role-max-sessions", "10", "--listen", "127.0.0.1:0", "--stall-after", "1"];
    let (tidewire, client) = stage(&database, &args).await;
    let outside = Outside::of(&tidewire).await;
    let bob = as_role(&database, "bob").await;
    bob.sql("select session_create() from generate_series(1, 9)").await;
    let line = "role \"bob\" is near a limit: 9 of 10 sessions";
    let noise = "create table if not exists noise (id int); insert into noise values (1)";
    until("it is reported", || async {
        write(&client, noise).await;
        tidewire.stderr().contains(line)
    })
    .await;
    let figure = "tidewire_role_limit_used_ratio{limit=\"sessions\"}";
    until("the figure has it", || async {
        write(&client, noise).await;
        outside.figure(figure).await.is_some_and(|ratio| (ratio - 0.9).abs() < 1e-9)
    })
    .await;
    assert_eq!(client.text("select nearest_limit from event.status").await, "role \"bob\": 9 of 10 sessions");
    assert_eq!(client.text("select nearest_limit_used from event.status").await, "0.9");
    let checked = tidewire_check(&database).await;
    assert!(checked.contains("warning  role \"bob\" is near a limit: 9 of 10 sessions"), "{checked}");
    assert!(checked.contains("select event.limit_role('bob', sessions => 20);"), "{checked}");
    // after the next look it is still one line
    let counted = "select pg_stat_get_numscans('event.used'::regclass)";
    let before: u64 = client.text(counted).await.parse().unwrap();
    until("upkeep has looked again", || async {
        write(&client, noise).await;
        client.text(counted).await.parse::<u64>().unwrap() > before + 2
    })
    .await;
    assert_eq!(tidewire.stderr().matches(line).count(), 1);
    client.sql("select limit_role('bob', sessions => 100)").await;
    assert!(tidewire_check(&database).await.contains("ok       no role is near its limits"));
}

async fn tidewire_check(database: &Database) -> String {
    let output = tidewire(&["check", "--database-url", &database.url()]).await;
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn attaching_to_a_large_inbox_sends_one_gap_instead() {
    let database = Database::start().await;
    let (_tidewire, client) = stage(&database, &[]).await;
    let first = Subscriber::open(&database).await;
    first.table("t").await;
    first.sql("select session_detach()").await;
    let session = first.session.clone();
    write(&client, "insert into t select generate_series(1, 10000)").await;
    let mut second = Subscriber::attach(database.connect().await, &session).await;
    assert_eq!(second.events().await.len(), 10000);
    second.sql("select session_detach()").await;
    write(&client, "insert into t values (10001)").await;
    let ids = "select min(id) || ' ' || max(id) from event.inbox";
    let places = client.text(ids).await;
    let mut third = Subscriber::attach(database.connect().await, &session).await;
    write(&client, "insert into t values (10002)").await;
    let told = third.events().await;
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].operation(), told[0].json["reason"].as_str()), ("gap", Some("notifications_skipped")));
    assert_eq!(format!("{} {}", told[0].json["from"].as_str().unwrap(), told[0].json["to"].as_str().unwrap()), places);
    assert_eq!(told[1].key(), ["10002"]);
    assert_eq!(third.inbox().await.len(), 10002, "the inbox is whole");

    // fewer events of more bytes
    third.sql(&format!("select ack('{session}', (select max(id) from event.inbox)); select session_detach()")).await;
    write(&client, "insert into t select n, repeat('x', 6000) from generate_series(20001, 22000) n").await;
    let mut fourth = Subscriber::attach(database.connect().await, &session).await;
    assert_eq!(fourth.events().await[0].operation(), "gap");
}
