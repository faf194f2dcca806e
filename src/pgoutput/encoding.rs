//! A message in the database's own encoding, brought to UTF-8.
//!
//! It is a module of its own because the server must not convert: it ends the stream at a character that UTF-8 has no equivalent of, and
//! would end it there for ever. Here such a character fails one message.

use std::borrow::Cow;
use std::collections::HashMap;

use super::reader::{Malformed, Reader};

/// A database's encoding, as the server itself converts it.
#[derive(Debug, Default)]
pub struct Encoding {
    /// By a character's bytes: its UTF-8. Empty: the text is UTF-8 where it is anything at all (SQL_ASCII).
    characters: HashMap<u32, Box<str>>,
    width: Width,
}

/// How long a character is whose first byte is over 127 (src/common/wchar.c).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Width {
    #[default]
    One,
    Euc,
    EucTw,
}

impl Width {
    fn of(self, first: u8) -> usize {
        match (self, first) {
            (Width::One, _) => 1,
            (Width::EucTw, 0x8e) => 4,
            (_, 0x8f) => 3,
            _ => 2,
        }
    }
}

/// What to do with a character that UTF-8 has no equivalent of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The message cannot be read.
    Refuse,
    /// A question mark stands in its place.
    Replace,
}

/// Why a message was not converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is no message.
    Malformed(Malformed),
    /// It has a character that UTF-8 has no equivalent of.
    NotUtf8,
}

impl From<Malformed> for Unreadable {
    fn from(malformed: Malformed) -> Self {
        Unreadable::Malformed(malformed)
    }
}

impl Encoding {
    /// The encoding of that name; of each character over 127 its bytes and its UTF-8.
    pub fn new(name: &str, characters: impl IntoIterator<Item = (Vec<u8>, String)>) -> Self {
        let width = match name {
            "EUC_TW" => Width::EucTw,
            _ if name.starts_with("EUC_") => Width::Euc,
            _ => Width::One,
        };
        let characters = characters.into_iter().map(|(bytes, text)| (number(&bytes), text.into())).collect();
        Encoding { characters, width }
    }

    /// Appends a text in UTF-8.
    fn text(&self, mut text: &[u8], unknown: Unknown, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if self.characters.is_empty() {
            return utf8(text, unknown, out);
        }
        while let Some(&first) = text.first() {
            if first.is_ascii() {
                let length = text.iter().position(|byte| !byte.is_ascii()).unwrap_or(text.len());
                let (ascii, rest) = text.split_at(length);
                out.extend_from_slice(ascii);
                text = rest;
                continue;
            }
            let (bytes, rest) = text.split_at_checked(self.width.of(first)).unwrap_or((text, b""));
            match (self.characters.get(&number(bytes)), unknown) {
                (Some(character), _) => out.extend_from_slice(character.as_bytes()),
                (None, Unknown::Replace) => out.push(b'?'),
                (None, Unknown::Refuse) => return Err(Unreadable::NotUtf8),
            }
            text = rest;
        }
        Ok(())
    }
}

fn utf8(text: &[u8], unknown: Unknown, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        match unknown {
            _ if chunk.invalid().is_empty() => {}
            Unknown::Replace => out.push(b'?'),
            Unknown::Refuse => return Err(Unreadable::NotUtf8),
        }
    }
    Ok(())
}

/// A character's bytes as a number.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The message in UTF-8. One without text is as it was, and so is one that is all ASCII.
///
/// # Errors
/// [`Unreadable`]: what is no message, or has a character that cannot be had in UTF-8.
pub fn convert<'a>(bytes: &'a [u8], encoding: &Encoding, unknown: Unknown) -> Result<Cow<'a, [u8]>, Unreadable> {
    let mut message = Converted { reader: Reader::new(bytes), out: Vec::with_capacity(bytes.len()), encoding, unknown };
    match message.copy(1)? {
        b"I" => message.row_of(1)?,
        b"U" | b"D" => message.row_of(2)?,
        b"R" => {
            message.copy(4)?;
            message.string()?;
            message.string()?;
            message.copy(1)?;
            for _ in 0..message.count()? {
                message.copy(1)?;
                message.string()?;
                message.copy(8)?;
            }
        }
        // nobody needs the names in these
        b"O" | b"Y" => {
            message.unknown = Unknown::Replace;
            message.copy(if bytes.first() == Some(&b'O') { 8 } else { 4 })?;
            while !message.reader.is_empty() {
                message.string()?;
            }
        }
        _ => return Ok(Cow::Borrowed(bytes)),
    }
    if !message.reader.is_empty() {
        return Err(message.reader.malformed("end of message").into());
    }
    Ok(Cow::Owned(message.out))
}

/// A message that is being converted.
struct Converted<'a, 'e> {
    reader: Reader<'a>,
    out: Vec<u8>,
    encoding: &'e Encoding,
    unknown: Unknown,
}

impl<'a> Converted<'a, '_> {
    /// So many bytes as they are.
    fn copy(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let bytes = self.reader.bytes(count, "message")?;
        self.out.extend_from_slice(bytes);
        Ok(bytes)
    }

    fn count(&mut self) -> Result<u16, Unreadable> {
        let count = self.reader.u16("number of columns")?;
        self.out.extend_from_slice(&count.to_be_bytes());
        Ok(count)
    }

    /// A zero-terminated string.
    fn string(&mut self) -> Result<(), Unreadable> {
        let text = self.reader.terminated("string")?;
        self.encoding.text(text, self.unknown, &mut self.out)?;
        self.out.push(0);
        Ok(())
    }

    /// A relation's oid, and up to so many rows, each behind the mark that says which.
    fn row_of(&mut self, most: u32) -> Result<(), Unreadable> {
        self.copy(4)?;
        for _ in 0..most {
            if self.reader.is_empty() {
                break;
            }
            self.copy(1)?;
            for _ in 0..self.count()? {
                if self.copy(1)? == b"t" {
                    self.value()?;
                }
            }
        }
        Ok(())
    }

    /// A value: its length, which may become another, and its text.
    fn value(&mut self) -> Result<(), Unreadable> {
        let length = self.reader.u32("length of value")?;
        let text = self.reader.bytes(length as usize, "value")?;
        let at = self.out.len();
        self.out.extend_from_slice(&length.to_be_bytes());
        self.encoding.text(text, self.unknown, &mut self.out)?;
        let length = u32::try_from(self.out.len() - at - 4).map_err(|_| self.reader.malformed("value"))?;
        if let Some(place) = self.out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Datum, Message, decode};
    use super::*;

    fn win1252() -> Encoding {
        Encoding::new("WIN1252", [(vec![0xe4], "ä".to_owned()), (vec![0x80], "€".to_owned())])
    }

    #[test]
    fn a_value_is_converted_and_its_length_with_it() {
        let bytes = b"U\0\0\x40\x01O\0\x02t\0\0\0\x01\xe4nN\0\x02t\0\0\0\x03a\x80bu";
        let converted = convert(bytes, &win1252(), Unknown::Refuse).unwrap();
        let Message::Update { old, new, .. } = decode(&converted).unwrap() else { panic!() };
        assert_eq!(old.unwrap().as_slice(), [Datum::Text("ä".as_bytes()), Datum::Null]);
        assert_eq!(new.as_slice(), [Datum::Text("a€b".as_bytes()), Datum::Unchanged]);
    }

    #[test]
    fn a_character_without_equivalent_is_refused_or_replaced() {
        let bytes = b"I\0\0\x40\x01N\0\x01t\0\0\0\x02a\x81";
        assert_eq!(convert(bytes, &win1252(), Unknown::Refuse), Err(Unreadable::NotUtf8));
        assert!(convert(bytes, &win1252(), Unknown::Replace).unwrap().ends_with(b"a?"));
        assert_eq!(convert(bytes, &Encoding::default(), Unknown::Refuse), Err(Unreadable::NotUtf8));
        assert!(convert(bytes, &Encoding::default(), Unknown::Replace).unwrap().ends_with(b"a?"));
    }

    #[test]
    fn characters_of_several_bytes_are_found() {
        let euc =
            Encoding::new("EUC_JP", [(vec![0xa4, 0xa2], "あ".to_owned()), (vec![0x8f, 0xb0, 0xa1], "丂".to_owned())]);
        let bytes = b"I\0\0\x40\x01N\0\x01t\0\0\0\x06x\xa4\xa2\x8f\xb0\xa1";
        assert!(convert(bytes, &euc, Unknown::Refuse).unwrap().ends_with("xあ丂".as_bytes()));
        let cut = b"I\0\0\x40\x01N\0\x01t\0\0\0\x01\xa4";
        assert_eq!(convert(cut, &euc, Unknown::Refuse), Err(Unreadable::NotUtf8));
    }

    #[test]
    fn names_are_converted_and_a_types_name_never_fails() {
        let relation = b"R\0\0\x40\x01public\0t\xe4\0f\0\x01\x01c\xe4\0\0\0\0\x17\xff\xff\xff\xff";
        let converted = convert(relation, &win1252(), Unknown::Refuse).unwrap();
        let Message::Relation(body) = decode(&converted).unwrap() else { panic!() };
        assert_eq!((body.name, body.columns[0].name), ("tä", "cä"));
        for harmless in [&b"Y\0\0\0\x01a\0\x81\0"[..], b"O\0\0\0\0\0\0\0\x01\x81\0", b"O\x01\0\0\0\0\0\0\x01\x81\0"] {
            assert!(decode(&convert(harmless, &win1252(), Unknown::Refuse).unwrap()).is_ok());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in prop::sample::select(b"BCORYIUDTM".to_vec()), rest: Vec<u8>) {
            let mut bytes = vec![kind];
            bytes.extend(rest);
            let _ = convert(&bytes, &win1252(), Unknown::Refuse);
            let _ = convert(&bytes, &Encoding::default(), Unknown::Replace);
        }
    }
}
