//! What is known of a table's columns may be older than the rows that the stream brings. A column that is not known for certain is
//! hidden from whoever may not see all columns, and no value is taken for another's.

use crate::support::{Client, Database, Event, Subscriber, Tidewire};

/// Tidewire, and readers who may see some columns of a table.
struct Stage {
    database: Database,
    tidewire: Option<Tidewire>,
    /// Tidewire's role and the tables' owner.
    role: &'static str,
}

impl Stage {
    /// By a superuser with an event trigger, or by a lesser role without one.
    async fn set(is_superuser: bool) -> Stage {
        let database = Database::start().await;
        let client = database.connect().await;
        client.sql("create role joe login").await;
        let role = if is_superuser { "postgres" } else { "tide" };
        if !is_superuser {
            client.sql("create role tide login replication; grant create on database postgres to tide").await;
            client.sql("grant create on schema public to tide").await;
        }
        let tidewire = Some(Tidewire::up(&database.url_as(role)).await);
        Stage { database, tidewire, role }
    }

    async fn owner(&self) -> Client {
        self.database.connect_as(self.role).await
    }

    async fn joe(&self) -> Subscriber {
        Subscriber::open_as(&self.database, "joe").await
    }

    async fn stop(&mut self) {
        assert!(self.tidewire.take().unwrap().stop().await.success());
    }

    async fn up(&mut self) {
        self.tidewire = Some(Tidewire::up(&self.database.url_as(self.role)).await);
    }
}

/// What may not be seen.
const SECRET: &str = "s3cret";

fn assert_hidden(events: &[Event], story: &str) {
    let told: Vec<&str> = events.iter().map(|event| event.text.as_str()).filter(|text| text.contains(SECRET)).collect();
    assert_eq!(told, [""; 0], "{story}");
}

#[tokio::test]
async fn a_child_does_not_tell_what_its_parent_got_meanwhile() {
    let stage = Stage::set(true).await;
    let owner = stage.owner().await;
    owner.sql("create table p (id int, a text); create table ch (extra text, primary key (id)) inherits (p)").await;
    owner.sql("grant select (id, a, extra) on ch to joe").await;
    let mut joe = stage.joe().await;
    joe.column("ch", "extra").await;
    for ddl in
        ["alter table p drop column a; alter table p add column secret text", "alter table p rename secret to hidden"]
    {
        owner.sql(ddl).await;
        owner
            .sql(&format!(
                "insert into ch values (1, 'extra', '{SECRET}'); update ch set extra = 'more'; delete from ch"
            ))
            .await;
        let events = joe.events().await;
        assert_hidden(&events, ddl);
        let [insert, update, ..] = events.as_slice() else { panic!("{ddl}: {events:?}") };
        assert_eq!(insert.payload().unwrap()["extra"], "extra", "{ddl}");
        assert_eq!(update.payload().unwrap()["extra"], "more", "{ddl}");
    }
}

/// What puts another column in the place of the one that a reader may see; then a row by the columns' order, and which of them is set.
const REPLACED: [(&str, &str, &str); 4] = [
    ("alter table t drop column v; alter table t add column v text", "SECRET, SECRET", "v"),
    ("alter table t drop column v; alter table t add column secret text", "SECRET, SECRET", "secret"),
    ("alter table t rename v to w; alter table t rename hidden to v", "SECRET, 'seen'", "v"),
    ("alter table t rename v to w; alter table t add column v text", "SECRET, 'seen', SECRET", "v"),
];

#[tokio::test]
async fn a_column_in_anothers_place_is_hidden_from_who_saw_that() {
    for (is_superuser, is_replica) in [(true, false), (true, true), (false, false)] {
        let mut stage = Stage::set(is_superuser).await;
        let owner = stage.owner().await;
        if is_replica {
            owner.sql("set session_replication_role = replica").await;
        }
        for is_down in [false, true] {
            let mut readers = Vec::new();
            for at in 0..REPLACED.len() {
                owner
                    .sql(&format!(
                        "drop table if exists t_{at}; create table t_{at} (id int primary key, hidden text, v text)"
                    ))
                    .await;
                owner.sql(&format!("grant select (id, v) on t_{at} to joe")).await;
                let mut joe = stage.joe().await;
                joe.column(&format!("t_{at}"), "v").await;
                owner.sql(&format!("insert into t_{at} values (1, '{SECRET}', 'seen')")).await;
                assert_eq!(joe.told().await, [format!(r#"insert column t_{at} 1 {{"id":1,"v":"seen"}}"#)]);
                readers.push(joe);
            }
            if is_down {
                stage.stop().await;
            }
            for (at, (replaced, row, column)) in REPLACED.into_iter().enumerate() {
                let replaced = replaced.replace("table t ", &format!("table t_{at} "));
                let row = row.replace("SECRET", &format!("'{SECRET}'"));
                let change = |id| {
                    format!("insert into t_{at} values ({id}, {row}); update t_{at} set {column} = '{SECRET}' || id")
                };
                owner.sql(&format!("begin; {replaced}; {}; commit; {}", change(2), change(3))).await;
                owner.sql(&change(4)).await;
            }
            if is_down {
                stage.up().await;
            }
            for (joe, (replaced, ..)) in readers.iter_mut().zip(REPLACED) {
                let story = format!("superuser {is_superuser}, replica {is_replica}, down {is_down}: {replaced}");
                assert_hidden(&joe.events().await, &story);
                assert_hidden(&joe.inbox().await, &story);
            }
        }
        stage.stop().await;
    }
}

#[tokio::test]
async fn a_column_is_told_again_once_it_is_known_for_certain() {
    let mut stage = Stage::set(false).await;
    let owner = stage.owner().await;
    owner.sql("create table t (id int primary key, a text, v text); insert into t values (1, 'a', 'v')").await;
    owner.sql("grant select (id, v) on t to joe").await;
    let mut joe = stage.joe().await;
    joe.column("t", "v").await;
    let mut all = Subscriber::open_as(&stage.database, stage.role).await;
    all.table("t").await;
    let before =
        "begin; update t set v = 'w'; alter table t drop column a, add column b text; update t set v = 'x'; commit";
    owner.sql(before).await;
    let followed =
        "select coalesce(bool_and(d.description = event._describe(d.relation)), false) from event.described d";
    stage.owner().await.until(followed, "t").await;
    owner.sql("update t set v = 'y'").await;
    let update = |kind, value| format!(r#"update {kind} t 1 {{"v":"{value}"}}"#);
    // as many columns before as behind: neither can be told apart
    let gap = || "gap columns_uncertain".to_owned();
    assert_eq!(joe.told().await, [gap(), gap(), update("column", "y")]);
    assert_eq!(all.told().await, ["w", "x", "y"].map(|value| update("table", value)));
    stage.stop().await;
}

/// What table t is made of; then what changes that, each with what is inserted after it (`$` is the key).
type Altered = (&'static str, &'static [(&'static str, &'static str)]);

const ALTERED: [Altered; 6] = [
    (
        "create table p (id int); create table t (primary key (id)) inherits (p)",
        &[
            ("alter table p add column tags text[]", "$, '{a,b}'"),
            ("alter table p rename tags to words", "$, '{a,b}'"),
            ("alter table p alter words type int[] using null", "$, '{1,2}'"),
            ("alter table p add column at timestamptz", "$, '{3}', now()"),
        ],
    ),
    (
        "create table kind (n int, s text); create table t (id int primary key, k kind, ks kind[])",
        &[
            ("alter table kind add column b text[]", "$, row(1, 'x', '{a}'), array[row(2, 'y', '{b,c}')::kind]"),
            ("alter table kind drop column n", "$, row('x', '{a}'), array[row('y', null)::kind]"),
            ("alter table kind rename s to t", "$, row('x', '{a}'), array[row('y', null)::kind]"),
        ],
    ),
    (
        "create type lesser as (a int); create domain named as lesser; create type greater as (i named, j lesser[]);
         create table t (id int primary key, o greater)",
        &[
            ("alter type lesser add attribute b int[]", "$, row(row(1, '{2}'), array[row(3, '{4}')::lesser])"),
            ("alter type lesser rename attribute a to c", "$, row(row(1, '{2}'), array[row(3, '{4}')::lesser])"),
            ("alter type greater add attribute k lesser", "$, row(row(1, '{2}'), null, row(5, '{6}'))"),
            ("alter type greater drop attribute i", "$, row(array[row(3, '{4}')::lesser], row(5, '{6}'))"),
        ],
    ),
    (
        "create table t (id int, gone int, v text[], primary key (id)) partition by range (id); alter table t drop column gone;
         create table part (v text[], id int not null); alter table t attach partition part for values from (0) to (100)",
        &[
            ("alter table t add column w jsonb", "$, '{a}', '{\"b\":[1]}'"),
            ("alter table t drop column v", "$, '[1]'"),
            ("alter table t add column x int[]", "$, '[1]', '{2}'"),
            ("alter table part rename to section", "$, '[2]', '{2}'"),
        ],
    ),
    (
        "create schema s; create table t (id int primary key, v text[])",
        &[
            ("alter index t rename to u; create view t as select id, v from u", "$, '{a}'"),
            ("drop view t; alter table u rename to t", "$, '{a}'"),
            ("alter table t alter v type int[] using '{1}'", "$, '{1}'"),
        ],
    ),
    (
        "create table t (id int primary key, v int, w int)",
        &[
            ("alter table t rename v to x; alter table t rename w to v; alter table t rename x to w", "$, 1, 2"),
            ("alter table t drop v, drop w, add w int[], add v text[]", "$, '{1}', '{a}'"),
        ],
    ),
];

#[tokio::test]
async fn a_row_is_told_as_the_table_is_whatever_altered_it() {
    for (is_superuser, is_replica) in [(true, false), (true, true), (false, false)] {
        let mut stage = Stage::set(is_superuser).await;
        let owner = stage.owner().await;
        for (at, (made, altered)) in ALTERED.into_iter().enumerate() {
            owner.sql(&format!("create schema case_{at}; set search_path = case_{at}; {made}")).await;
            let mut reader = Subscriber::open_as(&stage.database, stage.role).await;
            reader.sql(&format!("select subscribe_table(meta.relation_id('case_{at}', 't'))")).await;
            if is_replica {
                owner.sql("set session_replication_role = replica").await;
            }
            for (id, (ddl, row)) in (1..).zip(altered) {
                let story = format!("superuser {is_superuser}, replica {is_replica}: {ddl}");
                owner.sql(ddl).await;
                if !is_superuser {
                    let followed = "select coalesce(bool_and(d.description = event._describe(d.relation)), false) from event.described d";
                    stage.owner().await.until(followed, "t").await;
                }
                owner.sql(&format!("insert into t values ({})", row.replace('$', &id.to_string()))).await;
                // rows that the change itself made anew are a gap before it
                let events: Vec<Event> =
                    reader.events().await.into_iter().filter(|event| event.operation() != "gap").collect();
                let [event] = events.as_slice() else { panic!("{story}: {events:?}") };
                let is = owner.text("select to_jsonb(t) from t order by id desc limit 1").await;
                let is: serde_json::Value = serde_json::from_str(&is).unwrap();
                assert_eq!(event.json["payload"], is, "{story}");
                assert_eq!(event.key(), [id.to_string()], "{story}");
            }
            owner.sql("reset all").await;
        }
        stage.stop().await;
    }
}

#[tokio::test]
async fn a_row_that_is_older_than_an_attribute_has_null_for_it() {
    let stage = Stage::set(true).await;
    let owner = stage.owner().await;
    owner.sql("create type kind as (n int, s text); create table t (id int primary key, k kind, ks kind[])").await;
    let mut reader = Subscriber::open_as(&stage.database, stage.role).await;
    reader.table("t").await;
    let writer = stage.owner().await;
    writer.sql("begin; insert into t values (1, row(1, 'x'), array[row(2, 'y')::kind])").await;
    owner.sql("alter type kind add attribute b text[]").await;
    writer.sql("commit").await;
    let events = reader.events().await;
    let is = owner.text("select to_jsonb(t) from t").await;
    assert_eq!(events[0].json["payload"], serde_json::from_str::<serde_json::Value>(&is).unwrap());
}

#[tokio::test]
async fn writers_of_a_table_without_a_key_go_on_whatever_is_altered() {
    let stage = Stage::set(true).await;
    let owner = stage.owner().await;
    owner.sql("create table t (id int, v int) partition by range (id); create table other (id int, v int)").await;
    let mut reader = Subscriber::open_as(&stage.database, stage.role).await;
    reader.table("t").await;
    reader.table("other").await;
    for (at, ddl) in [
        "create schema s create table part partition of public.t for values from (0) to (10)",
        "alter table s.part replica identity nothing",
        "alter table s.part replica identity default",
        "create table another (v int, id int); alter table t attach partition another for values from (10) to (20)",
        "alter table other replica identity nothing",
        "alter table other replica identity default; alter table other add primary key (id)",
        "alter table other drop constraint other_pkey",
        "alter table other add unique (v); alter table other alter v set not null;
         alter table other replica identity using index other_v_key; alter table other drop constraint other_v_key",
    ]
    .into_iter()
    .enumerate()
    {
        owner.sql(ddl).await;
        for table in ["t", "other"] {
            owner
                .sql(&format!(
                    "insert into {table} values (1, {at}); update {table} set v = v + 100; delete from {table}"
                ))
                .await;
            let told = reader.told().await;
            assert!(told.len() >= 3 && told[0].starts_with("insert"), "{ddl}: {told:?}");
        }
    }
}
