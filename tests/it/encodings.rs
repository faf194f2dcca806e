//! Databases whose encoding is not UTF8: the texts are what they are, and a character without equivalent is a gap and no end.

use crate::support::{Client, Database, Subscriber, Tidewire};
use crate::values::create_database;

/// Encoding, a text that has an equivalent in UTF-8, bytes that have none.
const ENCODINGS: [(&str, &str, &str); 5] = [
    ("WIN1252", "h\u{e4}\u{20ac}", r"E'\x81'"),
    ("WIN1251", "\u{416}\u{20ac}", r"E'\x98'"),
    ("EUC_JP", "\u{3042}\u{4e02}\u{ff71}\u{ff5e}", r"E'\xa9\xa1'"),
    ("EUC_KR", "\u{d55c}!", r"E'\xc9\xa1'"),
    ("SQL_ASCII", "\u{e4}", r"E'\xe4'"),
];

async fn held(subscriber: &Subscriber) -> Vec<String> {
    subscriber.sql("select event.sync()").await;
    subscriber.inbox().await.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_character_that_utf8_lacks_is_a_gap_and_no_end() {
    let database = Database::start().await;
    for (encoding, good, bad) in ENCODINGS {
        println!("{encoding}");
        let url = create_database(&database, encoding).await;
        let tidewire = Tidewire::up(&url).await;
        let client = Client::connect(&url).await;
        client.sql("create table t (id int primary key, v text); create table u (id int primary key, v text)").await;
        let subscriber = Subscriber::create(Client::connect(&url).await, "session_create()").await;
        subscriber.table("t").await;
        let other = Subscriber::create(Client::connect(&url).await, "session_create()").await;
        other.table("u").await;

        // by a role that may connect and nothing else
        client.sql("drop role if exists bob; create role bob login").await;
        let bob = Client::connect(&url.replace("postgres@", "bob@")).await;
        bob.sql(&format!("select pg_logical_emit_message(false, {bad}, ''), pg_logical_emit_message(true, {bad}, '')"))
            .await;
        bob.sql(&format!("select event.session_create({bad})")).await;
        client.sql(&format!("insert into t values (1, '{good}')")).await;
        client.sql(&format!("insert into t values (2, 'x' || {bad})")).await;
        client
            .sql(&format!("begin; insert into t values (3, '{good}'); update t set v = v || {bad} where id = 3"))
            .await;
        client.sql("update t set v = 'c' where id = 3; insert into u values (1, 'u'); commit").await;
        let one = |id: u32, v: &str| format!(r#"insert table t {id} {{"id":{id},"v":"{v}"}}"#);
        let gap = || "gap not_utf8".to_owned();
        let mut expected = vec![one(1, good), gap(), one(3, good), gap(), gap()];
        assert_eq!(held(&subscriber).await, expected, "{encoding}");
        assert_eq!(held(&other).await, [r#"insert table u 1 {"id":1,"v":"u"}"#], "{encoding}");
        assert!(!tidewire.stderr().contains("trying again"), "{}", tidewire.stderr());

        // keys, and names of columns and tables
        other.sql("select event.subscribe_row(meta.row_id('public', 'u', 'id', '1'))").await;
        client.sql("create table k (v text primary key)").await;
        other.sql(&format!("select event.subscribe_row(meta.row_id('public', 'k', 'v', {bad}))")).await;
        client.sql(&format!("insert into k values ({bad}); delete from k")).await;
        client
            .sql(&format!(
                "do $do$ begin execute format('create table odd (id int primary key, %I text)', {bad}); end $do$"
            ))
            .await;
        other.table("odd").await;
        client.sql("insert into odd values (1, 'a'); insert into t values (4, 'd')").await;
        expected.push(one(4, "d"));
        assert_eq!(held(&subscriber).await, expected, "{encoding}");
        let told: Vec<String> = held(&other).await;
        assert_eq!(told[1..], [gap(), gap(), "gap change_failed".to_owned()], "{encoding}");

        // a new start, and one without the slot
        assert!(tidewire.stop().await.success());
        let tidewire = Tidewire::up(&url).await;
        client.sql("insert into t values (5, 'e')").await;
        expected.push(one(5, "e"));
        assert_eq!(held(&subscriber).await, expected, "{encoding}");
        assert!(tidewire.stop().await.success());
        let free = "select count(*) from pg_replication_slots where not active and database = current_database()";
        client.until(free, "1").await;
        client.sql("select pg_drop_replication_slot(slot) from event.status").await;
        let tidewire = Tidewire::up(&url).await;
        client.sql("insert into t values (6, 'f')").await;
        let after = held(&subscriber).await;
        assert_eq!(after[expected.len()..], ["gap slot_lost".to_owned(), one(6, "f")], "{encoding}");
        assert!(tidewire.stop().await.success());
    }
}
