//! A session is an inbox that outlives connections.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Client, Database, Event, SEARCH_PATH, Subscriber};

const TABLE: &str = "create table t (id int primary key, v int)";

fn inserted(ids: impl IntoIterator<Item = u32>) -> Vec<String> {
    ids.into_iter().map(|id| format!("insert table t {id} {{\"id\":{id},\"v\":null}}")).collect()
}

async fn open(database: &Database, role: &str) -> Client {
    let client = database.connect_as(role).await;
    client.sql(SEARCH_PATH).await;
    client
}

#[tokio::test]
async fn a_name_finds_the_session_again() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    client.sql("create role ann login; create role bob login; grant select on t to ann, bob").await;
    client.sql("select event.watch('t')").await;

    let mut ann = Subscriber::create(database.connect_as("ann").await, "session_create('inbox of \"ann\"')").await;
    ann.table("t").await;
    let bob = Subscriber::create(database.connect_as("bob").await, "session_create('inbox of \"ann\"')").await;
    assert_ne!(ann.session, bob.session, "a name is its owner's");
    let unnamed = Subscriber::open_as(&database, "ann").await;
    assert_ne!(unnamed.session, Subscriber::open_as(&database, "ann").await.session);

    client.sql("insert into t values (1)").await;
    assert_eq!(ann.told().await, inserted([1]));
    let mut again = Subscriber::create(database.connect_as("ann").await, "session_create('inbox of \"ann\"')").await;
    assert_eq!(again.session, ann.session);
    assert_eq!(again.told().await, inserted([1]), "creating it again attaches");
    assert_eq!(again.text("select count(*) from event.session").await, "3");
    assert_eq!(bob.text("select count(*) from event.session").await, "1");
    assert_eq!(bob.text("select owner from event.session").await, "bob");

    let error = again.try_sql("select session_create('inbox of \"ann\"', false)").await.unwrap_err();
    assert!(error.message().contains("exists and is durable"), "{error}");
    assert_eq!(again.text("select session_create('inbox of \"ann\"', durable => true)").await, ann.session);
}

#[tokio::test]
async fn what_was_missed_comes_on_attaching_in_order() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let mut first = Subscriber::open(&database).await;
    first.table("t").await;
    client.sql("insert into t values (1)").await;
    assert_eq!(first.told().await, inserted([1]));

    first.sql("select session_detach()").await;
    let error = first.try_sql("select subscribe_table(meta.relation_id('public', 't'))").await.unwrap_err();
    assert_eq!(error.message(), "this connection has no current session");
    for id in 2..=30 {
        client.sql(&format!("insert into t values ({id})")).await;
    }
    client.sql("insert into t select generate_series(31, 2000)").await;
    assert!(first.told().await.is_empty());

    first.sql(&format!("select session_attach('{}')", first.session)).await;
    assert_eq!(first.told().await, inserted(1..=2000));
    let session = first.session.clone();
    drop(first);
    client.sql("insert into t values (2001)").await;
    let mut second = Subscriber::attach(database.connect().await, &session).await;
    assert_eq!(second.told().await, inserted(1..=2001), "it outlives its connection");
    client.sql("insert into t values (2002)").await;
    assert_eq!(second.told().await, inserted([2002]));
    // the current session of the connection that attached
    second.table("t").await;
    assert_eq!(client.text("select count(*) from event.subscription").await, "1");
}

#[tokio::test]
async fn attaching_while_others_write_misses_nothing() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let first = Subscriber::open(&database).await;
    first.table("t").await;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = tokio::spawn(async move {
        for id in 0.. {
            client.sql(&format!("insert into t values ({id})")).await;
            if id % 10 == 0 {
                client.sql("select event.sync()").await;
            }
            if stopped.load(Ordering::Relaxed) {
                break;
            }
        }
    });
    let mut attached = Vec::new();
    for _ in 0..10 {
        attached.push(Subscriber::attach(database.connect().await, &first.session).await);
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    first.sql("select sync()").await;
    let held = first.inbox().await;
    for mut connection in attached {
        assert_eq!(each_once(connection.events().await), held);
    }
}

/// Around the moment of attaching an event may be sent twice: what was sent before something older is sent again after
/// it. So the last of each stands in its place.
fn each_once(mut events: Vec<Event>) -> Vec<Event> {
    let mut seen = HashSet::new();
    events.reverse();
    events.retain(|event| seen.insert(event.id().to_owned()));
    events.reverse();
    events
}

#[tokio::test]
async fn what_is_acknowledged_leaves_the_inbox() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.grant_writes().await;
    client.sql(TABLE).await;
    let mut one = Subscriber::open(&database).await;
    one.table("t").await;
    let mut other = Subscriber::open(&database).await;
    other.table("t").await;
    client.sql("insert into t select generate_series(1, 3)").await;
    client.sql("insert into t select generate_series(4, 6)").await;
    let events = one.events().await;
    let ack = |id: &str| format!("select ack('{}', '{id}')", one.session);

    one.sql(&ack(events[3].id())).await;
    assert_eq!(one.inbox().await, events[4..]);
    assert_eq!(other.inbox().await.len(), 6, "the other's inbox is the other's");
    one.sql(&ack(events[1].id())).await;
    one.sql(&ack(events[3].id())).await;
    assert_eq!(one.inbox().await, events[4..], "again, or less, is nothing");
    let error = one.try_sql(&ack("00FFFFFFFFFFFFFF-00000001")).await.unwrap_err();
    assert!(error.message().contains("is not in the inbox"), "{error}");
    let error = one.try_sql(&ack("nonsense")).await.unwrap_err();
    assert_eq!(error.message(), "\"nonsense\" is not an event id");

    let mut again = Subscriber::attach(database.connect().await, &one.session).await;
    assert_eq!(again.events().await, events[4..]);
    client.sql("insert into t values (7)").await;
    one.sql(&ack(events[5].id())).await;
    assert_eq!(again.told().await, inserted([7]));
    let rest = again.inbox().await;
    assert_eq!(rest.len(), 1);
    one.sql(&ack(rest[0].id())).await;
    assert!(one.inbox().await.is_empty());

    // and as the original's clients do it
    assert_eq!(other.told().await, inserted(1..=7));
    let second = other.inbox().await[1].id().to_owned();
    other.sql(&format!("delete from event.event where id = '{second}' and session_id = '{}'", other.session)).await;
    let left: Vec<u32> = other.inbox().await.iter().map(|event| event.key()[0].parse().unwrap()).collect();
    assert_eq!(left, [1, 3, 4, 5, 6, 7]);
    other.sql("delete from event.event where event #>> '{row_id,pk_value}' < '6'").await;
    assert_eq!(other.inbox().await.len(), 2);
    other.sql("begin; delete from event.event; rollback").await;
    assert_eq!(other.inbox().await.len(), 2);
    other.sql("delete from event.event").await;
    assert!(other.inbox().await.is_empty());
    let mut again = Subscriber::attach(database.connect().await, &other.session).await;
    assert!(again.told().await.is_empty());
}

#[tokio::test]
async fn a_deleted_session_leaves_nothing_behind() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    client
        .sql(
            "create table by_index (id int not null unique, v int);
              alter table by_index replica identity using index by_index_id_key;
              create table nothing (id int); alter table nothing replica identity nothing",
        )
        .await;
    let identities = "select string_agg(relname || ' ' || relreplident::text, ', ' order by relname)
                      from pg_class where relname in ('t', 'by_index', 'nothing')";
    let published = "select count(*) from pg_publication_tables where schemaname = 'public'";
    assert_eq!(client.text(identities).await, "by_index i, nothing n, t d");
    let one = Subscriber::open(&database).await;
    let mut other = Subscriber::open(&database).await;
    for table in ["t", "by_index", "nothing"] {
        one.table(table).await;
    }
    other.row("t", "1").await;
    assert_eq!(client.text(identities).await, "by_index f, nothing f, t f");
    assert_eq!(client.text(published).await, "3");
    client.sql("insert into t values (1); insert into by_index values (1)").await;
    client.sql("select event.sync()").await;
    assert_eq!(one.inbox().await.len(), 2);

    one.sql(&format!("select session_delete('{}')", one.session)).await;
    // the other session still needs t
    client.until(identities, "by_index i, nothing n, t f").await;
    client.until(published, "1").await;
    client.sql("update t set v = 1; insert into by_index values (2)").await;
    assert_eq!(other.told().await, [r#"update row t 1 {"v":1}"#]);
    assert!(one.inbox().await.is_empty());
    let error = one.try_sql(&format!("select session_attach('{}')", one.session)).await.unwrap_err();
    assert!(error.message().contains("does not exist"), "{error}");
    let error = one.try_sql("select subscribe_table(meta.relation_id('public', 't'))").await.unwrap_err();
    assert_eq!(error.message(), "this connection has no current session");

    other.sql(&format!("select session_delete('{}')", other.session)).await;
    client.until(identities, "by_index i, nothing n, t d").await;
    client.until(published, "0").await;
    client.sql("select event.sync()").await;
    for table in ["session", "subscription", "route", "watched", "identity", "inbox"] {
        assert_eq!(client.text(&format!("select count(*) from event.{table}")).await, "0", "{table}");
    }
}

#[tokio::test]
async fn a_shared_session_is_used_by_several_at_once() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.grant_writes().await;
    client.sql(TABLE).await;
    client
        .sql(
            "create role ann login; create role bob login; create role team; create role carl login in role team;
              grant select on t to ann, bob; select event.watch('t')",
        )
        .await;
    let mut ann = Subscriber::open_as(&database, "ann").await;
    let session = ann.session.clone();
    ann.table("t").await;
    let bob = open(&database, "bob").await;
    let attach = format!("select session_attach('{session}')");
    for call in [
        attach.clone(),
        format!("select session_delete('{session}')"),
        format!("select session_share('{session}', 'bob')"),
        format!("select subscribe_table('{session}', meta.relation_id('public', 't'))"),
        format!("select ack('{session}', '0000000000000001-00000001')"),
    ] {
        let error = bob.try_sql(&call).await.unwrap_err();
        assert_eq!(error.message(), format!("permission denied for session \"{session}\""), "{call}");
    }
    assert_eq!(bob.text("select count(*) from event.session").await, "0");

    ann.sql(&format!("select session_share('{session}', 'bob')")).await;
    let mut bob = Subscriber::attach(bob, &session).await;
    client.sql("insert into t values (1)").await;
    assert_eq!(ann.told().await, inserted([1]));
    assert_eq!(bob.told().await, inserted([1]));
    assert_eq!(bob.inbox().await, ann.inbox().await);
    bob.row("t", "1").await;
    assert_eq!(ann.text("select count(*) from event.subscription").await, "2");
    let error = bob.try_sql(&format!("select session_delete('{session}')")).await.unwrap_err();
    assert_eq!(error.message(), format!("must be owner of session \"{session}\""));
    let first = bob.inbox().await[0].id().to_owned();
    bob.sql(&format!("select ack('{session}', '{first}')")).await;
    assert!(ann.inbox().await.is_empty());

    let carl = open(&database, "carl").await;
    carl.try_sql(&attach).await.unwrap_err();
    ann.sql(&format!("select session_share('{session}', 'team')")).await;
    let mut carl = Subscriber::attach(carl, &session).await;
    client.sql("insert into t values (2)").await;
    assert_eq!(carl.told().await, inserted([2]));
    carl.sql("delete from event.event").await;
    assert!(ann.inbox().await.is_empty());

    // who does not see the table cannot subscribe to it through another's session
    let error = carl
        .try_sql(&format!("select subscribe_column('{session}', meta.column_id('public', 't', 'v'))"))
        .await
        .unwrap_err();
    assert_eq!(error.code().code(), "42501", "{error}");
    ann.sql(&format!("select session_delete('{session}')")).await;
    bob.try_sql(&attach).await.unwrap_err();
}

#[tokio::test]
async fn a_session_that_is_not_durable_lives_as_long_as_its_connections() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let mut live = Subscriber::create(database.connect().await, "session_create(durable => false)").await;
    live.table("t").await;
    let mut second = Subscriber::attach(database.connect().await, &live.session).await;
    client.sql("insert into t values (1)").await;
    client.sql("update t set v = 1").await;
    let told = live.told().await;
    assert_eq!(told, [r#"insert table t 1 {"id":1,"v":null}"#, r#"update table t 1 {"v":1}"#]);
    assert_eq!(second.told().await, told);
    for table in ["inbox", "journal"] {
        assert_eq!(client.text(&format!("select count(*) from event.{table}")).await, "0");
    }
    let error =
        live.try_sql(&format!("select ack('{}', '0000000000000001-00000001')", live.session)).await.unwrap_err();
    assert!(error.message().contains("keeps no inbox"), "{error}");
    let mut third = Subscriber::attach(database.connect().await, &live.session).await;
    assert!(third.told().await.is_empty(), "there is nothing to send again");

    // it is told beside durable ones
    let mut durable = Subscriber::open(&database).await;
    durable.table("t").await;
    client.sql("delete from t").await;
    assert_eq!(live.told().await, ["delete table t 1"]);
    assert_eq!(durable.told().await, ["delete table t 1"]);
    assert_eq!(third.told().await, ["delete table t 1"]);

    // young sessions are spared: a connection may be about to attach
    client.sql("update event.session set created_at = created_at - interval '1 minute'").await;
    let (session, kept) = (live.session.clone(), durable.session.clone());
    drop((live, second, durable));
    client.sql("insert into t values (2)").await;
    assert_eq!(third.told().await, inserted([2]), "one connection still holds it");
    drop(third);
    let left = "select coalesce(string_agg(id::text, ' '), 'none') from event.session";
    until(&client, left, &kept).await;
    assert_eq!(client.text("select count(*) from event.subscription").await, "1");
    client.try_sql(&format!("select event.session_attach('{session}')")).await.unwrap_err();
}

/// Waits until a query gives a value; the database moves on meanwhile, which is what upkeep goes by.
async fn until(client: &Client, query: &str, expected: &str) {
    let all = async {
        while client.text(query).await != expected {
            client.sql("insert into t values ((select max(id) from t) + 1)").await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let patience = crate::support::PATIENCE;
    tokio::time::timeout(patience, all).await.unwrap_or_else(|_| panic!("not after {patience:?}: {query}"));
}

#[tokio::test]
async fn a_rolled_back_session_never_was() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(SEARCH_PATH).await;
    client.sql(TABLE).await;
    client.sql("begin").await;
    let session = client.text("select session_create('x')").await;
    client.sql("select subscribe_table(meta.relation_id('public', 't')); insert into t values (1); rollback").await;
    client.sql("insert into t values (2); select sync()").await;
    for table in ["session", "subscription", "route", "watched", "inbox"] {
        assert_eq!(client.text(&format!("select count(*) from event.{table}")).await, "0", "{table}");
    }
    let error = client.try_sql(&format!("select session_attach('{session}')")).await.unwrap_err();
    assert!(error.message().contains("does not exist"), "{error}");
    let error = client.try_sql("select subscribe_table(meta.relation_id('public', 't'))").await.unwrap_err();
    assert_eq!(error.message(), "this connection has no current session");
    assert_eq!(client.text("select count(*) from pg_listening_channels()").await, "0");
    assert_eq!(client.text("select count(*) from event.held").await, "0");

    // all in one transaction that is not rolled back
    client.sql("select event.watch('t')").await;
    client.sql("begin").await;
    let session = client.text("select session_create('x')").await;
    client.sql("select subscribe_table(meta.relation_id('public', 't')); insert into t values (3); commit").await;
    let mut attached = Subscriber::attach(database.connect().await, &session).await;
    let told = each_once(attached.events().await);
    assert_eq!(told.iter().map(Event::to_string).collect::<Vec<_>>(), inserted([3]));
}
