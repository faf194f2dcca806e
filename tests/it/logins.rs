//! Logins: those of the stream are those of the statements, and one that fails says what helps.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User, geteuid};
use tempfile::TempDir;
use tidewire::error::ErrorKind;
use tidewire::wal::WalStream;

use crate::support::fault_proxy::{Block, Cut, Link, Proxy};
use crate::support::{Database, Tidewire, left_out, tidewire};

const SLOTS: &str = "select count(*) from pg_replication_slots";

/// What a command said, and its exit code.
async fn told(args: &[&str]) -> (i32, String) {
    let output = tidewire(args).await;
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn each_password_that_works_for_sql_works_for_the_stream() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    let port = database.cluster.port();
    // SASLprep takes a soft hyphen away, makes IX of a Roman nine, and a blank of a no-break one
    let (changed, same, escaped) = ("I\u{ad}X\u{a0}\u{2168}", "secret", "I%C2%ADX%C2%A0%E2%85%A8");
    for (role, method, encryption, password, in_url) in [
        ("scram_same", "scram-sha-256", "scram-sha-256", same, same),
        ("scram_changed", "scram-sha-256", "scram-sha-256", changed, escaped),
        ("md5_same", "md5", "md5", same, same),
        ("md5_changed", "md5", "md5", changed, escaped),
        ("plain_scram", "password", "scram-sha-256", changed, escaped),
        ("plain_md5", "password", "md5", changed, escaped),
    ] {
        let create = format!(
            "set password_encryption = '{encryption}'; create role {role} superuser login password '{password}'"
        );
        client.sql(&create).await;
        database.allow(&format!("host all {role} all {method}")).await;
        let up = Tidewire::up(&format!("postgresql://{role}:{in_url}@127.0.0.1:{port}/postgres")).await;
        assert!(up.stop().await.success(), "{role}");
        let (code, text) =
            told(&["check", "--database-url", &format!("postgresql://{role}:{in_url}@127.0.0.1:{port}/postgres")])
                .await;
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("the stream can log in"), "{text}");
        // and no other password does
        let wrong =
            format!("postgresql://{role}:{in_url}x@127.0.0.1:{port}/postgres").parse::<tidewire::db::Target>().unwrap();
        let refused = WalStream::try_login(&wrong.stream_options("s", "p", "UTF8")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Authentication, "{role}: {refused}");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_log_in_is_said_before_a_slot() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    let proxy = Proxy::start(&database).await;
    proxy.block(Some(Block::Refuse(Link::Stream)));
    let url = proxy.url();
    for command in ["up", "install"] {
        let (code, text) = told(&[command, "--database-url", &url]).await;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("error: the stream cannot log in: "), "{text}");
        assert!(text.contains("replication=database' -c IDENTIFY_SYSTEM"), "{text}");
        assert_eq!(client.text(SLOTS).await, "0", "{command}");
        assert_eq!(client.text("select count(*) from pg_namespace where nspname = 'event'").await, "0", "{command}");
    }
    let (code, text) = told(&["check", "--database-url", &url]).await;
    assert!(code == 1 && text.contains("failure  the stream cannot log in: "), "{text}");
    // what explains it comes first
    client.sql("create role ann login password 'secret'; grant create on database postgres to ann").await;
    let ann = format!("postgresql://ann:secret@127.0.0.1:{}/postgres", database.cluster.port());
    let (_, text) = told(&["up", "--database-url", &ann]).await;
    assert!(text.contains("error: role \"ann\" may not replicate\n"), "{text}");
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_slot_that_it_made() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    let proxy = Proxy::start(&database).await;
    // a login takes some 180 bytes behind its first message: the trial gets through, the stream
    // does not
    proxy.arm(Cut::Request(Link::Stream, 270));
    let (code, text) = told(&["up", "--database-url", &proxy.url()]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("creating replication slot"), "{text}");
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(client.text(SLOTS).await, "0");
    // nothing was lost: no session could have been told of anything
    let up = database.up().await;
    up.wait_for_log("delivering from").await;
    assert!(!up.stderr().contains("was lost"), "{}", up.stderr());
    assert!(up.stop().await.success());
    // a slot that was there before stays
    proxy.block(Some(Block::Refuse(Link::Stream)));
    assert_eq!(told(&["up", "--database-url", &proxy.url()]).await.0, 1);
    assert_eq!(client.text(SLOTS).await, "1");
}

/// The program, where every account can run it, and its folder.
fn program_for_all() -> (TempDir, PathBuf) {
    let folder = tempfile::Builder::new().prefix("tidewire-it-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("tidewire");
    std::fs::copy(env!("CARGO_BIN_EXE_tidewire"), &program).unwrap();
    (folder, program)
}

/// `tidewire` as another account, in a folder which that account need not be able to enter.
fn run_as(program: &Path, account: &User, folder: &Path, args: &[&str]) -> (i32, String) {
    let mut command = if geteuid() == account.uid {
        Command::new(program)
    } else {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={}", account.uid), format!("--regid={}", account.gid)]);
        command.arg("--clear-groups").arg(program);
        command
    };
    let path = std::env::var_os("PATH").unwrap();
    command.args(args).current_dir(folder).env_clear().env("PATH", path).stdin(Stdio::null());
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn each_refused_login_has_the_remedy_that_helps() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    let (folder, port) = (database.cluster.socket_dir().display(), database.cluster.port());
    let server = User::from_uid(Uid::from_raw(std::fs::metadata(database.cluster.data_dir()).unwrap().uid())).unwrap();
    let server = server.unwrap();
    let me = User::from_uid(geteuid()).unwrap().unwrap().name;
    client.sql("create role ann login password 'right'; create role daemon login; create role locked").await;
    client.sql("create role bob login; create role carl login; create role dora login connection limit 0").await;
    client.sql("create role ida login").await;
    // Debian's own lines, but for the role that the tests themselves use
    database
        .allow(&format!(
            "local all bob reject\nhost all ida all ident\nlocal all ann,daemon,{me}_none,{me} peer\nhostnossl all carl all reject\n\
             host all ann,nobody_here all scram-sha-256"
        ))
        .await;
    let tcp = |user: &str| format!("postgresql://{user}@127.0.0.1:{port}/postgres");
    let as_account = |account: &str| {
        format!(
            "sudo -u {account} tidewire check --database-url 'postgresql://{account}@/postgres?host={folder}&port={port}'"
        )
    };
    let mut cases = vec![
        (database.url_as("ann"), "Peer authentication failed for user \"ann\"", as_account(&server.name)),
        (database.url_as("daemon"), "Peer authentication failed for user \"daemon\"", as_account("daemon")),
        (
            database.url_as("bob"),
            "pg_hba.conf rejects connection",
            "local \"postgres\" \"bob\" scram-sha-256".to_owned(),
        ),
        (
            database.url_as("locked"),
            "role \"locked\" is not permitted to log in",
            "alter role \"locked\" login;".to_owned(),
        ),
        (database.url_as("dora"), "too many connections for role \"dora\"", "select usename".to_owned()),
        (tcp("ann:wrong"), "password authentication failed", "psql 'postgresql://ann@".to_owned()),
        (tcp("nobody_here:x"), "password authentication failed", "psql 'postgresql://nobody_here@".to_owned()),
        (tcp("ann"), "none was given", "psql 'postgresql://ann@".to_owned()),
        (tcp("carl"), "no encryption", format!("tidewire check --database-url '{}?sslmode=require'", tcp("carl"))),
        (tcp("ida"), "Ident authentication failed", "host \"postgres\" \"ida\" samenet scram-sha-256".to_owned()),
    ];
    if me != server.name {
        let says = format!("role \"{me}\" does not exist");
        cases.push((database.url_of(&me, &me), Box::leak(says.into_boxed_str()), as_account(&server.name)));
    }
    for (url, says, remedy) in &cases {
        let (code, text) = told(&["check", "--database-url", url]).await;
        assert!(code == 1 && text.contains(says), "{url}: {text}");
        assert!(text.lines().nth(1).unwrap().trim_start().starts_with(remedy), "{url}: {remedy}\n{text}");
        let (_, text) = told(&["uninstall", "--database-url", url]).await;
        assert!(text.contains(&format!("\nhint: {remedy}")), "{url}: {text}");
    }
    // as that account it works
    let (place, program) = program_for_all();
    let url = format!("postgresql://{0}@/postgres?host={folder}&port={port}", server.name);
    let (code, text) = run_as(&program, &server, place.path(), &["check", "--database-url", &url]);
    assert!(code == 0 && text.contains("connected to"), "{text}");
}

#[tokio::test]
async fn an_account_that_may_not_read_the_settings_does_without() {
    if !geteuid().is_root() {
        left_out("only root can be another account");
        return;
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let (place, program) = program_for_all();
    let closed = place.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let file = place.path().join("tidewire.toml");
    std::fs::write(&file, "database-url = 'postgresql://ann@127.0.0.1:1/shop'\n").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let url = "postgresql://bob@127.0.0.1:1/shop";
    let warning = "warning: cannot read tidewire.toml: Permission denied (os error 13): it is left out\n";
    std::fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    // the file cannot be read; nothing in the folder can be, as in a home folder
    for folder in [place.path(), &closed] {
        let (code, text) = run_as(&program, &nobody, folder, &["check", "--database-url", url]);
        assert!(code == 1 && text.contains("127.0.0.1:1/shop: ") && text.contains("Connection refused"), "{text}");
        assert!(text.contains(warning), "{text}");
    }
    // whoever names no database is not given another one
    for command in ["check", "uninstall", "up"] {
        let (code, text) = run_as(&program, &nobody, place.path(), &[command]);
        assert!(code == 2 && text.contains("error: no database is named\ndetail: cannot read tidewire.toml"), "{text}");
    }
}
