//! The event's form: byte for byte the one that the original's clients read, and the same bytes whenever it is sent.

use serde_json::{Value, json};

use crate::support::{Database, Event, SEARCH_PATH, Subscriber};

/// PostgreSQL's limit: a notification is shorter than this.
const LIMIT: usize = 8000;

/// The JSON of a column of a table of schema public.
fn column(table: &str, name: &str) -> String {
    format!("{{\"relation_id\":{{\"schema_id\":{{\"name\":\"public\"}},\"name\":\"{table}\"}},\"name\":\"{name}\"}}")
}

/// What was sent is what the inbox holds and what attaching sends again; larger events go without their payload.
async fn assert_replayed(database: &Database, subscriber: &mut Subscriber) -> Vec<Event> {
    let sent = subscriber.events().await;
    let held = subscriber.inbox().await;
    assert_eq!(held.len(), sent.len());
    for (sent, held) in sent.iter().zip(&held) {
        if held.text.len() < LIMIT {
            assert_eq!(sent.text, held.text);
        } else {
            assert!(sent.text.len() < LIMIT);
            assert_eq!(sent.json["truncated"], true);
            assert_eq!(sent.id(), held.id());
        }
    }
    let user = subscriber.text("select current_user").await;
    let mut again = Subscriber::attach(database.connect_as(&user).await, &subscriber.session).await;
    assert_eq!(again.events().await, sent, "what attaching sends");
    subscriber.drain();
    sent
}

#[tokio::test]
async fn a_notification_has_exactly_the_keys_of_the_form_in_their_order() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table person (id int primary key, name text, score int);
              create table seat (row text, number int, taken bool, primary key (number, row));
              create table note (text text, n numeric)",
        )
        .await;
    let mut subscriber = Subscriber::open(&database).await;
    let ended = subscriber.column("person", "score").await;
    for table in ["person", "seat", "note"] {
        subscriber.table(table).await;
    }
    for change in [
        "insert into person values (5, 'Don Pablo', 14)",
        "update person set name = 'Sandy Jones', score = null",
        "delete from person",
        "truncate person",
        "insert into seat values ('A', 7, false)",
        "update seat set taken = true",
        "delete from seat",
        "insert into note values ('x', 1.50)",
        "update note set text = 'y'",
        "delete from note",
        "alter table person drop column score",
    ] {
        client.sql(change).await;
    }

    let sent = assert_replayed(&database, &mut subscriber).await;
    let person = format!("\"row_id\" : {{\"pk_column_id\":{},\"pk_value\":\"5\"}}", column("person", "id"));
    let [number, row] = ["number", "row"].map(|name| column("seat", name));
    let seat = format!("\"row_id\" : {{\"pk_column_ids\":[{number},{row}],\"pk_values\":[\"7\",\"A\"]}}");
    let note = "\"row_id\" : null";
    let table = "\"subscription_type\" : \"table\"";
    let expected = [
        format!(r#""insert", {table}, {person}, "payload" : {{"id":5,"name":"Don Pablo","score":14}}"#),
        format!(r#""update", {table}, {person}, "payload" : {{"name" : "Sandy Jones"}}"#),
        format!(r#""update", {table}, {person}, "payload" : {{"score" : null}}"#),
        format!(r#""delete", {table}, {person}"#),
        format!(r#""truncate", {table}, "relation_id" : {{"schema_id":{{"name":"public"}},"name":"person"}}"#),
        format!(r#""insert", {table}, {seat}, "payload" : {{"row":"A","number":7,"taken":false}}"#),
        format!(r#""update", {table}, {seat}, "payload" : {{"taken" : true}}"#),
        format!(r#""delete", {table}, {seat}"#),
        format!(r#""insert", {table}, {note}, "payload" : {{"text":"x","n":1.50}}"#),
        format!(r#""delete", {table}, {note}, "payload" : {{"text":"x","n":1.50}}"#),
        format!(r#""insert", {table}, {note}, "payload" : {{"text":"y","n":1.50}}"#),
        format!(r#""delete", {table}, {note}, "payload" : {{"text":"y","n":1.50}}"#),
        format!(r#""subscription_ended", "subscription_id" : "{ended}", "reason" : "column_dropped""#),
    ];
    let expected: Vec<String> = expected
        .iter()
        .zip(&sent)
        .map(|(event, sent)| format!("{{\"operation\" : {event}, \"event_id\" : \"{}\"}}", sent.id()))
        .collect();
    assert_eq!(sent.iter().map(|event| event.text.as_str()).collect::<Vec<_>>(), expected);
}

/// Names and values that JSON, SQL and arrays each write in their own way.
const ODD: [&str; 14] = [
    "Ünï Çode",
    "a.b",
    "quo\"\"te\"",
    "it''s",
    "back\\\\slash\\",
    "{cur,ly}",
    "new\nline\r",
    "\t tab ",
    "\u{1}\u{8}\u{c}\u{b}\u{1f}",
    "\u{7f}\u{85}\u{2028}\u{feff}",
    "emoji 🦀 \u{10ffff}",
    "%s %I $1 $$",
    "null",
    " ",
];

#[tokio::test]
async fn odd_names_and_values_are_replayed_byte_for_byte() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(SEARCH_PATH).await;
    let mut subscriber = Subscriber::open(&database).await;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    client.sql("set standard_conforming_strings = on").await;
    for (at, name) in ODD.iter().enumerate() {
        let value = ODD[(at + 5) % ODD.len()];
        let table = quoted(name);
        let key = quoted(value);
        let (name, value) = (literal(name), literal(value));
        client
            .sql(&format!(
                "create table {table} ({table} text, {key} text, \"?\" text, j json, primary key ({key}, {table}))"
            ))
            .await;
        subscriber.sql(&format!("select subscribe_table(meta.relation_id('public', {name}))")).await;
        subscriber
            .sql(&format!(
                "select subscribe_row(meta.row_id('public', {name}, array[{name}, {value}], array[{value}, {name}]))"
            ))
            .await;
        client
            .sql(&format!("insert into {table} values ({value}, {name}, '', '[ 1,\n {{\"a\" : \"\\u0041\"}} ]')"))
            .await;
        client.sql(&format!("update {table} set \"?\" = {value}, j = null")).await;
        client.sql(&format!("update {table} set {table} = ''")).await;
        client.sql(&format!("delete from {table}")).await;
        client.sql(&format!("truncate {table}")).await;
    }
    let sent = assert_replayed(&database, &mut subscriber).await;
    assert_eq!(sent.len(), ODD.len() * 7);

    // the same names as PostgreSQL itself would write them
    for (at, events) in sent.chunks(7).enumerate() {
        let (name, value) = (ODD[at], ODD[(at + 5) % ODD.len()]);
        let [name, value] = [literal(name), literal(value)];
        let row = client
            .text(&format!(
                "select json_build_object('row_id',
                            meta.row_id('public', {name}, array[{value}, {name}], array[{name}, {value}])::json)::text"
            ))
            .await;
        let written = row.strip_prefix("{\"row_id\" : ").unwrap().strip_suffix('}').unwrap();
        assert!(events[0].text.contains(&format!("\"row_id\" : {written}")), "{row}\n{}", events[0].text);
        let json = |expression: String| {
            let client = &client;
            async move {
                serde_json::from_str::<Value>(&client.text(&format!("select to_json({expression})")).await).unwrap()
            }
        };
        assert_eq!(events[1].json["payload"], json!({"?": json(format!("{value}::text")).await}));
        let relation = client.text(&format!("select meta.relation_id('public', {name})::json")).await;
        assert!(events[6].text.contains(&format!("\"relation_id\" : {relation}")), "{}", events[6].text);
    }
}

#[tokio::test]
async fn who_may_see_some_columns_is_told_of_those() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create role ann login;
              create table t (secret text default 'hush', id int primary key, \"na\"\"me\" text, other text, score int);
              create table bare (secret text default 'hush', \"a\tb\" text);
              grant select (id, \"na\"\"me\", score) on t to ann;
              grant select (\"a\tb\") on bare to ann;",
        )
        .await;
    let mut ann = Subscriber::open_as(&database, "ann").await;
    let mut all = Subscriber::open(&database).await;
    for subscriber in [&ann, &all] {
        subscriber.column("t", "score").await;
        subscriber.field("t", "7", "na\"me").await;
        subscriber.column("bare", "a\tb").await;
    }
    for refused in [
        "select subscribe_table(meta.relation_id('public', 't'))",
        "select subscribe_row(meta.row_id('public', 't', 'id', '7'))",
        "select subscribe_column(meta.column_id('public', 't', 'secret'))",
        "select subscribe_field(meta.field_id('public', 't', 'id', '7', 'other'))",
    ] {
        let error = ann.try_sql(refused).await.unwrap_err();
        assert_eq!(error.code().code(), "42501", "{error}");
    }
    for change in [
        "insert into t (id, score) values (7, 1), (8, 2)",
        "update t set secret = 'shh', other = 'x', score = score + 1, \"na\"\"me\" = 'n'",
        "delete from t",
        "insert into bare (\"a\tb\") values (E'\\t\"'), (null)",
        "update bare set secret = 'shh'",
        "update bare set \"a\tb\" = 'b' where \"a\tb\" is null",
        "delete from bare",
    ] {
        client.sql(change).await;
    }
    let told = assert_replayed(&database, &mut ann).await;
    let whole = assert_replayed(&database, &mut all).await;
    let brief: Vec<String> = told.iter().map(Event::to_string).collect();
    assert_eq!(
        brief,
        [
            r#"insert column t 7 {"id":7,"na\"me":null,"score":1}"#,
            r#"insert column t 8 {"id":8,"na\"me":null,"score":2}"#,
            r#"update field t 7 {"na\"me":"n"}"#,
            r#"update column t 7 {"score":2}"#,
            r#"update column t 8 {"score":3}"#,
            "delete column t 7",
            "delete column t 8",
            r#"insert column - {"a\tb":"\t\""}"#,
            r#"insert column - {"a\tb":null}"#,
            r#"delete column - {"a\tb":null}"#,
            r#"insert column - {"a\tb":"b"}"#,
            r#"delete column - {"a\tb":"\t\""}"#,
            r#"delete column - {"a\tb":"b"}"#,
        ]
    );
    assert_eq!(whole.iter().map(Event::id).collect::<Vec<_>>(), told.iter().map(Event::id).collect::<Vec<_>>());
    assert_eq!(whole[0].json["payload"]["secret"], "hush");
    assert_eq!(whole[9].json["payload"], json!({"secret": "shh", "a\tb": null}));
    // neither through the log nor through what others hold
    assert!(!ann.rows("select * from event.change").await.iter().flatten().flatten().any(|text| text.contains("hush")));
}

#[tokio::test]
async fn an_event_over_the_limit_goes_without_its_payload_and_stands_whole_in_the_inbox() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, v text); create table bare (v text)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    subscriber.table("bare").await;
    client.sql("insert into t values (1, '')").await;
    let [short] = subscriber.events().await.try_into().unwrap();
    let fill = LIMIT - 1 - short.text.len();

    // the limit is in bytes, and what JSON escapes counts as it is written
    let exact = [
        format!("repeat('x', {fill})"),
        format!("repeat('é', {}) || repeat('x', {})", fill / 2, fill % 2),
        format!("repeat('\"', {}) || repeat('x', {})", fill / 2, fill % 2),
    ];
    for value in &exact {
        client.sql("delete from t").await;
        client.sql(&format!("insert into t values (1, {value})")).await;
        let events = subscriber.events().await;
        assert_eq!(events[1].text.len(), LIMIT - 1);
        client.sql("delete from t").await;
        client.sql(&format!("insert into t values (1, {value} || 'x')")).await;
        let events = subscriber.events().await;
        assert_eq!(events[1].to_string(), "insert table t 1 truncated");
        let expected = format!("\"row_id\" : {}, \"truncated\" : true, \"event_id\" : ", short.json["row_id"]);
        assert!(events[1].text.contains(&expected), "{}", events[1].text);
    }
    client.sql("update t set v = repeat('y', 10000)").await;
    client.sql("update t set id = 2").await;
    client.sql("insert into bare values (repeat('z', 1000000))").await;
    client.sql("update bare set v = repeat('z', 9000)").await;
    client.sql("delete from bare").await;
    assert_eq!(
        subscriber.told().await,
        [
            "update table t 1 truncated",
            "delete table t 1",
            "insert table t 2 truncated",
            "insert table - truncated",
            "delete table - truncated",
            "insert table - truncated",
            "delete table - truncated",
        ]
    );
    let held = subscriber.inbox().await;
    let payloads: Vec<&Value> = held[held.len() - 7..].iter().map(|event| &event.json["payload"]).collect();
    let [y, z, large] = [("y", 10000), ("z", 9000), ("z", 1_000_000)].map(|(text, count)| text.repeat(count));
    let v = |text| json!({ "v": text });
    let expected = [v(&y), Value::Null, json!({"id": 2, "v": y}), v(&large), v(&large), v(&z), v(&z)];
    assert!(payloads.iter().copied().eq(&expected));
    let mut again = Subscriber::attach(database.connect().await, &subscriber.session).await;
    let sent: Vec<String> = again.told().await;
    assert_eq!(sent[sent.len() - 7], "update table t 1 truncated");
}

#[tokio::test]
async fn a_row_whose_very_name_is_over_the_limit_is_told_without_it() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id text primary key, v int)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    let mut row = Subscriber::open(&database).await;
    row.row("t", &"k".repeat(9000)).await;
    for change in ["insert into t values (repeat('k', 9000), 1)", "update t set v = 2", "delete from t"] {
        client.sql(change).await;
    }
    let sent = assert_replayed(&database, &mut subscriber).await;
    for (event, operation) in sent.iter().zip(["insert", "update", "delete"]) {
        let id = event.id();
        assert_eq!(
            event.text,
            format!(
                "{{\"operation\" : \"{operation}\", \"subscription_type\" : \"table\", \"row_id\" : null, \
                 \"truncated\" : true, \"event_id\" : \"{id}\"}}"
            )
        );
    }
    assert_eq!(row.told().await, ["update row - truncated", "delete row - truncated"]);
    for held in subscriber.inbox().await {
        assert_eq!(held.key(), ["k".repeat(9000)]);
    }
}

#[tokio::test]
async fn a_batch_of_many_rows_is_written_as_one_of_few() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            r#"create table "o'dd" ("a""b" text, "c\d" text, n numeric, note text, primary key ("a""b", "c\d"));
               create role narrow login; grant select ("a""b", "c\d", n) on "o'dd" to narrow; select event.watch('"o''dd"')"#,
        )
        .await;
    let all = Subscriber::open(&database).await;
    all.table("o''dd").await;
    let some = Subscriber::open_as(&database, "narrow").await;
    some.column("o''dd", "n").await;
    client.sql("select event.sync()").await;
    let changes = [
        r#"insert into "o'dd" values (E'q"\\x,{}\n', 'NULL', 1.50, 'ünï')"#,
        r#"update "o'dd" set n = null where "c\d" = 'NULL'"#,
        r#"delete from "o'dd" where "c\d" = 'NULL'"#,
    ];
    for change in changes {
        client.sql(change).await;
        client.sql("select event.sync()").await;
    }
    // more than 64 rows are written with another statement
    let others = r#"insert into "o'dd" select g, g, g, g from generate_series(1, 100) g"#;
    client.sql(&format!("begin; {others}; {}; commit; select event.sync()", changes.join("; "))).await;

    let rows = "create temporary table rows as
        select i.session_id, j.xid, j.committed_at, i.total, row_number() over (partition by i.session_id order by j.id) as number,
               row(j.change, j.schema_name, j.relation_name, j.key_columns, j.key_values, j.row, j.field, j.value, j.old, i.kind,
                   i.visible, i.bytes)::text as content
        from event.journal j join event.inbox i using (id) where j.key_values[2] = 'NULL'";
    client.sql(rows).await;
    assert_eq!(client.text("select count(*)::text from rows").await, "12");
    let same = "select count(*)::text from rows few join rows many
                on many.session_id = few.session_id and many.number = few.number + 3 and many.content = few.content
                and many.total > few.total and many.xid > few.xid and many.committed_at >= few.committed_at
                and many.committed_at <= clock_timestamp()";
    assert_eq!(client.text(same).await, "6", "{}", client.text("select string_agg(content, E'\n') from rows").await);
}
