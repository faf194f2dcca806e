//! `tidewire tail`: each kind of subscription, both forms, and every way in which it ends.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::support::{Client, Database, PATIENCE, SEARCH_PATH, Tidewire, command, tidewire};

const PERSON: &str = "create table person (id serial primary key, name text, score integer);
    insert into person (name, score)
    values ('Joe Smith', 15), ('Don Jones', 12), ('Sandy Hill', 16), ('Nancy Makowsky', 9)";

/// The three statements of the walk.
const WALK: &str = "insert into person (name, score) values ('Don Pablo', 14);
    update person set name='Sandy Jones', score=score+3 where id=3;
    delete from person where id=4";

/// A database that is served, with the table of the walk.
struct Stage {
    database: Database,
    up: Tidewire,
    client: Client,
}

impl Stage {
    async fn set() -> Stage {
        Stage::set_with(&[]).await
    }

    async fn set_with(settings: &[(&str, &str)]) -> Stage {
        let database = Database::start_with(settings).await;
        let up = database.up().await;
        let client = database.connect().await;
        client.sql(SEARCH_PATH).await;
        client.sql(PERSON).await;
        Stage { database, up, client }
    }

    async fn tail(&self, args: &[&str]) -> Tidewire {
        tail(&self.database.url(), args).await
    }

    /// Waits until a query's answer is as expected.
    async fn until(&self, query: &str, expected: &str) {
        let waiting = async {
            loop {
                let row = self.client.rows(query).await.into_iter().next();
                if row.and_then(|row| row.into_iter().next()).flatten().as_deref() == Some(expected) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not after {PATIENCE:?}: {query} = {expected}"));
    }

    async fn sessions(&self) -> String {
        self.client.text("select count(*) from event.session").await
    }
}

/// Starts a tail and returns when it listens.
async fn tail(url: &str, args: &[&str]) -> Tidewire {
    let program = Tidewire::spawn(&[&["tail", "--database-url", url], args].concat());
    program.wait_for_log("listening to ").await;
    program
}

/// Lines without their time.
fn untimed(lines: &[String]) -> Vec<&str> {
    let untimed = lines.iter().map(|line| {
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(time.len(), "04:51:07.123".len(), "{line}");
        rest
    });
    untimed.collect()
}

fn json(lines: &[String]) -> Vec<Map<String, Value>> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn keys(object: &Map<String, Value>) -> Vec<&str> {
    object.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_table_is_told_whole() {
    let stage = Stage::set().await;
    let tail = stage.tail(&["public.person"]).await;
    stage.client.sql(WALK).await;
    let lines = tail.lines(4).await;
    let expected = [
        r#"row_insert public.person {"id":5,"name":"Don Pablo","score":14}"#,
        r#"field_update public.person.3.name "Sandy Jones""#,
        "field_update public.person.3.score 19",
        "row_delete public.person.4",
    ];
    assert_eq!(untimed(&lines), expected);
    assert!(tail.stderr().contains("listening to public.person (Ctrl-C ends)\n"), "{}", tail.stderr());
    assert!(!tail.stderr().contains("warning"), "{}", tail.stderr());
}

#[tokio::test]
async fn a_column_a_row_and_a_field_are_told_alone() {
    let stage = Stage::set().await;
    let column = stage.tail(&["person", "--column", "score"]).await;
    let row = stage.tail(&["person", "--key", "id=3"]).await;
    let field = stage.tail(&["PERSON", "--column", "name", "--key", "id=003"]).await;
    stage.client.sql(WALK).await;
    stage.client.sql("update person set name = 'Joe' where id = 1; delete from person where id = 3").await;
    let insert = r#"row_insert public.person {"id":5,"name":"Don Pablo","score":14}"#;
    let (name, score) = (r#"field_update public.person.3.name "Sandy Jones""#, "field_update public.person.3.score 19");
    let (four, three) = ("row_delete public.person.4", "row_delete public.person.3");
    assert_eq!(untimed(&column.lines(4).await), [insert, score, four, three]);
    assert_eq!(untimed(&row.lines(3).await), [name, score, three]);
    assert_eq!(untimed(&field.lines(2).await), [name, three]);
}

#[tokio::test]
async fn a_json_line_says_what_sql_says() {
    let stage = Stage::set_with(&[("track_commit_timestamp", "on")]).await;
    let tail = stage.tail(&["person", "--json"]).await;
    let sql = &stage.client;
    let old = sql.rows("select id, to_jsonb(p) from person p order by id").await;
    let old = |id: usize| serde_json::from_str::<Value>(old[id - 1][1].as_deref().unwrap()).unwrap();
    sql.sql(WALK).await;
    sql.sql("update person set score = null where id = 1").await;
    let told = json(&tail.lines(5).await);
    let new = async |id: usize| {
        let row = sql.text(&format!("select to_jsonb(p) from person p where id = {id}")).await;
        serde_json::from_str::<Value>(&row).unwrap()
    };

    assert_eq!(keys(&told[0]), ["id", "change", "relation", "row", "data", "tx"]);
    assert_eq!(told[0]["data"], new(5).await);
    let update = ["id", "change", "relation", "row", "field", "value", "old", "tx"];
    for (event, (id, field)) in told[1..].iter().zip([(3, "name"), (3, "score")]) {
        assert_eq!(keys(event), update);
        assert_eq!(event["field"], field);
        assert_eq!((&event["value"], &event["old"]), (&new(id).await[field], &old(id)[field]));
    }
    assert_eq!(keys(&told[3]), ["id", "change", "relation", "row", "old", "tx"]);
    assert_eq!(told[3]["old"], old(4));
    assert_eq!((&told[4]["value"], &told[4]["old"]), (&Value::Null, &old(1)["score"]));

    let log = "select json_build_object('id', id, 'change', change, 'relation', relation, 'row', row, 'field', field,
                                        'value', value)
               from event.change order by id";
    for (event, row) in told.iter().zip(sql.rows(log).await) {
        let row: Map<String, Value> = serde_json::from_str(row[0].as_deref().unwrap()).unwrap();
        for (name, value) in row {
            let name = if name == "value" && event["change"] == "row_insert" { "data" } else { &name };
            assert_eq!(event.get(name).unwrap_or(&Value::Null), &value, "{name}");
        }
    }
    for event in &told {
        assert_eq!(event["relation"], "public.person");
        let tx = event["tx"].as_object().unwrap();
        assert_eq!(keys(tx), ["xid", "lsn", "at", "last"]);
        let xid = &tx["xid"];
        let at = format!(
            r#"select to_char(pg_xact_commit_timestamp('{xid}') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#
        );
        assert_eq!(tx["at"], sql.text(&at).await);
        let (high, low) = tx["lsn"].as_str().unwrap().split_once('/').unwrap();
        assert_eq!(event["id"].as_str().unwrap()[..16], format!("{high:0>8}{low:0>8}"));
    }
    let last: Vec<bool> = told.iter().map(|event| event["tx"]["last"].as_bool().unwrap()).collect();
    assert_eq!(last, [false, false, false, true, true]);
}

#[tokio::test]
async fn what_was_printed_is_acknowledged() {
    let stage = Stage::set().await;
    let tail = stage.tail(&["person"]).await;
    stage.client.sql(WALK).await;
    tail.lines(4).await;
    stage.until("select count(*) from event.inbox", "0").await;
}

#[tokio::test]
async fn odd_names_are_told_as_sql_writes_them() {
    let stage = Stage::set().await;
    let long = "ж".repeat(31);
    let odd =
        [r#""Ünï Çode"."a.b""#, r#""Ünï Çode"."quo""te""#, &format!("\"Ünï Çode\".\"{long}\""), "public.\"select\""];
    stage.client.sql("create schema \"Ünï Çode\"").await;
    for relation in odd {
        stage
            .client
            .sql(&format!(
                r#"create table {relation} ("k=""1" text, "N.o" int, "v'" json, primary key ("k=""1", "N.o"))"#
            ))
            .await;
        let table = stage.tail(&[relation, "--json"]).await;
        let key = ["--key", "\"N.o\"=007", "--key", r#""k=""1"=a=b"#];
        let field = stage.tail(&[&[relation, "--column", "\"v'\"", "--json"], &key[..]].concat()).await;
        stage.client.sql(&format!("insert into {relation} values ('a=b', 7, '[ 1 ]'), ('a', 7, null)")).await;
        stage.client.sql(&format!(r#"update {relation} set "v'" = '{{"a" : "\\n"}}'"#)).await;
        let told = json(&table.lines(4).await);
        let name = format!(
            "select format('%s.%I', relnamespace::regnamespace, relname) from pg_class where oid = '{relation}'::regclass"
        );
        let name = stage.client.text(&name).await;
        for event in &told {
            assert_eq!(event["relation"], name);
        }
        let rows = stage.client.rows(&format!("select to_jsonb(t) from {relation} t order by 1 desc")).await;
        assert_eq!(rows.len(), 2);
        let mut data = told[0]["data"].clone();
        data["v'"] = told[2]["value"].clone();
        assert!(
            rows.iter().any(|row| serde_json::from_str::<Value>(row[0].as_deref().unwrap()).unwrap() == data),
            "{data}"
        );
        let told = json(&field.lines(1).await);
        assert_eq!(
            (&told[0]["field"], &told[0]["row"]),
            (&Value::from("v'"), &serde_json::json!({"k=\"1": "a=b", "N.o": 7}))
        );
    }
}

#[tokio::test]
async fn a_large_value_arrives_whole() {
    let stage = Stage::set().await;
    let tail = stage.tail(&["person", "--json"]).await;
    let plain = stage.tail(&["person"]).await;
    stage.client.sql("update person set name = repeat('0123456789', 10000) where id = 1").await;
    let told = json(&tail.lines(1).await);
    assert_eq!(told[0]["value"], stage.client.text("select name from person where id = 1").await);
    assert!(plain.lines(1).await[0].len() > 100_000);
}

#[tokio::test]
async fn a_large_transaction_is_shown_once_it_is_whole() {
    let stage = Stage::set().await;
    stage.client.sql("create table other (id int primary key, name text)").await;
    let tail = stage.tail(&["person", "--json"]).await;
    let other = stage.tail(&["other", "--json"]).await;
    // several pieces, of which the last have nothing for the first
    let writes = "begin; insert into person (name) select repeat('x', 20000) from generate_series(1, 400);
        insert into other select i, repeat('y', 20000) from generate_series(1, 400) i; commit";
    stage.client.sql(writes).await;
    let told = json(&tail.lines(400).await);
    let last: Vec<usize> = (0..400).filter(|&at| told[at]["tx"]["last"] == true).collect();
    assert_eq!(last, [399], "the last of the transaction is not marked");
    assert!(told.windows(2).all(|pair| pair[0]["id"].as_str() < pair[1]["id"].as_str()));
    let ids = told.iter().map(|event| event["row"]["id"].as_i64().unwrap());
    assert!(ids.eq(5..405), "rows are missing, or there twice");
    other.lines(400).await;
}

#[tokio::test]
async fn a_role_sees_only_what_it_may_select() {
    let stage = Stage::set().await;
    stage.client.sql("create role ann login; grant select (id, name) on person to ann").await;
    let refused = tidewire(&["tail", "person", "--database-url", &stage.database.url_as("ann")]).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("permission denied for table \"public.person\"") && said.contains("hint: grant select"),
        "{said}"
    );

    let url = stage.database.url_as("ann");
    let mine = tail(&url, &["person", "--column", "name", "--json"]).await;
    stage.client.sql(WALK).await;
    let told = json(&mine.lines(3).await);
    assert_eq!(told[0]["data"], serde_json::json!({"id": 5, "name": "Don Pablo"}));
    assert_eq!(told[1]["field"], "name");
    assert_eq!(told[2]["old"], serde_json::json!({"id": 4, "name": "Nancy Makowsky"}));
}

#[tokio::test]
async fn a_truncate_a_gap_and_an_end_have_a_form_too() {
    let stage = Stage::set().await;
    let mut tail = stage.tail(&["person", "--json"]).await;
    stage.client.sql("truncate person").await;
    let truncate = json(&tail.lines(1).await).remove(0);
    assert_eq!(keys(&truncate), ["id", "change", "relation", "tx"]);
    assert_eq!(truncate["change"], "truncate");

    let id = truncate["id"].as_str().unwrap().replace("-00000001", "-00000002");
    stage.client.sql(&format!("select event._tell_gap('slot_lost', '{id}', '{id}')")).await;
    let gap = json(&tail.lines(2).await).remove(1);
    assert_eq!(keys(&gap), ["id", "change", "reason", "from", "to", "tx"]);
    assert_eq!((&gap["reason"], &gap["tx"]["xid"]), (&Value::from("slot_lost"), &Value::Null));

    let subscription = stage.client.text("select id from event.subscription").await;
    stage.client.sql("drop table person").await;
    let end = json(&tail.lines(3).await).remove(2);
    assert_eq!(keys(&end), ["id", "change", "subscription_id", "reason", "tx"]);
    assert_eq!(
        (&end["subscription_id"], &end["reason"]),
        (&Value::from(subscription), &Value::from("relation_dropped"))
    );
    assert_eq!(tail.wait().await.code(), Some(1), "nothing more can come");
    tail.wait_for_log("error: the subscription ended: relation dropped").await;
    assert_eq!(stage.sessions().await, "0");
}

#[tokio::test]
async fn the_session_goes_when_tail_is_asked_to_end() {
    let stage = Stage::set().await;
    let tail = stage.tail(&["person"]).await;
    assert_eq!(stage.sessions().await, "1");
    assert!(tail.stop().await.success());
    assert_eq!(stage.sessions().await, "0");
    // the table is as it was
    stage.client.until("select relreplident from pg_class where oid = 'person'::regclass", "d").await;
}

#[tokio::test]
async fn the_session_goes_when_tail_is_killed() {
    let stage = Stage::set().await;
    let tail = stage.tail(&["person"]).await;
    tail.kill().await;
    // upkeep runs when the database moves on, and spares what is younger than ten seconds
    let moving = async {
        while stage.sessions().await != "0" {
            stage.client.sql("insert into person (name) values ('x')").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, moving).await.expect("the session of a killed tail stays");
    assert_eq!(stage.client.text("select count(*) from event.inbox").await, "0");
}

#[tokio::test]
async fn tail_ends_quietly_when_nobody_reads_it() {
    let stage = Stage::set().await;
    let mut program = command(&["tail", "person", "--database-url", &stage.database.url()]);
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    stage.until("select count(*) from event.subscription", "1").await;
    // as head does after its line: there is no further event
    drop(child.stdout.take());
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("tail goes on").unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
    assert_eq!(stage.sessions().await, "0");
}

#[tokio::test]
async fn tail_ends_when_it_is_asked_to_though_its_reader_sleeps() {
    let stage = Stage::set().await;
    let mut program = command(&["tail", "person", "--database-url", &stage.database.url()]);
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    stage.until("select count(*) from event.subscription where not waiting", "1").await;
    // more than a pipe holds: it is being written and cannot end
    stage.client.sql("update person set name = repeat('x', 1000000) where id = 1").await;
    let mut first = [0];
    let mut stdout = child.stdout.take().unwrap();
    timeout(PATIENCE, stdout.read_exact(&mut first)).await.expect("nothing is printed").unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let status = timeout(PATIENCE, child.wait()).await.expect("tail waits for its reader").unwrap();
    assert!(status.success());
    assert_eq!(stage.sessions().await, "0");
}

#[tokio::test]
async fn tail_waits_for_a_program_that_serves() {
    let stage = Stage::set().await;
    let Stage { database, up, client } = stage;
    client.sql("select event.watch('person')").await;
    up.stop().await;
    let tail = tail(&database.url(), &["person"]).await;
    tail.wait_for_log("hint: tidewire up --database-url postgresql://postgres@").await;
    assert!(tail.stderr().contains("warning: nothing delivers events from "), "{}", tail.stderr());
    client.sql(WALK).await;
    let _up = database.up().await;
    tail.lines(4).await;
    assert_eq!(tail.stderr().matches("warning: ").count(), 1);
}

#[tokio::test]
async fn a_lost_connection_is_an_error() {
    let stage = Stage::set().await;
    let mut tail = stage.tail(&["person"]).await;
    let backend = "select pg_terminate_backend(pid) from event.held";
    stage.until(backend, "t").await;
    assert_eq!(tail.wait().await.code(), Some(1));
    tail.wait_for_log("error: ").await;
}

#[tokio::test]
async fn what_cannot_be_tailed_is_refused_with_a_hint() {
    let database = Database::start().await;
    let url = database.url();
    let refused = async |args: &[&str]| {
        let output = tidewire(&[&["tail", "--database-url", &url], args].concat()).await;
        assert!(output.stdout.is_empty());
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = refused(&["person"]).await;
    assert_eq!(code, 1);
    assert!(said.starts_with("error: Tidewire is not installed in ") && said.contains("hint: tidewire up"), "{said}");

    database.install().await;
    database.connect().await.sql(PERSON).await;
    for (args, code, message) in [
        (&["nobody"][..], 1, "relation \"public.nobody\" does not exist"),
        (&["person", "--column", "age"], 1, "column \"age\" of relation \"public.person\" does not exist"),
        (&["person", "--key", "name=x"], 1, "the primary key of \"public.person\" is (id), not (name)"),
        (&["person", "--key", "id=x"], 1, "\"x\" is no value of key column \"id\""),
        (&["person", "--key", "id"], 2, "--key \"id\" is not of the form column=value"),
        (&["a.b.c"], 2, "\"a.b.c\" has too many parts"),
        (&["public."], 2, "string is not a valid identifier: \"public.\""),
        (&["person", "--column", "a.b"], 2, "\"a.b\" is not a column's name"),
        (&["pg_catalog.pg_class"], 1, "cannot watch \"pg_class\": it is a system table"),
    ] {
        let (given, said) = refused(args).await;
        assert!(said.starts_with(&format!("error: {message}")), "{args:?}: {said}");
        assert_eq!(given, code, "{args:?}: {said}");
    }
    let sessions = database.connect().await.text("select count(*) from event.session").await;
    assert_eq!(sessions, "0");
}
