//! The private server that Tidewire starts: it comes up anywhere, keeps what it shall keep and leaves nothing behind.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tidewire::db::cluster::{BINDIR_VARIABLE, Cluster, ClusterOptions, StopMode};
use tidewire::error::ErrorKind;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::{Client, Database, PATIENCE};

/// Set, it makes the test that reads it the process to be killed.
const VICTIM: &str = "TEST_VICTIM";

/// A folder that the server's account can reach, whoever runs the tests.
fn reachable_dir() -> TempDir {
    let dir = tempfile::Builder::new().prefix("tidewire-it-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// A kept cluster, but not a durable one: no test turns the machine off.
fn kept(data_dir: impl Into<PathBuf>) -> ClusterOptions {
    ClusterOptions { durable: false, ..ClusterOptions::kept(data_dir) }
}

fn send(pid: u32, signal: impl Into<Option<Signal>>) -> Result<(), Errno> {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal)
}

/// The folder of a temporary cluster, in which its data folder is.
fn folder(cluster: &Cluster) -> PathBuf {
    cluster.data_dir().parent().unwrap().to_owned()
}

/// Waits until something holds that no one tells of.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let all = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("not after {PATIENCE:?}: {what}"));
}

/// Whether a process is gone, or at least dead and only not yet waited for by whoever inherited it.
fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    send(pid, None) == Err(Errno::ESRCH) || stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
}

#[tokio::test]
async fn a_temporary_cluster_is_ready_for_replication_and_leaves_nothing_behind() {
    let database = Database::start().await;
    let client = database.connect().await;
    assert_eq!(client.text("show wal_level").await, "logical");
    assert_eq!(client.text("show server_encoding").await, "UTF8");
    assert_eq!(client.text("select upper('é')").await, "É");
    assert_eq!(client.text("show data_directory").await, database.cluster.data_dir().to_str().unwrap());
    let (pid, folder) = (database.cluster.pid(), folder(&database.cluster));
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!is_gone(pid));

    drop(database);
    assert_eq!(send(pid, None), Err(Errno::ESRCH));
    assert!(!folder.exists());
}

#[tokio::test]
async fn settings_have_the_last_word() {
    let database = Database::start_with(&[("shared_buffers", "8MB"), ("wal_sender_timeout", "3s")]).await;
    let client = database.connect().await;
    assert_eq!(client.text("show shared_buffers").await, "8MB");
    assert_eq!(client.text("show wal_sender_timeout").await, "3s");
}

#[tokio::test]
async fn a_server_answers_on_its_socket() {
    let database = Database::start().await;
    let socket_dir = database.cluster.socket_dir();
    let url = format!("host={} port={} user=postgres dbname=postgres", socket_dir.display(), database.cluster.port());
    assert_eq!(Client::connect(&url).await.text("select inet_server_addr() is null").await, "t");
    let mode = std::fs::metadata(socket_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "somebody else can reach the socket");
}

#[tokio::test]
async fn a_restarted_cluster_keeps_its_port_and_its_data() {
    let mut database = Database::start().await;
    let url = database.url();
    database.connect().await.sql("create table kept as select 1 as id").await;
    database.cluster.restart(StopMode::Immediate).await.unwrap();
    assert_eq!(database.url(), url);
    assert_eq!(database.connect().await.text("select id from kept").await, "1");
}

#[tokio::test]
async fn a_kept_cluster_outlives_its_server() {
    let dir = reachable_dir();
    let data = dir.path().join("new").join("data");
    let cluster = Cluster::start(kept(&data)).await.unwrap();
    Client::connect(cluster.url()).await.sql("create table kept as select 1 as id").await;
    let (url, pid) = (cluster.url().to_owned(), cluster.pid());
    drop(cluster);
    assert_eq!(send(pid, None), Err(Errno::ESRCH));
    assert!(!data.join("postmaster.pid").exists(), "the server was not shut down cleanly");

    let mut cluster = Cluster::start(kept(&data)).await.unwrap();
    assert_eq!(cluster.url(), url, "the address has changed");
    assert_eq!(Client::connect(cluster.url()).await.text("select id from kept").await, "1");
    cluster.stop(StopMode::Fast).await.unwrap();
    assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
}

#[tokio::test]
async fn a_kept_cluster_lets_nobody_in_without_the_password() {
    let dir = reachable_dir();
    let data = dir.path().join("data");
    let cluster = Cluster::start(kept(&data)).await.unwrap();
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", cluster.port());
    assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("tidewire.password")), 0o600);
}

#[tokio::test]
async fn a_killed_server_recovers_at_the_next_start() {
    let dir = reachable_dir();
    let options = kept(dir.path().join("data"));
    let cluster = Cluster::start(options.clone()).await.unwrap();
    let client = Client::connect(cluster.url()).await;
    client.sql("create table kept as select 1 as id").await;
    send(cluster.pid(), Signal::SIGKILL).unwrap();
    drop(cluster);
    assert!(dir.path().join("data/postmaster.pid").exists(), "no stale pid file to be tested with");

    let cluster = Cluster::start(options).await.unwrap();
    assert!(!cluster.is_attached());
    assert_eq!(Client::connect(cluster.url()).await.text("select id from kept").await, "1");
}

#[tokio::test]
async fn a_running_server_is_taken_as_it_is_and_runs_on() {
    let dir = reachable_dir();
    let options = kept(dir.path().join("data"));
    let cluster = Cluster::start(options.clone()).await.unwrap();
    let mut second = Cluster::start(options).await.unwrap();
    assert!(second.is_attached());
    assert_eq!((second.pid(), second.url()), (cluster.pid(), cluster.url()));
    second.stop(StopMode::Fast).await.unwrap();
    drop(second);
    assert_eq!(Client::connect(cluster.url()).await.text("select 1").await, "1");
}

#[tokio::test]
async fn a_foreign_folder_is_refused_and_not_touched() {
    let dir = reachable_dir();
    std::fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let error = Cluster::start(kept(dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().ends_with("is not empty and not a data folder of PostgreSQL"), "{error}");
    assert!(error.hint_text().is_some());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_data_folder_of_another_major_version_is_refused() {
    let dir = reachable_dir();
    let data = dir.path().join("data");
    let cluster = Cluster::start(kept(&data)).await.unwrap();
    drop(cluster);
    std::fs::write(data.join("PG_VERSION"), "8\n").unwrap();
    let error = Cluster::start(kept(&data)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(error.message().contains("was made by PostgreSQL 8"), "{error}");
    assert!(error.hint_text().is_some());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = ClusterOptions { port: Some(port), tcp: true, ..ClusterOptions::temporary() };
    let error = Cluster::start(options).await.unwrap_err();
    assert_eq!(error.message(), format!("port {port} is in use by another program"));
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let settings = vec![("shared_buffers".to_owned(), "plenty".to_owned())];
    let error = Cluster::start(ClusterOptions { settings, ..ClusterOptions::temporary() }).await.unwrap_err();
    assert!(error.to_string().contains("invalid value for parameter \"shared_buffers\": \"plenty\""), "{error}");
}

#[tokio::test]
async fn nothing_is_left_when_this_process_is_killed() {
    if std::env::var_os(VICTIM).is_some() {
        let database = Database::start().await;
        println!("\n{} {}", database.cluster.pid(), folder(&database.cluster).display());
        std::future::pending::<()>().await;
    }
    let mut victim = this_test_as_a_victim("nothing_is_left_when_this_process_is_killed").spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let (pid, folder) = loop {
        let line = lines.next_line().await.unwrap().expect("the process to be killed ended by itself");
        if let Some((pid, folder)) = line.split_once(" /") {
            break (pid.parse::<u32>().unwrap(), Path::new("/").join(folder));
        }
    };
    assert!(folder.exists() && !is_gone(pid));

    victim.kill().await.unwrap();
    until("the server is gone", || is_gone(pid)).await;
    until("its folder is gone", || !folder.exists()).await;
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_behind() {
    if std::env::var_os(VICTIM).is_some() {
        let initdb_is_at_work = || {
            let folders = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
            folders.map(|folder| folder.path().join("data/base")).any(|path| path.exists())
        };
        tokio::select! {
            _ = Cluster::start(ClusterOptions::temporary()) => panic!("the start was not given up"),
            () = until("initdb is at work", initdb_is_at_work) => return,
        }
    }
    let dir = reachable_dir();
    let mut victim = this_test_as_a_victim("a_start_that_is_given_up_leaves_nothing_behind");
    let output = victim.env("TMPDIR", dir.path()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the victim ran no test");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_the_server_cannot_reach_is_named() {
    if !nix::unistd::geteuid().is_root() {
        // Only root runs the server as somebody else.
        return;
    }
    let dir = reachable_dir();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = Cluster::start(kept(dir.path().join("data"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains(" cannot reach folder "), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn missing_server_programs_are_named() {
    if std::env::var_os(VICTIM).is_some() {
        let error = Cluster::start(ClusterOptions::temporary()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup);
        assert!(error.to_string().contains("which does not hold initdb, postgres, pg_ctl."), "{error}");
        assert!(error.hint_text().unwrap().starts_with("Unset TIDEWIRE_PG_BINDIR"), "{error}");
        return;
    }
    let dir = reachable_dir();
    let mut victim = this_test_as_a_victim("missing_server_programs_are_named");
    let output = victim.env(BINDIR_VARIABLE, dir.path()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the victim ran no test");
}

/// Runs a test of this file in a process of its own, where it finds `VICTIM` set.
fn this_test_as_a_victim(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("cluster::{name}"), "--nocapture"]).env(VICTIM, "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_client_collects_what_it_is_notified_of() {
    let database = Database::start().await;
    let mut listener = database.connect().await;
    let writer = database.connect().await;
    listener.sql("listen news").await;
    writer.sql("notify news, 'first'; notify news, 'second'").await;
    assert_eq!(listener.next_notification().await.payload(), "first");
    assert_eq!(listener.next_notification().await.payload(), "second");
    writer.sql("notify news, 'third'").await;
    listener.sql("select 1").await;
    let rest = listener.drain();
    assert_eq!(rest.iter().map(|notification| notification.payload()).collect::<Vec<_>>(), ["third"]);
    let error = writer.try_sql("select 1/0").await.unwrap_err();
    assert_eq!(error.message(), "division by zero");
}
