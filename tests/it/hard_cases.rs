//! What a statement does to the rows is what is told, however it does it.

use crate::support::{Database, Subscriber, Table};

#[tokio::test]
async fn a_changed_key_is_a_deleted_row_and_an_inserted_one() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table t (id int primary key, name text, large text);
              alter table t alter large set storage external;
              create table pair (b int, v int, a text, primary key (a, b));
              insert into t values (1, 'x', repeat('l', 5000)); insert into pair values (1, 0, 'a'), (2, 0, 'a')",
        )
        .await;
    let mut table = Subscriber::open(&database).await;
    table.table("t").await;
    table.table("pair").await;
    let mut old = Subscriber::open(&database).await;
    old.row("t", "1").await;
    let mut new = Subscriber::open(&database).await;
    new.field("t", "2", "name").await;
    let mut column = Subscriber::open(&database).await;
    column.column("t", "name").await;

    client.sql("update t set id = 2").await;
    let row = format!(r#"t 2 {{"id":2,"name":"x","large":"{}"}}"#, "l".repeat(5000));
    assert_eq!(table.told().await, ["delete table t 1".to_owned(), format!("insert table {row}")]);
    assert_eq!(old.told().await, ["delete row t 1"]);
    assert_eq!(column.told().await, ["delete column t 1".to_owned(), format!("insert column {row}")]);
    assert!(new.told().await.is_empty());
    client.sql("update t set id = 3, name = 'y'").await;
    assert_eq!(new.told().await, ["delete field t 2"]);
    assert!(old.told().await.is_empty());

    table.told().await;
    client.sql("update pair set b = b + 10, v = 7").await;
    assert_eq!(
        table.told().await,
        [
            "delete table pair a,1",
            r#"insert table pair a,11 {"b":11,"v":7,"a":"a"}"#,
            "delete table pair a,2",
            r#"insert table pair a,12 {"b":12,"v":7,"a":"a"}"#
        ]
    );
}

#[tokio::test]
async fn rows_of_a_table_without_a_key_come_and_go_whole() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (a int, b text, unique (a)); insert into t values (1, 'x'), (null, null)").await;
    let mut table = Subscriber::open(&database).await;
    table.table("t").await;
    let mut column = Subscriber::open(&database).await;
    column.column("t", "b").await;
    for refused in [
        "select subscribe_row(meta.row_id('public', 't', 'a', '1'))",
        "select subscribe_field(meta.field_id('public', 't', 'a', '1', 'b'))",
    ] {
        let error = table.try_sql(refused).await.unwrap_err();
        assert!(error.message().contains("has no primary key"), "{error}");
    }

    client.sql("insert into t values (2, 'y')").await;
    client.sql("update t set b = 'z' where a = 1").await;
    client.sql("update t set a = 3 where a = 2").await;
    client.sql("update t set a = a, b = b").await;
    client.sql("delete from t where a is null").await;
    assert_eq!(
        table.told().await,
        [
            r#"insert table - {"a":2,"b":"y"}"#,
            r#"delete table - {"a":1,"b":"x"}"#,
            r#"insert table - {"a":1,"b":"z"}"#,
            r#"delete table - {"a":2,"b":"y"}"#,
            r#"insert table - {"a":3,"b":"y"}"#,
            r#"delete table - {"a":null,"b":null}"#,
        ]
    );
    assert_eq!(
        column.told().await,
        [
            r#"insert column - {"a":2,"b":"y"}"#,
            r#"delete column - {"a":1,"b":"x"}"#,
            r#"insert column - {"a":1,"b":"z"}"#,
            r#"delete column - {"a":null,"b":null}"#,
        ]
    );
}

#[tokio::test]
async fn a_large_value_is_told_when_it_changes_and_only_then() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    for (table, key) in [("keyed", "primary key"), ("bare", "")] {
        client
            .sql(&format!(
                "create table {table} (id int {key}, large text, small int, other text);
                 alter table {table} alter large set storage external, alter other set storage external;
                 insert into {table} values (1, repeat('a', 100000), 1, repeat('b', 90000))"
            ))
            .await;
    }
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("keyed").await;
    let mut bare = Subscriber::open(&database).await;
    bare.column("bare", "large").await;

    client.sql("update keyed set small = 2; update bare set small = 2").await;
    assert_eq!(subscriber.told().await, [r#"update table keyed 1 {"small":2}"#]);
    assert!(bare.told().await.is_empty());
    // written again as it is: another copy of the same value
    client.sql("update keyed set large = repeat('a', 100000), small = 3").await;
    client.sql("update bare set large = repeat('a', 100000)").await;
    assert_eq!(subscriber.told().await, [r#"update table keyed 1 {"small":3}"#]);
    assert!(bare.told().await.is_empty());

    client.sql("update keyed set large = large || 'c'; update bare set large = large || 'c'").await;
    assert_eq!(subscriber.told().await, ["update table keyed 1 truncated"]);
    let held = subscriber.inbox().await.pop().unwrap();
    assert_eq!(held.json["payload"]["large"], "a".repeat(100_000) + "c");
    assert_eq!(bare.told().await, ["delete column - truncated", "insert column - truncated"]);
    let inserted = bare.inbox().await.pop().unwrap();
    let now = client.text("select to_jsonb(bare) from bare").await;
    assert_eq!(inserted.json["payload"], serde_json::from_str::<serde_json::Value>(&now).unwrap(), "whole");
}

#[tokio::test]
async fn an_emptied_table_is_one_event_a_session() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table a (id int primary key, v int);
              create table b (id int primary key, a int references a);
              create table c (id int);
              create table unwatched (id int primary key references a);
              insert into a values (1, 1), (2, 2)",
        )
        .await;
    let mut subscriber = Subscriber::open(&database).await;
    for id in ["1", "2", "3"] {
        subscriber.field("a", id, "v").await;
    }
    subscriber.column("a", "v").await;
    subscriber.table("c").await;
    let mut of_b = Subscriber::open(&database).await;
    of_b.row("b", "1").await;
    of_b.field("b", "2", "a").await;

    client.sql("truncate c, a, b, unwatched").await;
    let mut told = subscriber.told().await;
    told.sort();
    assert_eq!(told, ["truncate column a", "truncate table c"]);
    assert_eq!(of_b.told().await, ["truncate row b"]);

    client.sql("truncate a cascade").await;
    assert_eq!(subscriber.told().await, ["truncate column a"]);
    assert_eq!(of_b.told().await, ["truncate row b"]);

    client.sql("begin; insert into c values (1); truncate c; insert into c values (2); truncate c restart identity; commit").await;
    client.sql("begin; truncate a cascade; rollback").await;
    client.sql("truncate unwatched").await;
    assert_eq!(
        subscriber.told().await,
        [r#"insert table - {"id":1}"#, "truncate table c", r#"insert table - {"id":2}"#, "truncate table c"]
    );
    assert!(of_b.told().await.is_empty());
}

#[tokio::test]
async fn nothing_is_told_of_what_changed_nothing_or_was_rolled_back() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table t (id int primary key, v text, f float8, n numeric, j jsonb);
              insert into t values (1, 'x', 'NaN', 1.50, '{\"a\":1}')",
        )
        .await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("update t set id = id, v = v, f = 'NaN', n = 1.50, j = '{ \"a\" : 1 }'").await;
    client.sql("update t set v = 'y' where false").await;
    client.sql("insert into t values (1, 'y') on conflict do nothing").await;
    client.sql("begin; insert into t values (2); update t set v = 'y'; rollback").await;
    client.try_sql("begin; insert into t values (3); insert into t values (1); commit").await.unwrap_err();
    client.sql("rollback").await;
    assert!(subscriber.told().await.is_empty());

    client
        .sql(
            "begin; savepoint a; update t set v = 'no'; savepoint b; delete from t; rollback to a;
              insert into t values (4); release a; savepoint c; insert into t values (5); rollback to c;
              do $$ begin insert into t values (6); raise 'no'; exception when others then null; end $$;
              insert into t values (7); commit",
        )
        .await;
    let row = |id: u8| format!(r#"insert table t {id} {{"id":{id},"v":null,"f":null,"n":null,"j":null}}"#);
    assert_eq!(subscriber.told().await, [row(4), row(7)]);

    // forth and back in one transaction: each is a change
    client.sql("begin; update t set v = 'y' where id = 1; update t set v = 'x' where id = 1; commit").await;
    assert_eq!(subscriber.told().await, [r#"update table t 1 {"v":"y"}"#, r#"update table t 1 {"v":"x"}"#]);
    // equal for the type and not the same value
    client.sql("update t set n = 1.5 where id = 1").await;
    assert_eq!(subscriber.told().await, [r#"update table t 1 {"n":1.5}"#]);
}

#[tokio::test]
async fn generated_columns_are_told_where_the_wal_has_them() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (g int generated always as (v * 2) stored, id int primary key, v int)").await;
    let mut subscriber = Subscriber::open(&database).await;
    let mut table = Table::read(&client, "t", "array[id]::text[]").await;
    subscriber.table("t").await;
    let mut column = Subscriber::open(&database).await;
    column.column("t", "v").await;
    let has_them = client.major().await >= 18;
    let mut generated = Subscriber::open(&database).await;
    let subscribe = "select subscribe_column(meta.column_id('public', 't', 'g'))";
    if has_them {
        generated.sql(subscribe).await;
    } else {
        let error = generated.try_sql(subscribe).await.unwrap_err();
        assert!(error.message().contains("is generated"), "{error}");
    }
    client.sql("insert into t (id, v) values (1, 2)").await;
    client.sql("update t set v = 3").await;
    client.sql("update t set id = 2").await;
    if has_them {
        let told = subscriber.events().await;
        assert_eq!(told.len(), 5, "{told:?}");
        told.iter().for_each(|event| table.apply(event));
        assert_eq!(table, Table::read(&client, "t", "array[id]::text[]").await);
        assert_eq!(generated.told().await[1], r#"update column t 1 {"g":6}"#);
        assert_eq!(column.told().await[1], r#"update column t 1 {"v":3}"#);
    }
    client.sql("alter table t rename v to w; update t set w = 4").await;
    if has_them {
        assert_eq!(subscriber.told().await, [r#"update table t 2 {"g":8}"#, r#"update table t 2 {"w":4}"#]);
        assert_eq!(column.told().await, [r#"update column t 2 {"w":4}"#]);
        assert_eq!(generated.told().await, [r#"update column t 2 {"g":8}"#]);
    } else {
        let changes = [
            r#"insert KIND t 1 {"id":1,"v":2}"#,
            r#"update KIND t 1 {"v":3}"#,
            "delete KIND t 1",
            r#"insert KIND t 2 {"id":2,"v":3}"#,
            r#"update KIND t 2 {"w":4}"#,
        ];
        assert_eq!(subscriber.told().await, changes.map(|change| change.replace("KIND", "table")));
        assert_eq!(column.told().await, changes.map(|change| change.replace("KIND", "column")));
    }
}

#[tokio::test]
async fn null_is_a_value_and_a_missing_key_is_not() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key, a text, b jsonb, c text default 'null')").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t (id) values (1)").await;
    client.sql("update t set a = ''").await;
    client.sql("update t set a = null, b = 'null'").await;
    client.sql("update t set b = null, c = null").await;
    assert_eq!(
        subscriber.told().await,
        [
            r#"insert table t 1 {"id":1,"a":null,"b":null,"c":"null"}"#,
            r#"update table t 1 {"a":""}"#,
            r#"update table t 1 {"a":null}"#,
            r#"update table t 1 {"b":null}"#,
            r#"update table t 1 {"b":null}"#,
            r#"update table t 1 {"c":null}"#,
        ]
    );
    let expected = client.rows("select field, value::text from event.change where field is not null order by id").await;
    assert_eq!(expected.last().unwrap(), &[Some("c".to_owned()), Some("null".to_owned())]);
}

#[tokio::test]
async fn every_statement_that_writes_is_told_as_what_it_did() {
    let database = Database::start_with(&[("max_prepared_transactions", "5")]).await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table t (id int primary key, v int);
              create table twin (like t including all);
              insert into t values (1, 1), (2, 2), (3, 3)",
        )
        .await;
    let mut subscriber = Subscriber::open(&database).await;
    let mut table = Table::read(&client, "t", "array[id]::text[]").await;
    subscriber.table("t").await;

    client.sql("insert into t values (1, 9), (4, 4) on conflict (id) do update set v = excluded.v").await;
    assert_eq!(
        subscriber
            .events()
            .await
            .iter()
            .map(|event| {
                table.apply(event);
                event.to_string()
            })
            .collect::<Vec<_>>(),
        [r#"update table t 1 {"v":9}"#, r#"insert table t 4 {"id":4,"v":4}"#]
    );

    client.sql("copy t from program 'printf \"5\\t5\\n6\\t\\\\N\\n\"'").await;
    let mut told = subscriber.events().await;
    assert_eq!(told.len(), 2);

    // MERGE is PostgreSQL 15's
    if client.major().await >= 15 {
        client
            .sql(
                "merge into t using (values (1, 10), (2, 0), (7, 7)) as s (id, v) on t.id = s.id
                  when matched and s.v = 0 then delete when matched then update set v = s.v
                  when not matched then insert values (s.id, s.v)",
            )
            .await;
        told.extend(subscriber.events().await);
        assert_eq!(told.len(), 5);
    }
    client
        .sql(
            "begin; declare c cursor for select * from t order by id for update; move 1 in c; fetch 1 from c;
              update t set v = -1 where current of c; fetch 1 from c; delete from t where current of c; commit",
        )
        .await;
    client.sql("with gone as (delete from t where id = 5 returning *) insert into t select id + 10, v from gone").await;
    client.sql("update t set v = s.v + 1 from (select id, v from t) s where s.id = t.id and s.v is not null").await;
    client
        .sql("create function f() returns trigger language plpgsql as $$ begin new.v := 77; return new; end $$")
        .await;
    client.sql("create trigger f before insert on t for each row execute function f()").await;
    client.sql("insert into t values (20, 1)").await;
    client.sql("create view seen as select * from t where id > 2").await;
    client.sql("update seen set v = 78 where id = 20").await;
    client.sql("insert into twin values (99, 99)").await;
    told.extend(subscriber.events().await);

    client.sql("begin; insert into t values (30, 1); prepare transaction 'p'").await;
    client.sql("begin; insert into t values (31, 1); prepare transaction 'q'").await;
    client.sql("insert into t values (32, 1)").await;
    client.sql("rollback prepared 'q'").await;
    client.sql("commit prepared 'p'").await;
    let prepared = subscriber.events().await;
    assert_eq!(prepared.iter().map(|event| event.key().concat()).collect::<Vec<_>>(), ["32", "30"]);
    told.extend(prepared);

    told.iter().for_each(|event| table.apply(event));
    assert_eq!(table, Table::read(&client, "t", "array[id]::text[]").await);
}

#[tokio::test]
async fn a_child_by_inheritance_is_a_table_of_its_own() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table parent (id int primary key, v int);
              create table child (extra text, primary key (id)) inherits (parent);
              insert into parent values (1, 1); insert into child values (1, 1, 'x')",
        )
        .await;
    let mut of_parent = Subscriber::open(&database).await;
    of_parent.table("parent").await;
    let mut of_child = Subscriber::open(&database).await;
    of_child.row("child", "1").await;
    assert_eq!(client.text("select relreplident from pg_class where relname = 'child'").await, "f");

    client.sql("update parent set v = 2").await;
    client.sql("insert into child values (2, 2, 'y')").await;
    client.sql("delete from parent").await;
    assert_eq!(of_parent.told().await, [r#"update table parent 1 {"v":2}"#, "delete table parent 1"]);
    assert_eq!(of_child.told().await, [r#"update row child 1 {"v":2}"#, "delete row child 1"]);

    let subscription = client.text("select id from event.subscription where kind = 'row'").await;
    of_child.sql(&format!("select unsubscribe('{subscription}')")).await;
    client.until("select relreplident from pg_class where relname = 'child'", "d").await;
    client.sql("truncate parent").await;
    assert_eq!(of_parent.told().await, ["truncate table parent"]);
    client.sql("alter table child no inherit parent; insert into child values (3)").await;
    assert!(of_parent.told().await.is_empty());
}

/// As the apply worker of a subscription does. What PostgreSQL has an origin of is told like anything else: its stream is
/// not asked to leave out what has one (`origin = none`), though that would also leave out what Tidewire writes.
#[tokio::test]
async fn what_was_replicated_from_elsewhere_is_told_too() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table t (id int primary key); select pg_replication_origin_create('elsewhere')").await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("t").await;
    client.sql("insert into t values (1)").await;
    client.sql("select pg_replication_origin_session_setup('elsewhere')").await;
    client.sql("insert into t values (2)").await;
    client
        .sql("begin; select pg_replication_origin_xact_setup('0/1', now()); update t set id = 3 where id = 2; commit")
        .await;
    client.sql("select pg_replication_origin_session_reset(); insert into t values (4)").await;
    assert_eq!(
        subscriber.told().await,
        [1, 2]
            .iter()
            .map(|id| format!(r#"insert table t {id} {{"id":{id}}}"#))
            .chain(["delete table t 2".to_owned()])
            .chain([3, 4].iter().map(|id| format!(r#"insert table t {id} {{"id":{id}}}"#)))
            .collect::<Vec<_>>()
    );
}
