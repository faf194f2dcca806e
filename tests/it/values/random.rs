//! Tables of random shapes with random rows, changed at random: the events of each, folded, are the table.

use std::env;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::folded::Folded;
use super::generated::{Declarations, Declared, shape};
use super::server_types::literal;
use super::watched_table::ORACLE;
use crate::support::Database;

/// Runs the test again with the seed that it told.
const SEED: &str = "TIDEWIRE_TEST_SEED";

/// One cluster for all of it: that is what takes time, next to these.
const TABLES: usize = 16;
const COLUMNS: usize = 6;
const ROWS: usize = 20;
const CHANGES: usize = 40;

/// Where everything random comes from.
struct Source(TestRunner);

impl Source {
    fn new(seed: u64) -> Source {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Source(TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng))
    }

    fn draw<T>(&mut self, strategy: impl Strategy<Value = T>) -> T {
        strategy.new_tree(&mut self.0).unwrap().current()
    }

    fn literal(&mut self, of: &Declared) -> String {
        self.draw(of.nullable()).map_or("null".to_owned(), |text| format!("{}::{}", literal(&text), of.name))
    }
}

#[tokio::test]
async fn the_events_of_random_changes_add_up_to_the_table() {
    let seed = env::var(SEED).map_or_else(|_| uuid::Uuid::new_v4().as_u64_pair().0, |seed| seed.parse().unwrap());
    eprintln!("{SEED}={seed}");
    let mut source = Source::new(seed);
    let database = Database::installed().await;
    let _tidewire = database.up().await;
    let client = database.connect().await;
    client.sql(ORACLE).await;
    client.sql("set search_path = public").await;
    let session = client.text("select event.session_create()").await;
    client.sql("select event.session_detach()").await;

    let mut declarations = Declarations::new();
    let tables: Vec<Vec<Declared>> = (0..TABLES)
        .map(|_| {
            let shapes = source.draw(prop::collection::vec(shape(), 1..=COLUMNS));
            shapes.iter().map(|shape| declarations.declare(shape)).collect()
        })
        .collect();
    client.sql(&declarations.sql).await;
    for (at, columns) in tables.iter().enumerate() {
        let list: Vec<String> = columns.iter().enumerate().map(|(at, of)| format!("c{at} {}", of.name)).collect();
        client.sql(&format!("create table t{at} (id int primary key, {})", list.join(", "))).await;
        client.sql(&format!("select event.subscribe_table('{session}', meta.relation_id('public', 't{at}'))")).await;
    }

    for (at, columns) in tables.iter().enumerate() {
        let rows: Vec<String> = (0..ROWS)
            .map(|id| format!("({id}, {})", columns.iter().map(|of| source.literal(of)).collect::<Vec<_>>().join(", ")))
            .collect();
        client.sql(&format!("insert into t{at} values {}", rows.join(",\n"))).await;
        for _ in 0..CHANGES {
            change(&mut source, &client, at, columns).await;
        }
    }

    client.sql("select event.sync()").await;
    for (at, columns) in tables.iter().enumerate() {
        let table = format!("t{at}");
        let folded = Folded::read(&client, &table).await;
        let differences = folded.differences(&client, &table).await;
        let types: Vec<&str> = columns.iter().map(|of| of.name.as_str()).collect();
        assert!(
            differences.is_empty(),
            "{table} ({}) differs, {SEED}={seed}\n{}\n{}",
            types.join(", "),
            differences.join("\n"),
            declarations.sql
        );
    }
}

/// Changes some rows of a table: their values, their keys, or that they are there.
async fn change(source: &mut Source, client: &crate::support::Client, table: usize, columns: &[Declared]) {
    let id = source.draw(0..ROWS);
    let column = source.draw(0..columns.len());
    let of = &columns[column];
    match source.draw(0..20) {
        // A value as a program binds it.
        0..12 => {
            let value = source.draw(of.nullable());
            let statement = format!("update t{table} set c{column} = $1::text::{} where id = {id}", of.name);
            client.execute(&statement, &[&value]).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        12..16 => {
            let values: Vec<String> =
                columns.iter().enumerate().map(|(at, of)| format!("c{at} = {}", source.literal(of))).collect();
            client.sql(&format!("update t{table} set {} where id = {id}", values.join(", "))).await;
        }
        16 => client.sql(&format!("delete from t{table} where id = {id}")).await,
        17 => client.sql(&format!("update t{table} set id = -id where id = {id} and id > 0")).await,
        _ => {
            let other = source.draw(0..ROWS);
            let statement = format!(
                "update t{table} t set c{column} = o.c{column} from t{table} o where t.id = {id} and o.id = {other}"
            );
            client.sql(&statement).await;
        }
    }
}
