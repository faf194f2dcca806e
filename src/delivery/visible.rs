//! What of a row's JSON a recipient may see: where in the text it stands. That is worked out once, when the event is written; whoever
//! shows the event, here or in the database (`event._visible_part`), copies these places and reads nothing.

use std::fmt;
use std::sync::Arc;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::inbox::{ChangeKind, Entry};

/// Members of an object that stand side by side, in bytes of the UTF-8 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    start: u32,
    length: u32,
}

impl Run {
    /// As `event.inbox.visible` has it: the place of the first byte, counted from 1, and how many there are. No text is longer than
    /// `LARGEST` in capture/render.rs.
    pub fn numbers(self) -> [i32; 2] {
        [self.start as i32 + 1, self.length as i32]
    }

    /// What stands there.
    fn of(self, text: &str) -> &str {
        let start = self.start as usize;
        text.get(start..start + self.length as usize).unwrap_or_default()
    }
}

/// Where in the event's row the columns with these numbers stand; `None` if it has no row to be seen.
pub fn runs(entry: &Entry, numbers: &[i16]) -> Option<Arc<[Run]>> {
    let (relation, row) = match entry.change {
        ChangeKind::RowInsert => (entry.relation.as_ref()?, entry.value.as_deref()?),
        ChangeKind::RowDelete => (entry.relation.as_ref()?, entry.old.as_deref()?),
        _ => return None,
    };
    let columns = relation.columns.iter().filter(|column| column.is_certain && numbers.contains(&column.attnum));
    let mut names: Vec<&str> = Vec::with_capacity(numbers.len());
    names.extend(columns.map(|column| column.name.as_str()));
    names.sort_unstable();
    Some(members_called(row, &names).into())
}

/// The members with these names, which are sorted. What cannot be read is not shown.
fn members_called(object: &str, names: &[&str]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::with_capacity(names.len());
    // behind the brace or comma before a member
    let mut start = 1;
    let mut goes_on = false;
    for (name, value) in members(object) {
        let end = value.get().as_ptr().addr() - object.as_ptr().addr() + value.get().len();
        let is_visible = names.binary_search(&name.as_str()).is_ok();
        match runs.last_mut().filter(|_| goes_on) {
            Some(run) if is_visible => run.length = end as u32 - run.start,
            _ if is_visible => runs.push(Run { start: start as u32, length: (end - start) as u32 }),
            _ => {}
        }
        goes_on = is_visible;
        start = end + 1;
    }
    runs
}

/// Appends the object of the members that stand there.
pub fn write(out: &mut String, object: &str, runs: &[Run]) {
    out.push('{');
    for (at, run) in runs.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(run.of(object));
    }
    out.push('}');
}

/// How long that object is.
pub fn length(runs: &[Run]) -> usize {
    2 + runs.iter().map(|run| run.length as usize + 1).sum::<usize>()
}

/// An object's members in their order, their values as they are written; none if it is no object.
pub(crate) fn members(object: &str) -> Vec<(String, &RawValue)> {
    serde_json::Deserializer::from_str(object).deserialize_map(Members).unwrap_or_default()
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(object: &str, names: &[&str]) -> (String, usize) {
        let runs = members_called(object, names);
        let mut out = String::new();
        write(&mut out, object, &runs);
        assert!(length(&runs) >= out.len());
        (out, runs.len())
    }

    #[test]
    fn what_may_be_seen_is_copied_as_it_stands() {
        let object = r#"{"a":1,"b":[1,{"c":","}],"ü\"":"ä\u0000","d":{},"e":null}"#;
        for (names, expected, runs) in [
            (&["a", "b", "d", "e", "ü\""][..], object, 1),
            (&["a", "b"], r#"{"a":1,"b":[1,{"c":","}]}"#, 1),
            (&["a", "d", "e"], r#"{"a":1,"d":{},"e":null}"#, 2),
            (&["a", "e", "ü\""], r#"{"a":1,"ü\"":"ä\u0000","e":null}"#, 3),
            (&["c"], "{}", 0),
        ] {
            assert_eq!(part(object, names), (expected.to_owned(), runs));
        }
        assert_eq!(part("{}", &["a"]), ("{}".to_owned(), 0));
        assert_eq!(part("[1]", &["a"]), ("{}".to_owned(), 0), "what cannot be read is not shown");
    }
}
