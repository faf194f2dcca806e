//! What becomes of subscriptions to rows when the key's type or an enum's label changes: the row is found by its new text, or the
//! subscription ends. It never falls silent.

use crate::support::{Database, Subscriber};

/// A key's type, a value, what is done to table T (or its types M and N), the row's key after it where the subscription goes on,
/// and whether it goes on without the event trigger too.
type Case = (&'static str, &'static str, &'static str, Option<&'static str>, bool);

const CASES: [Case; 31] = [
    ("M", "sad", "alter type M rename value 'sad' to 'blue'", Some("blue"), false),
    ("M", "sad", "alter type M rename value 'glad' to 'merry'", Some("sad"), true),
    ("M", "sad", "alter type M add value 'odd' before 'sad'", Some("sad"), true),
    ("M", "sad", "alter type M rename to N", Some("sad"), true),
    ("M", "sad", "alter table T alter id type text", Some("sad"), false),
    ("M[]", "{sad}", "alter type M rename value 'sad' to 'blue'", None, false),
    ("date", "2026-01-05", "alter table T alter id type timestamp", Some("2026-01-05 00:00:00"), false),
    ("date", "2026-01-05", "alter table T alter id type timestamptz", None, false),
    (
        "timestamp(0)",
        "2026-01-05 12:00:00",
        "alter table T alter id type timestamp(3)",
        Some("2026-01-05 12:00:00"),
        true,
    ),
    ("int", "7", "alter table T alter id type text", Some("7"), false),
    ("int", "7", "alter table T alter id type text using 'n' || id", None, false),
    ("int", "7", "alter table T alter id type bigint", Some("7"), false),
    ("int", "7", "alter table T alter id type bigint using id * 10", None, false),
    ("int", "7", "alter table T alter id type int using id * 10", None, false),
    ("int", "7", "do $$ begin alter table T alter id type bigint; end $$", None, false),
    ("int", "7", "alter table T alter id type numeric(9,2)", Some("7.00"), false),
    ("int", "7", "alter table T rename column id to key", Some("7"), true),
    ("int", "7", "alter table T alter v type text using v || '!'", Some("7"), true),
    ("int", "7", "vacuum full T", Some("7"), true),
    ("varchar", "ab", "alter table T alter id type char(5)", Some("ab   "), false),
    ("char(5)", "ab", "alter table T alter id type char(9)", Some("ab       "), false),
    ("char(5)", "ab", "alter table T alter id type text", Some("ab"), false),
    ("varchar(5)", "ab", "alter table T alter id type varchar(9)", Some("ab"), true),
    ("varchar", "ab", "alter table T alter id type text", Some("ab"), true),
    ("real", "0.1", "alter table T alter id type double precision", Some("0.10000000149011612"), false),
    ("bytea", "\\x61", "alter table T alter id type text using encode(id, 'escape')", None, false),
    ("bytea", "\\x61", "alter table T alter id type text", None, false),
    ("numeric(6,2)", "1.50", "alter table T alter id type numeric(8,2)", Some("1.50"), true),
    ("numeric(6,2)", "1.50", "alter table T alter id type numeric(8,4)", Some("1.5000"), false),
    ("numeric(6,2)", "1.55", "alter table T alter id type numeric(8,1)", None, false),
    (
        "uuid",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "alter table T alter id type varchar",
        Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        false,
    ),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Seen {
    /// The event trigger follows, and tidewire reads at once.
    AtOnce,
    /// The event trigger follows while tidewire is stopped.
    Afterwards,
    /// There is no event trigger: upkeep finds it.
    WithoutTrigger,
}

fn of_case(at: usize, text: &str) -> String {
    let type_name = |letter: char| format!("{}_{at}", letter.to_ascii_lowercase());
    let words = text.split(' ').map(|word| match word {
        "T" | "M" | "N" => type_name(word.chars().next().unwrap()),
        "M[]" => format!("{}[]", type_name('M')),
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

async fn follow(seen: Seen) {
    let database = Database::start().await;
    let mut tidewire = Some(database.up().await);
    let client = database.connect().await;
    let mut kinds = [Subscriber::open(&database).await, Subscriber::open(&database).await];
    for (at, (key, value, ..)) in CASES.iter().enumerate() {
        let (table, key) = (format!("t_{at}"), of_case(at, key));
        client.sql(&format!("create type m_{at} as enum ('sad', 'glad')")).await;
        client
            .sql(&format!(
                "create table {table} (id {key} primary key, v text); insert into {table} values ('{value}', 1)"
            ))
            .await;
        client.sql(&format!("select event.watch('{table}')")).await;
        kinds[0].row(&table, value).await;
        kinds[1].field(&table, value, "v").await;
    }
    match seen {
        Seen::AtOnce => {}
        Seen::Afterwards => assert!(tidewire.take().unwrap().stop().await.success()),
        Seen::WithoutTrigger => client.sql("drop event trigger tidewire_ddl").await,
    }
    let mut wanted: [Vec<String>; 2] = Default::default();
    for (at, (_, _, statement, expected, without)) in CASES.iter().enumerate() {
        client.sql(&of_case(at, statement)).await;
        client.sql(&of_case(at, "update T set v = '2'")).await;
        for (kind, wanted) in ["row", "field"].into_iter().zip(&mut wanted) {
            wanted.push(match expected.filter(|_| *without || seen != Seen::WithoutTrigger) {
                Some(key) => format!("update {kind} t_{at} {key} {{\"v\":\"2\"}}"),
                None => "subscription_ended key_changed".to_owned(),
            });
        }
    }
    if seen == Seen::Afterwards {
        tidewire = Some(database.up().await);
    }
    for (subscriber, mut wanted) in kinds.iter_mut().zip(wanted) {
        let mut told = subscriber.told().await;
        if seen == Seen::WithoutTrigger {
            // a look of upkeep's
            let all = async {
                let ended = |told: &[String]| told.iter().filter(|told| told.contains("_ended")).count();
                while ended(&told) < ended(&wanted) {
                    told.extend(subscriber.told().await);
                }
            };
            let _ = tokio::time::timeout(crate::support::PATIENCE, all).await;
        }
        // what was found before upkeep looked is no mistake
        told.retain(|told| seen != Seen::WithoutTrigger || wanted.contains(told));
        // that the table's rows were made anew is told besides
        told.retain(|told| told != "gap rewritten");
        told.sort();
        wanted.sort();
        assert_eq!(told, wanted, "{seen:?}");
    }
    drop(tidewire);
}

#[tokio::test]
async fn a_changed_key_type_is_followed_or_ends_at_its_place() {
    follow(Seen::AtOnce).await;
}

#[tokio::test]
async fn a_changed_key_type_is_followed_however_late_it_is_read() {
    follow(Seen::Afterwards).await;
}

#[tokio::test]
async fn without_the_trigger_a_changed_key_type_is_never_silent() {
    follow(Seen::WithoutTrigger).await;
}

#[tokio::test]
async fn a_renamed_label_is_followed_within_its_transaction() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create type mood as enum ('sad', 'glad'); create table t (id mood primary key, v int)").await;
    client.sql("insert into t values ('sad', 1), ('glad', 1); select event.watch('t')").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.row("t", "sad").await;
    client.sql("begin; update t set v = 2; alter type mood rename value 'sad' to 'x'; update t set v = 3").await;
    // names are exchanged
    client.sql("alter type mood rename value 'glad' to 'sad'; alter type mood rename value 'x' to 'glad'; update t set v = 4; commit").await;
    let told = ["sad 2", "x 3", "glad 4"].map(|told| {
        let (key, value) = told.split_once(' ').unwrap();
        format!("update row t {key} {{\"v\":{value}}}")
    });
    assert_eq!(subscriber.told().await, told);
    client.sql("begin; alter type mood rename value 'glad' to 'gone'; rollback; update t set v = 5").await;
    assert_eq!(subscriber.told().await, [r#"update row t glad {"v":5}"#]);
    // the row is called by its new name
    assert_eq!(subscriber.row("t", "glad").await, client.text("select id from event.subscription").await);
}

#[tokio::test]
async fn a_label_renamed_beside_an_open_writer_ends_the_row() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create type mood as enum ('sad', 'glad'); create table t (id mood primary key, v int)").await;
    client.sql("insert into t values ('sad', 1), ('glad', 1); select event.watch('t')").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.row("t", "sad").await;
    subscriber.row("t", "glad").await;
    client.sql("begin; update t set v = 2").await;
    // PostgreSQL does not wait for it
    database.connect().await.sql("alter type mood rename value 'sad' to 'blue'").await;
    client.sql("commit").await;
    client.sql("update t set v = 3").await;
    assert_eq!(
        subscriber.told().await,
        ["subscription_ended key_changed", r#"update row t glad {"v":2}"#, r#"update row t glad {"v":3}"#]
    );
}

#[tokio::test]
async fn a_key_altered_through_an_ancestor_is_followed() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table ancestor (id real); create table heir (primary key (id), v int) inherits (ancestor);
             create table parted (p int, id real, v int, primary key (p, id)) partition by list (p);
             create table part partition of parted for values in (1);
             insert into heir values (0.1, 1); insert into parted values (1, 0.1, 1);
             select event.watch('heir'), event.watch('parted')",
        )
        .await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.row("heir", "0.1").await;
    subscriber.sql("select subscribe_row(meta.row_id('public', 'parted', array['p', 'id'], array['1', '0.1']))").await;
    client.sql("alter table ancestor alter id type double precision").await;
    client.sql("alter table parted alter id type double precision").await;
    client.sql("update heir set v = 2; update parted set v = 2").await;
    assert_eq!(
        subscriber.told().await,
        [
            "gap rewritten",
            "gap rewritten",
            r#"update row heir 0.10000000149011612 {"v":2}"#,
            r#"update row parted 1,0.10000000149011612 {"v":2}"#
        ]
    );
    client.sql("alter table parted alter id type double precision using id * 10").await;
    assert_eq!(subscriber.told().await, ["subscription_ended key_changed"]);
}

#[tokio::test]
async fn a_subscription_open_while_the_key_changed_ends() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql("create table t (id real primary key, v int); insert into t values (0.1, 1); select event.watch('t')")
        .await;
    let first = Subscriber::open(&database).await;
    first.row("t", "0.1").await;
    let mut open = Subscriber::open(&database).await;
    open.sql("begin").await;
    open.row("t", "0.1").await;
    client.sql("alter table t alter id type double precision").await;
    open.sql("commit").await;
    let mut told = Vec::new();
    let ended = async {
        while told.is_empty() {
            told = open.told().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, ended).await.expect("it is silent");
    assert_eq!(told, ["subscription_ended key_changed"]);
    assert_eq!(client.text("select session_id from event.subscription").await, first.session);
}
