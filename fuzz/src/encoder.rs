//! Messages to bytes: the other way round, for what is decoded to be encoded and decoded again.

use tidewire::pgoutput::{Datum, Message};

/// The bytes of a message; what the decoder does not keep is zero or empty.
pub fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        Message::Begin(begin) => {
            out.push(b'B');
            out.extend(begin.final_lsn.0.to_be_bytes());
            out.extend(begin.committed_at.to_be_bytes());
            out.extend(begin.xid.to_be_bytes());
        }
        Message::Commit(commit) => {
            out.extend([b'C', 0]);
            out.extend(commit.lsn.0.to_be_bytes());
            out.extend(commit.end_lsn.0.to_be_bytes());
            out.extend([0; 8]);
        }
        Message::Origin => out.extend([b'O', 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Message::Relation(body) => {
            out.push(b'R');
            out.extend(body.oid.to_be_bytes());
            string(&mut out, body.schema);
            string(&mut out, body.name);
            out.push(body.identity);
            out.extend(u16::try_from(body.columns.len()).unwrap().to_be_bytes());
            for column in &body.columns {
                out.push(0);
                string(&mut out, column.name);
                out.extend(column.type_oid.to_be_bytes());
                out.extend((-1_i32).to_be_bytes());
            }
        }
        Message::Type(body) => {
            out.push(b'Y');
            out.extend(body.oid.to_be_bytes());
            string(&mut out, body.schema);
            string(&mut out, body.name);
        }
        Message::Insert { relation, new } => {
            out.push(b'I');
            out.extend(relation.to_be_bytes());
            tuple(&mut out, b'N', new);
        }
        Message::Update { relation, old, whole, new } => {
            out.push(b'U');
            out.extend(relation.to_be_bytes());
            if let Some(old) = old {
                tuple(&mut out, if *whole { b'O' } else { b'K' }, old);
            }
            tuple(&mut out, b'N', new);
        }
        Message::Delete { relation, old, whole } => {
            out.push(b'D');
            out.extend(relation.to_be_bytes());
            tuple(&mut out, if *whole { b'O' } else { b'K' }, old);
        }
        Message::Truncate(truncate) => {
            out.push(b'T');
            out.extend(length(truncate.relations.len()));
            out.push(0);
            for relation in &truncate.relations {
                out.extend(relation.to_be_bytes());
            }
        }
        Message::Logical { transactional, prefix, content } => {
            out.extend([b'M', u8::from(*transactional)]);
            out.extend([0; 8]);
            string(&mut out, prefix);
            out.extend(length(content.len()));
            out.extend(*content);
        }
    }
    out
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend(text.as_bytes());
    out.push(0);
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}

fn tuple(out: &mut Vec<u8>, mark: u8, values: &[Datum<'_>]) {
    out.push(mark);
    out.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        match value {
            Datum::Null => out.push(b'n'),
            Datum::Unchanged => out.push(b'u'),
            Datum::Text(text) => {
                out.push(b't');
                out.extend(length(text.len()));
                out.extend(*text);
            }
        }
    }
}
