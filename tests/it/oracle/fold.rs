//! Rows as events make them: what was, with the events applied, is what is.

use std::collections::BTreeMap;

use super::inbox::{Form, Received};
use super::model::fields;

type Row = BTreeMap<String, String>;

/// The tables as one session is told of them from their beginning on.
#[derive(Debug, Default)]
pub struct Folded {
    /// Rows with a key: by relation and key.
    keyed: BTreeMap<(String, String), Row>,
    /// Those without: by relation and content, and how many there are of each.
    keyless: BTreeMap<(String, Row), usize>,
}

fn row(object: &str) -> Row {
    fields(object).into_iter().map(|(name, value)| (name, value.get().to_owned())).collect()
}

impl Folded {
    /// What an event says; an error when it does not fit what came before it.
    pub fn apply(&mut self, received: &Received) -> Result<(), String> {
        let Form::Read { change, relation, row: key, field, value, old, .. } = &received.form else {
            return Err("it is not in the form of event.read".to_owned());
        };
        let relation = relation.clone().unwrap_or_default();
        let place = key.clone().map(|key| (relation.clone(), key));
        match (change.as_str(), place) {
            ("row_insert", Some(place)) => match self.keyed.insert(place, row(value.as_deref().unwrap_or_default())) {
                None => Ok(()),
                Some(_) => Err("the row is there already".to_owned()),
            },
            ("row_insert", None) => {
                *self.keyless.entry((relation, row(value.as_deref().unwrap_or_default()))).or_default() += 1;
                Ok(())
            }
            ("row_delete", Some(place)) => {
                let before = self.keyed.remove(&place);
                (before == old.as_deref().map(row)).then_some(()).ok_or_else(|| format!("the row was {before:?}"))
            }
            ("row_delete", None) => {
                let place = (relation, row(old.as_deref().unwrap_or_default()));
                let count = self.keyless.get_mut(&place).ok_or("there is no such row")?;
                *count -= 1;
                if *count == 0 {
                    self.keyless.remove(&place);
                }
                Ok(())
            }
            ("field_update", Some(place)) => {
                let row = self.keyed.get_mut(&place).ok_or("there is no such row")?;
                let before = row.insert(field.clone().unwrap_or_default(), value.clone().unwrap_or_default());
                (before == *old).then_some(()).ok_or_else(|| format!("the field was {before:?}"))
            }
            ("truncate", _) => {
                self.keyed.retain(|(of, _), _| *of != relation);
                self.keyless.retain(|(of, _), _| *of != relation);
                Ok(())
            }
            (other, _) => Err(format!("{other} is no change")),
        }
    }

    /// How often each row is there, by what it holds.
    pub fn rows(&self, relation: &str) -> BTreeMap<Row, usize> {
        let mut rows: BTreeMap<Row, usize> = BTreeMap::new();
        for ((of, _), row) in &self.keyed {
            if of == relation {
                *rows.entry(row.clone()).or_default() += 1;
            }
        }
        for ((of, row), count) in &self.keyless {
            if of == relation {
                rows.insert(row.clone(), *count);
            }
        }
        rows
    }
}

/// The same of rows as jsonb.
pub fn rows<'r>(contents: impl Iterator<Item = (&'r str, usize)>) -> BTreeMap<Row, usize> {
    let mut rows: BTreeMap<Row, usize> = BTreeMap::new();
    for (content, count) in contents {
        *rows.entry(row(content)).or_default() += count;
    }
    rows
}
