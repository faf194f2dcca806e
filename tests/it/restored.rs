//! A database that is not where it was, or not where it was in time: everybody whose changes may be lost is told so, once.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidewire::db::cluster::{Binaries, StopMode};

use crate::gaps::{TABLE, held, write};
use crate::support::fault::until;
use crate::support::{Client, Database, Subscriber, Tidewire};

/// How many events a session's inbox holds.
async fn holds(client: &Client, session: &str) -> String {
    client.text(&format!("select count(*) from event.inbox where session_id = '{session}'")).await
}

/// Copies a stopped server's data folder, with its owners.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// The data folder as it was, beside it.
fn backup_of(database: &Database) -> PathBuf {
    database.cluster.data_dir().with_extension("backup")
}

#[tokio::test]
async fn a_database_restored_under_a_running_program_is_told_as_a_gap() {
    let mut database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let idle = Subscriber::open(&database).await;
    let idle_session = idle.session.clone();
    let session = subscriber.session.clone();
    write(&client, "insert into t values (1)").await;
    drop((client, subscriber, idle));
    database.cluster.stop(StopMode::Fast).await.unwrap();
    let (data, backup) = (database.cluster.data_dir().to_owned(), backup_of(&database));
    copy(&data, &backup);
    database.cluster.restart(StopMode::Fast).await.unwrap();
    let client = database.connect().await;
    write(&client, "insert into t values (2); insert into t values (3)").await;
    let ahead = client.text("select max(id) from event.inbox").await;
    drop(client);

    database.cluster.stop(StopMode::Fast).await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&backup, &data).unwrap();
    database.cluster.restart(StopMode::Fast).await.unwrap();
    tidewire.wait_for_log("are told of a gap: database_restored").await;
    let client = database.connect().await;
    write(&client, "insert into t values (4)").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let expected = [
        r#"insert table t 1 {"id":1,"note":null}"#,
        "gap database_restored",
        r#"insert table t 4 {"id":4,"note":null}"#,
    ];
    assert_eq!(held(&subscriber).await, expected);
    assert_eq!(holds(&subscriber, &idle_session).await, "0");
    let gap = &subscriber.inbox().await[1];
    assert!(gap.json["to"].as_str().unwrap() >= ahead.as_str(), "{}", gap.text);
    // whoever remembers a place that this database has not been at is told so, and does not wait for it in silence
    let error = subscriber.try_sql("select event.read(null, '00000FFF00000000-00000001')").await.unwrap_err();
    assert!(error.message().contains("has not been delivered yet"), "{error}");
}

#[tokio::test]
async fn another_timeline_is_told_as_a_gap() {
    let mut database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let idle = Subscriber::open(&database).await;
    let idle_session = idle.session.clone();
    let session = subscriber.session.clone();
    write(&client, "insert into t values (1)").await;
    drop((client, subscriber, idle));
    assert!(tidewire.stop().await.success());
    database.cluster.stop(StopMode::Fast).await.unwrap();
    // recovery that ends where there is no more WAL, as one to a point in time does
    let data = database.cluster.data_dir();
    let conf = data.join("postgresql.auto.conf");
    let settings = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, format!("{settings}\nrestore_command = 'false'\n")).unwrap();
    copy(&conf, &data.join("recovery.signal"));
    database.cluster.restart(StopMode::Fast).await.unwrap();
    let client = database.connect().await;
    until("recovery ends", || async { client.text("select pg_is_in_recovery()").await == "f" }).await;
    assert_eq!(client.text("select left(pg_walfile_name(pg_current_wal_lsn()), 8)").await, "00000002");

    let tidewire = database.up().await;
    write(&client, "insert into t values (2)").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let mut expected = vec![
        r#"insert table t 1 {"id":1,"note":null}"#,
        "gap database_restored",
        r#"insert table t 2 {"id":2,"note":null}"#,
    ];
    assert_eq!(holds(&subscriber, &idle_session).await, "0");
    assert_eq!(held(&subscriber).await, expected);
    // once
    assert!(tidewire.stop().await.success());
    let _tidewire = database.up().await;
    write(&subscriber, "insert into t values (3)").await;
    expected.push(r#"insert table t 3 {"id":3,"note":null}"#);
    assert_eq!(held(&subscriber).await, expected);
}

#[tokio::test]
async fn a_copied_database_begins_anew_and_says_so() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let idle = Subscriber::open(&database).await;
    let idle_session = idle.session.clone();
    let session = subscriber.session.clone();
    write(&client, "insert into t values (1)").await;
    drop((subscriber, idle));
    assert!(tidewire.stop().await.success());
    let other = Client::connect(&database.url_of("postgres", "template1")).await;
    drop(client);
    let copied = || async { other.try_sql("create database copy template postgres").await.is_ok() };
    until("nobody is connected to what is copied", copied).await;
    let url = database.url_of("postgres", "copy");
    let _tidewire = Tidewire::up(&url).await;
    let client = Client::connect(&url).await;
    write(&client, "insert into t values (2)").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let expected = [
        r#"insert table t 1 {"id":1,"note":null}"#,
        "gap database_restored",
        r#"insert table t 2 {"id":2,"note":null}"#,
    ];
    assert_eq!(holds(&subscriber, &idle_session).await, "0");
    assert_eq!(held(&subscriber).await, expected);
}

/// What dumps a database, and loads it again.
struct Programs {
    dump: PathBuf,
    psql: PathBuf,
}

impl Programs {
    /// None where these server programs come without.
    async fn find() -> Option<Programs> {
        let binaries = Binaries::find().await.unwrap();
        let [dump, psql] = ["pg_dump", "psql"].map(|name| binaries.program(name));
        let is_there = dump.exists() && psql.exists();
        if !is_there {
            eprintln!("not tried: these server programs come without pg_dump and psql");
        }
        is_there.then_some(Programs { dump, psql })
    }

    fn dump(&self, database: &Database) -> String {
        let dumped = Command::new(&self.dump).arg("-d").arg(database.url()).output().unwrap();
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        String::from_utf8(dumped.stdout).unwrap()
    }

    fn load(&self, database: &Database, statements: &str) {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), statements).unwrap();
        let mut load = Command::new(&self.psql);
        load.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &database.url(), "-f"]).arg(path.path());
        let loaded = load.output().unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }
}

#[tokio::test]
async fn a_dump_that_is_loaded_elsewhere_tells_nobody_of_another_ones_table() {
    let Some(programs) = Programs::find().await else { return };
    let origin = Database::start().await;
    let tidewire = origin.up().await;
    let client = origin.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&origin).await;
    subscriber.table("t").await;
    // its WAL is ahead of any that the new server will have
    client.sql("insert into t values (1)").await;
    for _ in 0..8 {
        write(&client, "select pg_switch_wal(); insert into t select count(*) + 1 from t").await;
    }
    assert!(tidewire.stop().await.success());
    let statements = programs.dump(&origin);

    let copy = Database::start().await;
    let client = copy.connect().await;
    // other tables come to stand where the oids point
    for number in 0..50 {
        client.sql(&format!("create table secret_{number} (id int primary key, note text)")).await;
    }
    programs.load(&copy, &statements);

    let _tidewire = copy.up().await;
    for number in 0..50 {
        client.sql(&format!("insert into secret_{number} values (1, 'secret')")).await;
    }
    write(&client, "insert into t values (100)").await;
    let subscriber = Subscriber::attach(client, &subscriber.session).await;
    let told: Vec<_> = held(&subscriber).await.into_iter().filter(|event| !event.starts_with("insert")).collect();
    assert!(told.iter().any(|event| event == "gap database_restored"), "{told:?}");
    assert!(told.iter().any(|event| event.contains("subscription_ended")), "{told:?}");
    assert!(!subscriber.inbox().await.iter().any(|event| event.text.contains("secret")));
    subscriber.table("t").await;
    write(&subscriber, "insert into t values (101)").await;
    assert_eq!(held(&subscriber).await.last().unwrap(), r#"insert table t 101 {"id":101,"note":null}"#);
}

#[tokio::test]
async fn another_cluster_whose_log_is_ahead_is_known_by_its_identifier() {
    let Some(programs) = Programs::find().await else { return };
    let origin = Database::start().await;
    let tidewire = origin.up().await;
    let client = origin.connect().await;
    client.sql(TABLE).await;
    let subscriber = Subscriber::open(&origin).await;
    subscriber.table("t").await;
    write(&client, "insert into t values (1)").await;
    assert!(tidewire.stop().await.success());
    let statements = programs.dump(&origin);
    let home = client.text("select event._home()").await;

    // not from the template that every other server here is a copy of
    let other = Database::initialised().await;
    let client = other.connect().await;
    let reached = origin.connect().await.text("select pg_current_wal_lsn()").await;
    until("its log is ahead", || async {
        client.sql("select pg_logical_emit_message(false, 'noise', 'x')").await;
        client.sql("select pg_switch_wal()").await;
        client.text(&format!("select pg_current_wal_lsn() > '{reached}'")).await == "t"
    })
    .await;
    programs.load(&other, &statements);
    let here = client.text("select event._home()").await;
    let differing: Vec<bool> = home.split('/').zip(here.split('/')).map(|(there, here)| there != here).collect();
    assert_eq!(differing, [true, false, false], "{home} and {here} differ in the cluster's identifier alone");

    let tidewire = Tidewire::up(&other.url()).await;
    write(&client, "insert into t values (2)").await;
    let subscriber = Subscriber::attach(client, &subscriber.session).await;
    let told = held(&subscriber).await;
    assert_eq!(told[0], r#"insert table t 1 {"id":1,"note":null}"#);
    assert_eq!(told.iter().filter(|told| *told == "gap database_restored").count(), 1, "{told:?}");
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_dumps_copy_has_its_replica_identities_put_back() {
    let Some(programs) = Programs::find().await else { return };
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table plain (id int primary key); create table none (id int primary key); alter table none replica identity nothing;
             create table by_index (id int not null); create unique index odd on by_index (id); alter table by_index replica identity using index odd;
             create table whole (id int primary key); alter table whole replica identity full;
             create table parted (id int primary key) partition by range (id); create table part partition of parted for values from (0) to (9)",
        )
        .await;
    for table in ["plain", "none", "by_index", "whole", "parted"] {
        client.sql(&format!("select event.watch('{table}')")).await;
    }
    let identities = "select string_agg(relreplident, '' order by relname) from pg_class
                      where relname in ('plain', 'none', 'by_index', 'whole', 'part')";
    assert_eq!(client.text(identities).await, "fffff");
    let dump = programs.dump(&database);
    assert!(tidewire.stop().await.success());
    // with and without a run of the program in between
    for runs in [false, true] {
        let copy = Database::start().await;
        // other numbers
        copy.connect().await.sql("create table first (); create table second (); drop table first").await;
        programs.load(&copy, &dump);
        let client = copy.connect().await;
        assert_eq!(client.text(identities).await, "fffff");
        if runs {
            assert!(copy.up().await.stop().await.success());
        }
        let removed = crate::support::tidewire(&["uninstall", "--database-url", &copy.url()]).await;
        assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
        assert_eq!(client.text(identities).await, "inddf", "by_index, none, part, plain, whole; runs: {runs}");
    }
}
