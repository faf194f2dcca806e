//! A schema change is told like any other change: as the difference, at its place, whichever way it was made.

use super::relations;
use crate::support::{Client, Database, Subscriber, Table, Tidewire};

/// The first tier: what a migration is mostly about.
const FIRST: &str = "schema|table|column|view";

async fn subscribe(subscriber: &Subscriber, relation: &str) {
    subscriber.sql(&format!("select subscribe_table(meta.relation_id('meta', '{relation}'))")).await;
}

/// One subscriber for each of them.
async fn subscribers(database: &Database, relations: &[(String, String)]) -> Vec<Subscriber> {
    let mut subscribers = Vec::new();
    for (relation, _) in relations {
        let subscriber = Subscriber::open(database).await;
        subscribe(&subscriber, relation).await;
        subscribers.push(subscriber);
    }
    subscribers
}

/// A relation of meta, as it is.
async fn read(client: &Client, relation: &str, columns: &str) -> Table {
    Table::read(client, &format!("(select {columns} from meta.{relation:?})"), "array[id::text]").await
}

/// What each is told since the last call, without the rows: operation, relation, name.
async fn told(subscribers: &mut [Subscriber]) -> Vec<String> {
    let mut told = Vec::new();
    for subscriber in subscribers {
        for event in subscriber.events().await {
            let change = event
                .payload()
                .filter(|_| event.operation() == "update")
                .map(|payload| format!(" {}", serde_json::to_string(payload).unwrap()));
            told.push(format!(
                "{} {} {}{}",
                event.operation(),
                event.relation(),
                event.key().join(","),
                change.unwrap_or_default()
            ));
        }
    }
    told
}

#[tokio::test]
async fn a_column_is_told_of_whichever_way_it_came() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table person (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscribe(&subscriber, "column").await;
    let row = |name: &str, position: u32| {
        format!(
            "{{\"id\":{{\"relation_id\":{{\"schema_id\":{{\"name\":\"public\"}},\"name\":\"person\"}},\"name\":\"{name}\"}},\
             \"schema_name\":\"public\",\"relation_name\":\"person\",\"name\":\"{name}\",\"type\":\"integer\",\"collation_name\":null,\"position\":{position},\
             \"default\":null,\"nullable\":true,\"primary_key\":false,\"generated\":null,\"inherited\":false,\"comment\":null}}"
        )
    };
    client.sql("alter table person add column age integer").await;
    client.sql("insert into meta.column (schema_name, relation_name, name, type) values ('public', 'person', 'size', 'integer')").await;
    let events = subscriber.events().await;
    for (event, (name, position)) in events.iter().zip([("age", 2), ("size", 3)]) {
        assert_eq!((event.operation(), event.relation().as_str()), ("insert", "meta.column"));
        assert_eq!(event.key(), [format!("(\"(\"\"(public)\"\",person)\",{name})")]);
        assert_eq!(serde_json::to_string(&event.json["payload"]).unwrap(), row(name, position));
    }
    assert_eq!(events.len(), 2);
    // in the form of everywhere else
    let read = "select change, relation, field, value::text from event.read(null, '', 10)";
    let read = subscriber.rows(read).await;
    assert_eq!(
        read[0].iter().flatten().map(String::as_str).collect::<Vec<_>>(),
        ["row_insert", "meta.column", &row("age", 2)]
    );
    let tail = Tidewire::spawn(&["tail", "meta.column", "--database-url", &database.url()]);
    tail.wait_for_log("listening to").await;
    client.sql("alter table person drop column size").await;
    let line = tail.lines(1).await.remove(0);
    assert!(line.contains("row_delete") && line.contains("meta.column") && line.contains("\"size\""), "{line}");
    assert!(tail.stop().await.success());
}

#[tokio::test]
async fn exactly_the_difference_is_told_and_folding_it_leads_to_what_is() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table old (id int primary key, v text); create view seen as select id from old").await;
    let relations = relations(&client, FIRST).await;
    let mut subscribers = subscribers(&database, &relations).await;
    let mut folded = Vec::new();
    for (relation, columns) in &relations {
        folded.push(read(&client, relation, columns).await);
    }
    for (ddl, expected) in [
        ("create schema shop", &["insert meta.schema (shop)"][..]),
        (
            "create table shop.a (id int)",
            &[r#"insert meta.table ("(shop)",a)"#, r#"insert meta.column ("(""(shop)"",a)",id)"#],
        ),
        (
            "alter table shop.a add b int, add c int, add d int",
            &[
                r#"insert meta.column ("(""(shop)"",a)",b)"#,
                r#"insert meta.column ("(""(shop)"",a)",c)"#,
                r#"insert meta.column ("(""(shop)"",a)",d)"#,
            ],
        ),
        ("alter table shop.a alter b type bigint", &[r#"update meta.column ("(""(shop)"",a)",b) {"type":"bigint"}"#]),
        (
            "alter table shop.a alter b set default 1, alter b set not null",
            &[
                r#"update meta.column ("(""(shop)"",a)",b) {"default":"1"}"#,
                r#"update meta.column ("(""(shop)"",a)",b) {"nullable":false}"#,
            ],
        ),
        (
            "alter table shop.a add primary key (id)",
            &[
                r#"update meta.column ("(""(shop)"",a)",id) {"nullable":false}"#,
                r#"update meta.column ("(""(shop)"",a)",id) {"primary_key":true}"#,
            ],
        ),
        // a key that changes is another row
        (
            "alter table shop.a rename d to e",
            &[r#"delete meta.column ("(""(shop)"",a)",d)"#, r#"insert meta.column ("(""(shop)"",a)",e)"#],
        ),
        ("comment on column shop.a.e is 'it''s'", &[r#"update meta.column ("(""(shop)"",a)",e) {"comment":"it's"}"#]),
        ("comment on table shop.a is 'a'", &[r#"update meta.table ("(shop)",a) {"comment":"a"}"#]),
        ("alter table shop.a enable row level security", &[r#"update meta.table ("(shop)",a) {"row_security":true}"#]),
        ("begin; create table shop.gone (id int); drop table old cascade; rollback", &[]),
        (
            "begin; alter table shop.a add x int; alter table shop.a drop x; commit",
            &[r#"insert meta.column ("(""(shop)"",a)",x)"#, r#"delete meta.column ("(""(shop)"",a)",x)"#],
        ),
        ("savepoint_test", &[]),
        (
            "grant select on old to public; create index on old (v); create function f() returns int language sql as 'select 1'",
            &[],
        ),
        (
            "do $$ begin create table shop.made as select 1 as one; end $$",
            &[r#"insert meta.table ("(shop)",made)"#, r#"insert meta.column ("(""(shop)"",made)",one)"#],
        ),
        (
            "drop table old cascade",
            &[
                r#"delete meta.table ("(public)",old)"#,
                r#"delete meta.column ("(""(public)"",old)",id)"#,
                r#"delete meta.column ("(""(public)"",old)",v)"#,
                r#"delete meta.view ("(public)",seen)"#,
            ],
        ),
        (
            "update meta.table set name = 'b', comment = 'x' where name = 'made'; delete from meta.table where name = 'b'",
            &[
                r#"update meta.table ("(shop)",made) {"comment":"x"}"#,
                r#"delete meta.table ("(shop)",made)"#,
                r#"insert meta.table ("(shop)",b)"#,
                r#"delete meta.table ("(shop)",b)"#,
                r#"delete meta.column ("(""(shop)"",made)",one)"#,
                r#"insert meta.column ("(""(shop)"",b)",one)"#,
                r#"delete meta.column ("(""(shop)"",b)",one)"#,
            ],
        ),
    ] {
        if ddl == "savepoint_test" {
            client.sql("begin; savepoint s; create table shop.undone (id int); rollback to s; commit").await;
        } else {
            client.sql(ddl).await;
        }
        let mut all = told(&mut subscribers).await;
        all.retain(|told| !told.starts_with("gap"));
        let mut expected: Vec<String> = expected.iter().map(|&told| told.to_owned()).collect();
        // of several rows of one command none is before another
        all.sort();
        expected.sort();
        assert_eq!(all, expected, "{ddl}");
    }
    client
        .sql(
            "create type mood as enum ('sad'); create table shop.p (id int primary key, m mood default 'sad') partition by range (id);
             create table shop.p1 partition of shop.p for values from (0) to (9); alter table shop.p add z text;
             create view shop.v as select z from shop.p; create view shop.w as select * from shop.v; alter table shop.p rename z to y;
             alter type mood rename to moods; create extension hstore schema shop; create table shop.h (h shop.hstore);
             drop type moods cascade; alter schema shop rename to store; drop extension hstore cascade; create or replace view store.w as select 'x'::text as z;
             create sequence store.s; alter table store.p alter id set default nextval('store.s'); drop sequence store.s cascade",
        )
        .await;
    // what concerns more than a command names is upkeep's
    for (relation, columns) in &relations {
        let differing = format!(
            "select count(*) from (select {columns} from meta.{relation:?} except all select {columns} from event.meta_{relation}) d"
        );
        client.until(&differing, "0").await;
    }
    client.sql("select event.sync()").await;
    for (((relation, columns), folded), subscriber) in relations.iter().zip(&mut folded).zip(&mut subscribers) {
        for event in subscriber.inbox().await {
            folded.apply(&event);
        }
        assert_eq!(*folded, read(&client, relation, columns).await, "{relation}");
    }
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn a_schema_change_has_its_place_among_the_rows() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    subscribe(&subscriber, "column").await;
    // one row, one column of the catalog, one field of it
    let mut one = Subscriber::open(&database).await;
    let id = "meta.column_id('public', 't', 'v')::text";
    one.sql(&format!("select subscribe_row(meta.row_id('meta', 'column', 'id', {id}))")).await;
    let mut types = Subscriber::open(&database).await;
    types.sql("select subscribe_column(meta.column_id('meta', 'column', 'type'))").await;
    let mut field = Subscriber::open(&database).await;
    field.sql(&format!("select subscribe_field(meta.field_id('meta', 'column', 'id', {id}, 'nullable'))")).await;
    client
        .sql(
            "begin; insert into t values (1); alter table t add v int; update t set v = 2; alter table t alter v type text;
             update t set v = 'x'; alter table t alter v set not null; alter table t add other int; alter table t drop v;
             insert into t values (2); commit",
        )
        .await;
    let short = |told: Vec<String>| -> Vec<String> {
        told.into_iter()
            .map(|told| told.split(" {\"id\":{").next().unwrap().replace(r#"("(""(public)"",t)","#, "("))
            .collect()
    };
    assert_eq!(
        short(subscriber.told().await),
        [
            r#"insert table t 1 {"id":1}"#,
            "insert table meta.column (v)",
            r#"update table t 1 {"v":2}"#,
            r#"update table meta.column (v) {"type":"text"}"#,
            "gap rewritten",
            r#"update table t 1 {"v":"x"}"#,
            r#"update table meta.column (v) {"nullable":false}"#,
            "insert table meta.column (other)",
            "delete table meta.column (v)",
            r#"insert table t 2 {"id":2,"other":null}"#,
        ]
    );
    assert_eq!(
        short(one.told().await),
        [
            r#"update row meta.column (v) {"type":"text"}"#,
            r#"update row meta.column (v) {"nullable":false}"#,
            "delete row meta.column (v)"
        ]
    );
    assert_eq!(
        short(types.told().await),
        [
            "insert column meta.column (v)",
            r#"update column meta.column (v) {"type":"text"}"#,
            "insert column meta.column (other)",
            "delete column meta.column (v)"
        ]
    );
    assert_eq!(
        short(field.told().await),
        [r#"update field meta.column (v) {"nullable":false}"#, "delete field meta.column (v)"]
    );
}

#[tokio::test]
async fn what_no_event_trigger_follows_is_told_within_seconds() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.sql("create role tide login replication; grant create on database postgres to tide").await;
    let _tidewire = Tidewire::up(&database.url_as("tide")).await;
    let mut subscriber = Subscriber::open(&database).await;
    subscribe(&subscriber, "column").await;
    client.sql("create table t (id int)").await;
    client.sql("alter table t add v int; alter table t drop v; alter table t alter id type bigint").await;
    let held = "select count(*) from event.event";
    client.until(held, "1").await;
    client.sql("alter table t rename id to no").await;
    client.until(held, "3").await;
    let told: Vec<String> = subscriber
        .events()
        .await
        .iter()
        .map(|event| format!("{} {}", event.operation(), event.key().join("")))
        .collect();
    let id = |name: &str| format!("(\"(\"\"(public)\"\",t)\",{name})");
    assert_eq!(told, [format!("insert {}", id("id")), format!("delete {}", id("id")), format!("insert {}", id("no"))]);
}

#[tokio::test]
async fn what_an_open_transaction_changed_when_the_first_subscribed_is_told_too() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let open = database.connect().await;
    open.sql("begin; create table meanwhile (id int)").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscribe(&subscriber, "table").await;
    open.sql("commit").await;
    open.until("select count(*) from event.event", "1").await;
    let told = subscriber.events().await;
    assert_eq!((told[0].operation(), told[0].key()), ("insert", vec![r#"("(public)",meanwhile)"#.to_owned()]));
    // nor one that began before, and does not see the subscription
    for isolation in ["repeatable read", "serializable"] {
        open.sql(&format!("begin isolation level {isolation}; select 1; create table \"{isolation}\" (id int)")).await;
        open.sql("commit").await;
        open.until(&format!("select count(*) from event.event where event::text like '%{isolation}%'"), "1").await;
    }
}

#[tokio::test]
async fn what_a_command_does_not_name_is_told_within_seconds() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create role keeper; create schema types; create type types.mood as enum ('sad'); create sequence s; create table comp (a int);
             create function f() returns int language sql as 'select 1';
             create table t (m types.mood default 'sad', s int default nextval('s'), c comp, f int default f()); alter table t owner to keeper",
        )
        .await;
    let relations = relations(&client, FIRST).await;
    let subscribers = subscribers(&database, &relations).await;
    for ddl in [
        "alter schema types rename to kinds",
        "alter type kinds.mood rename to moods",
        "alter sequence s rename to s2",
        "alter table comp rename to comp2",
        "alter function f() rename to g",
        "alter role keeper rename to owner",
        "reassign owned by owner to postgres",
        "set session_replication_role = replica; create table unseen (id int); set session_replication_role = origin",
    ] {
        client.sql(ddl).await;
        for (relation, columns) in &relations {
            let differing = format!(
                "select count(*) from (select {columns} from meta.{relation:?} except all select {columns} from event.meta_{relation}) d"
            );
            client.until(&differing, "0").await;
        }
    }
    drop(subscribers);
}

#[tokio::test]
async fn a_schema_change_never_fails_and_tells_nothing_of_its_sessions_settings() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql("create table t (at timestamptz default '2024-01-01 00:00+00', d date default '2024-01-31', v text)")
        .await;
    client.sql("create view w as select * from t where at > '2024-02-02 00:00+00'").await;
    let mut subscribers = subscribers(&database, &relations(&client, FIRST).await).await;
    // what a session has set changes no text
    let other = database.connect().await;
    other.sql("set timezone = 'Asia/Tokyo'; set datestyle = 'German'; set quote_all_identifiers = on; create temp table text (x int)").await;
    other.sql("alter table t add x int; comment on view w is 'w'").await;
    let added = [r#"insert meta.column ("(""(public)"",t)",x)"#, r#"update meta.view ("(public)",w) {"comment":"w"}"#];
    assert_eq!(told(&mut subscribers).await, added);
    // two serializable transactions, a short statement_timeout, a locked table that a view reads
    let [one, two] = [database.connect().await, database.connect().await];
    for (client, name) in [(&one, "one"), (&two, "two")] {
        client.sql(&format!("begin isolation level serializable; create table {name} (a int)")).await;
    }
    one.sql("commit").await;
    two.sql("commit").await;
    // the shortest with which the statement itself is done on this machine just now
    for timeout in [3, 10, 30, 100, 1000, 10_000] {
        client.sql(&format!("set statement_timeout = '{timeout}ms'")).await;
        if client.try_sql("create table three (a int)").await.is_ok() {
            break;
        }
    }
    one.sql("begin; lock table t").await;
    two.sql("create table four (a int); create function g() returns int language sql as 'select 1'; alter function g() cost 2").await;
    one.sql("commit").await;
    client.sql("set statement_timeout = 0").await;
    client.until("select count(*) from event.meta_table where name in ('one', 'two', 'three', 'four')", "4").await;
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn first_subscriptions_to_different_relations_of_meta_do_not_fail_each_other() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let (one, other) = (Subscriber::open(&database).await, Subscriber::open(&database).await);
    one.sql("begin").await;
    subscribe(&one, "column").await;
    // whatever another does that has not committed
    other.sql("select subscribe_table(meta.relation_id('meta', 'schema'))").await;
    other.sql("create schema here").await;
    other.until("select count(*) from event.event", "1").await;
    one.sql("commit; select event.sync()").await;
    other.sql("create table here.t (a int)").await;
    one.until("select count(*) > 0 from event.event", "t").await;
}

#[tokio::test]
async fn nobody_subscribed_costs_a_schema_change_nothing_and_somebody_little() {
    const TABLES: u32 = 500;
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(&format!(
            "do $$ begin for t in 1..{TABLES} loop
                 execute format('create table t%s (%s)', t, (select string_agg(format('c%s text default ''x''', c), ', ') from generate_series(1, 20) c));
             end loop; end $$; analyze"
        ))
        .await;
    let alter = async |from: u32| {
        let mut times = Vec::new();
        for t in from..from + 40 {
            let before = client.processor_time().await;
            client.sql(&format!("alter table t{t} add column more integer")).await;
            times.push(client.processor_time().await - before);
        }
        times.sort();
        times[times.len() / 2]
    };
    let before = alter(1).await;
    assert_eq!(client.text("select count(*) from event.meta_column").await, "0", "nobody asked");
    let mut subscriber = Subscriber::open(&database).await;
    subscribe(&subscriber, "column").await;
    let after = alter(101).await;
    assert_eq!(subscriber.events().await.len(), 40);
    println!(
        "processor time of alter table add column beside {} columns: {before:?} with nobody subscribed, {after:?} with somebody",
        TABLES * 20
    );
    assert!(after < before + std::time::Duration::from_millis(50), "{before:?}, {after:?}");
    let relations = relations(&client, ".*").await;
    for (relation, _) in &relations {
        subscribe(&subscriber, relation).await;
    }
    let all = alter(201).await;
    println!("with somebody subscribed to all {} relations of meta: {all:?}", relations.len());
    assert!(all < before + std::time::Duration::from_millis(200), "{before:?}, {all:?}");
    // it is over with the last one
    subscriber.sql("select unsubscribe(id) from event.subscription").await;
    client.until("select count(*) from event.watched", "0").await;
    client.sql("create table u (id int)").await;
    assert_eq!(client.text("select count(*) from event.meta_table where name = 'u'").await, "0");
}
