//! Places in the write-ahead log: [`Lsn`], a byte position, and [`EventId`], one change at one position.
//!
//! Both are written so that text order is log order in any language with a byte-wise comparison.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// A byte position in the write-ahead log (PostgreSQL manual, section 8.20 "`pg_lsn` Type").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl Lsn {
    /// Appends its text: what `Display` writes, without `core::fmt`.
    pub fn push_to(self, out: &mut String) {
        let mut digits = [b'0'; 16];
        hexadecimal(&mut digits, self.0);
        let (high, low) = digits.split_at(8);
        let short = |half: &[u8]| half.iter().position(|digit| *digit != b'0').unwrap_or(half.len() - 1);
        out.push_str(ascii(&high[short(high)..]));
        out.push('/');
        out.push_str(ascii(&low[short(low)..]));
    }
}

impl FromStr for Lsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // pg_lsn_in (src/backend/utils/adt/pg_lsn.c) takes one to eight digits on either side, and no sign
        let half = |digits: &str| {
            let is_half = digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            u32::from_str_radix(digits, 16).ok().filter(|_| is_half)
        };
        let parsed = text
            .split_once('/')
            .and_then(|(high, low)| Some(Lsn(u64::from(half(high)?) << 32 | u64::from(half(low)?))));
        parsed.ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("\"{text}\" is not a WAL position")))
    }
}

/// The place of one change in the total order of all changes: the LSN of its transaction's commit and
/// its number within that transaction, counted from 1.
///
/// The same change has the same id in every session and after every restart: the number counts all
/// changes of published tables, whether or not somebody is subscribed to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Start of the commit record, as pgoutput's Begin message gives it (`final_lsn`).
    pub lsn: Lsn,
    /// The change's number in its transaction; 0 stands before the first change.
    pub number: u32,
}

impl EventId {
    /// The number that stands behind every change of a transaction: "all of it".
    pub const WHOLE: u32 = u32::MAX;

    /// Length of the text form in bytes: 16 hexadecimal digits, a dash, 8 hexadecimal digits.
    pub const TEXT_LEN: usize = 25;

    /// The id that stands behind every change of the transaction that committed at `lsn`.
    pub fn end_of(lsn: Lsn) -> Self {
        EventId { lsn, number: Self::WHOLE }
    }

    /// Appends its text: what `Display` writes, without `core::fmt`.
    pub fn push_to(self, out: &mut String) {
        out.push_str(ascii(&self.digits()));
    }

    fn digits(self) -> [u8; Self::TEXT_LEN] {
        let mut text = [b'-'; Self::TEXT_LEN];
        hexadecimal(&mut text[..16], self.lsn.0);
        hexadecimal(&mut text[17..], u64::from(self.number));
        text
    }
}

/// How far the inboxes are: what is written with the events themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last change that is done.
    pub id: EventId,
    /// How many of its transaction's messages are done. A restart in the middle of a transaction skips that many and
    /// counts on from the id: what the skipped ones were made into depended on what was known then.
    pub messages: i64,
}

impl Progress {
    /// All of the transaction that committed at `lsn`.
    pub fn whole(lsn: Lsn) -> Self {
        Progress { id: EventId::end_of(lsn), messages: 0 }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(&self.digits()))
    }
}

/// Fills `out` with the last digits of `number`, in capitals.
fn hexadecimal(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789ABCDEF"[(number & 0xf) as usize];
        number >>= 4;
    }
}

/// Text of which it is known that it is ASCII.
fn ascii(text: &[u8]) -> &str {
    str::from_utf8(text).unwrap_or_default()
}

impl FromStr for EventId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
        let parsed = text.split_once('-').and_then(|(lsn, number)| {
            if lsn.len() != 16 || number.len() != 8 || !hex(lsn) || !hex(number) {
                return None;
            }
            Some(EventId {
                lsn: Lsn(u64::from_str_radix(lsn, 16).ok()?),
                number: u32::from_str_radix(number, 16).ok()?,
            })
        });
        parsed.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("\"{text}\" is not an event id"))
                .hint("An event id is 16 hexadecimal digits, a dash and 8 hexadecimal digits, in capitals.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsn_text_round_trips() {
        for text in ["0/0", "0/22DA1710", "16/B374D848", "1/10", "A0000000/0", "FFFFFFFF/FFFFFFFF"] {
            let lsn: Lsn = text.parse().unwrap();
            let mut pushed = String::new();
            lsn.push_to(&mut pushed);
            assert_eq!((lsn.to_string().as_str(), pushed.as_str()), (text, text));
        }
        assert!("22DA1710".parse::<Lsn>().is_err());
        for text in ["0/x", "+1/2", "0/+2", "/", "1/", "000000001/0", "0/100000000"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }

    #[test]
    fn event_id_text_orders_as_the_id_does() {
        let ids =
            [(1, 2), (1, 10), (15, 1), (16, 0), (u64::MAX, 1)].map(|(lsn, number)| EventId { lsn: Lsn(lsn), number });
        let texts = ids.map(|id| id.to_string());
        assert!(texts.is_sorted());
        assert_eq!(texts[4].len(), EventId::TEXT_LEN);
        for (id, text) in ids.iter().zip(&texts) {
            assert_eq!(text.parse::<EventId>().unwrap(), *id);
            assert_eq!(*text, format!("{:016X}-{:08X}", id.lsn.0, id.number));
            let mut pushed = String::new();
            id.push_to(&mut pushed);
            assert_eq!(pushed, *text);
        }
    }

    #[test]
    fn event_id_refuses_other_spellings() {
        for text in [
            "",
            "-",
            "0000000022da1710-00000003",
            "22DA1710-3",
            "0000000022DA1710-0000000G",
            "+000000022DA1710-00000003",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
