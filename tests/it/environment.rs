//! libpq's environment variables and connection parameters: each counts, does no harm, or is
//! refused by name.

use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::Path;
use std::process::Output;

use nix::unistd::{User, geteuid};
use tidewire::db::Target;
use tidewire::db::environment::{Rule, SETTINGS};
use tidewire::error::ErrorKind;
use tidewire::wal::WalStream;
use tokio::time::timeout;

use crate::support::{Database, PATIENCE, command};

/// Nobody listens there.
const NOWHERE: &str = "postgresql://ann@127.0.0.1:1/shop";

/// `tidewire check`, with a variable of libpq's set.
async fn check(url: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = command(&["check", "--database-url", url]);
    for setting in SETTINGS.iter().filter(|setting| !setting.variable.is_empty()) {
        command.env_remove(setting.variable);
    }
    command.env_remove("HOME");
    let output = timeout(PATIENCE, command.envs(variables.iter().copied()).output()).await.unwrap().unwrap();
    told(&output)
}

fn told(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn manual() -> Vec<&'static str> {
    let lines = include_str!("libpq_variables.txt").lines();
    lines.filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn every_variable_of_the_manual_is_decided_and_documented() {
    let decided: Vec<&str> = SETTINGS.iter().map(|setting| setting.variable).filter(|name| !name.is_empty()).collect();
    assert_eq!(decided, manual());
    let docs = include_str!("../../docs/operations.md");
    for setting in SETTINGS.iter().filter(|setting| !setting.variable.is_empty()) {
        let start = format!("| `{}` | ", setting.variable);
        let row = docs.lines().find_map(|line| line.strip_prefix(&start));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row for {}", setting.variable));
        let (word, but) = match setting.rule {
            Rule::Counts => ("counts", &[][..]),
            Rule::Harmless => ("no effect", &[][..]),
            Rule::Refused { but: [], .. } => ("refused", &[][..]),
            Rule::Refused { but, .. } => ("refused but for ", but),
        };
        assert!(row.starts_with(word), "{}: {row}", setting.variable);
        for value in but {
            assert!(row.contains(&format!("`{value}`")), "{}: {row}", setting.variable);
        }
    }
}

#[tokio::test]
async fn each_variable_does_what_its_rule_says() {
    for setting in SETTINGS.iter().filter(|setting| !setting.variable.is_empty()) {
        let name = setting.variable;
        let goes_on = async |value: &str| {
            let (code, text) = check(NOWHERE, &[(name, value)]).await;
            assert!(code == 1 && text.contains("Connection refused"), "{name}={value}: {text}");
        };
        // set to nothing it is not set
        goes_on("").await;
        match setting.rule {
            Rule::Harmless => goes_on("some_value").await,
            Rule::Counts => {}
            Rule::Refused { but, .. } => {
                for value in but {
                    goes_on(value).await;
                }
                let (code, text) = check(NOWHERE, &[(name, "/a secret/value")]).await;
                assert_eq!(code, 2, "{name}: {text}");
                assert!(text.starts_with(&format!("error: {name} is set, and Tidewire ")), "{text}");
                assert!(text.contains(&format!("\nhint: Unset {name}.")), "{text}");
                assert!(!text.contains("secret"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn each_parameter_does_what_its_rule_says() {
    for setting in SETTINGS.iter().filter(|setting| !setting.parameter.is_empty()) {
        let name = setting.parameter;
        let Rule::Refused { .. } = setting.rule else { continue };
        for url in [format!("{NOWHERE}?{name}=top%20secret"), format!("host=127.0.0.1 port=1 {name} = 'top secret'")] {
            let (code, text) = check(&url, &[]).await;
            assert_eq!(code, 2, "{url}: {text}");
            assert!(text.contains(&format!("parameter \"{name}\" of the database URL is set")), "{text}");
            assert!(text.contains("\nhint: Leave it out."), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
    let unknown = |name: &str| format!("parameter \"{name}\" of the database URL is unknown\nhint: Leave it out");
    for (parameter, says) in [
        ("nonsense=1", unknown("nonsense")),
        ("non%73ense=1", unknown("nonsense")),
        ("schema=shop", unknown("schema") + ": tables are named with their schemas."),
        ("pgbouncer=true", unknown("pgbouncer") + ", and name PostgreSQL itself"),
        ("service=shop", "parameter \"service\" of the database URL is set, and Tidewire reads no service".to_owned()),
        ("sslrootcert=/x", "parameter \"sslrootcert\" of the database URL is set, and Tidewire reads no".to_owned()),
        ("ssl%6Dode=most", "parameter \"sslmode\" of the database URL is \"most\", and Tidewire knows".to_owned()),
    ] {
        let (code, text) = check(&format!("{NOWHERE}?{parameter}"), &[]).await;
        assert!(code == 2 && text.contains(&says), "{parameter}: {text}");
    }
}

#[tokio::test]
async fn each_parameter_that_libpq_knows_and_does_no_harm_is_taken() {
    for setting in SETTINGS.iter().filter(|setting| !setting.parameter.is_empty()) {
        let values = match setting.rule {
            Rule::Refused { but, .. } => but,
            Rule::Harmless if setting.parameter.starts_with("keepalives") => &["1"],
            Rule::Harmless if setting.parameter == "tcp_user_timeout" => &["1"],
            Rule::Harmless => &["a 'b\\"],
            Rule::Counts => &[][..],
        };
        for value in values {
            let name = setting.parameter;
            let (quoted, encoded) = (value.replace('\\', "\\\\").replace('\'', "\\'"), value.replace(' ', "%20"));
            for url in [
                format!("{NOWHERE}?{name}={encoded}&connect_timeout=3"),
                format!("host=127.0.0.1 port=1 {name} = '{quoted}' user=ann"),
            ] {
                let (code, text) = check(&url, &[]).await;
                let tried = text.contains("postgresql://ann@127.0.0.1:1/") && text.contains("Connection refused");
                assert!(code == 1 && tried, "{url}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn who_asks_for_tls_never_gets_a_plain_connection() {
    // a server without TLS
    let database = Database::on_tcp(&[]).await;
    let url = database.tcp_url();
    assert!(check(&url, &[]).await.1.contains("connected to"));
    for mode in ["require", "verify-ca", "verify-full", "most"] {
        let (code, text) = check(&url, &[("PGSSLMODE", mode)]).await;
        assert!(code != 0 && !text.contains("connected to"), "PGSSLMODE={mode}: {text}");
        let (code, text) = check(&format!("{url}?sslmode={mode}"), &[]).await;
        assert!(code != 0 && !text.contains("connected to"), "sslmode={mode}: {text}");
    }
    let (code, text) = check(&format!("{url}?ssl=true"), &[]).await;
    assert!(code != 0 && !text.contains("connected to"), "{text}");
    // an authority of one's own cannot be read, and another one is not taken for it
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".postgresql")).unwrap();
    std::fs::write(home.path().join(".postgresql/root.crt"), "").unwrap();
    let home = ("HOME", home.path().to_str().unwrap());
    for mode in ["verify-ca", "verify-full"] {
        let (code, text) = check(&format!("{url}?sslmode={mode}"), &[home]).await;
        assert!(code == 2 && text.contains(".postgresql/root.crt, and Tidewire reads no certificates"), "{text}");
    }
    assert_eq!(check(&format!("{NOWHERE}?sslmode=require"), &[home]).await.0, 1);
    // what the URL says comes first, and over a Unix socket there is no TLS, as with libpq
    let plain = check(&format!("{url}?sslmode=disable"), &[("PGSSLMODE", "require")]).await;
    assert!(plain.1.contains("connected to"), "{}", plain.1);
    let socket = check(&database.url(), &[("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", "/x")]).await;
    assert!(socket.1.contains("connected to"), "{}", socket.1);
}

#[tokio::test]
async fn the_stream_is_protected_as_the_statements_are() {
    for (mode, is_tls) in [
        ("disable", false),
        ("allow", false),
        ("prefer", false),
        ("require", true),
        ("verify-ca", true),
        ("verify-full", true),
    ] {
        let target: Target = format!("{NOWHERE}?sslmode={mode}").parse().unwrap();
        assert_eq!(target.stream_options("s", "p", "UTF8").tls, is_tls, "{mode}");
    }
    let database = Database::on_tcp(&[]).await;
    database.install().await;
    let target: Target = format!("{}?sslmode=require", database.tcp_url()).parse().unwrap();
    let slot = database.connect().await.text("select slot_name from pg_replication_slots").await;
    let refused = WalStream::open(target.stream_options(&slot, "tidewire", "UTF8")).await;
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::Setup, "the stream is open, and plain");
}

#[tokio::test]
async fn variables_stand_in_for_what_the_url_leaves_open() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    client.sql("create database shop").await;
    client.sql("create role ann login password 'right'").await;
    let port = database.cluster.port().to_string();
    let all = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", port.as_str()),
        ("PGUSER", "ann"),
        ("PGPASSWORD", "right"),
        ("PGDATABASE", "shop"),
        ("PGCONNECT_TIMEOUT", "5"),
    ];
    let shown = format!("connected to postgresql://ann@127.0.0.1:{port}/shop");
    for url in ["postgresql://", "postgresql://127.0.0.1", "postgresql://ann@127.0.0.1/shop", "user=ann"] {
        let (_, text) = check(url, &all).await;
        assert!(text.contains(&shown), "{url}: {text}");
    }
    // and for nothing else
    let (_, text) = check(&format!("postgresql://ann:wrong@127.0.0.1:{port}/postgres"), &all).await;
    assert!(text.contains("password authentication failed"), "{text}");
    for (name, value) in [("PGPORT", "x"), ("PGCONNECT_TIMEOUT", "soon")] {
        let (code, text) = check("postgresql://127.0.0.1", &[(name, value)]).await;
        assert!(code == 2 && text.contains(&format!("{name} is no number")), "{text}");
    }
}

#[tokio::test]
async fn a_password_is_looked_up_where_psql_looks_it_up() {
    let database = Database::on_tcp(&[]).await;
    database
        .connect()
        .await
        .sql("create role ann login password 'right'; create role bob login password 'other'")
        .await;
    database.allow("host all all all scram-sha-256\nlocal all ann,bob scram-sha-256").await;
    let (port, folder) = (database.cluster.port(), database.cluster.socket_dir().display());
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    let lines = format!("# all\n127.0.0.1:{port}:*:ann:right\n{folder}:{port}:postgres:ann:right\n*:*:*:bob:wrong\n");
    std::fs::write(&file, lines).unwrap();
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let (home, path) = (home.path().to_str().unwrap(), file.to_str().unwrap());
    let ann = format!("postgresql://ann@127.0.0.1:{port}/postgres");
    let bob = format!("postgresql://bob@127.0.0.1:{port}/postgres");
    mode(0o600);
    for (url, variables) in [
        (ann.clone(), [("HOME", home)]),
        (database.url_as("ann"), [("HOME", home)]),
        (ann.clone(), [("PGPASSFILE", path)]),
        (format!("{ann}?passfile={path}"), [("HOME", "/nowhere")]),
    ] {
        let (_, text) = check(&url, &variables).await;
        assert!(text.contains("connected to"), "{url}: {text}");
    }
    // what is given otherwise comes first, and one that is wrong is said to be the file's
    let (_, text) = check(&bob, &[("HOME", home), ("PGPASSWORD", "other")]).await;
    assert!(text.contains("connected to"), "{text}");
    let (_, text) = check(&bob, &[("HOME", home)]).await;
    assert!(text.contains(&format!("# the password is that of {path}")), "{text}");
    // libpq does not take it from a file that others can read
    mode(0o640);
    let (_, text) = check(&ann, &[("HOME", home)]).await;
    assert!(text.contains("none was given") && text.contains(&format!("chmod 600 '{path}'")), "{text}");
}

#[tokio::test]
async fn without_a_host_the_local_servers_socket_is_found() {
    let database = Database::start().await;
    let port = database.cluster.port();
    let name = format!(".s.PGSQL.{port}");
    let link = Path::new("/tmp").join(&name);
    symlink(database.cluster.socket_dir().join(&name), &link).unwrap();
    let urls = [format!("postgresql:///postgres?port={port}&user=postgres"), format!("port={port} user=postgres")];
    let mut found = Vec::new();
    for url in &urls {
        found.push(check(url, &[]).await.1);
    }
    let by_variable = check("postgresql://postgres@/postgres", &[("PGPORT", &port.to_string())]).await.1;
    // somebody else's could be anybody's
    let is_refused = geteuid().is_root().then(|| {
        lchown(&link, Some(User::from_name("nobody").unwrap().unwrap().uid.as_raw()), None).unwrap();
        urls[0].clone()
    });
    let strange = match is_refused {
        Some(url) => Some(check(&url, &[]).await.1),
        None => None,
    };
    std::fs::remove_file(&link).unwrap();
    for text in found.iter().chain([&by_variable]) {
        assert!(
            text.contains(&format!("connected to postgresql://postgres@/postgres?host=/tmp&port={port}")),
            "{text}"
        );
    }
    assert!(strange.is_none_or(|text| text.contains("127.0.0.1") && text.contains("Connection refused")));
    let (code, text) = check(&urls[0], &[]).await;
    assert!(code == 1 && text.contains(&format!("127.0.0.1:{port}")), "{text}");
}

#[tokio::test]
async fn a_password_that_is_not_encoded_is_not_shown_in_part() {
    for url in
        ["postgresql://ann:p@s3cret/word@127.0.0.1:1/db", "postgres://ann:p/w@s3cret@127.0.0.1:1/db?sslmode=prefer"]
    {
        let (code, text) = check(url, &[]).await;
        assert!(code != 0 && text.contains("write %40 for @"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn an_empty_url_is_no_database() {
    for command in ["up", "install", "uninstall", "check"] {
        for url in ["", "  "] {
            let output = crate::support::tidewire(&[command, "--database-url", url]).await;
            let (code, text) = told(&output);
            assert_eq!(code, 2, "{command}: {text}");
            assert!(text.starts_with("error: the database URL is empty\nhint: "), "{command}: {text}");
        }
        let output = crate::support::command(&[command]).env("TIDEWIRE_DATABASE_URL", "").output().await.unwrap();
        assert!(told(&output).1.starts_with("error: the database URL is empty"), "{command}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tidewire.toml"), "database-url = ''").unwrap();
        let output = crate::support::command(&[command]).current_dir(folder.path()).output().await.unwrap();
        assert!(told(&output).1.starts_with("error: the database URL is empty"), "{command}");
    }
}
