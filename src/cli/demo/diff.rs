//! The relational diff: the events folded over the rows that were there before.

use std::collections::BTreeMap;

use serde_json::Value;

use super::walk::{KEY, Row, object};
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::Event;

/// The rows of two states of a table in one, in the order of their keys.
pub(super) struct Diff {
    rows: BTreeMap<i64, Pair>,
}

/// A row in both states, where it is there.
#[derive(Default)]
pub(super) struct Pair {
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
}

impl Diff {
    /// Goes from the rows before, event by event.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for an event that does not fit the rows.
    pub(super) fn fold(before: &[Row], events: &[Event]) -> Result<Diff> {
        let mut diff = Diff { rows: BTreeMap::new() };
        for row in before {
            diff.rows.insert(key(row)?, Pair { before: Some(row.clone()), after: Some(row.clone()) });
        }
        for event in events {
            diff.apply(event)?;
        }
        diff.rows.retain(|_, pair| pair.before.is_some() || pair.after.is_some());
        Ok(diff)
    }

    fn apply(&mut self, event: &Event) -> Result<()> {
        let misfit = || Error::new(ErrorKind::Protocol, format!("event {} does not fit the rows", event.id));
        let row = event.row.as_deref().ok_or_else(misfit)?;
        let pair = self.rows.entry(key(&object(row)?)?).or_default();
        match (event.change.as_str(), &event.value, &mut pair.after) {
            ("row_insert", Some(data), after @ None) => *after = Some(object(data)?),
            ("row_delete", _, after @ Some(_)) => *after = None,
            ("field_update", Some(value), Some(row)) => {
                let field = event.field.as_ref().and_then(|field| row.get_mut(field)).ok_or_else(misfit)?;
                *field = serde_json::from_str(value).map_err(|source| misfit().source(source))?;
            }
            _ => return Err(misfit()),
        }
        Ok(())
    }

    /// The rows that are there after the last event.
    pub(super) fn after(&self) -> Vec<Row> {
        self.rows.values().filter_map(|pair| pair.after.clone()).collect()
    }

    /// All rows, in the order of their keys.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.rows.values()
    }
}

fn key(row: &Row) -> Result<i64> {
    row.get(KEY).and_then(Value::as_i64).ok_or_else(|| Error::new(ErrorKind::Protocol, format!("a row has no {KEY}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::EventId;

    fn event(change: &str, row: &str, field: Option<&str>, value: Option<&str>) -> Event {
        Event {
            id: EventId::default(),
            committed_at: 0,
            xid: 1,
            change: change.to_owned(),
            relation: Some("public.person".to_owned()),
            row: Some(row.to_owned()),
            field: field.map(str::to_owned),
            value: value.map(str::to_owned),
            old: None,
            last: true,
        }
    }

    #[test]
    fn a_row_that_came_and_went_is_in_neither_state() {
        let events = [
            event("row_insert", r#"{"id":2}"#, None, Some(r#"{"id":2}"#)),
            event("row_delete", r#"{"id":2}"#, None, None),
        ];
        let diff = Diff::fold(&[object(r#"{"id":1}"#).unwrap()], &events).unwrap();
        assert_eq!(diff.pairs().count(), 1);
    }

    #[test]
    fn fields_that_change_twice_have_their_last_value() {
        let before = [object(r#"{"id":1,"n":1}"#).unwrap()];
        let update = |value| event("field_update", r#"{"id":1}"#, Some("n"), Some(value));
        let diff = Diff::fold(&before, &[update("2"), update("3")]).unwrap();
        assert_eq!(diff.after(), [object(r#"{"id":1,"n":3}"#).unwrap()]);
    }

    #[test]
    fn an_event_of_a_row_that_is_not_there_is_an_error() {
        assert!(Diff::fold(&[], &[event("row_delete", r#"{"id":1}"#, None, None)]).is_err());
        let before = [object(r#"{"id":1}"#).unwrap()];
        assert!(Diff::fold(&before, &[event("row_insert", r#"{"id":1}"#, None, Some("{}"))]).is_err());
    }
}
