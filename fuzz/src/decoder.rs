//! One message of the stream.

use tidewire::pgoutput::{Datum, Message, Tuple, decode};

use super::{encoder::encode, second_opinion};

/// A message is refused, or read as another decoder reads it, from within the bytes, into no more memory than they
/// account for; written and read again it is the same.
pub fn pgoutput(bytes: &[u8]) {
    let decoded = decode(bytes);
    second_opinion::compare(bytes, &decoded);
    match decoded {
        Err(malformed) => assert!(malformed.offset <= bytes.len(), "{malformed}"),
        Ok(message) => {
            assert_borrowed(&message, bytes);
            assert_bounded(&message, bytes);
            let written = encode(&message);
            let again = decode(&written).expect("what was written");
            // messages of different bytes are different types: their bytes are compared
            assert_eq!(encode(&again), written, "{message:?}");
        }
    }
}

fn assert_borrowed(message: &Message<'_>, bytes: &[u8]) {
    let whole = bytes.as_ptr_range();
    let within = |part: &[u8]| {
        let part = part.as_ptr_range();
        whole.start <= part.start && part.end <= whole.end
    };
    match message {
        Message::Relation(body) => {
            // what is sent as an empty schema is spelled out
            assert!(within(body.schema.as_bytes()) || body.schema == "pg_catalog");
            assert!(within(body.name.as_bytes()) && body.columns.iter().all(|column| within(column.name.as_bytes())));
        }
        Message::Type(body) => assert!(within(body.schema.as_bytes()) && within(body.name.as_bytes())),
        Message::Logical { prefix, content, .. } => assert!(within(prefix.as_bytes()) && within(content)),
        _ => {
            for tuple in tuples(message) {
                let texts = tuple.iter().filter_map(|datum| match datum {
                    Datum::Text(text) => Some(*text),
                    Datum::Null | Datum::Unchanged => None,
                });
                let mut behind = whole.start;
                for text in texts {
                    assert!(within(text) && behind <= text.as_ptr(), "values follow each other");
                    behind = text.as_ptr_range().end;
                }
            }
        }
    }
}

/// A count is believed as far as there are bytes behind it. Vectors grow by doubling, from a few elements.
fn assert_bounded(message: &Message<'_>, bytes: &[u8]) {
    let grown = |from: usize| 2 * from + 16;
    match message {
        Message::Relation(body) => assert!(body.columns.capacity() <= grown(bytes.len() / 10)),
        Message::Truncate(truncate) => assert!(truncate.relations.capacity() <= grown(bytes.len() / 4)),
        _ => {
            for tuple in tuples(message) {
                assert!(tuple.capacity() <= grown(bytes.len()));
            }
        }
    }
}

fn tuples<'m, 'a>(message: &'m Message<'a>) -> Vec<&'m Tuple<'a>> {
    match message {
        Message::Insert { new, .. } => vec![new],
        Message::Update { old, new, .. } => old.iter().chain([new]).collect(),
        Message::Delete { old, .. } => vec![old],
        _ => vec![],
    }
}
