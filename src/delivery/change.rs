//! The event everywhere but over NOTIFY: one JSON object a change, with the value before and the transaction.
//!
//! ```text
//! {"id":"…-00000001","change":"row_insert","relation":"public.person","row":{"id":5},"data":{"id":5,"name":"Don Pablo"},"tx":{…}}
//! {"id":"…-00000002","change":"field_update","relation":"public.person","row":{"id":3},"field":"name","value":"Sandy Jones","old":"Sandy Hill","tx":{…}}
//! {"id":"…-00000003","change":"row_delete","relation":"public.person","row":{"id":4},"old":{"id":4,"name":"Nancy Makowsky"},"tx":{…}}
//! {"id":"…-00000001","change":"truncate","relation":"public.person","tx":{…}}
//! {"id":"…-00000000","change":"gap","reason":"slot_lost","from":"…","to":"…","tx":{"xid":null,…}}
//! {"id":"…-00000001","change":"subscription_ended","subscription_id":"…","reason":"relation_dropped","tx":{…}}
//! ```
//!
//! The keys come in this order, without white space between them. `tx` is the same in all:
//! `{"xid":751,"lsn":"0/22DA1710","at":"2026-11-23T04:51:07.123456Z","last":false}`: the writer's transaction, the start
//! of its commit record, when it committed, and whether no further event of it follows. A gap was made by no
//! transaction: its `xid` is null, and `at` is when it was found.
//!
//! * `row` is null in a table without a primary key.
//! * `old` is absent where the old value is not known, and otherwise never is: SQL NULL is `null`.
//! * Of `data` and of a row's `old` only those columns are there that the session's owner may SELECT.
//! * A truncate of one partition names the partition; every other change names the root.

use std::fmt::Write;
use std::ops::Range;

use crate::inbox::Event;
use crate::json::write_string;

use super::visible::members;

/// The event as JSON.
pub fn render(event: &Event) -> String {
    let length = |part: &Option<String>| part.as_deref().map_or(0, str::len);
    let Event { id, change, relation, row, field, value, old, .. } = event;
    // 256 bytes for the labels and the transaction
    let lengths: usize = [relation, row, field, value, old].into_iter().map(length).sum();
    let mut out = String::with_capacity(256 + lengths);
    out.push_str("{\"id\":\"");
    id.push_to(&mut out);
    string(&mut out, "\",\"change\":", change);
    if let Some(relation) = relation {
        string(&mut out, ",\"relation\":", relation);
    }
    match change.as_str() {
        "truncate" => {}
        "gap" | "subscription_ended" => {
            for (name, value) in members(value.as_deref().unwrap_or_default()) {
                out.push(',');
                write_string(&mut out, &name);
                raw(&mut out, ":", value.get());
            }
        }
        _ => {
            raw(&mut out, ",\"row\":", row.as_deref().unwrap_or("null"));
            if let Some(field) = field {
                string(&mut out, ",\"field\":", field);
            }
            if let Some(value) = value {
                raw(&mut out, if field.is_some() { ",\"value\":" } else { ",\"data\":" }, value);
            }
            if let Some(old) = old {
                raw(&mut out, ",\"old\":", old);
            }
        }
    }
    transaction(&mut out, event);
    out.push('}');
    out
}

fn transaction(out: &mut String, event: &Event) {
    out.push_str(",\"tx\":{\"xid\":");
    let _ = match event.xid {
        0 => out.write_str("null"),
        xid => write!(out, "{xid}"),
    };
    out.push_str(",\"lsn\":\"");
    event.id.lsn.push_to(out);
    out.push_str("\",\"at\":\"");
    write_timestamp(out, event.committed_at);
    raw(out, "\",\"last\":", if event.last { "true}" } else { "false}" });
}

fn raw(out: &mut String, label: &str, value: &str) {
    out.push_str(label);
    out.push_str(value);
}

fn string(out: &mut String, label: &str, value: &str) {
    out.push_str(label);
    write_string(out, value);
}

/// Microseconds since 2000-01-01 UTC as ISO 8601, always to the microsecond: text order is time order.
pub fn timestamp(micros: i64) -> String {
    let mut out = String::with_capacity(27);
    write_timestamp(&mut out, micros);
    out
}

/// Appends [`timestamp`], digit by digit: every event has one, and `core::fmt` is dear.
fn write_timestamp(out: &mut String, micros: i64) {
    const DAY: i64 = 86_400_000_000;
    let (year, month, day) = date(micros.div_euclid(DAY));
    let of_day = micros.rem_euclid(DAY);
    let seconds = of_day / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut digits = |place: Range<usize>, mut number: i64| {
        for digit in text[place].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    digits(0..4, year.clamp(0, 9999));
    digits(5..7, month);
    digits(8..10, day);
    digits(11..13, hour);
    digits(14..16, minute);
    digits(17..19, second);
    digits(20..26, of_day % 1_000_000);
    let text = str::from_utf8(&text).unwrap_or_default();
    if (0..=9999).contains(&year) {
        out.push_str(text);
    } else {
        let _ = write!(out, "{year:04}{}", &text[4..]);
    }
}

/// Year, month and day of a number of days since 2000-01-01, in the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Counted from a 1 March, so that the leap day is a year's last, in cycles of 400 years, which are 146,097 days:
    // 2000-03-01 begins one.
    let days = days - 60;
    let cycle = days.div_euclid(146_097);
    let of_cycle = days.rem_euclid(146_097);
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    // From March on months have 31, 30, 31, 30, 31 days, over and over: 153 in five.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (2000 + cycle * 400 + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{EventId, Lsn};

    fn event(change: &str) -> Event {
        Event {
            id: EventId { lsn: Lsn(0x22DA_1710), number: 3 },
            committed_at: 848_724_667_123_456,
            xid: 751,
            change: change.to_owned(),
            relation: Some("public.person".to_owned()),
            row: Some(r#"{"id":3}"#.to_owned()),
            field: None,
            value: None,
            old: None,
            last: false,
        }
    }

    const TX: &str = r#""tx":{"xid":751,"lsn":"0/22DA1710","at":"2026-11-23T04:51:07.123456Z","last":false}}"#;

    #[test]
    fn a_field_update_is_of_the_form_that_is_promised() {
        let event = Event {
            field: Some("name".to_owned()),
            value: Some("\"Sandy Jones\"".to_owned()),
            old: Some("\"Sandy Hill\"".to_owned()),
            ..event("field_update")
        };
        let expected = concat!(
            r#"{"id":"0000000022DA1710-00000003","change":"field_update","relation":"public.person","row":{"id":3},"#,
            r#""field":"name","value":"Sandy Jones","old":"Sandy Hill","#
        );
        assert_eq!(render(&event), format!("{expected}{TX}"));
    }

    #[test]
    fn a_row_has_data_when_it_comes_and_old_when_it_goes() {
        let data = Some(r#"{"id":3}"#.to_owned());
        let insert = render(&Event { value: data.clone(), ..event("row_insert") });
        assert!(insert.ends_with(&format!(r#""row":{{"id":3}},"data":{{"id":3}},{TX}"#)), "{insert}");
        let delete = render(&Event { old: data, row: None, ..event("row_delete") });
        assert!(delete.ends_with(&format!(r#""row":null,"old":{{"id":3}},{TX}"#)), "{delete}");
    }

    #[test]
    fn what_is_not_known_of_the_old_value_is_absent() {
        let update = Event { field: Some("n".to_owned()), value: Some("null".to_owned()), ..event("field_update") };
        assert!(render(&update).contains(r#""field":"n","value":null,"tx""#));
    }

    #[test]
    fn a_gap_is_of_no_relation_and_no_transaction() {
        let said = Some(r#"{"reason" : "slot_lost", "from" : "a", "to" : "b"}"#.to_owned());
        let gap = render(&Event { relation: None, row: None, value: said, xid: 0, ..event("gap") });
        let expected = r#""change":"gap","reason":"slot_lost","from":"a","to":"b","tx":{"xid":null,"lsn""#;
        assert!(gap.contains(expected), "{gap}");
    }

    #[test]
    fn a_time_is_told_to_the_microsecond() {
        for (micros, expected) in [
            (0, "2000-01-01T00:00:00.000000Z"),
            (-1, "1999-12-31T23:59:59.999999Z"),
            (848_724_667_000_006, "2026-11-23T04:51:07.000006Z"),
            (252_455_615_999_999_999, "9999-12-31T23:59:59.999999Z"),
            (252_455_616_000_000_000, "10000-01-01T00:00:00.000000Z"),
            (-63_113_904_000_000_000, "0000-01-01T00:00:00.000000Z"),
            (-63_113_904_000_000_001, "-001-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(timestamp(micros), expected, "{micros}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (2000, 1, 1)),
            (59, (2000, 2, 29)),
            (60, (2000, 3, 1)),
            (365, (2000, 12, 31)),
            (366, (2001, 1, 1)),
            (-1, (1999, 12, 31)),
            (-10_957, (1970, 1, 1)),
            (36_583, (2100, 2, 28)),
            (36_584, (2100, 3, 1)),
            (146_156, (2400, 2, 29)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }
}
