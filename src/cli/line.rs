//! An event on one line of a terminal, as the log of changes writes it: `field_update public.person.3.name "Sandy Jones"`.

use anstyle::{AnsiColor, Style};

use crate::delivery::visible::members;
use crate::inbox::Event;
use crate::printable::printable;

/// What came.
pub(super) const INSERTED: Style = AnsiColor::Green.on_default();
/// What went.
pub(super) const DELETED: Style = AnsiColor::Red.on_default();
/// What changed.
pub(super) const CHANGED: Style = AnsiColor::Yellow.on_default();
/// What is good to know besides.
pub(super) const ASIDE: Style = Style::new().dimmed();

/// What is no change of a row.
const NOTICE: Style = AnsiColor::Magenta.on_default();

/// The event's line with its colours, which the stream takes away where they are not wanted.
pub(super) fn line(event: &Event) -> String {
    let style = match event.change.as_str() {
        "row_insert" => INSERTED,
        "row_delete" => DELETED,
        "field_update" => CHANGED,
        _ => NOTICE,
    };
    let mut subject = event.relation.clone().unwrap_or_default();
    for (_, value) in members(event.row.as_deref().unwrap_or_default()) {
        // a new row is named by its data
        if event.change != "row_insert" {
            subject.push('.');
            subject.push_str(&key(value.get()));
        }
    }
    if let Some(field) = &event.field {
        subject.push('.');
        subject.push_str(&name(field));
    }
    let said = match event.change.as_str() {
        // nothing else names it
        "row_delete" if event.row.is_none() => event.old.as_deref(),
        "row_delete" => None,
        _ => event.value.as_deref(),
    };
    let mut line = format!("{style}{}{style:#}", printable(&event.change));
    for part in [subject.as_str(), said.unwrap_or_default()] {
        if !part.is_empty() {
            line.push(' ');
            line.push_str(&printable(part));
        }
    }
    line
}

/// A key's value: without its quotes where it can be told from the dots around it.
fn key(json: &str) -> String {
    let plain = |text: &&str| {
        !text.is_empty() && text.chars().all(|character| character.is_alphanumeric() || matches!(character, '-' | '_'))
    };
    let inside = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.filter(plain).unwrap_or(json).to_owned()
}

/// A column's name: with SQL's quotes where it cannot do without.
fn name(text: &str) -> String {
    let plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::EventId;

    fn event(change: &str, row: Option<&str>, field: Option<&str>, value: Option<&str>, old: Option<&str>) -> Event {
        Event {
            id: EventId::default(),
            committed_at: 0,
            xid: 1,
            change: change.to_owned(),
            relation: Some("public.seat".to_owned()),
            row: row.map(str::to_owned),
            field: field.map(str::to_owned),
            value: value.map(str::to_owned),
            old: old.map(str::to_owned),
            last: true,
        }
    }

    fn plain(event: &Event) -> String {
        anstream::adapter::strip_str(&line(event)).to_string()
    }

    #[test]
    fn a_change_is_named_by_relation_key_and_column() {
        let row = Some(r#"{"row":"A","number":7}"#);
        assert_eq!(
            plain(&event("field_update", row, Some("taken by"), Some("null"), None)),
            "field_update public.seat.A.7.\"taken by\" null"
        );
        assert_eq!(plain(&event("row_delete", row, None, None, row)), "row_delete public.seat.A.7");
        assert_eq!(plain(&event("row_insert", row, None, Some("{}"), None)), "row_insert public.seat {}");
        assert_eq!(plain(&event("truncate", None, None, None, None)), "truncate public.seat");
    }

    #[test]
    fn a_row_without_a_name_is_told_whole_when_it_goes() {
        assert_eq!(
            plain(&event("row_delete", None, None, None, Some(r#"{"a":1}"#))),
            r#"row_delete public.seat {"a":1}"#
        );
    }

    #[test]
    fn a_key_with_dots_keeps_its_quotes() {
        assert_eq!(
            plain(&event("row_delete", Some(r#"{"host":"a.b"}"#), None, None, None)),
            "row_delete public.seat.\"a.b\""
        );
    }

    #[test]
    fn data_cannot_command_the_terminal() {
        let event = event("row_insert", None, None, Some("{\"a\":\"\u{9b}2J\u{7f}\"}"), None);
        assert_eq!(plain(&event), r#"row_insert public.seat {"a":"\u009b2J\u007f"}"#);
    }
}
