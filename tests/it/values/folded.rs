//! A table as its events tell it, held against the table itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::server_types::literal;
use crate::support::Client;

/// Rows by their key; of each its fields as they were told, byte for byte.
#[derive(Default)]
pub struct Folded {
    rows: BTreeMap<String, BTreeMap<String, Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Told {
    operation: String,
    row_id: RowId,
    payload: Option<BTreeMap<String, Box<RawValue>>>,
}

#[derive(Deserialize)]
struct RowId {
    pk_value: String,
}

impl Folded {
    /// The events of one table that the inbox of the connection's session holds, applied one after the other.
    pub async fn read(client: &Client, table: &str) -> Folded {
        let query = format!(
            "select event from event.event
             where event #>> '{{row_id,pk_column_id,relation_id,name}}' = {} order by id",
            literal(table)
        );
        let mut folded = Folded::default();
        for row in client.rows(&query).await {
            folded.apply(serde_json::from_str(row[0].as_deref().unwrap()).unwrap());
        }
        folded
    }

    fn apply(&mut self, told: Told) {
        let Told { operation, row_id: RowId { pk_value: key }, payload } = told;
        match (operation.as_str(), payload) {
            ("insert", Some(row)) => assert!(self.rows.insert(key, row).is_none(), "a row is inserted twice"),
            ("update", Some(fields)) => self.rows.get_mut(&key).expect("an updated row is there").extend(fields),
            ("delete", None) => drop(self.rows.remove(&key).expect("a deleted row was there")),
            (operation, payload) => panic!("{operation} with payload {payload:?}"),
        }
    }

    /// The fields that differ from those of the table (key, column, what was told, what `to_jsonb` gives); the
    /// connection has the oracle's settings.
    pub async fn differences(&self, client: &Client, table: &str) -> Vec<String> {
        let told = serde_json::to_string(&self.rows).unwrap();
        let query = format!(
            "with told as (select r.key as id, f.key as name, f.value from json_each({}) r cross join json_each(r.value) f),
                  wanted as (select t.id::text, f.key as name, f.value from public.{table} t cross join jsonb_each(to_jsonb(t)) f)
             select concat_ws(e'\\n    ', concat_ws(' ', id, name), coalesce(told.value::text, 'nothing'),
                              coalesce(wanted.value::text, 'nothing'))
             from told full join wanted using (id, name) where told.value::jsonb is distinct from wanted.value",
            literal(&told)
        );
        client.rows(&query).await.into_iter().map(|row| row[0].clone().unwrap()).collect()
    }
}
