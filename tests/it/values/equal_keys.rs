//! Values that are equal and written otherwise name the same row, or cannot name one: for every type that a primary key can have.
//! PostgreSQL's equality is the oracle.

use std::collections::BTreeSet;

use super::samples;
use super::server_types::{ServerTypes, literal};
use super::watched_table::ORACLE;
use crate::support::{Client, Database, Subscriber};

/// Containers of what is equal and written otherwise, alone and beside what is not.
const TYPES: &str =
    "create type public.amounts as (a numeric, n int); create type public.labelled as (a numeric, t text);
    create type public.padding as (a char(3), b int); create type public.loose as (a bpchar);
    create type public.spans as range (subtype = interval); create type public.rates as range (subtype = numeric);
    create domain public.rate as numeric;";

/// Spellings of a type beside the samples.
const SPELLINGS: [(&str, &[&str]); 22] = [
    ("numeric", &["1", "1.00", "10", "-0.50", "-0.5", "0.00", "0", "100.0", "1e2", "NaN"]),
    ("rate", &["1", "1.00", "10"]),
    ("float8", &["0", "-0", "1", "1.0", "1e-7", "1e20", "10"]),
    ("float4", &["0", "-0", "1.5", "1.50"]),
    (
        "_numeric",
        &[
            "{1,2}",
            "{1.00,2.0}",
            "{NULL,0.10}",
            "{NULL,0.1}",
            "[0:1]={1,2}",
            "[0:1]={1.0,2}",
            "{{1.10},{2}}",
            "{{1.1},{2.0}}",
        ],
    ),
    ("_float8", &["{0,-0}", "{0,0}", "{-0,0}", "{-0.5}", "{1e-05}"]),
    ("numrange", &["[1,2)", "[1.00,2.0)", "(,1.10]", "(,1.1]", "[-0.50,)", "[-0.5,)", "empty", "[2,2)"]),
    ("_numrange", &["{\"[1,2)\"}", "{\"[1.00,2.0)\"}"]),
    ("nummultirange", &["{[1,2),[3,4)}", "{[1.0,2.0),[3.00,4)}", "{[3,4),[1,2)}"]),
    ("floatrange", &["[0,1)", "[-0,1)", "[-0,1.0)"]),
    ("rates", &["[1,2)", "[1.00,2.0)"]),
    ("int4range", &["[1,3]", "[1,4)", "(0,4)"]),
    (
        "interval",
        &[
            "1 day",
            "24:00:00",
            "1 mon",
            "30 days",
            "-1 mon",
            "-30 days",
            "1 year",
            "360 days",
            "1 year -1 mon",
            "330 days",
            "1 mon -30 days",
            "00:00:00",
            "00:00:00.500",
            "1 mon -00:00:01",
            "29 days 23:59:59",
            "-1 days +02:00:00",
            "-22:00:00",
        ],
    ),
    (
        "jsonb",
        &[
            "1.00",
            "1",
            "[1.0,1.50]",
            "[1,1.5]",
            "\"1.00\"",
            "\"1.0\"",
            "{\"a\":1.10,\"1.00\":\"\\\"2.50\"}",
            "{\"1.00\":\"\\\"2.50\",\"a\":1.1}",
            "{\"a\":1.10,\"1.0\":\"\\\"2.50\"}",
            "-0.0",
            "0",
            "[\"\\\\\",1.0]",
            "[\"\\\\\",1]",
            "100",
            "1e2",
            "10",
        ],
    ),
    ("bpchar", &["ab", "ab ", "ab  ", "a b", " ab"]),
    ("money", &["7", "7.00", "$7", "-7", "70", "0.70"]),
    ("amounts", &["(1,2)", "(1.00,2)", "(,2)", "(1.5,)", "(1.50,)"]),
    ("padding", &["(ab,1)", "(\"ab \",1)"]),
    ("timetz", &["04:05:00+00", "09:35:00+05:30", "04:05+00"]),
    (
        "timestamptz",
        &["2026-01-05 12:00:00+00", "2026-01-05 17:30:00+05:30", "2026-01-05 12:00:00.50Z", "2026-01-05 12:00:00.5Z"],
    ),
    ("bit", &["1", "0"]),
    ("inet", &["10.1.2.3", "10.1.2.3/32", "10.0.0.0/8", "::ffff:10.1.2.3", "::FFFF:10.1.2.3"]),
];

/// Types by whose values a row can be named, and some by whose it cannot.
const NAMED: &str = "bool bytea char name int8 int2 int4 text oid numeric float4 float8 interval jsonb bpchar varchar money date time timestamp
    timestamptz timetz uuid inet cidr macaddr macaddr8 bit varbit pg_lsn xid8 tsvector int4range numrange nummultirange tstzrange _text _int4 _numeric
    _float8 _numrange _uuid mood pair floatrange textrange rates rate amounts padding padded code price";
const UNNAMED: &str =
    "tsquery regclass regtype regrole regproc _regclass _jsonb _interval _bpchar labelled loose spans";

/// Longer values are no better keys, and a notification or an index may have no room for them.
const LONGEST: usize = 200;

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

/// A type that a primary key can have, in a table of its own, and spellings of its values.
struct Keyed {
    type_name: String,
    table: String,
    spellings: Vec<String>,
}

impl Keyed {
    fn texts(&self) -> String {
        let value = |text: &String| format!("({0}, {0}::{1})", literal(text), self.type_name);
        format!("(values {}) v (text, value)", self.spellings.iter().map(value).collect::<Vec<_>>().join(","))
    }

    /// Pairs whose keys are equal and whose values are not, or the other way round; `None` where rows cannot be named.
    async fn mistaken(&self, client: &Client) -> Option<Vec<Vec<Option<String>>>> {
        let keys = format!(
            "with v as materialized (select v.*, event._key_text('public.{}'::regclass, '{{k}}', array[v.text]) as key from {})",
            self.table,
            self.texts()
        );
        match client.try_sql(&format!("{keys} select count(*) from v")).await {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.code().code(), "0A000", "{}: {error}", self.type_name);
                assert!(error.detail().is_some() && error.hint().is_some(), "{}: {error}", self.type_name);
                return None;
            }
        }
        let pairs = "select a.text, b.text, a.key, b.key from v a join v b on a.text < b.text where record_eq(row(a.value), row(b.value)) <> (a.key = b.key)";
        Some(client.rows(&format!("{keys} {pairs}")).await)
    }
}

/// A table for each type that a key can have, with the values as rows.
async fn create(client: &Client) -> Vec<(String, Keyed)> {
    let types = ServerTypes::read(client).await;
    let mut all = Vec::new();
    for (oid, of) in types.iter() {
        // an array is as its element is: some are enough
        if of.key.starts_with('_') && !words(NAMED).chain(words(UNNAMED)).any(|word| word == of.key) {
            continue;
        }
        let table = format!("key_{oid}");
        let made = format!("create table public.{table} (k {} primary key, n int default 0)", of.name);
        if client.try_sql(&made).await.is_err() {
            continue;
        }
        let own = SPELLINGS.iter().find(|(key, _)| *key == of.key).map_or(&[][..], |(_, spellings)| spellings);
        let own = own.iter().map(|text| (*text).to_owned());
        let mut spellings: Vec<String> = own.chain(types.texts(oid).unwrap_or_default()).collect();
        spellings.retain(|text| text.len() < LONGEST);
        spellings.truncate(20);
        let mut seen = BTreeSet::new();
        spellings.retain(|text| seen.insert(text.clone()));
        let insert = |texts: &[String]| {
            let values: Vec<String> = texts.iter().map(|text| format!("({}::{})", literal(text), of.name)).collect();
            format!("insert into public.{table} values {} on conflict do nothing", values.join(","))
        };
        if client.try_sql(&insert(&spellings)).await.is_err() {
            let mut taken = Vec::new();
            for text in spellings {
                if client.try_sql(&insert(std::slice::from_ref(&text))).await.is_ok() {
                    taken.push(text);
                }
            }
            spellings = taken;
        }
        // an array of what cannot be compared
        if spellings.is_empty() {
            continue;
        }
        client.sql(&format!("delete from public.{table} where octet_length(format('%s', k)) > {LONGEST}")).await;
        client.sql(&format!("select event.watch('public.{table}')")).await;
        all.push((of.key.clone(), Keyed { type_name: of.name.clone(), table, spellings }));
    }
    all
}

#[tokio::test]
async fn equal_keys_name_one_row_whatever_their_type() {
    let database = Database::start().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(ORACLE).await;
    client.sql(samples::SETUP).await;
    client.sql(TYPES).await;
    let available = "select name from pg_available_extensions where name in ('citext', 'hstore', 'ltree', 'isn', 'cube', 'seg') order by name";
    for extension in client.rows(available).await.iter().flatten().flatten() {
        client.sql(&format!("create extension {extension} schema public")).await;
    }
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.sql(ORACLE).await;
    let (mut named, mut unnamed) = (BTreeSet::new(), BTreeSet::new());
    let mut wanted = BTreeSet::new();
    for (key, keyed) in create(&client).await {
        let Some(mistaken) = keyed.mistaken(&client).await else {
            unnamed.insert(key);
            continue;
        };
        assert_eq!(
            mistaken,
            Vec::<Vec<Option<String>>>::new(),
            "{key}: equal values with other keys, or others with equal keys"
        );
        let Keyed { table, .. } = &keyed;
        // by another spelling than the row's own, where there is one
        let spelling = format!(
            "coalesce((select v.text from {} where record_eq(row(v.value), row(r.k)) and v.text <> format('%s', r.k) limit 1), format('%s', r.k))",
            keyed.texts()
        );
        subscriber
            .sql(&format!(
                "select event.subscribe_row(meta.row_id('public', '{table}', 'k', {spelling})) from public.{table} r"
            ))
            .await;
        for row in client.rows(&format!("select format('%s', k) from public.{table}")).await {
            wanted.insert((format!("public.{table}"), row[0].clone().unwrap()));
        }
        client.sql(&format!("update public.{table} set n = 1")).await;
        named.insert(key);
    }
    let told = subscriber.events().await;
    let told: BTreeSet<_> = told
        .iter()
        .map(|event| {
            assert_eq!(event.operation(), "update", "{}", event.text);
            let key = event.key().pop().unwrap_or_else(|| panic!("no key: {}", event.text));
            (event.relation(), key)
        })
        .collect();
    let missing: Vec<_> = wanted.difference(&told).collect();
    assert!(missing.is_empty(), "never told of: {missing:?}");
    for key in words(NAMED) {
        assert!(named.contains(&key), "rows can be named by a key of {key}");
    }
    for key in words(UNNAMED) {
        assert!(unnamed.contains(&key), "rows cannot be named by a key of {key}");
    }
    for (key, is_named) in
        [("citext", false), ("cube", false), ("seg", false), ("hstore", true), ("ltree", true), ("isbn", true)]
    {
        assert!(if is_named { !unnamed.contains(key) } else { !named.contains(key) }, "{key}");
    }
}

#[tokio::test]
async fn a_key_that_text_cannot_name_is_refused_with_a_hint() {
    let database = Database::start().await;
    database.install().await;
    let subscriber = Subscriber::open(&database).await;
    let collation = "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    let mut types = vec!["regclass", "jsonb[]"];
    if subscriber.try_sql(collation).await.is_ok() {
        types.extend(["text collate blind", "text[] collate blind", "char(3) collate blind"]);
    }
    if subscriber.try_sql("create extension citext schema public").await.is_ok() {
        types.extend(["citext", "citext[]"]);
    }
    for (at, key) in types.into_iter().enumerate() {
        subscriber.sql(&format!("create table t_{at} (a int, k {key}, n int, primary key (a, k))")).await;
        for call in [
            format!("subscribe_row(meta.row_id('public', 't_{at}', array['a','k'], array['1','pg_class']))"),
            format!("subscribe_field(meta.field_id('public', 't_{at}', array['a','k'], array['1','pg_class'], 'n'))"),
        ] {
            let error = subscriber.try_sql(&format!("select {call}")).await.expect_err(key);
            assert_eq!(
                error.message(),
                format!("rows of \"public.t_{at}\" cannot be named by their key"),
                "{key}: {error}"
            );
            assert_eq!(error.code().code(), "0A000");
            let plain = key.trim_end_matches(" collate blind").replace("char(", "character(");
            let detail = error.detail().unwrap();
            assert!(detail.starts_with("Column \"k\" is of type") && detail.contains(&plain), "{detail}");
            assert!(error.hint().unwrap().starts_with("Subscribe to the table or to a column"), "{:?}", error.hint());
        }
        // the table itself can be
        subscriber.table(&format!("t_{at}")).await;
    }
}
