//! The three kinds of change, and how a message becomes them.

use crate::catalog::Relation;
use crate::pgoutput::{Datum, Tuple};

/// A row as the stream carried it; its unchanged large values have been filled in from the old row.
pub type RowImage<'a> = Tuple<'a>;

/// One change. Positions are those of [`RelationParts::columns`](crate::catalog::RelationParts::columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'t, 'a> {
    /// A row is there that was not.
    RowInsert {
        /// The row.
        row: &'t RowImage<'a>,
        /// The columns that differ from the row that it replaces: set when a table without a key was updated.
        replaces: Option<&'t RowImage<'a>>,
    },
    /// A row is gone.
    RowDelete {
        /// The row as it was; only its key when the old row was not logged.
        row: &'t RowImage<'a>,
        /// The row that replaces it: set when a table without a key was updated.
        replaced_by: Option<&'t RowImage<'a>>,
    },
    /// A field of a row has another value.
    FieldUpdate {
        /// The row as it now is.
        row: &'t RowImage<'a>,
        /// Which column.
        column: usize,
        /// The value before; `None` when the old row was not logged.
        old: Option<Datum<'a>>,
        /// The value now.
        new: Datum<'a>,
    },
}

impl Change<'_, '_> {
    /// How long the values are that it tells of, in bytes of PostgreSQL's text.
    pub fn bytes(&self) -> usize {
        let length = |datum: &Datum<'_>| if let Datum::Text(text) = datum { text.len() } else { 0 };
        match self {
            Change::RowInsert { row, .. } | Change::RowDelete { row, .. } => row.iter().map(length).sum(),
            Change::FieldUpdate { old, new, .. } => old.as_ref().map_or(0, length) + length(new),
        }
    }
}

/// The changes that an UPDATE is, in the order in which they are told. `new` gets its unchanged large values from `old`.
pub fn updated<'t, 'a>(
    relation: &Relation,
    old: Option<&'t RowImage<'a>>,
    whole: bool,
    new: &'t mut RowImage<'a>,
    mut tell: impl FnMut(Change<'t, 'a>),
) {
    let whole_old = old.filter(|_| whole);
    if let Some(old) = whole_old {
        for (new, old) in new.iter_mut().zip(old) {
            if *new == Datum::Unchanged {
                *new = *old;
            }
        }
    }
    let new = &*new;
    if let Some(old) = old {
        let differs = |&at: &usize| old.get(at) != new.get(at);
        if relation.has_key() && relation.key.iter().any(differs) {
            tell(Change::RowDelete { row: old, replaced_by: None });
            tell(Change::RowInsert { row: new, replaces: None });
            return;
        }
    }
    if !relation.has_key() {
        if let Some(old) = whole_old
            && old != new
        {
            tell(Change::RowDelete { row: old, replaced_by: Some(new) });
            tell(Change::RowInsert { row: new, replaces: Some(old) });
        }
        return;
    }
    for &column in &relation.order {
        let Some(&value) = new.get(column) else { continue };
        match whole_old.and_then(|old| old.get(column)) {
            Some(old) if *old == value => {}
            Some(old) => tell(Change::FieldUpdate { row: new, column, old: Some(*old), new: value }),
            // Without the old row every field but the key may have changed: better told in vain than not at all.
            None if value != Datum::Unchanged && !relation.key.contains(&column) => {
                tell(Change::FieldUpdate { row: new, column, old: None, new: value });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smallvec::smallvec;

    use super::*;
    use crate::catalog::{Column, RelationParts};
    use crate::json::Shape;

    fn relation(key: &[usize]) -> Relation {
        let columns = ["id", "name", "note"];
        RelationParts {
            oid: 1,
            schema: "public".into(),
            name: "person".into(),
            columns: columns.iter().zip(1..).map(|(name, at)| Column::new(name, at, Arc::new(Shape::Text))).collect(),
            order: vec![0, 1, 2],
            key: key.to_vec(),
            key_forms: Vec::new(),
            whole_rows: true,
            partition: None,
        }
        .into()
    }

    fn row<'a>(values: [&'a str; 3]) -> RowImage<'a> {
        smallvec![
            Datum::Text(values[0].as_bytes()),
            Datum::Text(values[1].as_bytes()),
            if values[2] == "~" { Datum::Unchanged } else { Datum::Text(values[2].as_bytes()) }
        ]
    }

    fn told(key: &[usize], old: Option<[&str; 3]>, whole: bool, new: [&str; 3]) -> Vec<String> {
        let relation = relation(key);
        let old = old.map(row);
        let mut new = row(new);
        let mut out = Vec::new();
        updated(&relation, old.as_ref(), whole, &mut new, |change| {
            out.push(match change {
                Change::RowInsert { .. } => "insert".to_owned(),
                Change::RowDelete { .. } => "delete".to_owned(),
                Change::FieldUpdate { column, .. } => format!("field {column}"),
            });
        });
        out
    }

    #[test]
    fn an_update_that_changes_nothing_is_no_change() {
        assert!(told(&[0], Some(["1", "a", "x"]), true, ["1", "a", "x"]).is_empty());
        assert!(told(&[], Some(["1", "a", "x"]), true, ["1", "a", "x"]).is_empty());
    }

    #[test]
    fn each_changed_column_is_a_field_update() {
        assert_eq!(told(&[0], Some(["1", "a", "x"]), true, ["1", "b", "y"]), ["field 1", "field 2"]);
    }

    #[test]
    fn a_changed_key_is_a_delete_and_an_insert() {
        assert_eq!(told(&[0], Some(["1", "a", "x"]), true, ["2", "a", "x"]), ["delete", "insert"]);
    }

    #[test]
    fn without_a_key_whole_rows_are_exchanged() {
        assert_eq!(told(&[], Some(["1", "a", "x"]), true, ["1", "b", "x"]), ["delete", "insert"]);
    }

    #[test]
    fn an_unchanged_large_value_is_no_change_and_is_filled_in() {
        let relation = relation(&[0]);
        let old = row(["1", "a", "large"]);
        let mut new = row(["1", "b", "~"]);
        let mut columns = Vec::new();
        updated(&relation, Some(&old), true, &mut new, |change| {
            if let Change::FieldUpdate { column, row, .. } = change {
                assert_eq!(row[2], Datum::Text(b"large"));
                columns.push(column);
            }
        });
        assert_eq!(columns, [1]);
    }

    #[test]
    fn without_the_old_row_every_field_but_the_key_is_told() {
        assert_eq!(told(&[0], None, false, ["1", "a", "~"]), ["field 1"]);
    }
}
