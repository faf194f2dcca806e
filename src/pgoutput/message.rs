//! The messages.

use super::reader::{Malformed, Reader};
use super::tuple::{Tuple, tuple};
use crate::position::Lsn;

/// One message of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a message is made, used and gone: boxing would allocate for each change"
)]
pub enum Message<'a> {
    /// A transaction starts. Only committed ones are sent.
    Begin(Begin),
    /// The transaction is whole.
    Commit(Commit),
    /// Where the transaction came from, when it was replicated here.
    Origin,
    /// Describes a relation; sent before its first change and again when it was altered.
    Relation(RelationBody<'a>),
    /// Describes a type that is not built in.
    Type(TypeBody<'a>),
    /// A row was inserted.
    Insert {
        /// The relation's oid.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was updated.
    Update {
        /// The relation's oid.
        relation: u32,
        /// The old row under REPLICA IDENTITY FULL; the old key, or nothing, otherwise.
        old: Option<Tuple<'a>>,
        /// Whether `old` is the whole row.
        whole: bool,
        /// The row as it now is.
        new: Tuple<'a>,
    },
    /// A row was deleted.
    Delete {
        /// The relation's oid.
        relation: u32,
        /// The old row under REPLICA IDENTITY FULL, else its key with NULLs for the rest.
        old: Tuple<'a>,
        /// Whether `old` is the whole row.
        whole: bool,
    },
    /// Tables were emptied.
    Truncate(Truncate),
    /// `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to the transaction around it.
        transactional: bool,
        /// Its sender's mark.
        prefix: &'a str,
        /// What it says.
        content: &'a [u8],
    },
}

/// The start of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record starts.
    pub final_lsn: Lsn,
    /// When it was committed, in microseconds since 2000-01-01 UTC.
    pub committed_at: i64,
    /// The transaction's id, the lower 32 bits.
    pub xid: u32,
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Where its commit record starts.
    pub lsn: Lsn,
    /// Where its commit record ends: the position to acknowledge.
    pub end_lsn: Lsn,
}

/// A relation's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationBody<'a> {
    /// Its oid.
    pub oid: u32,
    /// Its schema's name.
    pub schema: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its replica identity (`pg_class.relreplident`): `f` for FULL.
    pub identity: u8,
    /// The published columns in the table's order.
    pub columns: Vec<RelationColumn<'a>>,
}

/// A column's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type's oid.
    pub type_oid: u32,
}

/// A type's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeBody<'a> {
    /// Its oid.
    pub oid: u32,
    /// Its schema's name.
    pub schema: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// A TRUNCATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// The published relations that it emptied.
    pub relations: Vec<u32>,
}

/// Reads one message.
///
/// # Errors
/// [`Malformed`] for bytes that are not a message of protocol version 1, among them trailing ones.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let message = match reader.u8("message type")? {
        b'B' => Message::Begin(Begin {
            final_lsn: Lsn(reader.u64("final LSN")?),
            committed_at: reader.i64("commit time")?,
            xid: reader.u32("transaction id")?,
        }),
        b'C' => {
            reader.u8("flags")?;
            let commit = Commit { lsn: Lsn(reader.u64("commit LSN")?), end_lsn: Lsn(reader.u64("end LSN")?) };
            reader.i64("commit time")?;
            Message::Commit(commit)
        }
        b'O' => {
            reader.u64("origin's LSN")?;
            reader.string("origin's name")?;
            Message::Origin
        }
        b'R' => Message::Relation(relation(&mut reader)?),
        b'Y' => Message::Type(TypeBody {
            oid: reader.u32("type oid")?,
            schema: reader.string("type's schema")?,
            name: reader.string("type's name")?,
        }),
        b'I' => {
            let relation = reader.u32("relation oid")?;
            if reader.u8("new row")? != b'N' {
                return Err(reader.malformed("new row"));
            }
            Message::Insert { relation, new: tuple(&mut reader)? }
        }
        b'U' => update(&mut reader)?,
        b'D' => {
            let relation = reader.u32("relation oid")?;
            let whole = match reader.u8("old row")? {
                b'O' => true,
                b'K' => false,
                _ => return Err(reader.malformed("old row")),
            };
            Message::Delete { relation, old: tuple(&mut reader)?, whole }
        }
        b'T' => {
            let count = reader.u32("number of relations")?;
            reader.u8("options")?;
            let mut relations = Vec::new();
            for _ in 0..count {
                relations.push(reader.u32("relation oid")?);
            }
            Message::Truncate(Truncate { relations })
        }
        b'M' => {
            let transactional = reader.u8("flags")? & 1 == 1;
            reader.u64("message's LSN")?;
            let prefix = reader.string("prefix")?;
            let length = reader.u32("length of content")?;
            Message::Logical { transactional, prefix, content: reader.bytes(length as usize, "content")? }
        }
        _ => return Err(Malformed { what: "message type", offset: 0 }),
    };
    if reader.is_empty() { Ok(message) } else { Err(reader.malformed("end of message")) }
}

fn relation<'a>(reader: &mut Reader<'a>) -> Result<RelationBody<'a>, Malformed> {
    let oid = reader.u32("relation oid")?;
    // pg_catalog is sent as an empty string
    let schema = match reader.string("schema")? {
        "" => "pg_catalog",
        schema => schema,
    };
    let name = reader.string("relation's name")?;
    let identity = reader.u8("replica identity")?;
    let count = reader.u16("number of columns")?;
    let mut columns = Vec::new();
    for _ in 0..count {
        reader.u8("column flags")?;
        let name = reader.string("column's name")?;
        let type_oid = reader.u32("column's type")?;
        reader.i32("column's type modifier")?;
        columns.push(RelationColumn { name, type_oid });
    }
    Ok(RelationBody { oid, schema, name, identity, columns })
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let relation = reader.u32("relation oid")?;
    let mut old = None;
    let mut whole = false;
    let mut mark = reader.u8("old or new row")?;
    if mark == b'O' || mark == b'K' {
        whole = mark == b'O';
        old = Some(tuple(reader)?);
        mark = reader.u8("new row")?;
    }
    if mark != b'N' {
        return Err(reader.malformed("new row"));
    }
    Ok(Message::Update { relation, old, whole, new: tuple(reader)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Datum;
    use super::*;

    #[test]
    fn an_update_with_its_whole_old_row_is_read() {
        let bytes = b"U\0\0\x40\x01O\0\x02t\0\0\0\x013nN\0\x02t\0\0\0\x013u";
        let Message::Update { relation, old, whole, new } = decode(bytes).unwrap() else { panic!() };
        assert_eq!(relation, 0x4001);
        assert!(whole);
        assert_eq!(old.unwrap().as_slice(), [Datum::Text(b"3"), Datum::Null]);
        assert_eq!(new.as_slice(), [Datum::Text(b"3"), Datum::Unchanged]);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let error = decode(b"Y\0\0\0\x01a\0b\0!").unwrap_err();
        assert_eq!(error.what, "end of message");
        assert_eq!(error.offset, 9);
    }

    #[test]
    fn a_length_beyond_the_message_is_refused_without_allocating() {
        assert!(decode(b"I\0\0\0\x01N\0\x01t\xff\xff\xff\xffx").is_err());
        assert!(decode(b"T\xff\xff\xff\xff\0").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in prop::sample::select(b"BCORYIUDTM".to_vec()), rest: Vec<u8>) {
            let mut bytes = vec![kind];
            bytes.extend(rest);
            let _ = decode(&bytes);
        }

        #[test]
        fn every_cut_of_a_message_is_refused(cut in 0usize..42) {
            let bytes = b"U\0\0\x40\x01O\0\x02t\0\0\0\x013nN\0\x03t\0\0\0\x05abcdeut\0\0\0\0";
            prop_assert!(decode(&bytes[..cut.min(bytes.len() - 1)]).is_err());
        }
    }
}
