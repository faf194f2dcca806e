//! A role that may connect holds no lock through the schemas that keeps anybody from anything.

use tokio::task::JoinHandle;

use crate::support::fault::until;
use crate::support::{Database, Subscriber, Tidewire, tidewire};

const MODES: [&str; 8] = [
    "access share",
    "row share",
    "row exclusive",
    "share update exclusive",
    "share",
    "share row exclusive",
    "exclusive",
    "access exclusive",
];

/// The locks of a reader and of a writer, which conflict with none of each other's.
const HARMLESS: [&str; 3] = ["AccessShareLock", "RowShareLock", "RowExclusiveLock"];

/// Every relation of both schemas, as SQL writes it.
const RELATIONS: &str = "select c.oid::regclass from pg_class c
    where c.relnamespace in ('event'::regnamespace, 'meta'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1";

#[tokio::test]
async fn no_lock_through_us_is_stronger_than_a_writers() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role bob login").await;
    let mut bob = Subscriber::open_as(&database, "bob").await;
    bob.sql("select event.subscribe_table(meta.relation_id('meta', 'table'))").await;
    client.sql("create table t (id int primary key)").await;
    assert_eq!(bob.told().await.len(), 1);
    let relations = client.rows(RELATIONS).await;
    assert!(relations.len() > 100, "{}", relations.len());
    let mut readable = 0;
    for relation in relations.iter().flatten().flatten() {
        for mode in MODES {
            bob.sql("begin").await;
            if bob.try_sql(&format!("lock table {relation} in {mode} mode")).await.is_ok() {
                readable += 1;
                let held = bob
                    .rows("select distinct mode from pg_locks where pid = pg_backend_pid() and locktype = 'relation'")
                    .await;
                for lock in held.iter().flatten().flatten() {
                    assert!(HARMLESS.contains(&lock.as_str()), "lock table {relation} in {mode} mode: {lock}");
                }
            }
            bob.sql("rollback").await;
        }
        for (strength, clause) in [("update", ""), ("key share", " skip locked")] {
            let sql = format!("select 1 from {relation} for {strength}{clause}");
            let error = bob.try_sql(&sql).await.expect_err(&sql);
            assert_eq!(error.code().code(), "42501", "{sql}: {error}");
        }
    }
    // the views that are there to be read, and no more than their readers' lock
    assert!(readable > 70, "{readable}");
    assert_eq!(bob.told().await, [""; 0]);
}

#[tokio::test]
async fn no_statement_on_our_relations_but_reading_is_for_all() {
    let database = Database::installed().await;
    let client = database.connect().await;
    client.sql("create role bob login; create schema bobs authorization bob; create role other").await;
    let bob = database.connect_as("bob").await;
    bob.sql("create function bobs.trap() returns trigger language plpgsql as 'begin return new; end'").await;
    for relation in client.rows(RELATIONS).await.iter().flatten().flatten() {
        for sql in [
            format!("truncate {relation}"),
            format!("comment on table {relation} is 'x'"),
            format!("comment on view {relation} is 'x'"),
            format!("alter table {relation} owner to bob"),
            format!("alter table {relation} rename to x"),
            format!("drop table {relation}"),
            format!("drop view {relation}"),
            format!("create index on {relation} ((1))"),
            format!("create trigger trap after insert on {relation} for each statement execute function bobs.trap()"),
            format!("create rule trap as on insert to {relation} do nothing"),
            format!("create policy trap on {relation}"),
            format!("create table bobs.child () inherits ({relation})"),
            format!("create table bobs.refers (a int references {relation})"),
            format!("reindex table {relation}"),
            format!("cluster {relation}"),
            format!("create publication bobs for table {relation}"),
        ] {
            let error = bob.try_sql(&sql).await.expect_err(&sql);
            // refused for what it is, or for whose it is
            let code = error.code().code().to_owned();
            assert!(
                ["42501", "42704", "42809", "0A000", "55000", "42P17", "42830", "42601", "42P16"]
                    .contains(&code.as_str()),
                "{sql}: {code} {error}"
            );
        }
        // where he holds a right to it, a warning is all that it comes to
        let _ = bob.try_sql(&format!("grant select on {relation} to other")).await;
    }
    let granted = "select count(*) from pg_class c, aclexplode(c.relacl) a where a.grantee = 'other'::regrole";
    assert_eq!(client.text(granted).await, "0");
    let columns = "select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace in ('event'::regnamespace, 'meta'::regnamespace) and a.attacl is not null
          and c.oid <> 'event._call'::regclass";
    assert_eq!(client.text(columns).await, "0");
}

/// Sessions that take every advisory lock that others hold, or wait for it, and the numbers that Tidewire once used; whoever ends one
/// finds another in its place.
fn squat(database: &Database, crowd: usize) -> Vec<JoinHandle<()>> {
    const TAKE: &str = "select pg_advisory_lock(k) from unnest(array[8388346167912720756, 8388346167912493669]) k
        union all select pg_advisory_lock(l.classid::int, l.objid::int) from pg_locks l where l.locktype = 'advisory' and l.objsubid = 2";
    let url = database.url_as("bob");
    let one = move || {
        let url = url.clone();
        async move {
            loop {
                let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await else {
                    continue;
                };
                let work = async {
                    let _ = client.simple_query(TAKE).await;
                    std::future::pending::<()>().await;
                };
                tokio::select! { () = work => {}, _ = connection => {} }
            }
        }
    };
    (0..crowd).map(|_| tokio::spawn(one())).collect()
}

/// Every role can hold an advisory lock, and a queue of sessions can hand it on.
#[tokio::test]
async fn a_role_with_connect_cannot_keep_the_lease() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create role bob login; create table t (id int primary key)").await;
    client.sql("create role tide login replication; grant create on database postgres to tide; alter table t owner to tide").await;
    let crowd = squat(&database, 8);
    let is_queue = "select count(*) > 3 from pg_locks where locktype = 'advisory' and objsubid = 1";
    client.until(is_queue, "t").await;
    // a role that may end nobody's session
    let url = database.url_as("tide");
    for round in 0..2 {
        let tidewire = Tidewire::up(&url).await;
        let mut subscriber = Subscriber::open(&database).await;
        subscriber.table("t").await;
        client.sql(&format!("insert into t values ({round})")).await;
        assert_eq!(subscriber.told().await.len(), 1, "round {round}");
        assert!(tidewire.stop().await.success());
    }
    let removed = tidewire(&["uninstall", "--database-url", &url]).await;
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert_eq!(client.text(is_queue).await, "t", "they are there still");
    crowd.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn of_many_that_start_at_once_one_serves() {
    let database = Database::start().await;
    let mut all: Vec<Tidewire> = (0..4).map(|_| Tidewire::spawn(&["up", "--database-url", &database.url()])).collect();
    while !all.is_empty() {
        let delivers = |program: &Tidewire| program.stderr().contains("delivering from");
        until("one delivers", || async { all.iter().any(delivers) }).await;
        let others = all.len() - 1;
        until("the others stand by", || async {
            all.iter().filter(|program| program.stderr().contains("standing by")).count() >= others
        })
        .await;
        assert_eq!(all.iter().filter(|program| delivers(program)).count(), 1);
        let first = all.iter().position(delivers).unwrap();
        assert!(all.remove(first).stop().await.success());
    }
}
