//! Running it: what is missing is said and nothing is half done, what breaks is mended, and what is removed is gone.

use std::process::Output;

use tidewire::db::cluster::StopMode;
use tokio::net::TcpListener;

use crate::support::{Client, Database, Subscriber, Tidewire, tidewire};

/// Exit code and what was written to stderr.
fn failure(output: &Output) -> (i32, String) {
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// The last line but those of the log.
async fn fails(args: &[&str]) -> (i32, String) {
    let (code, stderr) = failure(&tidewire(args).await);
    let told = stderr.find("error: ").unwrap_or_else(|| panic!("no error: {stderr}"));
    (code, stderr[told..].to_owned())
}

/// Everything that Tidewire makes in a database.
const TRACES: &str = "select string_agg(what, ' ' order by what) from (
    select 'schema ' || nspname as what from pg_namespace where nspname in ('event', 'meta')
    union all select 'publication ' || pubname from pg_publication where pubname = 'tidewire'
    union all select 'slot ' || plugin from pg_replication_slots where slot_name like 'tidewire%'
    union all select 'trigger ' || evtname from pg_event_trigger where evtname like 'tidewire%'
    union all select 'function ' || proname from pg_proc where prosrc ~ '(event|meta)\\._'
    union all select 'type ' || typname from pg_type where typname in ('relation_id', 'row_id')) t";

#[tokio::test]
async fn wal_that_cannot_be_decoded_is_told_and_nothing_is_installed() {
    let database = Database::start_with(&[("wal_level", "replica")]).await;
    let url = database.url();
    let told = "error: wal_level is \"replica\", and must be \"logical\"\n\
                hint: alter system set wal_level = logical;  -- as a superuser; then restart the server\n";
    for command in ["up", "install"] {
        assert_eq!(fails(&[command, "--database-url", &url]).await, (1, told.to_owned()));
    }
    assert_eq!(database.connect().await.rows(TRACES).await, [[None]]);
}

#[tokio::test]
async fn no_free_slot_is_told_and_nothing_is_installed() {
    let database = Database::start_with(&[("max_replication_slots", "1")]).await;
    let url = database.url();
    let client = database.connect().await;
    client.sql("select pg_create_physical_replication_slot('other')").await;
    for command in ["up", "install"] {
        let (code, stderr) = fails(&[command, "--database-url", &url]).await;
        assert_eq!(code, 1);
        assert!(stderr.starts_with("error: all 1 replication slots are in use (max_replication_slots)\nhint: alter system set max_replication_slots = 2;"), "{stderr}");
        assert!(stderr.contains("select pg_drop_replication_slot('other');"), "{stderr}");
    }
    assert_eq!(client.rows(TRACES).await, [[None]]);
    client.sql("select pg_drop_replication_slot('other')").await;
    database.up().await.stop().await;
}

#[tokio::test]
async fn a_url_that_leads_nowhere_is_told_without_its_password() {
    let database = Database::on_tcp(&[]).await;
    database.connect().await.sql("create role ann login replication password 'right'").await;
    database.allow("host all ann all scram-sha-256").await;
    let port = database.cluster.port();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let cases = [
        (
            format!("postgresql://ann:secret@127.0.0.1:{port}/postgres"),
            1,
            "password authentication failed for user \"ann\"",
        ),
        (database.url_of("postgres:secret", "nowhere"), 1, "database \"nowhere\" does not exist"),
        (database.url_as("nobody:secret"), 1, "role \"nobody\" does not exist"),
        (format!("postgresql://ann:secret@127.0.0.1:{closed}/postgres"), 1, "Connection refused"),
        (format!("postgresql://ann:secret@127.0.0.1:{port}x/postgres"), 2, "the database URL cannot be read"),
        ("postgresql://ann:secret@[::1/postgres".to_owned(), 2, "the database URL cannot be read"),
        ("ann:secret".to_owned(), 2, "the database URL cannot be read"),
        ("host=127.0.0.1 password=secret user".to_owned(), 2, "the database URL cannot be read"),
        ("postgresql://ann:secret@a,b/postgres".to_owned(), 2, "the database URL names several hosts"),
    ];
    for command in ["up", "install", "uninstall", "check"] {
        for (url, expected, says) in &cases {
            let output = tidewire(&[command, "--database-url", url]).await;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8(text).unwrap();
            assert_eq!(output.status.code(), Some(*expected), "{command} {url}: {text}");
            assert!(text.contains(says), "{command} {url}: {text}");
            assert!(!text.contains("secret"), "{command} {url}: {text}");
            assert!(!text.contains("panicked"), "{command} {url}: {text}");
        }
    }
    for command in ["install", "uninstall", "check"] {
        let (code, stderr) = fails(&[command]).await;
        assert_eq!(code, 2);
        assert!(stderr.starts_with("error: no database is named\nhint: Use --database-url"), "{stderr}");
    }
    // with the right one, all that has a password works
    let url = format!("postgresql://ann:right@127.0.0.1:{port}/postgres");
    database.connect().await.sql("grant create on database postgres to ann").await;
    let up = Tidewire::up(&url).await;
    up.wait_for_log("delivering from").await;
    assert!(!up.stderr().contains("right"));
    assert!(!up.stdout().contains("right"));
}

#[tokio::test]
async fn names_that_are_another_programs_are_left_alone() {
    let database = Database::start().await;
    let url = database.url();
    let client = database.connect().await;
    let slot = client.text("select 'tidewire_' || oid from pg_database where datname = 'postgres'").await;
    let cases = [
        (
            "create publication tidewire",
            "drop publication tidewire",
            "publication \"tidewire\" exists and is not Tidewire's",
        ),
        ("create schema meta", "drop schema meta", "schema \"meta\" exists and is not Tidewire's"),
        ("create schema event", "drop schema event", "schema \"event\" exists and is not Tidewire's"),
        (
            "create schema event; create table event.installation (x int)",
            "drop schema event cascade",
            "schema \"event\" exists and is not Tidewire's",
        ),
        (
            &format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')"),
            &format!("select pg_drop_replication_slot('{slot}')"),
            &format!("replication slot \"{slot}\" belongs to another program"),
        ),
        (
            &format!("select pg_create_physical_replication_slot('{slot}')"),
            &format!("select pg_drop_replication_slot('{slot}')"),
            &format!("replication slot \"{slot}\" belongs to another program"),
        ),
    ];
    for (make, drop, says) in cases {
        client.sql(make).await;
        let before = client.rows(TRACES).await;
        for command in ["up", "install"] {
            let (code, stderr) = fails(&[command, "--database-url", &url]).await;
            assert_eq!(code, 1, "{stderr}");
            assert!(stderr.starts_with(&format!("error: {says}\n")) && stderr.contains("\nhint: "), "{stderr}");
        }
        let output = tidewire(&["uninstall", "--database-url", &url]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.starts_with("nothing of Tidewire's is installed"), "{text}");
        assert_eq!(client.rows(TRACES).await, before);
        client.sql(drop).await;
    }
    database.install().await;

    // a slot that became another's in the meantime
    client.sql(&format!("select pg_drop_replication_slot('{slot}')")).await;
    client.sql(&format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')")).await;
    let (code, stderr) = fails(&["up", "--database-url", &url]).await;
    assert_eq!(code, 1);
    assert!(stderr.starts_with(&format!("error: replication slot \"{slot}\" belongs to another program")), "{stderr}");
    assert_eq!(client.text("select count(*) from pg_replication_slots").await, "1");
}

#[tokio::test]
async fn the_database_goes_away_and_nothing_is_lost() {
    let mut database = Database::installed().await;
    let tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql("create table t (id int primary key)").await;
    subscriber.table("t").await;
    subscriber.sql("insert into t values (1)").await;
    assert_eq!(subscriber.told().await.len(), 1);
    let session = subscriber.session.clone();
    drop(subscriber);

    database.cluster.stop(StopMode::Fast).await.unwrap();
    for pause in ["100 ms", "200 ms", "400 ms"] {
        tidewire.wait_for_log(&format!("trying again in {pause}")).await;
    }
    database.cluster.restart(StopMode::Fast).await.unwrap();
    let client = database.connect().await;
    client.sql("insert into t values (2)").await;
    let mut subscriber = Subscriber::attach(client, &session).await;
    subscriber.events().await;
    assert_eq!(ids(&subscriber).await, ["1", "2"]);

    // in the middle of things
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (url, stop) = (database.url(), stop.clone());
        tokio::spawn(async move {
            let client = Client::connect(&url).await;
            for id in 3.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                // the server is stopped under it
                if client.batch_execute(&format!("insert into t values ({id})")).await.is_err() {
                    break;
                }
            }
        })
    };
    while subscriber.text("select count(*) from event.event").await.parse::<u32>().unwrap() < 50 {}
    drop(subscriber);
    database.cluster.restart(StopMode::Immediate).await.unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.await.unwrap();
    let client = database.connect().await;
    client.sql("insert into t values (0)").await;
    let subscriber = Subscriber::attach(client, &session).await;
    subscriber.sql("select event.sync()").await;
    let all = subscriber.rows("select id from t order by id").await;
    let all: Vec<_> = all.into_iter().flatten().flatten().collect();
    let mut told = ids(&subscriber).await;
    assert_eq!(told.pop().as_deref(), Some("0"));
    told.insert(0, "0".to_owned());
    assert_eq!(told, all);
    assert!(tidewire.stop().await.success());
}

/// The keys of the events in the inbox.
async fn ids(subscriber: &Subscriber) -> Vec<String> {
    subscriber.inbox().await.iter().flat_map(crate::support::Event::key).collect()
}

#[tokio::test]
async fn its_backends_are_terminated_and_it_carries_on() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql("create table t (id int primary key)").await;
    subscriber.table("t").await;
    let backends = "select pid from pg_stat_activity where application_name = 'tidewire' order by backend_start";
    let mut expected = Vec::new();
    for round in 0..4 {
        // one kind after the other: the writer, the stream, the upkeep
        let all = subscriber.rows(backends).await;
        assert!(all.len() >= 2, "{all:?}");
        let pid = all[round % all.len()][0].clone().unwrap();
        subscriber.sql(&format!("insert into t values ({round}); select pg_terminate_backend({pid}, 5000)")).await;
        subscriber.sql(&format!("insert into t values ({round} + 100)")).await;
        expected.extend([format!("{round}"), format!("{}", round + 100)]);
        subscriber.events().await;
        assert_eq!(ids(&subscriber).await, expected);
    }
    subscriber.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tidewire'").await;
    subscriber.sql("insert into t values (1000)").await;
    subscriber.events().await;
    expected.push("1000".to_owned());
    assert_eq!(ids(&subscriber).await, expected);
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_second_one_stands_by_and_takes_over() {
    let mut database = Database::installed().await;
    let first = database.up().await;
    let url = database.url();
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql("create table t (id int primary key)").await;
    subscriber.table("t").await;
    let second = Tidewire::spawn(&["up", "--database-url", &url]);
    second.wait_for_log("another tidewire serves postgresql://").await;
    second.wait_for_log("standing by").await;
    assert_eq!(second.stdout(), "", "it is not ready");
    subscriber.sql("insert into t values (1)").await;
    assert_eq!(subscriber.told().await.len(), 1);

    first.kill().await;
    subscriber.sql("insert into t values (2)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 2 {"id":2}"#]);
    second.lines(1).await;
    assert!(second.stdout().starts_with("ready "));

    // one that stands by outlives the database too
    let third = Tidewire::spawn(&["up", "--database-url", &url]);
    third.wait_for_log("standing by").await;
    let session = subscriber.session.clone();
    drop(subscriber);
    database.cluster.restart(StopMode::Fast).await.unwrap();
    let mut subscriber = Subscriber::attach(database.connect().await, &session).await;
    subscriber.events().await;
    let serves = |one: &Tidewire| one.stderr().rfind("delivering from") > one.stderr().rfind("trying again in");
    while !serves(&second) && !serves(&third) {
        tokio::task::yield_now().await;
    }
    let (serving, standing_by) = if serves(&second) { (second, third) } else { (third, second) };
    subscriber.sql("insert into t values (3)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 3 {"id":3}"#]);
    // a clean end is taken over from as well, and one that stands by ends cleanly
    assert!(serving.stop().await.success());
    subscriber.sql("insert into t values (4)").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 4 {"id":4}"#]);
    let waiting = Tidewire::spawn(&["up", "--database-url", &url]);
    waiting.wait_for_log("standing by").await;
    assert!(waiting.stop().await.success());
    assert!(standing_by.stop().await.success());
}

#[tokio::test]
async fn installing_twice_is_installing_once() {
    let database = Database::start().await;
    let client = database.connect().await;
    database.install().await;
    let before = client.text(TRACES).await;
    let progress = client.text("select event._progress()::text").await;
    client.sql("select event.session_create('kept')").await;
    database.install().await;
    database.up().await.stop().await;
    database.install().await;
    assert_eq!(client.text(TRACES).await, before);
    assert_eq!(client.text("select count(*) from event.session").await, "1");
    assert!(client.text("select event._progress()::text").await >= progress);
    // while one serves, too
    let up = database.up().await;
    database.install().await;
    assert!(up.stop().await.success());
    client.sql("update event.installation set version = 99").await;
    for command in ["up", "install"] {
        let (code, stderr) = fails(&[command, "--database-url", &database.url()]).await;
        assert_eq!(code, 1);
        assert!(stderr.contains("the schemas are of version 99"), "{stderr}");
    }
}

#[tokio::test]
async fn uninstalling_puts_every_table_back_and_leaves_nothing() {
    let database = Database::start().await;
    let url = database.url();
    let client = database.connect().await;
    let everything = "select string_agg(concat_ws(' ', c.oid::regclass, c.relreplident, i.indexrelid::regclass), ', '
                                        order by c.oid::regclass::text)
                      from pg_class c left join pg_index i on i.indrelid = c.oid and i.indisreplident
                      where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace";
    client
        .sql(
            "create table by_default (id int primary key);
             create table by_index (id int primary key, code text not null unique);
             alter table by_index replica identity using index by_index_code_key;
             create table by_nothing (id int primary key); alter table by_nothing replica identity nothing;
             create table by_full (id int primary key); alter table by_full replica identity full;
             create table parts (id int primary key, a int not null) partition by range (id);
             create table parts_1 partition of parts for values from (0) to (10);
             create table parts_2 partition of parts for values from (10) to (20);
             create unique index parts_2_a on parts_2 (a); alter table parts_2 replica identity using index parts_2_a;
             create table untouched (id int primary key); create publication theirs for table by_default;",
        )
        .await;
    let before = client.text(everything).await;
    let up = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    for table in ["by_default", "by_index", "by_nothing", "by_full", "parts"] {
        subscriber.table(table).await;
    }
    client.sql("select event.watch('by_default'), event.watch('by_index')").await;
    client.sql("insert into by_index values (1, 'x'); delete from by_index").await;
    assert_eq!(subscriber.told().await.len(), 2);
    assert_ne!(client.text(everything).await, before);

    let (code, stderr) = fails(&["uninstall", "--database-url", &url]).await;
    assert_eq!((code, stderr.as_str()), (1, "error: tidewire up is running on this database\nhint: Stop it first.\n"));
    client.sql("insert into by_index values (2, 'y')").await;
    assert_eq!(subscriber.told().await.len(), 1);
    assert!(up.stop().await.success());

    // what is in the way is told, and nothing is half removed
    client.sql("create view mine as select * from event.event; create table theirs (row meta.row_id)").await;
    let (code, stderr) = fails(&["uninstall", "--database-url", &url]).await;
    assert_eq!(code, 1);
    assert!(
        stderr.starts_with("error: other objects depend on the schemas event and meta\ndetail: They are: "),
        "{stderr}"
    );
    assert!(stderr.contains("column row of table public.theirs, rule _RETURN on view public.mine."), "{stderr}");
    client.sql("drop view mine; drop table theirs").await;
    let holder = database.connect().await;
    // who reads ours is not waited for with somebody's table locked
    holder.sql("begin; select 1 from event.event").await;
    let (code, stderr) = fails(&["uninstall", "--database-url", &url]).await;
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: somebody is using Tidewire's tables\n"), "{stderr}");
    holder.sql("rollback").await;
    holder.sql("begin; insert into by_nothing values (1)").await;
    let (code, stderr) = fails(&["uninstall", "--database-url", &url]).await;
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: table public.by_nothing could not be put back as it was"), "{stderr}");
    holder.sql("rollback").await;
    assert!(client.text(TRACES).await.contains("schema event"));
    assert_eq!(client.text("select count(*) from event.subscription").await, "5");

    let removed = tidewire(&["uninstall", "--database-url", &url]).await;
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert_eq!(client.text(everything).await, before);
    assert_eq!(client.rows(TRACES).await, [[None]]);
    assert_eq!(client.text("select string_agg(pubname, '') from pg_publication").await, "theirs");
    assert_eq!(client.text("select count(*) from pg_replication_slots").await, "0");
    let again = tidewire(&["uninstall", "--database-url", &url]).await;
    assert!(again.status.success());
    assert!(String::from_utf8(again.stdout).unwrap().starts_with("nothing of Tidewire's is installed"));

    // and it can begin anew
    let _up = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("by_index").await;
    client.sql("insert into by_index values (3, 'z')").await;
    assert_eq!(subscriber.told().await.len(), 1);
}

#[tokio::test]
async fn a_former_replica_identity_that_is_no_more_gives_way_to_the_default() {
    let database = Database::start().await;
    let url = database.url();
    let client = database.connect().await;
    for (table, change) in
        [("gone", "drop index gone_code_key"), ("loose", "alter table loose alter code drop not null")]
    {
        client.sql(&format!("create table {table} (id int primary key, code text not null)")).await;
        client.sql(&format!("create unique index {table}_code_key on {table} (code)")).await;
        client.sql(&format!("alter table {table} replica identity using index {table}_code_key")).await;
        database.up().await.stop().await;
        client.sql(&format!("select event.watch('{table}'); {change}")).await;
        client.sql(&format!("insert into {table} values (1, 'x'); update {table} set code = 'y'")).await;
        let removed = tidewire(&["uninstall", "--database-url", &url]).await;
        assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
        let identity = format!("select relreplident from pg_class where relname = '{table}'");
        assert_eq!(client.text(&identity).await, "d", "{change}");
        client.sql(&format!("update {table} set code = 'z'; delete from {table}")).await;
    }
}
