//! Changes to their JSON: the journal's entry, the notification, the form that is read everywhere else.

use std::hint::black_box;
use std::sync::Arc;

use tidewire::capture::{Rendering, entry};
use tidewire::catalog::Relation;
use tidewire::delivery::{change, notify, visible};
use tidewire::diff::{Change, RowImage};
use tidewire::inbox::{Entry, Event};
use tidewire::pgoutput::Begin;
use tidewire::position::{EventId, Lsn};
use tidewire::subscription::Kind;

use super::Case;
use crate::table::{self, NOTE, ROWS, changed, purchase_row, updated_rows};

/// The transaction that all belongs to.
pub const BEGIN: Begin = Begin { final_lsn: Lsn(0x22DA_1710), committed_at: 848_724_667_123_456, xid: 751 };

const ID: EventId = EventId { lsn: BEGIN.final_lsn, number: 3 };

type Rows = (RowImage<'static>, RowImage<'static>);

pub fn cases() -> Vec<Case> {
    let relation = table::purchase();
    let rows = || -> Vec<Rows> {
        let update = |id| {
            let old = purchase_row(id);
            updated_rows(table::update(&relation, &old, &changed(&old, &[NOTE]), &[]))
        };
        (0..ROWS).map(update).collect()
    };
    let visible: Vec<i16> = relation.columns.iter().step_by(2).map(|column| column.attnum).collect();
    let (inserts, fields) = (entries(&relation, rows(), insert), entries(&relation, rows(), field));
    vec![
        entry_of("encode/entry of an insert of 10 columns", &relation, rows(), insert),
        entry_of("encode/entry of a field's update", &relation, rows(), field),
        notification("encode/notification of an insert of 10 columns", inserts.clone(), None),
        notification("encode/notification of an insert of which 5 columns may be seen", inserts.clone(), Some(visible)),
        notification("encode/notification of a field's update", fields.clone(), None),
        event("encode/event of an insert of 10 columns", &inserts),
        event("encode/event of a field's update", &fields),
    ]
}

fn insert((_, row): &Rows) -> Change<'_, 'static> {
    Change::RowInsert { row, replaces: None }
}

fn field((old, row): &Rows) -> Change<'_, 'static> {
    Change::FieldUpdate { row, column: NOTE, old: Some(old[NOTE]), new: row[NOTE] }
}

/// Which change an update stands for here.
type As = fn(&Rows) -> Change<'_, 'static>;

fn entries(relation: &Arc<Relation>, rows: Vec<Rows>, is: As) -> Vec<Entry> {
    let entries: Vec<Entry> =
        rows.iter().map(|rows| entry(relation, &is(rows), ID, BEGIN, &mut Rendering::default())).collect();
    let is_text = |entry: &Entry| entry.value.as_deref().is_some_and(|value| value.contains("\"details\":\""));
    assert!(!entries.iter().any(is_text), "what is not of its type is told as text, and that is another way");
    entries
}

fn entry_of(name: &'static str, relation: &Arc<Relation>, rows: Vec<Rows>, is: As) -> Case {
    let relation = Arc::clone(relation);
    Case::new(name, rows, move |rows| {
        black_box(&entry(&relation, &is(rows), ID, BEGIN, &mut Rendering::default()));
    })
}

fn notification(name: &'static str, entries: Vec<Entry>, visible: Option<Vec<i16>>) -> Case {
    Case::new(name, entries, move |entry| {
        let runs = visible.as_ref().and_then(|numbers| visible::runs(entry, numbers));
        black_box(&notify::render(entry, Kind::Table, runs.as_deref()));
    })
}

fn event(name: &'static str, entries: &[Entry]) -> Case {
    let events = entries.iter().map(|entry| Event {
        id: entry.id,
        committed_at: entry.committed_at,
        xid: i64::from(entry.xid),
        change: entry.change.as_str().to_owned(),
        relation: entry.relation_name().map(|(schema, name)| format!("{schema}.{name}")),
        row: entry.row().map(str::to_owned),
        field: entry.field_name().map(str::to_owned),
        value: entry.value.clone(),
        old: entry.old.clone(),
        last: true,
    });
    Case::new(name, events.collect(), |event: &mut Event| {
        black_box(&change::render(event));
    })
}
