//! `tidewire check`: a line for each requirement, and a remedy that works when it is pasted.

use std::os::unix::fs::MetadataExt as _;
use std::process::Output;

use nix::unistd::{Uid, User};

use crate::support::{Database, Subscriber, command, tidewire};

/// What `tidewire check` printed.
struct Checked {
    code: i32,
    text: String,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    mark: String,
    finding: String,
    remedy: Vec<String>,
}

impl Checked {
    fn of(output: &Output) -> Checked {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{text}");
        let mut lines: Vec<Line> = Vec::new();
        let (listed, summary) = text.trim_end().rsplit_once('\n').unwrap();
        for line in listed.lines() {
            if let Some(remedy) = line.strip_prefix("           ") {
                lines.last_mut().unwrap().remedy.push(remedy.to_owned());
            } else {
                let (mark, finding) = line.split_at(9);
                lines.push(Line { mark: mark.trim_end().to_owned(), finding: finding.to_owned(), remedy: Vec::new() });
            }
        }
        let checked = Checked { code: output.status.code().unwrap(), text: text.clone(), lines };
        let (failures, warnings) = (checked.marked("failure").len(), checked.marked("warning").len());
        assert_eq!(failures + warnings + checked.marked("ok").len(), checked.lines.len(), "{text}");
        assert_eq!(checked.code, i32::from(failures > 0), "{text}");
        let count = |count, word| match count {
            0 => format!("no {word}s"),
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        assert_eq!(summary, format!("{}, {}", count(failures, "failure"), count(warnings, "warning")), "{text}");
        for line in &checked.lines {
            assert!(line.mark != "failure" || !line.remedy.is_empty(), "no remedy: {}", line.finding);
            assert!(line.mark != "ok" || line.remedy.is_empty(), "{text}");
        }
        checked
    }

    fn marked(&self, mark: &str) -> Vec<&str> {
        self.lines.iter().filter(|line| line.mark == mark).map(|line| line.finding.as_str()).collect()
    }

    /// The findings that failed.
    fn failures(&self) -> Vec<&str> {
        self.marked("failure")
    }

    /// The mark of the line whose finding holds `needle`.
    fn mark_of(&self, needle: &str) -> &str {
        let found = self.lines.iter().find(|line| line.finding.contains(needle));
        &found.unwrap_or_else(|| panic!("no line says \"{needle}\":\n{}", self.text)).mark
    }

    /// What stands beneath it.
    fn remedy_of(&self, needle: &str) -> &[String] {
        let found = self.lines.iter().find(|line| line.finding.contains(needle));
        &found.unwrap_or_else(|| panic!("no line says \"{needle}\":\n{}", self.text)).remedy
    }

    /// Pastes the SQL that stands beneath the failures, line by line, as the superuser.
    async fn paste(&self, database: &Database) {
        let client = database.connect().await;
        for line in self.lines.iter().filter(|line| line.mark == "failure") {
            for remedy in line.remedy.iter().filter(|remedy| !remedy.starts_with("--")) {
                client.sql(remedy).await;
            }
        }
    }
}

async fn check(url: &str) -> Checked {
    Checked::of(&tidewire(&["check", "--database-url", url]).await)
}

/// Everything in the database or cluster that a check could leave behind.
const TRACES: &str = "select string_agg(t::text, ' ' order by t::text) from (
    select nspname from pg_namespace where nspname !~ '^pg_' union all select pubname from pg_publication
    union all select slot_name from pg_replication_slots union all select evtname from pg_event_trigger
    union all select name || setting from pg_settings where source <> 'client' and context <> 'internal'
    union all select format('%s %s', relname, relreplident) from pg_class where relkind = 'r') t";

#[tokio::test]
async fn nothing_is_missing_on_a_new_database_and_nothing_is_changed() {
    let database = Database::start().await;
    let client = database.connect().await;
    let before = client.text(TRACES).await;
    let checked = check(&database.url()).await;
    assert_eq!(checked.failures(), [""; 0]);
    assert_eq!(checked.mark_of(&format!("connected to {}", database.url())), "ok");
    assert_eq!(checked.mark_of(&client.text("show server_version").await), "ok");
    assert_eq!(checked.mark_of("wal_level is \"logical\""), "ok");
    assert_eq!(checked.mark_of("0 of 10 replication slots"), "ok");
    assert_eq!(checked.mark_of("0 of 10 walsenders"), "ok");
    assert_eq!(checked.mark_of("the names are free"), "ok");
    assert_eq!(checked.mark_of("event triggers can be created"), "ok");
    assert_eq!(checked.marked("warning").len(), 1, "{}", checked.text);
    assert_eq!(checked.mark_of("max_slot_wal_keep_size is unlimited"), "warning");
    assert_eq!(client.text(TRACES).await, before);
    assert!(!checked.text.contains('\u{1b}'), "no colour where there is no terminal");
}

#[tokio::test]
async fn colour_is_for_terminals_and_no_color_has_the_last_word() {
    let database = Database::start().await;
    let url = database.url();
    let arguments = ["check", "--database-url", &url];
    let plain = command(&arguments).output().await.unwrap().stdout;
    let forced = command(&arguments).env("CLICOLOR_FORCE", "1").output().await.unwrap().stdout;
    let forced = String::from_utf8(forced).unwrap();
    assert!(forced.contains("\u{1b}[32mok"), "{forced}");
    assert!(forced.contains("\u{1b}[33mwarning"), "{forced}");
    assert_eq!(anstream::adapter::strip_str(&forced).to_string().into_bytes(), plain);
    let without = command(&arguments).env("NO_COLOR", "1").env("CLICOLOR_FORCE", "0").output().await.unwrap().stdout;
    assert_eq!(without, plain);
}

#[tokio::test]
async fn a_database_that_is_served_is_reported_with_its_tables_and_lag() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql("create table t (id int primary key); create schema \"A b\"; create table \"A b\".\"c\"\"d\" (id int)")
        .await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("select event.watch('\"A b\".\"c\"\"d\"')").await;
    client.sql("select event.sync()").await;
    let checked = check(&database.url()).await;
    assert_eq!(checked.failures(), [""; 0], "{}", checked.text);
    for needle in [
        "tidewire is serving this database",
        "bytes behind",
        "table public.t is published",
        "table \"A b\".\"c\"\"d\" is published",
        "event triggers follow",
        "publication \"tidewire\" is as",
        "1 of 10 replication slots",
        "schemas event and meta are installed",
    ] {
        assert_eq!(checked.mark_of(needle), "ok", "{}", checked.text);
    }

    tidewire.kill().await;
    client.sql("insert into t select generate_series(1, 1000); select pg_switch_wal()").await;
    client.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active").await;
    let stopped = check(&database.url()).await;
    assert_eq!(stopped.failures(), [""; 0], "{}", stopped.text);
    assert_eq!(stopped.mark_of("no tidewire is serving this database"), "warning");
    let url = format!("tidewire up --database-url '{}'", database.url());
    assert_eq!(stopped.remedy_of("no tidewire is serving this database"), [url]);
    let slot = stopped.lines.iter().find(|line| line.finding.contains("bytes behind")).unwrap();
    let behind: u64 = slot.finding.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!(behind > 50_000, "{}", slot.finding);
}

#[tokio::test]
async fn settings_of_the_server_that_are_in_the_way_are_told_with_their_remedy() {
    let settings = [
        ("wal_level", "replica"),
        ("max_replication_slots", "0"),
        ("max_wal_senders", "0"),
        ("wal_sender_timeout", "0"),
    ];
    let mut database = Database::start_with(&settings).await;
    let checked = check(&database.url()).await;
    let failures = checked.failures();
    assert_eq!(
        failures,
        [
            "wal_level is \"replica\", and must be \"logical\"",
            "all 0 replication slots are in use (max_replication_slots)",
            "all 0 walsenders are in use (max_wal_senders)"
        ],
        "{}",
        checked.text
    );
    assert_eq!(checked.mark_of("wal_sender_timeout is 0"), "warning");
    // the server's command line has the last word, so the remedy is read back from the file
    checked.paste(&database).await;
    let client = database.connect().await;
    client.sql("select pg_reload_conf()").await;
    let written =
        client.rows("select name, setting from pg_file_settings where sourcefile like '%auto.conf' order by 1").await;
    let written: Vec<_> =
        written.iter().map(|row| row.iter().flatten().map(String::as_str).collect::<Vec<_>>()).collect();
    assert_eq!(written, [["max_replication_slots", "1"], ["max_wal_senders", "1"], ["wal_level", "logical"]]);
    drop(client);

    // a standby can be asked no more than what it is
    std::fs::write(database.cluster.data_dir().join("standby.signal"), "").unwrap();
    database.cluster.restart(tidewire::db::cluster::StopMode::Fast).await.unwrap();
    let standby = check(&database.url()).await;
    assert!(standby.failures().contains(&"the server is a standby, and only the primary's changes can be read"));
}

#[tokio::test]
async fn settings_that_bound_the_wal_and_standbys_are_read() {
    let settings = [("max_slot_wal_keep_size", "3GB"), ("synchronous_standby_names", "FIRST 1 (*)")];
    let database = Database::start_with(&settings).await;
    let client = database.connect().await;
    client.sql("set synchronous_commit = local").await;
    let checked = check(&database.url()).await;
    assert_eq!(
        checked.mark_of("max_slot_wal_keep_size is 3GB: with more WAL than that unread, the slot is lost"),
        "ok"
    );
    assert_eq!(
        checked.failures(),
        ["synchronous_standby_names is 'FIRST 1 (*)', by which commits would wait for Tidewire"]
    );
    let output = tidewire(&["up", "--database-url", &database.url()]).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("error: synchronous_standby_names is 'FIRST 1 (*)'"), "{stderr}");
    assert!(stderr.contains("hint: alter system set synchronous_standby_names"), "{stderr}");
}

#[tokio::test]
async fn no_free_slot_is_told_and_the_remedy_names_those_without_use() {
    let database = Database::start_with(&[("max_replication_slots", "2")]).await;
    let client = database.connect().await;
    client.sql("select pg_create_physical_replication_slot('one'), pg_create_physical_replication_slot('two')").await;
    let checked = check(&database.url()).await;
    assert_eq!(checked.failures(), ["all 2 replication slots are in use (max_replication_slots)"]);
    let remedy = checked.remedy_of("replication slots");
    assert!(remedy.contains(&"select pg_drop_replication_slot('one');".to_owned()), "{remedy:?}");
    checked.paste(&database).await;
    assert_eq!(check(&database.url()).await.failures(), [""; 0]);
}

#[tokio::test]
async fn a_role_without_the_privileges_gets_them_by_the_remedies() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create role \"Ann B\" login").await;
    let (socket, port) = (database.cluster.socket_dir().display(), database.cluster.port());
    let url = format!("host={socket} port={port} user='Ann B' dbname=postgres");
    let checked = check(&url).await;
    assert_eq!(
        checked.failures(),
        ["role \"Ann B\" may not replicate", "role \"Ann B\" may not create schemas in database \"postgres\""]
    );
    assert_eq!(checked.mark_of("only a superuser may create event triggers"), "warning");
    let refused = tidewire(&["install", "--database-url", &url]).await;
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(
        stderr,
        "error: role \"Ann B\" may not replicate\nhint: alter role \"Ann B\" replication;  -- as a superuser\n"
    );

    checked.paste(&database).await;
    assert_eq!(check(&url).await.failures(), [""; 0]);
    assert!(tidewire(&["install", "--database-url", &url]).await.status.success());
    let installed = check(&url).await;
    assert_eq!(installed.failures(), [""; 0]);
    assert_eq!(
        installed.mark_of(
            "event triggers are missing: tidewire_ddl, tidewire_ddl_drop, tidewire_catalog, tidewire_catalog_drop"
        ),
        "warning"
    );
    let remedy = installed.remedy_of("event triggers are missing");
    assert!(remedy[0].ends_with(" --trust-owner 'Ann B'  # with a superuser's URL"), "{remedy:?}");
    let trusting = tidewire(&["install", "--database-url", &database.url(), "--trust-owner", "Ann B"]).await;
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stderr));
    assert_eq!(check(&url).await.mark_of("event triggers follow"), "ok");

    client.sql("create role other login replication").await;
    let other = check(&database.url_as("other")).await;
    assert_eq!(other.failures(), ["schemas event and meta belong to role \"Ann B\", not to \"other\""]);
}

#[tokio::test]
async fn names_that_another_program_has_are_told() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create schema event; create table event.installation (version text); create schema meta").await;
    client.sql("create publication tidewire for all tables").await;
    client
        .sql("select pg_create_logical_replication_slot('tidewire_' || oid, 'test_decoding') from pg_database where datname = 'postgres'")
        .await;
    let slot = client.text("select slot_name from pg_replication_slots").await;
    let checked = check(&database.url()).await;
    let told = format!(
        "replication slot \"{slot}\" belongs to another program (Its plugin is test_decoding, its database \"postgres\")"
    );
    assert_eq!(
        checked.failures(),
        [
            "schema \"event\" exists and is not Tidewire's",
            "schema \"meta\" exists and is not Tidewire's",
            "publication \"tidewire\" exists and is not Tidewire's",
            &told
        ]
    );
    checked.paste(&database).await;
    assert_eq!(check(&database.url()).await.failures(), [""; 0]);
    database.install().await;
}

#[tokio::test]
async fn what_was_altered_behind_its_back_is_told_and_mended_by_the_remedies() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table a (id int primary key, x int); create table b (id int primary key)").await;
    client.sql("create table p (id int primary key) partition by range (id)").await;
    client.sql("create table p1 partition of p for values from (0) to (10)").await;
    client.sql("select event.watch('a'), event.watch('b'), event.watch('p')").await;
    assert!(tidewire.stop().await.success());

    // enabled, it would spare a's writers and put the partition right at once
    client.sql("alter event trigger tidewire_ddl disable").await;
    let major = client.major().await;
    // PostgreSQL 14 has no column lists, 18 a further option
    let has_lists = major >= 15;
    if has_lists {
        client.sql("create publication theirs for table a (id)").await;
    }
    client.sql("alter publication tidewire drop table b; alter table p1 replica identity default").await;
    client.sql("alter publication tidewire set (publish = 'insert')").await;
    let checked = check(&database.url()).await;
    let altered = "publication \"tidewire\" was altered: it must publish inserts, updates, deletes and truncates, of single tables, not via the root";
    let mut expected = vec![
        if major < 18 { altered.to_owned() } else { format!("{altered}, with stored generated columns") },
        "publication theirs has a column list or row filter for table public.a: its writers' updates and deletes may fail, or rows are missing".to_owned(),
        "table public.b is watched and not in publication \"tidewire\": its changes are not told".to_owned(),
        "the replica identity of public.p1 is not FULL: old values of public.p are not known".to_owned(),
    ];
    if !has_lists {
        expected.remove(1);
    }
    assert_eq!(checked.failures(), expected, "{}", checked.text);
    assert_eq!(checked.mark_of("event triggers are disabled: tidewire_ddl"), "warning");
    if has_lists {
        let error = client.try_sql("insert into a values (1, 1); delete from a").await.unwrap_err();
        assert!(error.message().contains("cannot delete from table"), "PostgreSQL agrees: {error}");
    }
    let refused = crate::support::tidewire(&["up", "--database-url", &database.url()]).await;
    assert_eq!(refused.status.code(), Some(1));

    checked.paste(&database).await;
    client.sql("insert into a values (1, 1); delete from a").await;
    assert_eq!(check(&database.url()).await.failures(), [""; 0]);

    client.sql("alter publication tidewire add table event.inbox").await;
    let feedback = check(&database.url()).await;
    assert_eq!(
        feedback.failures(),
        ["publication \"tidewire\" has Tidewire's own table event.inbox: each event written would be the next event"]
    );
    feedback.paste(&database).await;
    client.sql("alter publication tidewire drop table event.session").await;
    let missing = check(&database.url()).await;
    assert_eq!(missing.failures(), ["publication \"tidewire\" was altered: event.session is missing"]);
    missing.paste(&database).await;
    assert_eq!(check(&database.url()).await.failures(), [""; 0]);

    client.sql("drop publication tidewire").await;
    let gone = check(&database.url()).await;
    assert_eq!(gone.failures()[0], "publication \"tidewire\" is gone");
    gone.paste(&database).await;
    assert_eq!(check(&database.url()).await.failures(), [""; 0]);
    let _tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("b").await;
    client.sql("insert into b values (1)").await;
    assert_eq!(subscriber.told().await, [r#"insert table b 1 {"id":1}"#]);
}

#[tokio::test]
async fn a_program_is_said_to_serve_only_when_one_does() {
    let database = Database::installed().await;
    let client = database.connect().await;
    // the install held it, as whoever has its number now does not
    client.sql("update event.server set pid = pg_backend_pid() where part = 'lease'").await;
    let before = check(&database.url()).await;
    assert_eq!(before.failures(), [""; 0]);
    assert_eq!(before.mark_of("no tidewire is serving this database"), "warning");
    let tidewire = database.up().await;
    let while_served = check(&database.url()).await;
    assert_eq!(while_served.mark_of("tidewire is serving this database"), "ok");
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_a_line_too() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    client.sql("create role locked_out login; create role ann login password 'right'; create role eve login").await;
    client.sql("create database shut").await;
    client.sql("revoke connect on database shut from public").await;
    database.allow("host all ann all scram-sha-256\nhost all eve all reject").await;
    let port = database.cluster.port();
    let folder = std::fs::metadata(database.cluster.data_dir()).unwrap();
    let account = User::from_uid(Uid::from_raw(folder.uid())).unwrap().unwrap().name;
    let as_server = format!("sudo -u {account} tidewire check --database-url 'postgresql://{account}@/postgres?host=");
    let cases = [
        (database.url_of("postgres", "nowhere"), "database \"nowhere\" does not exist", "create database \"nowhere\";"),
        (
            database.url_of("locked_out", "shut"),
            "permission denied for database \"shut\"",
            "grant connect on database \"shut\" to \"locked_out\";",
        ),
        (database.url_as("nobody_here"), "role \"nobody_here\" does not exist", &as_server),
        (
            format!("postgresql://ann:secret@127.0.0.1:{port}/postgres"),
            "password authentication failed for user \"ann\"",
            "psql '",
        ),
        (
            format!("postgresql://ann@127.0.0.1:{port}/postgres"),
            "the server asks for a password, and none was given",
            "psql '",
        ),
        (
            format!("postgresql://eve@127.0.0.1:{port}/postgres"),
            "pg_hba.conf rejects connection",
            "tidewire check --database-url 'postgresql://eve@127.0.0.1:",
        ),
        (
            "postgresql://ann:secret@127.0.0.1:1/postgres".to_owned(),
            "Connection refused",
            "pg_isready -d 'postgresql://ann@127.0.0.1:1/postgres'",
        ),
    ];
    for (url, says, remedy) in cases {
        let checked = check(&url).await;
        assert_eq!(checked.lines.len(), 1, "{}", checked.text);
        assert!(checked.failures()[0].contains(says), "{}", checked.text);
        assert!(checked.lines[0].remedy[0].starts_with(remedy), "{}", checked.text);
        assert!(!checked.text.contains("secret"));
    }
}

#[tokio::test]
async fn an_encoding_that_may_stop_the_stream_is_a_warning() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create database ascii template template0 encoding 'SQL_ASCII' locale 'C'").await;
    let url = database.url_of("postgres", "ascii");
    assert_eq!(check(&url).await.mark_of("the database's encoding is SQL_ASCII"), "warning");
    assert_eq!(check(&database.url()).await.mark_of("the database's encoding is UTF8"), "ok");
}
