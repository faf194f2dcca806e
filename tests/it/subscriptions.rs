//! Who is told what: the four kinds of subscription, and from where on one holds.

use std::process::Stdio;

use tidewire::db::cluster::Binaries;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::support::{Database, Event, PATIENCE, SEARCH_PATH, Subscriber};

/// The table of the walk.
const PERSON: &str = "create table person (id serial primary key, name text not null, score integer not null);
    insert into person (name, score)
    values ('Joe Smith', 15), ('Don Jones', 12), ('Sandy Hill', 16), ('Nancy Makowsky', 9);";

/// The statements of the walk.
const WALK: &str = "insert into person (name, score) values ('Don Pablo', 14);
update person set name='Sandy Jones', score=score+3 where id=3;
delete from person where id=4;
";

/// Where psql is: beside the server's programs, or on the PATH.
async fn psql() -> std::path::PathBuf {
    let beside = Binaries::find().await.unwrap().program("psql");
    if beside.exists() { beside } else { "psql".into() }
}

#[tokio::test]
async fn psql_shows_the_walk_as_four_asynchronous_notifications() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(PERSON).await;

    let mut psql = Command::new(psql().await);
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", &database.url()]);
    psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = psql.spawn().unwrap();
    let typed = format!(
        "select event.session_create();\n\
         select event.subscribe_table(meta.relation_id('public','person'));\n{WALK}select event.sync();\n"
    );
    child.stdin.take().unwrap().write_all(typed.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));

    let session = stdout.lines().next().unwrap();
    let head = format!("Asynchronous notification \"{session}\" with payload \"");
    let payloads: Vec<&str> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix(&head)?.split_once("\" received from server process with PID "))
        .map(|(payload, _)| payload)
        .collect();
    let ids: Vec<String> = payloads.iter().map(|payload| Event::from(*payload).id().to_owned()).collect();
    let row = |id: u8| {
        format!(
            "{{\"pk_column_id\":{{\"relation_id\":{{\"schema_id\":{{\"name\":\"public\"}},\"name\":\"person\"}},\
             \"name\":\"id\"}},\"pk_value\":\"{id}\"}}"
        )
    };
    let expected = [
        ("insert", row(5), r#", "payload" : {"id":5,"name":"Don Pablo","score":14}"#),
        ("update", row(3), r#", "payload" : {"name" : "Sandy Jones"}"#),
        ("update", row(3), r#", "payload" : {"score" : 19}"#),
        ("delete", row(4), ""),
    ];
    let expected: Vec<String> = expected
        .iter()
        .zip(&ids)
        .map(|((operation, row, payload), id)| {
            format!(
                "{{\"operation\" : \"{operation}\", \"subscription_type\" : \"table\", \"row_id\" : {row}{payload}, \
                 \"event_id\" : \"{id}\"}}"
            )
        })
        .collect();
    assert_eq!(payloads, expected, "{stdout}");
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn each_kind_of_subscription_is_told_of_exactly_what_it_covers() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(PERSON).await;
    client.sql("create table other (id int primary key, name text); insert into other values (3, 'x')").await;
    let mut table = Subscriber::open(&database).await;
    table.table("person").await;
    let mut column = Subscriber::open(&database).await;
    column.column("person", "score").await;
    let mut row = Subscriber::open(&database).await;
    row.row("person", "3").await;
    let mut field = Subscriber::open(&database).await;
    field.field("person", "3", "score").await;
    let mut nothing = Subscriber::open(&database).await;

    client.sql("insert into person (name, score) values ('Don Pablo', 14)").await;
    let inserted = r#"person 5 {"id":5,"name":"Don Pablo","score":14}"#;
    assert_eq!(table.told().await, [format!("insert table {inserted}")]);
    assert_eq!(column.told().await, [format!("insert column {inserted}")]);
    assert!(row.told().await.is_empty());
    assert!(field.told().await.is_empty());

    client.sql("update person set name = 'Sandy Jones', score = score + 3 where id = 3").await;
    let name = r#"person 3 {"name":"Sandy Jones"}"#;
    let score = r#"person 3 {"score":19}"#;
    assert_eq!(table.told().await, [format!("update table {name}"), format!("update table {score}")]);
    assert_eq!(column.told().await, [format!("update column {score}")]);
    assert_eq!(row.told().await, [format!("update row {name}"), format!("update row {score}")]);
    assert_eq!(field.told().await, [format!("update field {score}")]);

    client.sql("update person set score = 20 where id = 1; update person set name = 'Joe' where id = 1").await;
    let (score, name) = (r#"person 1 {"score":20}"#, r#"person 1 {"name":"Joe"}"#);
    assert_eq!(table.told().await, [format!("update table {score}"), format!("update table {name}")]);
    assert_eq!(column.told().await, [format!("update column {score}")]);
    assert!(row.told().await.is_empty());
    assert!(field.told().await.is_empty());

    client.sql("delete from person where id = 4").await;
    client.sql("delete from person where id = 3").await;
    assert_eq!(table.told().await, ["delete table person 4", "delete table person 3"]);
    assert_eq!(column.told().await, ["delete column person 4", "delete column person 3"]);
    assert_eq!(row.told().await, ["delete row person 3"]);
    assert_eq!(field.told().await, ["delete field person 3"]);

    // the row that comes back under the same key is not an event of the row: its changes are
    client.sql("insert into person values (3, 'Sandy', 1)").await;
    client.sql("update person set score = 2 where id = 3").await;
    assert_eq!(row.told().await, [r#"update row person 3 {"score":2}"#]);
    assert_eq!(field.told().await, [r#"update field person 3 {"score":2}"#]);
    table.told().await;
    column.told().await;

    client.sql("truncate person").await;
    assert_eq!(table.told().await, ["truncate table person"]);
    assert_eq!(column.told().await, ["truncate column person"]);
    assert_eq!(row.told().await, ["truncate row person"]);
    assert_eq!(field.told().await, ["truncate field person"]);

    client.sql("update other set name = 'y'; insert into other values (5, 'z')").await;
    for subscriber in [&mut table, &mut column, &mut row, &mut field, &mut nothing] {
        assert!(subscriber.told().await.is_empty());
    }
    assert!(nothing.inbox().await.is_empty());
}

#[tokio::test]
async fn a_change_reaches_a_session_once_as_what_its_widest_subscription_is() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(PERSON).await;
    let mut one = Subscriber::open(&database).await;
    let mut other = Subscriber::open(&database).await;
    other.table("person").await;

    let field = one.field("person", "3", "score").await;
    let row = one.row("person", "3").await;
    let column = one.column("person", "score").await;
    let table = one.table("person").await;
    one.field("person", "3", "name").await;

    // taken back one after the other, the widest first
    for (subscription, kind) in [(table, "table"), (column, "column"), (row, "row"), (field, "field")] {
        client.sql("update person set score = score + 1 where id = 3").await;
        client.sql("delete from person where id = 3").await;
        client.sql("insert into person values (3, 'Sandy', 1)").await;
        client.sql("truncate person").await;
        client.sql("insert into person values (3, 'Sandy', 1)").await;
        let events = one.events().await;
        let expected = match kind {
            "table" | "column" => vec!["update", "delete", "insert", "truncate", "insert"],
            _ => vec!["update", "delete", "truncate"],
        };
        assert_eq!(events.iter().map(Event::operation).collect::<Vec<_>>(), expected);
        assert!(events.iter().all(|event| event.json["subscription_type"] == kind), "{kind}: {events:?}");
        for same in other.events().await {
            let event = events.iter().find(|event| event.id() == same.id());
            assert_eq!(event.is_some(), expected.contains(&same.operation()), "the same change has the same id");
            assert!(event.is_none_or(|event| event.json["payload"] == same.json["payload"]));
        }
        one.sql(&format!("select unsubscribe('{subscription}')")).await;
    }
    client.sql("update person set score = score + 1 where id = 3").await;
    assert!(one.told().await.is_empty());
    client.sql("update person set name = 'S' where id = 3").await;
    assert_eq!(one.told().await, [r#"update field person 3 {"name":"S"}"#]);
    assert_eq!(one.inbox().await.len(), 5 + 5 + 3 + 3 + 1);
}

#[tokio::test]
async fn subscribing_twice_is_one_subscription_until_it_is_taken_back() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(PERSON).await;
    let mut subscriber = Subscriber::open(&database).await;
    let table = subscriber.table("person").await;
    let column = subscriber.column("person", "score").await;
    let row = subscriber.row("person", "3").await;
    let field = subscriber.field("person", "3", "score").await;
    assert_eq!(subscriber.table("person").await, table);
    assert_eq!(subscriber.column("person", "score").await, column);
    assert_eq!(subscriber.row("person", "3").await, row);
    assert_eq!(subscriber.row("person", "003").await, row, "a key is brought to the column's own text");
    assert_eq!(subscriber.field("person", " 3", "score").await, field);
    assert_ne!(subscriber.field("person", "3", "name").await, field);
    let other = Subscriber::open(&database).await;
    assert_ne!(other.table("person").await, table, "each session has its own");

    let count = "select count(*) from event.subscription";
    assert_eq!(client.text(count).await, "6");
    for subscription in [&table, &column, &row, &field] {
        subscriber.sql(&format!("select unsubscribe('{subscription}')")).await;
    }
    let error = subscriber.try_sql(&format!("select unsubscribe('{table}')")).await.unwrap_err();
    assert_eq!(error.message(), format!("subscription \"{table}\" does not exist"));
    assert_eq!(client.text(count).await, "2");
    assert_ne!(subscriber.table("person").await, table);

    client.sql("update person set score = 1 where id = 3").await;
    assert_eq!(subscriber.told().await, [r#"update table person 3 {"score":1}"#]);
}

#[tokio::test]
async fn within_a_transaction_a_subscription_holds_from_the_call_on() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key); create table p (id int primary key) partition by hash (id)").await;
    client.sql("create table p1 partition of p for values with (modulus 1, remainder 0)").await;
    client.sql("select event.watch('t'), event.watch('p')").await;

    for table in ["t", "p"] {
        let mut subscriber = Subscriber::open(&database).await;
        let insert = |id: u32| format!("insert into {table} values ({id})");
        subscriber.sql("begin").await;
        subscriber.sql(&insert(1)).await;
        subscriber.sql(&insert(2)).await;
        let first = subscriber.table(table).await;
        subscriber.sql(&insert(3)).await;
        subscriber.sql(&insert(4)).await;
        subscriber.sql(&format!("select unsubscribe('{first}')")).await;
        subscriber.sql(&insert(5)).await;
        subscriber.table(table).await;
        subscriber.sql(&insert(6)).await;
        subscriber.sql("commit").await;
        subscriber.sql(&insert(7)).await;
        let expected = [3, 4, 6, 7].map(|id| format!("insert table {table} {id} {{\"id\":{id}}}"));
        assert_eq!(subscriber.told().await, expected);
        assert_eq!(subscriber.inbox().await.len(), 4);
    }
}

#[tokio::test]
async fn a_rolled_back_subscription_never_was() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;

    subscriber.sql("begin").await;
    subscriber.table("t").await;
    subscriber.sql("insert into t values (1)").await;
    subscriber.sql("rollback").await;
    subscriber.sql("insert into t values (1)").await;
    assert!(subscriber.told().await.is_empty());
    assert_eq!(client.text("select relreplident from pg_class where relname = 't'").await, "d");

    client.sql("select event.watch('t')").await;
    subscriber.sql("begin").await;
    subscriber.sql("insert into t values (2); savepoint a").await;
    subscriber.table("t").await;
    subscriber.sql("insert into t values (3); rollback to a; insert into t values (4); savepoint b").await;
    subscriber.table("t").await;
    subscriber.sql("insert into t values (5); savepoint c; insert into t values (6); rollback to c").await;
    subscriber.sql("release b; insert into t values (7); commit").await;
    assert_eq!(subscriber.told().await, [5, 7].map(|id| format!("insert table t {id} {{\"id\":{id}}}")));

    // taken back in what is rolled back: it still holds
    let subscription = client.text("select id from event.subscription").await;
    subscriber.sql("begin; savepoint a").await;
    subscriber.sql(&format!("select unsubscribe('{subscription}')")).await;
    subscriber.sql("rollback to a; insert into t values (8); commit").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 8 {"id":8}"#]);
}

#[tokio::test]
async fn what_counts_is_the_order_of_commits() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    client.sql("select event.watch('t')").await;
    let mut subscriber = Subscriber::open(&database).await;
    let writer = database.connect().await;

    // written before the subscription was made, committed after it
    writer.sql("begin; insert into t values (1)").await;
    let subscription = subscriber.table("t").await;
    writer.sql("commit").await;
    assert_eq!(subscriber.told().await, [r#"insert table t 1 {"id":1}"#]);

    // written while it stood, committed after it was taken back
    writer.sql("begin; insert into t values (2)").await;
    subscriber.sql(&format!("select unsubscribe('{subscription}')")).await;
    writer.sql("commit").await;
    assert!(subscriber.told().await.is_empty());

    // committed by others while the transaction that subscribes was open
    subscriber.sql("begin").await;
    subscriber.table("t").await;
    subscriber.sql("insert into t values (3)").await;
    writer.sql("insert into t values (4)").await;
    subscriber.sql("insert into t values (5); commit").await;
    writer.sql("insert into t values (6)").await;
    assert_eq!(subscriber.told().await, [3, 5, 6].map(|id| format!("insert table t {id} {{\"id\":{id}}}")));
}

#[tokio::test]
async fn a_subscription_made_among_commits_holds_for_exactly_the_later_ones() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id bigserial primary key, writer int)").await;
    let mut witness = Subscriber::open(&database).await;
    witness.table("t").await;

    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (url, stop) = (database.url(), stop.clone());
            tokio::spawn(async move {
                let client = crate::support::Client::connect(&url).await;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    client.sql(&format!("insert into t (writer) values ({writer})")).await;
                }
            })
        })
        .collect();
    let mut subscribers = Vec::new();
    for _ in 0..8 {
        let subscriber = Subscriber::open(&database).await;
        let before: i64 = client.text("select count(*) from t").await.parse().unwrap();
        let subscription = subscriber.table("t").await;
        let after = client.text("insert into t (writer) values (9) returning id").await;
        subscriber.sql(&format!("select unsubscribe('{subscription}')")).await;
        let beyond = client.text("insert into t (writer) values (9) returning id").await;
        subscribers.push((subscriber, before, after, beyond));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }

    let all = witness.events().await;
    assert_eq!(all.len().to_string(), client.text("select count(*) from t").await);
    for (mut subscriber, before, after, beyond) in subscribers {
        let told = subscriber.events().await;
        let first = all.iter().position(|event| event.id() == told[0].id()).unwrap();
        assert!(first as i64 >= before, "told of what was there before: the {first}th of {before}");
        assert_eq!(told, all[first..first + told.len()], "none is missing in between");
        assert!(told.iter().any(|event| event.key() == [after.as_str()]), "what came after is told");
        assert!(!told.iter().any(|event| event.key() == [beyond.as_str()]), "and nothing after its end");
        assert_eq!(subscriber.inbox().await, told);
    }
}

#[tokio::test]
async fn several_transactions_subscribe_to_the_same_at_once() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let session = Subscriber::open(&database).await.session.clone();
    let one = database.connect().await;
    let other = database.connect().await;
    let subscribe = format!("select event.subscribe_table('{session}', meta.relation_id('public', 't'))");
    one.sql(SEARCH_PATH).await;
    one.sql("select event.watch('t')").await;
    one.sql("begin").await;
    let first = one.text(&subscribe).await;
    // it waits for the first to be decided
    let pid = other.text("select pg_backend_pid()").await;
    let second = tokio::spawn(async move { other.text(&subscribe).await });
    while client.text(&format!("select cardinality(pg_blocking_pids({pid}))")).await == "0" {
        tokio::task::yield_now().await;
    }
    one.sql("commit").await;
    assert_eq!(second.await.unwrap(), first);
    assert_eq!(client.text("select count(*) from event.subscription").await, "1");
}
