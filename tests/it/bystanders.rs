//! What a role keeps open or locked is its own trouble: the others' sessions, tables and limits are looked after meanwhile.

use crate::support::fault::until_within;
use crate::support::{Database, PATIENCE, Subscriber, Tidewire};

/// A table of mallory's and one of the victim's, to which a session of the superuser's is subscribed.
const TABLES: &str = "create role mallory login; grant create on schema public to mallory;
    create table theirs (id int primary key, a int, b int); create table mine (id int primary key, a int, b int);
    alter table theirs owner to mallory";

#[tokio::test]
async fn a_table_that_somebody_keeps_open_holds_up_no_other() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLES).await;
    client.sql("select event.watch('theirs')").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.column("mine", "b").await;
    // as where no superuser installed it: the sweep alone follows
    client.sql("drop event trigger tidewire_ddl; drop event trigger tidewire_ddl_drop").await;
    let mallory = database.connect_as("mallory").await;
    mallory.sql("begin; select event.watch('public.theirs')").await;
    // its row of event.watched is locked, and has to be written
    client.sql("alter table theirs drop column b").await;
    client.sql("alter table mine drop column b").await;
    let ended =
        "select count(*) from event.inbox i join event.journal j on j.id = i.id where j.change = 'subscription_ended'";
    client.until(ended, "1").await;
    let told = subscriber.told().await;
    assert!(told.iter().any(|told| told == "subscription_ended column_dropped"), "{told:?}");
    let open = "select count(*) from pg_stat_activity where usename = 'mallory' and state = 'idle in transaction'";
    assert_eq!(client.text(open).await, "1");
    mallory.sql("commit").await;
    let known =
        "select count(*) from event.watched w where w.relation = 'theirs'::regclass and w.description like '%\"b\"%'";
    client.until(known, "0").await;
}

#[tokio::test]
async fn a_locked_table_keeps_no_other_from_being_put_back() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLES).await;
    let subscriber = Subscriber::open(&database).await;
    let subscription = subscriber.table("mine").await;
    subscriber.table("theirs").await;
    // gone, and its row of event.watched held as a subscriber holds it
    client.sql("create table dropped (id int primary key); select event.watch('dropped')").await;
    let holder = database.connect().await;
    holder.sql("begin; select from event.watched where relation = 'public.dropped'::regclass for key share").await;
    client.sql("drop table dropped").await;
    subscriber.sql(&format!("select event.unsubscribe('{subscription}')")).await;
    client.until("select relreplident from pg_class where relname = 'mine'", "d").await;
    assert_eq!(client.text("select count(*) from event.watched w where not exists (select from pg_class c where c.oid = w.relation)").await, "1");
    holder.sql("commit").await;
    client.sql("insert into mine values (1)").await;
    let left =
        "select count(*) from event.watched w where not exists (select from pg_class c where c.oid = w.relation)";
    client.until(left, "0").await;
}

#[tokio::test]
async fn a_session_that_is_being_deleted_is_bounded_too() {
    let database = Database::start().await;
    let _tidewire = Tidewire::up_with(&database.url(), &["--inbox-max-size", "100kB"]).await;
    let client = database.connect().await;
    client.sql("create role bob login; create table t (id int primary key, v text); grant select on t to bob").await;
    client.sql("select event.watch('t')").await;
    let bob = Subscriber::open_as(&database, "bob").await;
    bob.table("t").await;
    client.sql("insert into t select n, repeat('x', 1000) from generate_series(1, 10) n; select event.sync()").await;
    bob.sql(&format!("begin; select event.session_delete('{}')", bob.session)).await;
    client.sql("insert into t select n, repeat('x', 1000) from generate_series(11, 1000) n; select event.sync()").await;
    let emptied = format!(
        "select coalesce(count(*) < 100 and bool_or(j.change = 'gap'), false) from event.inbox i join event.journal j using (id)
         where i.session_id = '{}'",
        bob.session
    );
    // upkeep rests while the database does
    until_within("the inbox is emptied", 2 * PATIENCE, &mut || async {
        client.sql("select pg_logical_emit_message(true, 'moves', '')").await;
        client.text(&emptied).await == "t"
    })
    .await;
    bob.sql("rollback").await;
}

/// Every role can hold an advisory lock on any number, and knows those that others hold.
#[tokio::test]
async fn an_advisory_lock_keeps_nobody_from_a_pinned_session() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role mallory login").await;
    let first = Subscriber::create(database.connect().await, "session_create('pinned', false)").await;
    let mallory = database.connect_as("mallory").await;
    mallory.sql(&format!("select pg_advisory_lock(1953064037, hashtext('{}'))", first.session)).await;
    mallory.sql("select pg_advisory_lock(classid::int, objid::int) from pg_locks where locktype = 'advisory'").await;
    let second = Subscriber::attach(database.connect().await, &first.session).await;
    assert_eq!(client.text("select count(*) from event.held").await, "2");
    let age = "update event.session set created_at = created_at - interval '1 minute'";
    client.sql(age).await;
    drop(first);
    client.until("select count(*) from event.held", "1").await;
    assert_eq!(second.text("select count(*) from event.session").await, "1");
    drop(second);
    client.until("select count(*) from event.session", "0").await;
}

#[tokio::test]
async fn a_subscription_limit_holds_while_no_program_runs() {
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role bob login; create table t (id int primary key); grant select on t to bob").await;
    client.sql("select event.watch('t'); select event.limit_role('bob', subscriptions => 10)").await;
    assert!(tidewire.stop().await.success());
    let mut refused = 0;
    for n in 0..15 {
        let bob = database.connect_as("bob").await;
        bob.sql("select event.session_create('one')").await;
        let subscribe = format!("select event.subscribe_row(meta.row_id('public', 't', 'id', '{n}'))");
        refused += usize::from(bob.try_sql(&subscribe).await.is_err());
        let pid = bob.text("select pg_backend_pid()").await;
        drop(bob);
        // the server knows what a connection did once it has ended
        client.until(&format!("select count(*) from pg_stat_activity where pid = {pid}"), "0").await;
    }
    assert_eq!(client.text("select count(*) from event.subscription").await, "10");
    assert_eq!(refused, 5);
}

/// The program prepares the table, after the owner's commit.
#[tokio::test]
async fn a_watch_left_open_delays_nobodys_subscription() {
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLES).await;
    let mallory = database.connect_as("mallory").await;
    mallory.sql("begin; select event.watch('public.theirs')").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("mine").await;
    client.sql("insert into mine values (1)").await;
    assert_eq!(subscriber.told().await.len(), 1);
    let watched = "select coalesce(bool_or(explicit), false) from event.watched where relation = 'theirs'::regclass";
    assert_eq!(client.text(watched).await, "f");
    mallory.sql("commit").await;
    mallory.sql("select event.sync('20 s')").await;
    assert_eq!(client.text(watched).await, "t");
    assert_eq!(client.text("select relreplident from pg_class where relname = 'theirs'").await, "f");
    // what it asked for and took back
    mallory.sql("create table second (id int primary key)").await;
    mallory.sql("begin; select event.watch('public.second'); select event.unwatch('public.second'); commit").await;
    assert_eq!(client.text("select count(*) from event.asked").await, "0");
    // without a program nobody prepares it later
    assert!(tidewire.stop().await.success());
    mallory.sql("select event.watch('public.second')").await;
    assert_eq!(client.text("select relreplident from pg_class where relname = 'second'").await, "f");
}

/// Nor does it keep others from subscribing for longer than a moment.
#[tokio::test]
async fn an_open_subscriber_lets_others_subscribe_while_a_start_waits() {
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key); select event.watch('t')").await;
    assert!(tidewire.stop().await.success());
    // there is a slot already, and nothing else that waits for open transactions
    client
        .sql("delete from event.progress; update event.installation set gap_from = '0', gap_reason = 'slot_lost'")
        .await;
    client.sql("insert into event.progress (lsn, number) values (pg_current_wal_lsn(), 0)").await;
    let open = database.connect().await;
    open.sql("begin; select event.session_create('open')").await;
    open.try_sql("select event.subscribe_table(meta.relation_id('public', 't'))").await.unwrap();
    let tidewire = Tidewire::spawn(&["up", "--database-url", &database.url()]);
    let waits =
        "select count(*) > 0 from pg_stat_activity where application_name = 'tidewire' and wait_event_type = 'Lock'";
    client.until(waits, "t").await;
    for n in 0..10 {
        let subscriber = Subscriber::create(database.connect().await, &format!("session_create('{n}')")).await;
        let begun = std::time::Instant::now();
        subscriber.try_sql("select event.subscribe_table(meta.relation_id('public', 't'))").await.unwrap();
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    assert!(!tidewire.stdout().contains("ready"));
    open.sql("commit").await;
    tidewire.wait_for_log("delivering from").await;
}

/// PostgreSQL takes this lock before it looks who owns the relation.
#[tokio::test]
async fn who_locks_our_relations_by_create_rule_is_ended() {
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLES).await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("mine").await;
    for (round, relation) in ["event.session", "event.change", "event.subscription"].into_iter().enumerate() {
        let holder = database.connect_as("mallory").await;
        holder.sql("begin; lock table theirs in access exclusive mode").await;
        let squatter = database.connect_as("mallory").await;
        let rule = format!("create rule r as on insert to {relation} do also select * from theirs");
        let squats = tokio::spawn(async move { squatter.simple_query(&rule).await.map(drop) });
        let held = format!(
            "select count(*) from pg_locks where relation = '{relation}'::regclass and mode = 'AccessExclusiveLock' and granted"
        );
        client.until(&held, "1").await;
        client.sql(&format!("insert into mine values ({round})")).await;
        assert_eq!(subscriber.told().await.len(), 1, "{relation}");
        holder.sql("rollback").await;
        let _ = squats.await.unwrap();
    }
    assert!(tidewire.stop().await.success());
}
