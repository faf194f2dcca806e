//! `event.read`: an inbox page by page, for those who may use the session and nobody else.

use crate::support::{Database, Subscriber};

#[tokio::test]
async fn an_inbox_is_read_page_by_page() {
    let database = Database::installed().await;
    let _up = database.up().await;
    let reader = Subscriber::open(&database).await;
    reader.sql("create table t (id int primary key, note text)").await;
    reader.table("t").await;
    reader.sql("insert into t select i, 'x' from generate_series(1, 7) i").await;
    reader.sql("select sync()").await;
    let mut after = String::new();
    let mut pages = Vec::new();
    loop {
        let page = reader.rows(&format!(r#"select id, "row" ->> 'id' from read(null, '{after}', 3)"#)).await;
        let Some(last) = page.last() else { break };
        after = last[0].clone().unwrap();
        pages.push(page.into_iter().map(|row| row[1].clone().unwrap()).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(pages, ["1 2 3", "4 5 6", "7"]);
    let journal = "select count(*) from read(null) r join event.journal j using (id, committed_at, xid, change)
                   where r.\"row\"::text = j.row and r.value::text = j.value and r.old::text is not distinct from j.old";
    assert_eq!(reader.text(journal).await, "7");
    reader.sql(&format!("select ack(null, '{after}')")).await;
    assert_eq!(reader.text("select count(*) from read(null)").await, "0");
}

#[tokio::test]
async fn a_page_ends_when_rows_are_large() {
    let database = Database::installed().await;
    let _up = database.up().await;
    let reader = Subscriber::open(&database).await;
    reader.sql("create table t (id int primary key, note text)").await;
    reader.table("t").await;
    reader.sql("insert into t select i, repeat('x', 3000000) from generate_series(1, 3) i").await;
    reader.sql("select sync()").await;
    assert_eq!(reader.text("select count(*) from read(null)").await, "2");
    assert_eq!(reader.text("select octet_length(value ->> 'note') from read(null) limit 1").await, "3000000");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let database = Database::installed().await;
    let mine = Subscriber::open(&database).await;
    mine.sql("create role ann login; create role bob login").await;
    let hers = Subscriber::open_as(&database, "ann").await;
    let bob = database.connect_as("bob").await;
    let refused = async |client: &crate::support::Client, call: &str| {
        client.try_sql(&format!("select event.read({call})")).await.unwrap_err().message().to_owned()
    };
    let session = &hers.session;
    assert_eq!(refused(&bob, &format!("'{session}'")).await, format!("permission denied for session \"{session}\""));
    assert_eq!(refused(&bob, "null").await, "this connection has no current session");
    assert_eq!(refused(&mine, "null, 'x'").await, "\"x\" is not an event id");
    assert_eq!(refused(&mine, "null, null").await, "\"<NULL>\" is not an event id");
    assert_eq!(refused(&mine, "null, '', 0").await, "max_events must be at least 1");
    let other = gone(&mine, session).await;
    assert_eq!(refused(&mine, &format!("'{other}'")).await, format!("session \"{other}\" does not exist"));
    hers.sql(&format!("select session_share('{session}', 'bob')")).await;
    bob.sql(&format!("select event.read('{session}')")).await;
    let live = mine.text("select session_create(durable => false)").await;
    assert_eq!(refused(&mine, &format!("'{live}'")).await, format!("session \"{live}\" keeps no inbox"));
}

async fn gone(mine: &Subscriber, session: &str) -> String {
    mine.text(&format!("select gen_random_uuid() from event.session where id = '{session}'")).await
}
