//! A partitioned table is one table: whatever leaf holds a row, its changes are the root's.

use crate::support::{Database, Subscriber, Table};

const IDENTITIES: &str =
    "select string_agg(c.relname || ' ' || c.relreplident::text, ', ' order by c.relname) from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'";

#[tokio::test]
async fn a_partitions_changes_are_told_as_the_roots() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    // two levels, by range and by list, and leaves whose columns stand in another order
    client
        .sql(
            "create table sale (region text, id int, amount int, primary key (id, region)) partition by list (region);
              create table north partition of sale for values in ('n') partition by range (id);
              create table north_low partition of north for values from (0) to (100);
              create table north_high (junk int, amount int, id int not null, region text not null);
              alter table north_high drop column junk;
              alter table north attach partition north_high for values from (100) to (200);
              create table south (amount int, region text not null, id int not null);
              alter table sale attach partition south for values in ('s');
              create schema elsewhere;
              create table elsewhere.rest partition of sale default;
              insert into sale values ('n', 1, 0), ('s', 1, 0)",
        )
        .await;
    let mut table = Subscriber::open(&database).await;
    table.table("sale").await;
    let mut column = Subscriber::open(&database).await;
    column.column("sale", "amount").await;
    let mut row = Subscriber::open(&database).await;
    row.sql("select subscribe_row(meta.row_id('public', 'sale', array['id', 'region'], array['101', 'n']))").await;
    for leaf in ["north", "south"] {
        let refused = format!("select subscribe_table(meta.relation_id('public', '{leaf}'))");
        let error = table.try_sql(&refused).await.unwrap_err();
        assert!(error.message().contains("it is a partition"), "{error}");
    }
    let mut told = Table::read(&client, "sale", "array[id::text, region]").await;
    assert_eq!(client.text(IDENTITIES).await, "north_high f, north_low f, south f");

    client.sql("insert into sale values ('n', 2, 5), ('n', 101, 6), ('s', 2, 7), ('x', 9, 8)").await;
    client.sql("insert into south values (1, 's', 3)").await;
    client.sql("update north_high set amount = 60").await;
    client.sql("update sale set amount = amount + 1 where region <> 'n'").await;
    client.sql("delete from elsewhere.rest").await;
    let events = table.events().await;
    assert_eq!(
        events.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            r#"insert table sale 2,n {"region":"n","id":2,"amount":5}"#,
            r#"insert table sale 101,n {"region":"n","id":101,"amount":6}"#,
            r#"insert table sale 2,s {"region":"s","id":2,"amount":7}"#,
            r#"insert table sale 9,x {"region":"x","id":9,"amount":8}"#,
            r#"insert table sale 3,s {"region":"s","id":3,"amount":1}"#,
            r#"update table sale 101,n {"amount":60}"#,
            r#"update table sale 1,s {"amount":1}"#,
            r#"update table sale 2,s {"amount":8}"#,
            r#"update table sale 3,s {"amount":2}"#,
            r#"update table sale 9,x {"amount":9}"#,
            "delete table sale 9,x",
        ]
    );
    events.iter().for_each(|event| told.apply(event));
    assert_eq!(told, Table::read(&client, "sale", "array[id::text, region]").await);
    assert_eq!(
        column.events().await.iter().map(|event| event.id().to_owned()).collect::<Vec<_>>(),
        events.iter().map(|event| event.id().to_owned()).collect::<Vec<_>>()
    );
    assert_eq!(row.told().await, [r#"update row sale 101,n {"amount":60}"#]);

    // from one leaf to another: its key is another
    client.sql("update sale set region = 's', amount = 61 where id = 101").await;
    assert_eq!(
        table.told().await,
        ["delete table sale 101,n", r#"insert table sale 101,s {"region":"s","id":101,"amount":61}"#]
    );
    assert_eq!(row.told().await, ["delete row sale 101,n"]);
}

#[tokio::test]
async fn a_row_that_only_moves_between_leaves_is_told_as_it_is_written() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table log (at int, v text) partition by range (at);
              create table log_1 partition of log for values from (0) to (10);
              create table log_2 (v text, at int);
              alter table log attach partition log_2 for values from (10) to (20);
              insert into log values (1, 'x')",
        )
        .await;
    let mut table = Subscriber::open(&database).await;
    table.table("log").await;
    client.sql("update log set at = 11").await;
    client.sql("update log set v = 'y'").await;
    assert_eq!(
        table.told().await,
        [
            r#"delete table - {"at":1,"v":"x"}"#,
            r#"insert table - {"at":11,"v":"x"}"#,
            r#"delete table - {"at":11,"v":"x"}"#,
            r#"insert table - {"at":11,"v":"y"}"#
        ]
    );
}

#[tokio::test]
async fn leaves_that_join_later_are_told_from_their_first_row_on() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table log (id int primary key, v text) partition by range (id);
              create table log_1 partition of log for values from (0) to (10)",
        )
        .await;
    let mut table = Subscriber::open(&database).await;
    let subscription = table.table("log").await;
    client.sql("create table log_2 partition of log for values from (10) to (20)").await;
    client.sql("insert into log values (11, 'a')").await;
    client.sql("update log set v = 'b'").await;
    // in the same transaction as its first rows; and one that had rows and columns of its own before
    client.sql("create table log_3 partition of log for values from (20) to (30); insert into log values (21, 'a'); update log set v = 'c' where id = 21").await;
    client.sql("create table log_4 (v text, id int not null); insert into log_4 values ('before', 31)").await;
    client.sql("alter table log attach partition log_4 for values from (30) to (40)").await;
    client.sql("update log set v = 'd' where id = 31").await;
    client
        .sql(
            "create table log_5 (id int not null, v text) partition by range (id);
              create table log_51 partition of log_5 for values from (40) to (45);
              -- the walsender has seen it, and its identity need not change
              alter table log_51 replica identity full; insert into log_51 values (44, 'before');
              alter table log attach partition log_5 for values from (40) to (50);
              insert into log values (41, 'a'); update log set v = 'e' where id = 41",
        )
        .await;
    assert_eq!(client.text(IDENTITIES).await, "log_1 f, log_2 f, log_3 f, log_4 f, log_51 f");
    assert_eq!(
        table.told().await,
        [
            r#"insert table log 11 {"id":11,"v":"a"}"#,
            r#"update table log 11 {"v":"b"}"#,
            r#"insert table log 21 {"id":21,"v":"a"}"#,
            r#"update table log 21 {"v":"c"}"#,
            "gap rewritten",
            r#"update table log 31 {"v":"d"}"#,
            "gap rewritten",
            r#"insert table log 41 {"id":41,"v":"a"}"#,
            r#"update table log 41 {"v":"e"}"#,
        ]
    );
    // what left is not the table's any more
    client.sql("alter table log detach partition log_4").await;
    client.sql("insert into log_4 values ('x', 32); drop table log_3; update log set v = 'f' where id = 11").await;
    assert_eq!(
        table.told().await,
        ["truncate table log_4", "truncate table log_3", r#"update table log 11 {"v":"f"}"#]
    );

    table.sql(&format!("select unsubscribe('{subscription}')")).await;
    // log_51 was FULL before it joined
    client.until(IDENTITIES, "log_1 d, log_2 d, log_4 d, log_51 f").await;
}

#[tokio::test]
async fn a_truncate_names_what_was_emptied() {
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client
        .sql(
            "create table log (id int primary key, v text) partition by range (id);
              create table log_1 partition of log for values from (0) to (10);
              create table log_2 partition of log for values from (10) to (30) partition by range (id);
              create table log_21 partition of log_2 for values from (10) to (20);
              create table log_22 partition of log_2 for values from (20) to (30);
              create table other (id int)",
        )
        .await;
    let mut table = Subscriber::open(&database).await;
    table.table("log").await;
    table.table("other").await;
    let mut row = Subscriber::open(&database).await;
    row.row("log", "3").await;

    client.sql("truncate log").await;
    assert_eq!(table.told().await, ["truncate table log"]);
    assert_eq!(row.told().await, ["truncate row log"]);
    client.sql("truncate log_1").await;
    assert_eq!(table.told().await, ["truncate table log_1"]);
    assert_eq!(row.told().await, ["truncate row log_1"]);
    client.sql("truncate log_2").await;
    assert_eq!(table.told().await, ["truncate table log_21", "truncate table log_22"]);
    client.sql("truncate other, log_22, log_1").await;
    let mut told = table.told().await;
    told.sort();
    assert_eq!(told, ["truncate table log_1", "truncate table log_22", "truncate table other"]);
    client.sql("truncate log, other").await;
    let mut told = table.told().await;
    told.sort();
    assert_eq!(told, ["truncate table log", "truncate table other"]);
}

#[tokio::test]
async fn a_partitions_changes_are_the_roots_as_it_was_at_the_change() {
    for is_late in [false, true] {
        let database = Database::start().await;
        let mut tidewire = Some(database.up().await);
        let client = database.connect().await;
        client
            .sql(
                "create schema archive;
                  create table log (id int primary key, v int) partition by range (id);
                  create table log_1 partition of log for values from (0) to (10);
                  create table log_2 (v int, id int not null, primary key (id));
                  alter table log attach partition log_2 for values from (10) to (20);
                  insert into log values (1, 1), (11, 1)",
            )
            .await;
        let mut table = Subscriber::open(&database).await;
        table.table("log").await;
        let mut field = Subscriber::open(&database).await;
        field.field("log", "1", "v").await;
        client.sql("select event.sync()").await;
        if is_late {
            assert!(tidewire.take().unwrap().stop().await.success());
        }
        for change in [
            "update log set v = 2",
            "alter table log rename to book",
            "update book set v = 3 where id = 1",
            "alter table book rename column v to w; update book set w = 4 where id = 1",
            "alter table book set schema archive",
            "update archive.book set w = 5 where id = 1",
            "alter schema archive rename to attic; update attic.book set w = 6 where id = 1",
            "update attic.book set w = 7",
            "alter table attic.book detach partition log_2",
            "update log_2 set w = 8",
            "drop table log_2",
            "truncate log_1",
            "create table log_3 partition of attic.book for values from (20) to (30); insert into attic.book values (21, 9)",
            "delete from attic.book",
            "drop table log_3",
            "drop table attic.book",
        ] {
            client.sql(change).await;
        }
        if is_late {
            tidewire = Some(database.up().await);
        }
        assert_eq!(
            table.told().await,
            [
                r#"update table log 1 {"v":2}"#,
                r#"update table log 11 {"v":2}"#,
                r#"update table book 1 {"v":3}"#,
                r#"update table book 1 {"w":4}"#,
                r#"update table archive.book 1 {"w":5}"#,
                r#"update table attic.book 1 {"w":6}"#,
                r#"update table attic.book 1 {"w":7}"#,
                r#"update table attic.book 11 {"w":7}"#,
                "truncate table log_2",
                "truncate table attic.book",
                r#"insert table attic.book 21 {"id":21,"w":9}"#,
                "delete table attic.book 21",
                "truncate table log_3",
                "subscription_ended relation_dropped",
            ],
            "late: {is_late}"
        );
        assert_eq!(
            field.told().await,
            [
                r#"update field log 1 {"v":2}"#,
                r#"update field book 1 {"v":3}"#,
                r#"update field book 1 {"w":4}"#,
                r#"update field archive.book 1 {"w":5}"#,
                r#"update field attic.book 1 {"w":6}"#,
                r#"update field attic.book 1 {"w":7}"#,
                "truncate field log_2",
                "truncate field attic.book",
                "truncate field log_3",
                "subscription_ended relation_dropped",
            ],
            "late: {is_late}"
        );
        assert!(tidewire.unwrap().stop().await.success());
    }
}

#[tokio::test]
async fn a_partition_that_is_not_in_the_wal_ends_its_tables_subscriptions_and_nothing_else() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create table parts (id int primary key, v text) partition by range (id)").await;
    client.sql("create table parts_1 partition of parts for values from (0) to (10)").await;
    client.sql("create table t (id int primary key, v text)").await;
    let mut parts = Subscriber::open(&database).await;
    parts.table("parts").await;
    let mut field = Subscriber::open(&database).await;
    field.column("t", "v").await;
    client.sql("create unlogged table parts_2 partition of parts for values from (10) to (20)").await;
    let ended = parts.events().await.remove(0);
    assert_eq!(ended.json["reason"], "partition_not_logged", "{ended}");
    client.sql("alter table t drop column v").await;
    assert_eq!(field.events().await.remove(0).json["reason"], "column_dropped");
    client.until("select relreplident from pg_class where relname = 'parts_1'", "d").await;
    assert!(!tidewire.stderr().contains("upkeep failed"), "{}", tidewire.stderr());
}

#[tokio::test]
async fn a_partitioned_tables_owner_watches_it() {
    let database = Database::start().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    client.sql("create role ann login; grant create on schema public to ann").await;
    let ann = database.connect_as("ann").await;
    for (table, key) in [("without", ""), ("with_key", " primary key")] {
        ann.sql(&format!("create table {table} (id int{key}, v text) partition by range (id)")).await;
        ann.sql(&format!("create table {table}_1 partition of {table} for values from (0) to (10)")).await;
        ann.sql(&format!("select event.watch('{table}')")).await;
        ann.sql(&format!("select event.watch('{table}')")).await;
        ann.sql(&format!("select event.unwatch('{table}')")).await;
    }
    assert!(tidewire.stop().await.success());
}
