//! A row's values as a message carries them (TupleData).

use smallvec::SmallVec;

use super::reader::{Malformed, Reader};

/// One column's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datum<'a> {
    /// SQL NULL.
    Null,
    /// A large value that the UPDATE did not touch: the new row does not carry it.
    Unchanged,
    /// The type's text output, in UTF-8.
    Text(&'a [u8]),
}

/// A row's values in the order of the relation's columns. Wide rows are kept on the heap.
pub type Tuple<'a> = SmallVec<[Datum<'a>; 16]>;

pub(super) fn tuple<'a>(reader: &mut Reader<'a>) -> Result<Tuple<'a>, Malformed> {
    let count = reader.u16("number of columns")?;
    let mut values = Tuple::new();
    for _ in 0..count {
        values.push(match reader.u8("kind of value")? {
            b'n' => Datum::Null,
            b'u' => Datum::Unchanged,
            b't' => {
                let length = reader.u32("length of value")?;
                Datum::Text(reader.bytes(length as usize, "value")?)
            }
            _ => return Err(reader.malformed("kind of value")),
        });
    }
    Ok(values)
}
