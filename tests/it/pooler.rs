//! A pooler between a client and the server: Tidewire refuses it, clients that name their session
//! work through it.

use crate::support::{Client, Database, Pooler, command, tidewire};

const LOCKS: &str = "select count(*) from pg_locks where locktype = 'advisory'";
const PERSON: &str = "create table person (id integer primary key, name text)";
const TABLE: &str = "meta.relation_id('public', 'person')";

/// What a statement is refused with.
async fn refused(client: &Client, sql: &str) -> String {
    match client.try_sql(sql).await {
        Ok(()) => panic!("not refused: {sql}"),
        Err(error) => format!("{} {}", error.code().code(), error.message()),
    }
}

#[tokio::test]
async fn every_command_refuses_a_pooler_before_it_locks() {
    let database = Database::on_tcp(&[]).await;
    let client = database.connect().await;
    client.sql(PERSON).await;
    for (mode, further) in [
        ("transaction", ""),
        ("transaction", "ignore_startup_parameters = options"),
        ("session", ""),
        ("session", "ignore_startup_parameters = options"),
    ] {
        let Some(pooler) = Pooler::start(&database, mode, 2, further).await else { return };
        let url = pooler.url_as("postgres");
        for args in [&["up"][..], &["check"], &["install"], &["uninstall"], &["tail", "public.person"]] {
            let output = tidewire(&[args, &["--database-url", &url]].concat()).await;
            let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
            assert!(text.contains("a connection pooler answers, not the server itself"), "{args:?}: {text}");
            assert!(text.contains("the address of PostgreSQL itself"), "{args:?}: {text}");
            assert_eq!(client.text(LOCKS).await, "0", "{mode} {further}: {args:?}");
        }
    }
    let traces = "select count(*) from pg_namespace where nspname in ('event', 'meta')";
    assert_eq!(client.text(traces).await, "0");
    // the server itself is none, over TCP or a socket
    for url in [database.tcp_url(), database.url()] {
        let output = command(&["check", "--database-url", &url]).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[tokio::test]
async fn clients_that_name_their_session_work_through_a_pooler() {
    let database = Database::on_tcp(&[]).await;
    database.connect().await.sql(PERSON).await;
    let _up = database.up().await;
    for mode in ["transaction", "session"] {
        // in session mode a connection of the pool belongs to one client at a time
        let Some(pooler) = Pooler::start(&database, mode, 2, "").await else { return };
        let (first, second) =
            (Client::connect(&pooler.url_as("postgres")).await, Client::connect(&pooler.url_as("postgres")).await);
        let mut sessions = Vec::new();
        for (client, name) in [(&first, "first"), (&second, "second")] {
            let session = client.text(&format!("select event.session_create('{mode} {name}')")).await;
            // a job finds it again by its name
            assert_eq!(client.text(&format!("select event.session_create('{mode} {name}')")).await, session);
            sessions.push(session);
        }
        assert_ne!(sessions[0], sessions[1]);
        first.sql(&format!("select event.subscribe_table('{}', {TABLE})", sessions[0])).await;
        second
            .sql(&format!(
                "select event.subscribe_column('{}', meta.column_id('public', 'person', 'name'))",
                sessions[1]
            ))
            .await;
        first.sql("insert into person values (1, 'Ann'); update person set name = 'Bob'; delete from person").await;
        second.sql("select event.sync()").await;
        for (client, session) in [(&first, &sessions[0]), (&second, &sessions[1])] {
            let changes = format!("select string_agg(change, ' ' order by id) from event.read('{session}')");
            assert_eq!(client.text(&changes).await, "row_insert field_update row_delete", "{mode}");
            client.sql(&format!("select event.ack('{session}', (select max(id) from event.read('{session}')))")).await;
            assert_eq!(client.text(&format!("select count(*) from event.read('{session}')")).await, "0");
            client.sql(&format!("select event.session_delete('{session}')")).await;
        }
    }
}

#[tokio::test]
async fn two_clients_of_a_pooler_share_no_session_unnamed() {
    let database = Database::on_tcp(&[]).await;
    database.connect().await.sql(PERSON).await;
    let _up = database.up().await;
    for (mode, size) in [("transaction", 1), ("transaction", 2), ("session", 2)] {
        let Some(pooler) = Pooler::start(&database, mode, size, "").await else { return };
        let (first, second) =
            (Client::connect(&pooler.url_as("postgres")).await, Client::connect(&pooler.url_as("postgres")).await);
        first.sql("select event.session_create()").await;
        second.sql("select event.session_create()").await;
        for client in [&first, &second] {
            for call in [
                &format!("subscribe_table({TABLE})"),
                "session_pin()",
                "session_detach()",
                "read(null)",
                "ack(null, '0')",
            ] {
                let says = refused(client, &format!("select event.{call}")).await;
                assert_eq!(says, "55000 this connection has no current session", "{mode}: {call}");
            }
        }
        assert_eq!(first.text("select count(*) from event.subscription").await, "0");
        // in one transaction the connection is one client's
        first
            .sql(&format!("begin; select event.session_create('mine'); select event.subscribe_table({TABLE}); commit"))
            .await;
        let owner = "select s.name from event.subscription u join event.session s on s.id = u.session_id";
        assert_eq!(first.text(owner).await, "mine");
        assert!(refused(&second, "select event.session_detach()").await.starts_with("55000"));
        first.sql("select event.session_delete(id) from event.session").await;
    }
}

#[tokio::test]
async fn nothing_of_a_session_stays_in_a_poolers_connection() {
    let database = Database::on_tcp(&[]).await;
    let direct = database.connect().await;
    direct.sql(PERSON).await;
    let _up = database.up().await;
    let Some(pooler) = Pooler::start(&database, "transaction", 1, "").await else { return };
    let (first, mut second) =
        (Client::connect(&pooler.url_as("postgres")).await, Client::connect(&pooler.url_as("postgres")).await);
    let session = first.text("select event.session_create()").await;
    let not_own = "55000 this connection is not known to be the client's own";
    for call in [
        format!("session_attach('{session}')"),
        format!("session_pin('{session}')"),
        "session_create('live', false)".to_owned(),
    ] {
        assert_eq!(refused(&first, &format!("select event.{call}")).await, not_own, "{call}");
    }
    assert_eq!(second.text("select count(*) from pg_listening_channels()").await, "0");
    assert_eq!(direct.text("select count(*) from event.session").await, "1");
    first.sql(&format!("select event.subscribe_table('{session}', {TABLE})")).await;
    first.sql("insert into person values (1, 'Ann')").await;
    second.sql("select event.sync()").await;
    // what another client's session is sent does not come here
    second.sql("select 1").await;
    assert!(second.drain().is_empty());
    // the pool holds none of the locks that mark a session as held
    let held = "select count(*) from pg_locks where locktype = 'advisory' and objsubid = 2";
    assert_eq!(direct.text(held).await, "0");
}

#[tokio::test]
async fn a_connection_is_the_clients_own_by_its_startup_or_its_word() {
    let database = Database::on_tcp(&[]).await;
    database.install().await;
    // as drivers that send no setting at all, and a pooler in session mode
    let Some(pooler) = Pooler::start(&database, "session", 2, "").await else { return };
    let quiet = Client::connect(&pooler.url_as("postgres")).await;
    let session = quiet.text("select event.session_create()").await;
    let attach = format!("select event.session_attach('{session}')");
    assert!(refused(&quiet, &attach).await.starts_with("55000"));
    quiet.sql("set event.own_connection = on").await;
    quiet.sql(&attach).await;
    assert_eq!(quiet.text("select string_agg(c, ' ') from pg_listening_channels() c").await, session);
    quiet.sql("select event.session_detach()").await;
    for (said, says) in [("off", "55000"), ("perhaps", "22023")] {
        quiet.sql(&format!("set event.own_connection = '{said}'")).await;
        assert!(refused(&quiet, &attach).await.starts_with(says), "{said}");
    }
    let direct = database.connect().await;
    direct.sql("select event.session_create(); select event.session_pin(); select event.session_detach()").await;
}
