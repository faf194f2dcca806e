//! A subscription follows its object through schema changes, and ends when the object does.
//!
//! What is told must not depend on how far behind tidewire is: each story is also told with tidewire down until all of
//! it has happened, when the catalog no longer knows what the changes were made to.

use crate::support::{Database, Subscriber, Tidewire};

/// A database, tidewire on it or not yet, and a session for each kind of subscription.
struct Story {
    database: Database,
    tidewire: Option<Tidewire>,
    kinds: Vec<Subscriber>,
}

/// When tidewire gets to see what happens.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Seen {
    AtOnce,
    Afterwards,
}

const BOTH: [Seen; 2] = [Seen::AtOnce, Seen::Afterwards];

impl Story {
    /// Table, column, row and field of table t are subscribed to, each by a session of its own.
    async fn start(seen: Seen, schema: &str) -> Story {
        let database = Database::start().await;
        let mut tidewire = Some(database.up().await);
        database.connect().await.sql(schema).await;
        let mut kinds = Vec::new();
        for kind in 0..4 {
            let subscriber = Subscriber::open(&database).await;
            match kind {
                0 => subscriber.table("t").await,
                1 => subscriber.column("t", "v").await,
                2 => subscriber.row("t", "1").await,
                _ => subscriber.field("t", "1", "v").await,
            };
            kinds.push(subscriber);
        }
        kinds[0].sql("select event.sync()").await;
        if seen == Seen::Afterwards {
            assert!(tidewire.take().unwrap().stop().await.success());
        }
        Story { database, tidewire, kinds }
    }

    /// Each statement in a transaction of its own.
    async fn happens(&self, statements: &[&str]) {
        let client = self.database.connect().await;
        for statement in statements {
            client.sql(statement).await;
        }
    }

    /// What each session is told, in the order table, column, row, field.
    async fn told(&mut self) -> [Vec<String>; 4] {
        if self.tidewire.is_none() {
            self.tidewire = Some(self.database.up().await);
        }
        let mut told = [const { Vec::new() }; 4];
        for (told, subscriber) in told.iter_mut().zip(&mut self.kinds) {
            *told = subscriber.told().await;
        }
        told
    }
}

/// The lines with the kind in place of KIND; of those that begin with one of the letters in the kind's list alone.
fn expected(lines: &[(&str, &str)]) -> [Vec<String>; 4] {
    [("t", "table"), ("c", "column"), ("r", "row"), ("f", "field")].map(|(letter, kind)| {
        let mine = lines.iter().filter(|(kinds, _)| kinds.contains(letter));
        mine.map(|(_, line)| line.replace("KIND", kind)).collect()
    })
}

#[tokio::test]
async fn a_subscription_follows_what_is_renamed() {
    for seen in BOTH {
        for one_transaction in [false, true] {
            let mut story =
                Story::start(seen, "create table t (id int primary key, w int, v int); insert into t values (1, 1, 1)")
                    .await;
            let statements = [
                "update t set v = 2, w = 2",
                "alter table t rename to renamed",
                "update renamed set v = 3, w = 3",
                "alter table renamed rename column v to \"new v\"",
                "update renamed set \"new v\" = 4, w = 4",
                // names are exchanged
                "alter table renamed rename column w to other",
                "alter table renamed rename column \"new v\" to w",
                "alter table renamed rename column other to v",
                "update renamed set v = 5, w = 5",
                "alter table renamed rename column id to key",
                "create schema s",
                "alter table renamed set schema s",
                "update s.renamed set w = 6",
                "alter schema s rename to z",
                "update z.renamed set w = 7",
                "insert into z.renamed values (2, 8, 8)",
                "delete from z.renamed",
            ];
            match one_transaction {
                true => story.happens(&[&statements.join("; ")]).await,
                false => story.happens(&statements).await,
            }
            let told = story.told().await;
            assert_eq!(
                told,
                expected(&[
                    ("tr", r#"update KIND t 1 {"w":2}"#),
                    ("tcrf", r#"update KIND t 1 {"v":2}"#),
                    ("tr", r#"update KIND renamed 1 {"w":3}"#),
                    ("tcrf", r#"update KIND renamed 1 {"v":3}"#),
                    ("tr", r#"update KIND renamed 1 {"w":4}"#),
                    ("tcrf", r#"update KIND renamed 1 {"new v":4}"#),
                    ("tr", r#"update KIND renamed 1 {"v":5}"#),
                    ("tcrf", r#"update KIND renamed 1 {"w":5}"#),
                    ("tcrf", r#"update KIND s.renamed 1 {"w":6}"#),
                    ("tcrf", r#"update KIND z.renamed 1 {"w":7}"#),
                    ("tc", r#"insert KIND z.renamed 2 {"key":2,"v":8,"w":8}"#),
                    ("tcrf", "delete KIND z.renamed 1"),
                    ("tc", "delete KIND z.renamed 2"),
                ]),
                "{seen:?}, in one transaction: {one_transaction}"
            );
        }
    }
}

#[tokio::test]
async fn a_dropped_table_ends_its_subscriptions_after_its_last_change() {
    for seen in BOTH {
        for drop in
            ["drop table t", "begin; insert into t values (4, 4); drop table t; commit", "drop schema public cascade"]
        {
            let mut story =
                Story::start(seen, "create table t (id int primary key, v int); insert into t values (1, 1)").await;
            story.happens(&["update t set v = 2", "insert into t values (3, 3)", "delete from t", drop]).await;
            let told = story.told().await;
            let mut lines = vec![
                ("tcrf", r#"update KIND t 1 {"v":2}"#),
                ("tc", r#"insert KIND t 3 {"id":3,"v":3}"#),
                ("tcrf", "delete KIND t 1"),
                ("tc", "delete KIND t 3"),
                ("tc", r#"insert KIND t 4 {"id":4,"v":4}"#),
                ("tcrf", "subscription_ended relation_dropped"),
            ];
            if !drop.contains("insert") {
                lines.remove(4);
            }
            assert_eq!(told, expected(&lines), "{seen:?}, {drop}");
            let client = story.database.connect().await;
            assert_eq!(client.text("select count(*) from event.subscription").await, "0");
            assert_eq!(client.text("select count(*) from event.route").await, "0");
        }
    }
}

#[tokio::test]
async fn a_dropped_column_ends_the_subscriptions_to_it() {
    for seen in BOTH {
        let mut story = Story::start(
            seen,
            "create table t (gone int, id int primary key, g int generated always as (id) stored, v int, w int);
             alter table t drop column gone; insert into t (id, v, w) values (1, 1, 1)",
        )
        .await;
        story
            .happens(&[
                "update t set v = 2, w = 2",
                "begin; update t set v = 3, w = 3; alter table t drop column v; update t set w = 4; commit",
                "alter table t add column v int default 9",
                "update t set v = 5",
                "insert into t (id, w) values (2, 6)",
            ])
            .await;
        // generated columns are in the stream from PostgreSQL 18 on
        let generated = if story.database.connect().await.major().await >= 18 { r#""g":2,"# } else { "" };
        let inserted = format!(r#"insert KIND t 2 {{"id":2,{generated}"w":6,"v":9}}"#);
        assert_eq!(
            story.told().await,
            expected(&[
                ("tcrf", r#"update KIND t 1 {"v":2}"#),
                ("tr", r#"update KIND t 1 {"w":2}"#),
                ("tcrf", r#"update KIND t 1 {"v":3}"#),
                ("tr", r#"update KIND t 1 {"w":3}"#),
                ("cf", "subscription_ended column_dropped"),
                ("tr", r#"update KIND t 1 {"w":4}"#),
                ("tr", "gap rewritten"),
                ("tr", r#"update KIND t 1 {"v":5}"#),
                ("t", inserted.as_str()),
            ]),
            "{seen:?}"
        );
        // the column that came under its name is another one
        story.kinds[1].column("t", "v").await;
        story.happens(&["update t set v = 7 where id = 2"]).await;
        assert_eq!(story.told().await[1], [r#"update column t 2 {"v":7}"#]);
    }
}

#[tokio::test]
async fn a_changed_key_ends_the_subscriptions_to_rows() {
    for seen in BOTH {
        for key in ["", "alter table t add primary key (other)"] {
            let mut story = Story::start(
                seen,
                "create table t (other int, id int primary key, v int); insert into t values (7, 1, 1)",
            )
            .await;
            let drop = format!(
                "begin; update t set v = 3; alter table t drop constraint t_pkey; {key}; update t set v = 4; commit"
            );
            story.happens(&["update t set v = 2", &drop, "update t set v = 5"]).await;
            let mut lines = vec![
                ("tcrf", r#"update KIND t 1 {"v":2}"#),
                ("tcrf", r#"update KIND t 1 {"v":3}"#),
                ("rf", "subscription_ended key_changed"),
            ];
            lines.extend(match key {
                "" => vec![
                    ("tc", r#"delete KIND - {"other":7,"id":1,"v":3}"#),
                    ("tc", r#"insert KIND - {"other":7,"id":1,"v":4}"#),
                    ("tc", r#"delete KIND - {"other":7,"id":1,"v":4}"#),
                    ("tc", r#"insert KIND - {"other":7,"id":1,"v":5}"#),
                ],
                _ => vec![("tc", r#"update KIND t 7 {"v":4}"#), ("tc", r#"update KIND t 7 {"v":5}"#)],
            });
            assert_eq!(story.told().await, expected(&lines), "{seen:?}, {key}");
        }
    }
}

#[tokio::test]
async fn columns_are_told_as_they_are_defined_at_the_change() {
    for seen in BOTH {
        let mut story =
            Story::start(seen, "create table t (id int primary key, v int); insert into t values (1, 1)").await;
        story
            .happens(&[
                "update t set v = 2",
                // rewrites the table, which no row in the stream tells
                "alter table t alter v type text using 'n' || v",
                "update t set v = v || '!'",
                "alter table t add column added jsonb default '{}'",
                "update t set added = '[1]', v = null",
                "create type pair as (a int, b text)",
                "alter table t add column p pair",
                "begin; update t set p = (1, 'x'); alter type pair add attribute c bool; update t set p = (1, 'x', true); commit",
                "alter table t alter id type bigint",
                "update t set v = 'last'",
            ])
            .await;
        assert_eq!(
            story.told().await,
            expected(&[
                ("tcrf", r#"update KIND t 1 {"v":2}"#),
                ("tcrf", "gap rewritten"),
                ("tcrf", r#"update KIND t 1 {"v":"n2!"}"#),
                ("tcrf", "gap rewritten"),
                ("tcrf", r#"update KIND t 1 {"v":null}"#),
                ("tr", r#"update KIND t 1 {"added":[1]}"#),
                ("tr", r#"update KIND t 1 {"p":{"a":1,"b":"x"}}"#),
                ("tr", r#"update KIND t 1 {"p":{"a":1,"b":"x","c":true}}"#),
                ("tcrf", "gap rewritten"),
                ("tcrf", r#"update KIND t 1 {"v":"last"}"#),
            ]),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn a_rolled_back_schema_change_changes_nothing() {
    let mut story =
        Story::start(Seen::AtOnce, "create table t (id int primary key, v int); insert into t values (1, 1)").await;
    story
        .happens(&[
            "begin; drop table t; rollback",
            "begin; alter table t rename to x; update x set v = 2; rollback",
            "begin; alter table t drop column v; rollback",
            "begin; savepoint a; alter table t drop constraint t_pkey; alter table t rename v to w; rollback to a; update t set v = 3; commit",
        ])
        .await;
    assert_eq!(story.told().await, expected(&[("tcrf", r#"update KIND t 1 {"v":3}"#)]));
    assert_eq!(story.kinds[0].text("select count(*) from event.subscription").await, "4");
}

#[tokio::test]
async fn without_the_event_trigger_the_sweep_ends_what_lost_its_object() {
    let mut story =
        Story::start(Seen::AtOnce, "create table t (id int primary key, v int, w int); insert into t values (1, 1)")
            .await;
    story.happens(&["drop event trigger tidewire_ddl", "update t set v = 2", "alter table t drop column v"]).await;
    for kind in [1, 3] {
        let subscriber = &mut story.kinds[kind];
        let events = subscriber.notifications(2).await;
        assert!(events[1].payload().contains("column_dropped"), "{}", events[1].payload());
    }
    story.happens(&["update t set w = 2", "drop table t"]).await;
    for kind in [0, 2] {
        let subscriber = &mut story.kinds[kind];
        let events = subscriber.notifications(3).await;
        assert!(events[1].payload().contains(r#""payload" : {"w" : 2}"#), "{}", events[1].payload());
        assert!(events[2].payload().contains("relation_dropped"), "{}", events[2].payload());
    }
}

/// Text that does not get shorter by compression: PostgreSQL stores long ones apart, and then an UPDATE of something else
/// does not carry them in the WAL.
const RANDOM: &str = "(select string_agg(md5(g::text), '') from generate_series(1, 80) g)";

#[tokio::test]
async fn what_tidewire_stores_apart_is_not_lost() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    // a key of 2560 bytes, and 300 columns with long names
    let columns = "(select string_agg(format('%I int', md5(g::text) || md5(g::text || 'x')), ', ') from generate_series(1, 300) g)";
    client
        .sql(&format!("create table large (id text primary key, v int); insert into large values ({RANDOM}, 1)"))
        .await;
    client
        .sql(&format!(
            "do $$ begin execute format('create table wide (id int primary key, %s, v int)', {columns}); end $$"
        ))
        .await;
    let mut subscriber = Subscriber::open(&database).await;
    subscriber.table("wide").await;
    let row = format!("select subscribe_field(meta.field_id('public', 'large', 'id', {RANDOM}, 'v'))");
    subscriber.sql(&row).await;
    let stored = "select pg_column_size(description) > 2000 from event.watched where relation = 'wide'::regclass";
    assert_eq!(client.text(stored).await, "t");

    client.sql("select event.watch('wide')").await;
    client.sql("insert into wide (id, v) values (1, 1)").await;
    client.sql("update large set v = 2").await;
    let told = subscriber.events().await;
    assert_eq!(told[0].key(), ["1"]);
    assert_eq!(subscriber.inbox().await[0].json["payload"].as_object().unwrap().len(), 302);
    assert_eq!(told[1].operation(), "update");

    assert!(tidewire.stop().await.success());
    client.sql("alter table wide rename column v to w").await;
    client.sql("update wide set w = 2").await;
    client.sql("drop table large").await;
    let _tidewire = database.up().await;
    assert_eq!(subscriber.told().await, [r#"update table wide 1 {"w":2}"#, "subscription_ended relation_dropped"]);
    assert_eq!(client.text("select count(*) from event.subscription").await, "1");
}

#[tokio::test]
async fn a_schema_change_that_could_not_be_followed_at_once_is_followed_soon() {
    let mut story =
        Story::start(Seen::AtOnce, "create table t (id int primary key, v int); insert into t values (1, 1)").await;
    // what tidewire would write down is locked by somebody's open transaction
    let busy = story.database.connect().await;
    busy.sql("begin; select from event.watched for update").await;
    story.happens(&["alter table t rename to renamed", "alter table renamed rename v to w"]).await;
    busy.sql("commit").await;
    let client = story.database.connect().await;
    let mut at = 0;
    let followed = async {
        while !story.told().await[0].iter().any(|told| told.starts_with("update table renamed 1")) {
            at += 1;
            client.sql(&format!("update renamed set w = {at}")).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, followed).await.expect("it is never followed");
}

/// Under REPLICA IDENTITY FULL its writers' updates would fail from the change on. The table is worth more than the watch.
#[tokio::test]
async fn a_change_that_would_break_the_writers_ends_the_watch_and_they_go_on() {
    let database = Database::start().await;
    let client = database.connect().await;
    let major = client.major().await;
    let mut changes = Vec::new();
    // column lists
    if major >= 15 {
        changes.push("create publication theirs for table t (id)");
        changes.push("create publication theirs; alter publication theirs add table p_1 (id)");
    }
    // publications that leave out generated columns are PostgreSQL 18's default, as virtual columns are
    if major >= 18 {
        changes.push("alter table t add g int generated always as (v) virtual");
        changes
            .push("create publication theirs for all tables; alter table p add g int generated always as (v) stored");
        changes.push("alter table p add g int generated always as (v) stored; create publication theirs for tables in schema public");
    }
    for (number, change) in changes.into_iter().enumerate() {
        for seen in BOTH {
            // once is enough
            if seen == Seen::Afterwards && number > 0 {
                continue;
            }
            let mut story = Story::start(
                seen,
                "create table t (id int primary key, v int); insert into t values (1, 1);
                 create table p (id int primary key, v int) partition by range (id);
                 create table p_1 partition of p for values from (0) to (10); insert into p values (1, 1);
                 select event.watch('p')",
            )
            .await;
            let mut parted = Subscriber::open(&story.database).await;
            parted.table("p").await;
            let (spared, other) = if change.contains("table p") { ("p_1", "t") } else { ("t", "p_1") };
            story
                .happens(&[
                    "update t set v = 2",
                    "update p set v = 2",
                    change,
                    "update t set v = 3",
                    "update p set v = 3",
                ])
                .await;
            let client = story.database.connect().await;
            // the one that it is about is as it was, the other is watched on
            let identity = |table| format!("select relreplident from pg_class where relname = '{table}'");
            assert_eq!(client.text(&identity(spared)).await, "d", "{change}");
            assert_eq!(client.text(&identity(other)).await, "f", "{change}");
            let told = story.told().await;
            let parted = parted.told().await;
            let (ended, kept) = if spared == "t" { (&told[0], &parted) } else { (&parted, &told[0]) };
            // a stored column that comes has values
            let ended: Vec<String> = ended.iter().filter(|told| *told != "gap rewritten").cloned().collect();
            let update = |value: u8, table: &str| format!(r#"update table {table} 1 {{"v":{value}}}"#);
            let (name, other_name) = if spared == "t" { ("t", "p") } else { ("p", "t") };
            assert_eq!(ended, [update(2, name), "subscription_ended writers_endangered".to_owned()], "{change}");
            assert_eq!(*kept, [update(2, other_name), update(3, other_name)], "{change}");
        }
    }
}
