//! Rows are named by their key's values, however those are spelled when subscribing.

use super::server_types::literal;
use super::watched_table::ORACLE;
use crate::support::{Database, Subscriber};

/// Settings that spell dates, times and bytes in another way than the stream does.
const ODD_SESSION: &str = "set timezone = 'Asia/Kolkata'; set datestyle = 'German, DMY'; set bytea_output = escape;
    set intervalstyle = iso_8601; set extra_float_digits = 0;";

const TYPES: &str = "create type mood as enum ('sad', 'so, so'); create type pair as (a int, b text);
    create domain positive as int check (value > 0); create domain code as varchar(5);
    create domain amount as numeric;";

/// The key's type, the keys of the table's rows, and spellings of the first.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

const CASES: [Case; 46] = [
    ("integer", &["7", "70", "-7"], &["7", "007", " 7", "+7 "]),
    ("smallint", &["-7", "7"], &["-007"]),
    ("bigint", &["9007199254740993", "9007199254740992"], &[" 9007199254740993"]),
    ("oid", &["4294967295", "7"], &["4294967295", "-1"]),
    ("positive", &["7", "70"], &["007"]),
    ("text", &[" 7", "7", "07"], &[" 7"]),
    ("text", &["", " "], &[""]),
    ("text", &["it's \"{odd}\", \\ é🐘\n", "it's \"{odd}\", \\ é🐘"], &["it's \"{odd}\", \\ é🐘\n"]),
    ("text", &["NULL", "null"], &["NULL"]),
    ("varchar(5)", &["ab", "ab ", "abc"], &["ab"]),
    ("varchar(5)", &["abcde", "abcd"], &["abcde", "abcde   "]),
    ("varchar", &["ab ", "ab"], &["ab "]),
    ("code", &["ab", "abc"], &["ab"]),
    ("name", &["Ünï \"Çode\"", "ünï"], &["Ünï \"Çode\""]),
    ("char(5)", &["ab", "abc"], &["ab", "ab   ", "ab     "]),
    ("\"char\"", &["a", "A"], &["a"]),
    ("mood", &["so, so", "sad"], &["so, so"]),
    ("boolean", &["true", "false"], &["TRUE", "t", "yes", "on", " 1 "]),
    ("numeric", &["1.00", "1.5", "10", "0.1"], &["1", "1.0", "1.00", "1e0", "01.000"]),
    ("numeric", &["100", "1", "10.0"], &["100", "1e2", "100.00"]),
    ("numeric", &["0.00", "0.01"], &["0", "-0.0", "0e5"]),
    ("numeric", &["NaN", "Infinity"], &["nan"]),
    ("numeric(10,2)", &["1", "1.01"], &["1", "1.000", "1.001"]),
    ("amount", &["2.50", "25"], &["2.5", "2.500"]),
    ("double precision", &["0.1", "0.10000000000000002"], &["0.1", "1e-1", ".10"]),
    ("double precision", &["-0", "1"], &["0", "-0", "0.0"]),
    ("double precision", &["1e20", "1e21"], &["100000000000000000000"]),
    ("real", &["0.1", "0.2"], &["0.1", "0.100000001"]),
    ("money", &["7", "70"], &["7", "$7.00"]),
    ("date", &["2026-01-05", "2026-05-01"], &["2026-1-5", "5.1.2026", "January 5, 2026"]),
    ("date", &["infinity", "-infinity"], &["INFINITY"]),
    ("time", &["04:05:00", "05:04:00"], &["4:05", "04:05 AM", "040500"]),
    ("timetz", &["04:05:00+05:30", "04:05:00+00"], &["4:05", "04:05+0530"]),
    ("timestamp", &["2026-01-05 12:00:00", "2026-01-05 00:00:00"], &["2026-1-5 12:00", "05.01.2026 12:00"]),
    (
        "timestamptz",
        &["2026-01-05 12:00:00+00", "2026-01-05 12:00:00+05:30"],
        &["2026-01-05 17:30", "2026-01-05 12:00Z", "2026-01-05 07:00 America/New_York"],
    ),
    ("timestamptz(0)", &["2026-01-05 12:00:01+00", "2026-01-05 12:00:00+00"], &["2026-01-05 12:00:00.7Z"]),
    ("interval", &["1 day 02:00:00", "1 day"], &["1 day 2 hours", "P1DT2H"]),
    (
        "uuid",
        &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"],
        &["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"],
    ),
    ("bytea", &["\\xdeadbeef", "\\xdead"], &["\\xDEADBEEF", "\\336\\255\\276\\357"]),
    ("inet", &["10.1.2.3", "10.1.2.3/8"], &["10.1.2.3", "10.1.2.3/32"]),
    ("cidr", &["10.0.0.0/8", "10.0.0.0/9"], &["10/8", "10.0.0.0/8"]),
    ("bit(3)", &["101", "100"], &["101", "b101"]),
    ("int4range", &["[1,4)", "[1,3)"], &["[1,3]", "(0,4)"]),
    ("jsonb", &["{\"a\":2,\"b\":1}", "{}"], &["{\"b\" : 1, \"a\" : 2}"]),
    ("pair", &["(1,x)", "(1,y)"], &["( 1,x)", "(\"1\",\"x\")"]),
    ("pair[]", &["{\"(1,x)\",NULL}", "{\"(1,y)\"}"], &["{ \"(1,x)\" , null }"]),
];

/// A table for each case. Of a row `place` tells which it is.
async fn create_tables(subscriber: &Subscriber) {
    for (at, (key, rows, _)) in CASES.iter().enumerate() {
        subscriber.sql(&format!("create table case_{at} (k {key} primary key, place int, n int default 0)")).await;
        for (place, row) in rows.iter().enumerate() {
            subscriber.sql(&format!("insert into case_{at} values ({}::{key}, {place})", literal(row))).await;
        }
    }
}

#[tokio::test]
async fn a_row_is_found_by_any_spelling_of_its_key() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let oracle = database.connect().await;
    oracle.sql(ORACLE).await;
    let mut by_row = Subscriber::open(&database).await;
    let mut by_field = Subscriber::open(&database).await;
    by_row.sql(TYPES).await;
    create_tables(&by_row).await;
    for subscriber in [&by_row, &by_field] {
        subscriber.sql(ODD_SESSION).await;
    }
    for (at, (key, _, spellings)) in CASES.iter().enumerate() {
        let mut ids = Vec::new();
        for spelling in *spellings {
            let row_id = format!("meta.row_id('public', 'case_{at}', 'k', {})", literal(spelling));
            ids.push(by_row.text(&format!("select subscribe_row({row_id})")).await);
            let field_id = format!("meta.field_id('public', 'case_{at}', 'k', {}, 'n')", literal(spelling));
            by_field.text(&format!("select subscribe_field({field_id})")).await;
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "the spellings {spellings:?} of a {key} are one subscription");
    }

    for at in 0..CASES.len() {
        by_row.sql(&format!("update case_{at} set n = n + 1; delete from case_{at}")).await;
    }
    let mut wanted = Vec::new();
    for (at, (key, rows, _)) in CASES.iter().enumerate() {
        let text = oracle.text(&format!("select {}::{}", literal(rows[0]), public(key))).await;
        for operation in ["update", "delete"] {
            wanted.push((operation.to_owned(), format!("public.case_{at}"), vec![text.clone()]));
        }
    }
    for subscriber in [&mut by_row, &mut by_field] {
        let told = subscriber.events().await;
        let told: Vec<_> =
            told.iter().map(|event| (event.operation().to_owned(), event.relation(), event.key())).collect();
        for (told, wanted) in told.iter().zip(&wanted) {
            assert_eq!(told, wanted);
        }
        assert_eq!(told.len(), wanted.len());
    }
}

/// A type of the test's own with its schema, which the oracle needs.
fn public(name: &str) -> String {
    let is_own = ["mood", "pair", "positive", "code", "amount"].iter().any(|own| name.starts_with(own));
    if is_own { format!("public.{name}") } else { name.to_owned() }
}

#[tokio::test]
async fn a_key_of_several_columns_may_be_named_in_any_order_and_spelling() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber
        .sql(
            "create table seat (\"row\" char(3), price numeric, at timestamptz, number int, n int default 0,
                                primary key (number, \"row\", at, price));
             insert into seat values ('A', 1.50, '2026-01-05 12:00Z', 7), ('A', 1.50, '2026-01-05 12:00Z', 70),
                                     ('A', 1.51, '2026-01-05 12:00Z', 7), ('AB', 1.50, '2026-01-05 12:00Z', 7),
                                     ('A', 1.50, '2026-01-05 12:01Z', 7);",
        )
        .await;
    subscriber.sql(ODD_SESSION).await;
    subscriber
        .sql(
            "select subscribe_row(meta.row_id('public', 'seat', array['row', 'price', 'at', 'number'],
                                              array['A', '1.5', '5.1.2026 17:30', '007']))",
        )
        .await;
    subscriber.sql("update seat set n = 1").await;
    assert_eq!(
        subscriber.told().await,
        ["update row seat 7,A  ,2026-01-05 12:00:00+00,1.50 {\"n\":1}"],
        "the key's own order, and the row's own spelling"
    );
}

#[tokio::test]
async fn a_number_keeps_its_subscribers_when_its_zeros_change() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql("create table price (id numeric primary key, n int); insert into price values (1.0, 0)").await;
    subscriber.row("price", "1.00").await;
    subscriber.sql("update price set id = 1.000; update price set n = 1").await;
    assert_eq!(subscriber.told().await, ["delete row price 1.0", "update row price 1.000 {\"n\":1}"]);
}

#[tokio::test]
async fn a_key_value_that_its_column_could_not_hold_is_refused() {
    let database = Database::installed().await;
    let subscriber = Subscriber::open(&database).await;
    subscriber.sql(TYPES).await;
    let refused = [
        ("integer", "x"),
        ("integer", ""),
        ("integer", "2147483648"),
        ("integer", "1; drop table case_0"),
        ("boolean", "maybe"),
        ("numeric(4,2)", "100"),
        ("uuid", "a0eebc99"),
        ("mood", "Sad"),
        ("date", "2026-02-30"),
        ("timestamptz", "2026-01-05 25:00"),
        ("inet", "10.1.2.300"),
        ("bytea", "\\xabc"),
        ("jsonb", "{"),
        // A cast would cut these, and name another row.
        ("varchar(5)", "abcdef"),
        ("code", "abcdef"),
        ("char(5)", "abcdef"),
        ("bit(3)", "1010"),
        ("varbit(3)", "1010"),
        ("varchar(2)[]", "{abc}"),
    ];
    for (at, (key, value)) in refused.into_iter().enumerate() {
        subscriber.sql(&format!("create table case_{at} (k {key} primary key)")).await;
        let row_id = format!("meta.row_id('public', 'case_{at}', 'k', {})", literal(value));
        let error = subscriber.try_sql(&format!("select subscribe_row({row_id})")).await;
        let error = error.expect_err(&format!("{value:?} is no {key}"));
        assert_eq!(error.message(), format!("\"{value}\" is no value of key column \"k\""));
        assert_eq!((error.code().code(), error.detail().is_some()), ("22023", true), "{error}");
    }
}
