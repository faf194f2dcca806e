//! Other accounts of the machine: they reach no server that Tidewire starts, and nothing that they
//! leave in a folder has root read or send what is not theirs.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tidewire::db::cluster::{Binaries, Cluster, ClusterOptions};
use tidewire::error::{Error, ErrorKind};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UnixListener};

use crate::support::fault::{children, signal, until_within};
use crate::support::{Client, Database, PATIENCE, command, left_out, template};

/// The account that everybody has and that owns nothing: nobody.
const NOBODY: u32 = 65534;

/// Whether this process may act as another account.
fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        left_out("only root can be another account");
    }
    is_root
}

fn folder() -> TempDir {
    let dir = tempfile::Builder::new().prefix("tidewire-it-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

fn kept(data_dir: impl Into<PathBuf>) -> ClusterOptions {
    ClusterOptions { durable: false, ..ClusterOptions::kept(data_dir) }
}

/// psql, on the PATH or beside the server.
async fn psql() -> Option<PathBuf> {
    let mut places = vec![Binaries::find().await.unwrap().dir().to_owned()];
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let found = places.into_iter().map(|place| place.join("psql")).find(|path| path.is_file());
    if found.is_none() {
        left_out("there is no psql on this machine");
    }
    found
}

/// Asks a server who one is.
fn ask(psql: &Path, host: &Path, port: u16, as_nobody: bool) -> Output {
    let mut command = Command::new(psql);
    command.args(["-X", "-w", "-tA", "-U", "postgres", "-c", "select current_user", "-p", &port.to_string(), "-h"]);
    command.arg(host).arg("postgres").current_dir("/").stdin(Stdio::null());
    if as_nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().unwrap()
}

fn assert_shut(psql: &Path, socket_dir: &Path, port: u16) {
    let ours = ask(psql, socket_dir, port, false);
    assert_eq!(String::from_utf8_lossy(&ours.stdout), "postgres\n", "{ours:?}");
    for host in [socket_dir, Path::new("127.0.0.1")] {
        let theirs = ask(psql, host, port, true);
        assert!(!theirs.status.success() && theirs.stdout.is_empty(), "{}: {theirs:?}", host.display());
    }
}

#[tokio::test]
async fn no_other_account_reaches_a_tests_server() {
    if !is_root() {
        return;
    }
    let Some(psql) = psql().await else { return };
    for database in [Database::start().await, Database::on_tcp(&[]).await] {
        let cluster = &database.cluster;
        assert_shut(&psql, cluster.socket_dir(), cluster.port());
        let password = cluster.data_dir().join("tidewire.password");
        let read = Command::new("cat").arg(password).uid(NOBODY).gid(NOBODY).output().unwrap();
        assert!(!read.status.success());
    }
}

#[tokio::test]
async fn a_temporary_server_is_on_tcp_only_if_asked() {
    let database = Database::start().await;
    assert_eq!(database.connect().await.text("show listen_addresses").await, "");
    assert_eq!(database.cluster.tcp_url(), None);
    let database = Database::on_tcp(&[]).await;
    let url = database.tcp_url();
    assert_eq!(Client::connect(&url).await.text("select current_user").await, "postgres");
    let without = format!("postgresql://postgres@127.0.0.1:{}/postgres", database.cluster.port());
    assert!(!Client::answers(&without).await);
    let methods = "select string_agg(distinct auth_method, ' ') from pg_hba_file_rules where type <> 'local'";
    assert_eq!(database.connect().await.text(methods).await, "scram-sha-256");
}

#[tokio::test]
async fn no_other_account_reaches_the_demos_server() {
    if !is_root() {
        return;
    }
    let Some(psql) = psql().await else { return };
    let temporary = folder();
    std::fs::set_permissions(temporary.path(), Permissions::from_mode(0o1777)).unwrap();
    let mut demo = command(&["demo"]);
    demo.env("TMPDIR", temporary.path()).env("TIDEWIRE_DATABASE_URL", "postgresql://a:secret@b/c");
    let mut demo = demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = demo.id().unwrap();
    let data = || {
        let made = std::fs::read_dir(temporary.path()).ok()?.next()?.ok()?;
        let data = made.path().join("data");
        let says = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        says.lines().nth(7).is_some_and(|status| status.trim() == "ready").then_some((data, says))
    };
    // which takes an initdb, on a busy machine
    until_within("the demo's server is ready", PATIENCE * 3, || async { data().is_some() }).await;
    // it stands still, and its server does not
    signal(pid, Signal::SIGSTOP);
    let (data, says) = data().expect("the demo has ended already");
    assert_eq!(says.lines().nth(5), Some(""), "it listens on TCP");
    assert_shut(&psql, &data, says.lines().nth(3).unwrap().parse().unwrap());
    let server = says.lines().next().unwrap().parse().unwrap();
    for process in [vec![server], children(server)].concat() {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&environment).contains("secret"));
    }
    signal(pid, Signal::SIGCONT);
    assert!(demo.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let dir = folder();
    let long = dir.path().join("x".repeat(90));
    let cluster = Cluster::start(kept(&long)).await.unwrap();
    let socket_dir = cluster.socket_dir().to_owned();
    assert_eq!(Client::connect(cluster.url()).await.text("select 1").await, "1");
    assert!(socket_dir.starts_with("/tmp") && !socket_dir.starts_with(dir.path()));
    assert_eq!(std::fs::metadata(&socket_dir).unwrap().permissions().mode() & 0o777, 0o700);
    let second = Cluster::start(kept(&long)).await.unwrap();
    assert_eq!((second.is_attached(), second.url()), (true, cluster.url()));
    drop((second, cluster));
    assert!(!socket_dir.exists());
}

/// A kept cluster's folder, whose server has been stopped, in a folder of root's.
async fn stopped() -> (TempDir, PathBuf) {
    let dir = folder();
    let data = dir.path().join("data");
    let template = Some(template(&Binaries::find().await.unwrap()).await);
    drop(Cluster::start(ClusterOptions { template, ..kept(&data) }).await.unwrap());
    (dir, data)
}

async fn refused(data: &Path) -> Error {
    let error = Cluster::start(kept(data)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.hint_text().is_some(), "{error}");
    error
}

#[tokio::test]
async fn nothing_is_read_through_a_link_in_the_folder() {
    let secret = folder();
    let secret = secret.path().join("secret");
    for file in ["tidewire.password", "postmaster.pid", "PG_VERSION"] {
        let (_dir, data) = stopped().await;
        let path = data.join(file);
        let text = if file == "PG_VERSION" { std::fs::read_to_string(&path).unwrap() } else { "root's own".to_owned() };
        std::fs::write(&secret, text).unwrap();
        let _ = std::fs::remove_file(&path);
        symlink(&secret, &path).unwrap();
        let error = refused(&data).await;
        assert_eq!(error.message(), format!("file \"{}\" is a link", path.display()));
        assert!(!error.to_string().contains("root's own"));
    }
    // nor is a pipe waited for
    let (_dir, data) = stopped().await;
    nix::unistd::mkfifo(&data.join("postmaster.pid"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(refused(&data).await.message().ends_with("is not a file"));
}

#[tokio::test]
async fn another_accounts_password_file_is_not_read() {
    if !is_root() {
        return;
    }
    for owner in [0, NOBODY] {
        let (_dir, data) = stopped().await;
        let path = data.join("tidewire.password");
        chown(&path, Some(owner), None).unwrap();
        let error = refused(&data).await;
        assert!(error.message().ends_with("belongs to another user than its folder"), "{error}");
    }
}

/// What a program that waits for a password heard.
async fn heard(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> Vec<u8> {
    use tokio::io::AsyncWriteExt as _;
    // asks for the password as it is
    let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\x03").await;
    let mut all = Vec::new();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_to_end(&mut all)).await;
    all
}

#[tokio::test]
async fn a_fake_server_is_told_nothing() {
    if !is_root() {
        return;
    }
    let major = Binaries::find().await.unwrap().version().major();
    for has_socket in [false, true] {
        let dir = folder();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        // it runs as this process does, which is not the folder's owner
        let socket = UnixListener::bind(data.join(format!(".s.PGSQL.{port}"))).unwrap();
        let socket_dir = if has_socket { data.display().to_string() } else { String::new() };
        let says =
            format!("{}\n{}\n1\n{port}\n{socket_dir}\n127.0.0.1\n1 1\nready\n", std::process::id(), data.display());
        for (file, text) in
            [("PG_VERSION", major.to_string()), ("postmaster.pid", says), ("tidewire.password", "secret".to_owned())]
        {
            std::fs::write(data.join(file), text).unwrap();
            chown(data.join(file), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        std::fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        let listening = tokio::spawn(async move {
            tokio::select! {
                Ok((stream, _)) = tcp.accept() => heard(stream).await,
                Ok((stream, _)) = socket.accept() => heard(stream).await,
            }
        });
        let error = refused(&data).await;
        let why = if has_socket { "is not run by the user whom the folder belongs to" } else { "has no Unix socket" };
        assert!(error.message().ends_with(why), "{error}");
        assert_eq!(listening.await.unwrap(), b"", "the fake server was told something");
    }
}

#[tokio::test]
async fn root_uses_no_folder_that_others_can_swap() {
    if !is_root() {
        return;
    }
    let is_unsafe = |error: &Error| error.message().ends_with("is not safe to use as root");
    // in a folder of somebody else's
    let (dir, data) = stopped().await;
    chown(dir.path(), Some(NOBODY), None).unwrap();
    assert!(is_unsafe(&refused(&data).await));
    // where it would be made
    assert!(is_unsafe(&refused(&dir.path().join("a/b")).await));
    assert!(!dir.path().join("a").exists());
    // where everybody may write
    chown(dir.path(), Some(0), None).unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(is_unsafe(&refused(&data).await));
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
    // by a link of somebody else's
    let link = dir.path().join("link");
    symlink(&data, &link).unwrap();
    lchown(&link, Some(NOBODY), None).unwrap();
    assert!(is_unsafe(&refused(&link).await));
    // by a link of root's, and without one
    lchown(&link, Some(0), None).unwrap();
    for path in [&link, &data] {
        drop(Cluster::start(kept(path)).await.unwrap());
    }
}

/// `tidewire check` in a folder.
async fn check_in(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = command(&[&["check"], args].concat()).current_dir(folder).output().await.unwrap();
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn settings_that_others_may_write_are_not_found() {
    let dir = folder();
    let file = dir.path().join("tidewire.toml");
    std::fs::write(&file, "database-url = \"postgresql://ann@127.0.0.1:1/shop\"").unwrap();
    let is_used = |text: &str| text.contains("Connection refused");
    assert!(is_used(&check_in(dir.path(), &[]).await.1));
    std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let (code, text) = check_in(dir.path(), &[]).await;
    assert_eq!(
        (code, text.lines().next()),
        (2, Some("error: tidewire.toml in the current folder can be written by everybody"))
    );
    assert!(text.contains("\nhint: If you trust it: --config tidewire.toml."), "{text}");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    if !is_root() {
        return;
    }
    chown(&file, Some(NOBODY), None).unwrap();
    let (code, text) = check_in(dir.path(), &[]).await;
    assert!(code == 2 && text.contains("tidewire.toml in the current folder belongs to another user"), "{text}");
    // whoever names it means it
    assert!(is_used(&check_in(dir.path(), &["--config", "tidewire.toml"]).await.1));
    // a link is its maker's word
    chown(&file, Some(0), None).unwrap();
    let other = folder();
    let link = other.path().join("tidewire.toml");
    symlink(&file, &link).unwrap();
    assert!(is_used(&check_in(other.path(), &[]).await.1));
    lchown(&link, Some(NOBODY), None).unwrap();
    assert_eq!(check_in(other.path(), &[]).await.0, 2);
}
