//! Every kind of object is told, from an empty database to a full one and back.

use std::collections::BTreeMap;

use super::{relations, samples};
use crate::support::{Client, Database, PATIENCE, Subscriber, Table};

/// What fires no event trigger is told by upkeep: what is of the whole cluster.
const BY_UPKEEP: [&str; 4] = ["role", "role_inheritance", "setting", "comment: [[Some(\"(role,"];

async fn read(client: &Client, relation: &str, columns: &str) -> Table {
    Table::read(client, &format!("(select {columns} from meta.{relation:?})"), "array[id::text]").await
}

/// The relations of meta of which the subscribers have not been told what is there.
async fn differing(client: &Client, relations: &[(String, String)]) -> Vec<String> {
    let mut differing = Vec::new();
    for (relation, columns) in relations {
        let (now, told) =
            (format!("select {columns} from meta._{relation}"), format!("select {columns} from event.meta_{relation}"));
        let rows = client
            .rows(&format!("(({now} except all {told}) union all ({told} except all {now})) order by 1 limit 3"))
            .await;
        if !rows.is_empty() {
            differing.push(format!("{relation}: {rows:?}"));
        }
    }
    differing
}

#[tokio::test]
async fn folding_what_is_told_from_an_empty_database_is_meta() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    let relations = relations(&client, "(?!connection).*").await;
    let mut subscriber = Subscriber::open(&database).await;
    let mut folded = BTreeMap::new();
    for (relation, columns) in &relations {
        subscriber.sql(&format!("select subscribe_table(meta.relation_id('meta', '{relation}'))")).await;
        folded.insert(format!("meta.{relation}"), read(&client, relation, columns).await);
    }
    for sample in samples(&client).await {
        client.sql(sample).await;
        let late = differing(&client, &relations).await;
        let late: Vec<_> = late.iter().filter(|late| !BY_UPKEEP.iter().any(|kind| late.starts_with(kind))).collect();
        assert!(late.is_empty(), "not told at once: {late:#?}");
    }
    let gone = "do $$ declare name text; begin
                    for name in select s.name from meta.schema s where s.name <> 'public' loop execute format('drop schema %I cascade', name); end loop;
                end $$; drop foreign data wrapper \"Wr \"\"ap\" cascade; drop publication everything; drop owned by keeper, clerk cascade";
    for (step, ddl) in ["", gone].into_iter().enumerate() {
        client.sql(ddl).await;
        let mut late = differing(&client, &relations).await;
        let begun = std::time::Instant::now();
        while !late.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "not told within {PATIENCE:?}: {late:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            late = differing(&client, &relations).await;
        }
        for event in subscriber.events().await {
            folded.get_mut(&event.relation()).unwrap_or_else(|| panic!("{event}")).apply(&event);
        }
        let mut rows = 0;
        for (relation, columns) in &relations {
            let now = read(&client, relation, columns).await;
            rows += now.rows.len();
            assert!(step > 0 || !now.rows.is_empty(), "nothing in {relation}");
            assert_eq!(folded[&format!("meta.{relation}")], now, "{relation}");
        }
        println!("{rows} rows in {} relations, as told", relations.len());
    }
    assert!(tidewire.stop().await.success());
}

#[tokio::test]
async fn what_hangs_on_what_is_altered_is_told_at_once_too() {
    let database = Database::installed().await;
    let tidewire = database.up().await;
    let client = database.connect().await;
    let relations = relations(&client, "(?!connection).*").await;
    let subscriber = Subscriber::open(&database).await;
    for (relation, _) in &relations {
        subscriber.sql(&format!("select subscribe_table(meta.relation_id('meta', '{relation}'))")).await;
    }
    client
        .sql(
            "create role reader; create schema s; create schema other; create type s.mood as enum ('sad'); create domain s.word as text;
             create function s.ok(int) returns boolean language sql as 'select true'; create sequence s.sq;
             create table s.p (k int default nextval('s.sq'), at date) partition by range (k); create table s.p1 partition of s.p for values from (0) to (9);
             create table s.p2 partition of s.p default; create policy po on s.p using (s.ok(k)); create index p_at on s.p (at); comment on index s.p_at is 'x';
             create table s.t (id int generated always as identity primary key, m s.mood[], w s.word[] default '{}', r int references s.t);
             create function s.f(s.t[], s.mood[]) returns s.t language sql as 'select $1[1]'; create view s.v as select * from s.t;
             create function s.same(s.mood, s.mood) returns boolean language sql as 'select true';
             create function s.tr() returns trigger language plpgsql as 'begin return new; end';
             create trigger tr before insert on s.p for each row execute function s.tr();
             create type s.span as range (subtype = int); create table s.child () inherits (s.t)",
        )
        .await;
    let mut missed = Vec::new();
    for ddl in [
        "alter function s.ok(int) cost 3",
        "alter sequence s.sq increment 3",
        "alter table s.p1 rename to p0",
        "alter table s.p rename to parted",
        "alter function s.tr() rename to trig",
        "alter trigger tr on s.parted rename to trg",
        "alter table s.parted detach partition s.p0",
        "alter table s.parted attach partition s.p0 for values from (0) to (5)",
        "alter type s.mood rename to moods",
        "alter domain s.word rename to words",
        "alter type s.span_multirange rename to spans",
        "alter table s.t rename column id to no",
        "alter table s.t rename to u",
        "alter table s.u set schema other",
        "alter table other.u owner to reader",
        "alter table other.u rename constraint t_pkey to key",
        "create operator s.=== (function = s.same, leftarg = s.moods, rightarg = s.moods, commutator = operator(s.===), negator = operator(s.!==))",
        "create operator s.!== (function = s.same, leftarg = s.moods, rightarg = s.moods, negator = operator(s.===))",
        "alter operator s.!== (s.moods, s.moods) set schema other",
        "begin; savepoint a; grant select, insert on other.u to reader; release a; grant usage on sequence s.sq to reader; commit",
        "revoke insert on other.u from reader",
        "comment on view s.v is 'seen'",
        "alter view s.v rename column id to number",
        "create table other.made as select * from s.v",
        "create schema third create table a (id int primary key) create view b as select * from a",
        "create extension hstore schema s",
        "alter extension hstore set schema third",
        "alter schema third rename to fourth",
        "drop function s.f, s.ok cascade",
        "drop extension hstore",
        "drop type s.moods cascade",
        "drop schema fourth cascade",
    ] {
        client.sql(ddl).await;
        let late = differing(&client, &relations).await;
        let late: Vec<_> = late.iter().filter(|late| !BY_UPKEEP.iter().any(|kind| late.starts_with(kind))).collect();
        if !late.is_empty() {
            missed.push(format!("{ddl}: {late:#?}"));
            client.sql("select event._compare(kind) from event.mirror").await;
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    // whose every change is found by upkeep as well
    let mut mark = client.text("select event._catalog_mark()").await;
    for ddl in [
        "create role other; grant reader to other",
        "alter role other set work_mem = '1MB'",
        "comment on role other is 'x'",
        "create collation s.c (locale = 'C')",
        "alter collation s.c rename to d",
        "comment on extension plpgsql is 'x'",
        "create publication p; alter publication p add table s.p0",
        "alter publication p set (publish = 'insert')",
        "alter table s.p0 alter at set not null",
        "alter table s.p0 alter at set default now()",
        "alter type s.span owner to reader",
        "revoke usage on sequence s.sq from reader",
        "create index p0_at on s.p0 (at)",
        "create policy po on s.parted",
        "alter policy po on s.parted to reader",
    ] {
        client.sql(ddl).await;
        let now = client.text("select event._catalog_mark()").await;
        assert_ne!(mark, now, "{ddl}");
        mark = now;
    }
    assert!(tidewire.stop().await.success());
}
