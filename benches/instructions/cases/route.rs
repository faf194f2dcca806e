//! Changes to sessions.

use std::hint::black_box;
use std::sync::Arc;

use tidewire::capture::recipients;
use tidewire::catalog::Relation;
use tidewire::diff::{Change, RowImage};
use tidewire::pgoutput::Datum;
use tidewire::subscription::{Index, Selector, Subscription};
use uuid::Uuid;

use super::Case;
use crate::table::{self, ROWS, STATUS, purchase_row, updated_rows};

/// Row subscriptions beside those that a case is about.
pub const BESIDE: u64 = 100_000;

pub fn cases() -> Vec<Case> {
    let row = |id: u64| Selector::Row(vec![id.to_string()]);
    let table_of = |sessions: u64| index((0..sessions).map(|session| (session, Selector::Table)));
    let status = STATUS as i16 + 1;
    vec![
        inserted("route/insert, 100,000 rows watched", beside()),
        routed("route/field of a row that nobody watches, 100,000 rows watched", beside(), from(BESIDE + 1)),
        routed("route/field of a row that one session watches, 100,000 rows watched", beside(), from(1)),
        routed(
            "route/field of a row that 100 sessions watch",
            index((0..100).map(|session| (session, row(1)))),
            vec![1; ROWS as usize],
        ),
        routed("route/field of a table that one session watches", table_of(1), from(1)),
        routed("route/field of a table that 100 sessions watch", table_of(100), from(1)),
        routed("route/field of a column that one session watches", index([(1, Selector::Column(status))]), from(1)),
        routed("route/field of a table of which another column is watched", index([(1, Selector::Column(1))]), from(1)),
    ]
}

/// Subscriptions to `purchase`: a session's number and what it watches.
pub fn index(wanted: impl IntoIterator<Item = (u64, Selector)>) -> Index {
    let mut index = Index::default();
    let relation = table::purchase().oid;
    for ((session, selector), number) in wanted.into_iter().zip(1..) {
        let (id, session) = (Uuid::from_u128(number << 64), Uuid::from_u64_pair(1, session));
        index.add(Subscription { id, session, durable: true, relation, selector, visible: None });
    }
    index
}

/// Each of the first rows is watched by a session, as are many others; ten rows a session.
pub fn beside() -> Index {
    index((1..=BESIDE).map(|id| (id / 10, Selector::Row(vec![id.to_string()]))))
}

struct Routing {
    relation: Arc<Relation>,
    index: Index,
}

impl Routing {
    /// As the engine does it with each change.
    fn route(&mut self, change: &Change<'_, '_>) {
        if self.index.is_watched(self.relation.oid) {
            black_box(&recipients(&mut self.index, &self.relation, change));
        }
    }
}

/// Ids of rows.
fn from(first: u64) -> Vec<u64> {
    (first..first + ROWS).collect()
}

/// Changes of a field in the rows with these ids.
fn routed(name: &'static str, index: Index, ids: Vec<u64>) -> Case {
    let relation = table::purchase();
    let rows = ids.into_iter().map(|id| {
        let row = purchase_row(id);
        updated_rows(table::update(&relation, &row, &row, &[])).1
    });
    let rows: Vec<RowImage<'static>> = rows.collect();
    let mut routing = Routing { relation, index };
    Case::new(name, rows, move |row| {
        routing.route(&Change::FieldUpdate { row, column: STATUS, old: Some(Datum::Null), new: Datum::Null });
    })
}

fn inserted(name: &'static str, index: Index) -> Case {
    let relation = table::purchase();
    let rows = (0..ROWS).map(|id| table::inserted_row(table::insert(&relation, &purchase_row(BESIDE + 1 + id))));
    let rows: Vec<RowImage<'static>> = rows.collect();
    let mut routing = Routing { relation, index };
    Case::new(name, rows, move |row| routing.route(&Change::RowInsert { row, replaces: None }))
}
