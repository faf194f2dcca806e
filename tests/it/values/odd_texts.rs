//! Texts that one of those on the way would refuse, or count otherwise.

use crate::support::{Client, Database, SEARCH_PATH, Subscriber, Tidewire};

/// A new database in another encoding.
pub async fn create_database(database: &Database, encoding: &str) -> String {
    let client = database.connect().await;
    let name = encoding.to_lowercase();
    client
        .sql(&format!("create database {name} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0"))
        .await;
    database.url_of("postgres", &name)
}

#[tokio::test]
async fn json_that_jsonb_refuses_is_told_as_it_was_written() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let owner = database.connect().await;
    owner.sql(SEARCH_PATH).await;
    owner
        .sql(
            "create role reader login; create table note (id int primary key, doc json, secret json);
              grant select (id, doc) on note to reader; select event.watch('note')",
        )
        .await;
    // Who may not see all columns is shown a part of each row, which has to be taken apart.
    let mut reader = Subscriber::create(database.connect_as("reader").await, "session_create()").await;
    reader.column("note", "doc").await;
    let documents = [
        r#""\u0000""#,
        r#""\ud800""#,
        "1e1000000",
        "-0",
        r#"{"a":{"a":[1,{"b":"],}\"\\"}]},"a":2,"":[]}"#,
        r#"{"secret":"\\\\\"","id":null,"d\u0000c":[{},[]]}"#,
    ];
    for (id, document) in documents.iter().enumerate() {
        owner.sql(&format!("insert into note values ({id}, '{document}', '{document}')")).await;
    }
    reader.sql("select event.sync()").await;
    let told = reader.notifications(documents.len()).await;
    for (id, (told, document)) in told.iter().zip(documents).enumerate() {
        let payload = format!("\"payload\" : {{\"id\":{id},\"doc\":{document}}}");
        assert!(told.payload().contains(&payload), "{}\nwithout {payload}", told.payload());
    }
    let query = format!("select event from event.event where session_id = '{}' order by id", reader.session);
    let inbox: Vec<String> = reader.rows(&query).await.into_iter().map(|row| row[0].clone().unwrap()).collect();
    let told: Vec<&str> = told.iter().map(|told| told.payload()).collect();
    assert_eq!(inbox, told, "the inbox has the same bytes");

    let mut again = Subscriber::attach(database.connect_as("reader").await, &reader.session).await;
    let sent_again = again.notifications(documents.len()).await;
    assert_eq!(sent_again.iter().map(|told| told.payload()).collect::<Vec<_>>(), told);
}

#[tokio::test]
async fn an_event_is_cut_short_at_the_same_size_in_any_encoding() {
    let database = Database::start().await;
    let url = create_database(&database, "LATIN1").await;
    let _tidewire = Tidewire::up(&url).await;
    let mut subscriber = Subscriber::create(Client::connect(&url).await, "session_create()").await;
    subscriber.sql("create table note (id int primary key, body text)").await;
    subscriber.table("note").await;
    // 4500 bytes there, 9000 in UTF-8.
    subscriber.sql("insert into note values (1, repeat('é', 4500)), (2, repeat('é', 3000))").await;
    subscriber.sql("select event.sync()").await;
    let told = subscriber.notifications(2).await;
    assert_eq!(
        told.iter().map(|told| told.payload().contains("\"truncated\" : true")).collect::<Vec<_>>(),
        [true, false]
    );
    let mut again = Subscriber::attach(Client::connect(&url).await, &subscriber.session).await;
    let sent_again = again.notifications(2).await;
    for (told, again) in told.iter().zip(&sent_again) {
        assert_eq!(told.payload(), again.payload());
    }
}
