//! Every kind of object is told, from an empty database to a full one and back.

use std::collections::BTreeMap;

use super::{relations, samples};
use crate::support::{Client, Database, Subscriber, Table};

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
    let database = Database::start().await;
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
        while !late.is_empty() {
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
