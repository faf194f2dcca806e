//! libpq's environment variables and connection parameters: each counts, does no harm, or is
//! refused by name.

use std::process::Output;

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
    for (url, says) in [
        (format!("{NOWHERE}?nonsense=1"), "parameter \"nonsense\" of the database URL is unknown"),
        (format!("{NOWHERE}?ssl%6Dode=verify-full"), "parameter \"\" of the database URL is unknown"),
        (format!("{NOWHERE}?client_encoding=UTF8"), "parameter \"client_encoding\" of the database URL is set, and"),
        (format!("{NOWHERE}?sslmode=verify-full"), "parameter \"sslmode\" of the database URL is \"verify-full\", and"),
    ] {
        let (code, text) = check(&url, &[]).await;
        assert!(code == 2 && text.contains(says), "{url}: {text}");
    }
}

#[tokio::test]
async fn who_asks_for_tls_never_gets_a_plain_connection() {
    // a server without TLS
    let database = Database::on_tcp(&[]).await;
    let url = database.tcp_url();
    assert!(check(&url, &[]).await.1.contains("connected to"));
    for mode in ["require", "verify-ca", "verify-full", "allow"] {
        let (code, text) = check(&url, &[("PGSSLMODE", mode)]).await;
        assert!(code != 0 && !text.contains("connected to"), "PGSSLMODE={mode}: {text}");
        let (code, text) = check(&format!("{url}?sslmode={mode}"), &[]).await;
        assert!(code != 0 && !text.contains("connected to"), "sslmode={mode}: {text}");
    }
    // what the URL says comes first, and over a Unix socket there is no TLS, as with libpq
    let plain = check(&format!("{url}?sslmode=disable"), &[("PGSSLMODE", "require")]).await;
    assert!(plain.1.contains("connected to"), "{}", plain.1);
    let socket = check(&database.url(), &[("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", "/x")]).await;
    assert!(socket.1.contains("connected to"), "{}", socket.1);
}

#[tokio::test]
async fn the_stream_is_protected_as_the_statements_are() {
    for (mode, is_tls) in [("disable", false), ("prefer", false), ("require", true)] {
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
    // where a password is given nothing would be read from the file
    let (_, text) = check(NOWHERE, &[("PGPASSFILE", "/x"), ("PGPASSWORD", "right")]).await;
    assert!(text.contains("Connection refused"), "{text}");
}
