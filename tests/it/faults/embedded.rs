//! The server that `tidewire up` started itself.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::fault::{signal, until};
use crate::support::fault_disk::small_disk;
use crate::support::{Client, Subscriber, Tidewire, command, left_out, tidewire};

/// A folder to stand in, which everybody may enter.
fn folder(mode: u32) -> TempDir {
    let dir = tempfile::Builder::new().prefix("tidewire-it-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    dir
}

/// A command in that folder; it must do what it is asked to.
async fn run_in(folder: &Path, args: &[&str]) -> String {
    let output = command(args).current_dir(folder).output().await.unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command says that fails.
fn said(output: Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn commands_in_the_same_folder_find_the_embedded_server() {
    let dir = folder(0o755);
    let (data, here) = (dir.path().join(".tidewire/data"), dir.path());
    let in_here = |args: &[&str]| {
        let mut command = command(args);
        command.current_dir(here);
        Tidewire::run(command)
    };
    let none = said(command(&["check"]).current_dir(here).output().await.unwrap());
    assert!(none.starts_with("error: no database is named\n") && !data.exists(), "{none}");

    let up = in_here(&["up"]);
    let ready = up.lines(1).await.remove(0);
    let password = std::fs::read_to_string(data.join("tidewire.password")).unwrap();
    let url = ready.strip_prefix("ready ").unwrap().replace("postgres@", &format!("postgres:{}@", password.trim()));
    let client = Client::connect(&url).await;
    client.sql("create table person (id int primary key)").await;
    let tail = in_here(&["tail", "person", "--json"]);
    tail.wait_for_log("listening to person").await;
    client.sql("insert into person values (1)").await;
    let line = tail.lines(1).await.remove(0);
    assert!(line.contains("row_insert") && !tail.stderr().contains(password.trim()), "{line}");
    assert!(tail.stop().await.success());
    assert!(run_in(here, &["check"]).await.contains("no failures"));
    // by its folder, from elsewhere
    let there = ["check", "--data-dir", data.to_str().unwrap()];
    assert!(run_in(Path::new("/"), &there).await.contains("no failures"));
    drop(client);
    assert!(up.stop().await.success());

    // tail is of no use without up; the others start the server for as long as they take
    let stopped = said(command(&["tail", "person"]).current_dir(here).output().await.unwrap());
    assert!(
        stopped.starts_with("error: no PostgreSQL runs on folder \".tidewire/data\"\nhint: tidewire up"),
        "{stopped}"
    );
    assert!(run_in(here, &["check"]).await.contains("no failures"));
    assert!(!data.join("postmaster.pid").exists(), "its server was stopped");
    assert!(run_in(here, &["uninstall"]).await.starts_with("removed from "));
    assert!(run_in(here, &["uninstall"]).await.starts_with("nothing of Tidewire's is installed in "));
    assert!(!data.join("postmaster.pid").exists());
}

#[tokio::test]
async fn a_folder_that_does_not_do_names_the_option_for_another() {
    // not even root makes a folder there
    let unmade = said(tidewire(&["up", "--data-dir", "/proc/tidewire/data"]).await);
    assert!(unmade.starts_with("error: cannot make folder \"/proc/tidewire/data\": "), "{unmade}");
    assert!(unmade.contains("\nhint: --data-dir names another folder"), "{unmade}");
    if !nix::unistd::geteuid().is_root() {
        return left_out("only root hands its server to another account");
    }
    // as /root is
    let home = folder(0o700);
    let error = said(command(&["up"]).current_dir(home.path()).output().await.unwrap());
    assert!(
        error.contains("cannot reach folder") && error.contains("\nhint: --data-dir names another folder"),
        "{error}"
    );
    assert!(!home.path().join(".tidewire/data").exists());
}

#[tokio::test]
async fn a_full_disk_is_named_with_the_way_around_it() {
    let Some(disk) = small_disk("faults::embedded::a_full_disk_is_named_with_the_way_around_it", 20) else { return };
    let demo = said(command(&["demo"]).env("TMPDIR", &disk).output().await.unwrap());
    let hint =
        "\nhint: Make room there, or choose a folder on another disk: with --data-dir, or for the demo with TMPDIR.";
    assert!(demo.contains("could not initialise data folder") && demo.contains(hint), "{demo}");
    let data = disk.join("data");
    let up = said(tidewire(&["up", "--data-dir", data.to_str().unwrap()]).await);
    assert!(up.contains("No space left on device") && up.contains(hint), "{up}");
}

#[tokio::test]
async fn an_embedded_server_that_dies_is_started_again_and_nothing_is_lost() {
    let dir = folder(0o755);
    let data = dir.path().join("data");
    let tidewire = Tidewire::spawn(&["up", "--data-dir", data.to_str().unwrap()]);
    let ready = tidewire.lines(1).await.remove(0);
    let password = std::fs::read_to_string(data.join("tidewire.password")).unwrap();
    let url = ready.strip_prefix("ready ").unwrap();
    let url = url.replace("postgres@", &format!("postgres:{}@", password.trim()));

    let client = Client::connect(&url).await;
    client.sql("create table t (id int primary key)").await;
    let subscriber = Subscriber::create(Client::connect(&url).await, "session_create()").await;
    subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    let session = subscriber.session.clone();
    let pid = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    signal(pid.lines().next().unwrap().parse().unwrap(), Signal::SIGKILL);
    tidewire.wait_for_log("the embedded PostgreSQL has ended; starting it again").await;
    until("the server is back", || Client::answers(&url)).await;
    let client = Client::connect(&url).await;
    client.sql("insert into t values (2)").await;
    client.sql("select event.sync()").await;
    let subscriber = Subscriber::attach(client, &session).await;
    let told: Vec<_> = subscriber.inbox().await.iter().map(ToString::to_string).collect();
    assert_eq!(told, [r#"insert table t 1 {"id":1}"#, r#"insert table t 2 {"id":2}"#]);
    assert!(tidewire.stop().await.success());
}
