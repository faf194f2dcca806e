//! Another decoder of the same protocol, `pg_walstream`, is asked what it reads in the same bytes.

use pg_walstream::{ColumnData, LogicalReplicationMessage as Theirs, LogicalReplicationParser};
use tidewire::pgoutput::{Datum, Malformed, Message, decode};

/// What we read they read, and the same. What they read and we refuse is one of the differences known.
pub fn compare(bytes: &[u8], ours: &Result<Message<'_>, Malformed>) {
    let theirs = LogicalReplicationParser::with_protocol_version(1).parse_wal_message(bytes);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert!(agree(ours, &theirs.message), "{ours:?}\n{:?}", theirs.message),
        (Ok(ours), Err(theirs)) => panic!("only we read {ours:?}: {theirs}"),
        (Err(malformed), Ok(theirs)) => {
            let is_known = match malformed.what {
                // they do not look at what follows a message
                "end of message" => decode(&bytes[..malformed.offset]).is_ok(),
                // they know versions 2 to 4 too, which we do not ask for
                "message type" => b"SEcAbPKrp".contains(&bytes[0]),
                // they read values in binary, which we do not ask for
                "kind of value" => has_binary(&theirs.message),
                // they take any mark for a key's
                "old row" => matches!(theirs.message, Theirs::Delete { key_type, .. } if !"OK".contains(key_type)),
                _ => false,
            };
            assert!(is_known, "only they read {:?}: {malformed}", theirs.message);
        }
        (Err(_), Err(_)) => {}
    }
}

fn agree(ours: &Message<'_>, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (Message::Begin(ours), Theirs::Begin { final_lsn, timestamp, xid }) => {
            (ours.final_lsn.0, ours.committed_at, ours.xid) == (*final_lsn, *timestamp, *xid)
        }
        (Message::Commit(ours), Theirs::Commit { commit_lsn, end_lsn, .. }) => {
            (ours.lsn.0, ours.end_lsn.0) == (*commit_lsn, *end_lsn)
        }
        (Message::Origin, Theirs::Origin { .. }) => true,
        (
            Message::Relation(ours),
            Theirs::Relation { relation_id, namespace, relation_name, replica_identity, columns },
        ) => {
            // they leave pg_catalog as the empty string that is sent
            let schema = if namespace.is_empty() { "pg_catalog" } else { namespace };
            (ours.oid, ours.schema, ours.name, ours.identity)
                == (*relation_id, schema, relation_name, *replica_identity)
                && ours.columns.len() == columns.len()
                && ours
                    .columns
                    .iter()
                    .zip(columns)
                    .all(|(ours, theirs)| (ours.name, ours.type_oid) == (&theirs.name, theirs.type_id))
        }
        (Message::Type(ours), Theirs::Type { type_id, namespace, type_name }) => {
            (ours.oid, ours.schema, ours.name) == (*type_id, namespace, type_name)
        }
        (Message::Insert { relation, new }, Theirs::Insert { relation_id, tuple }) => {
            relation == relation_id && same(new, &tuple.columns)
        }
        (
            Message::Update { relation, old, whole, new },
            Theirs::Update { relation_id, old_tuple, new_tuple, key_type },
        ) => {
            let same_old = match (old, old_tuple) {
                (None, None) => key_type.is_none(),
                (Some(ours), Some(theirs)) => {
                    *key_type == Some(if *whole { 'O' } else { 'K' }) && same(ours, &theirs.columns)
                }
                _ => false,
            };
            relation == relation_id && same_old && same(new, &new_tuple.columns)
        }
        (Message::Delete { relation, old, whole }, Theirs::Delete { relation_id, old_tuple, key_type }) => {
            relation == relation_id && *key_type == (if *whole { 'O' } else { 'K' }) && same(old, &old_tuple.columns)
        }
        (Message::Truncate(ours), Theirs::Truncate { relation_ids, .. }) => ours.relations == *relation_ids,
        (
            Message::Logical { transactional, prefix, content },
            Theirs::Message { flags, prefix: theirs, content: said, .. },
        ) => *transactional == (flags & 1 == 1) && prefix == theirs && content == said,
        _ => false,
    }
}

fn same(ours: &[Datum<'_>], theirs: &[ColumnData]) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| match ours {
            Datum::Null => theirs.is_null(),
            Datum::Unchanged => theirs.is_unchanged(),
            Datum::Text(text) => theirs.is_text() && theirs.as_bytes() == *text,
        })
}

fn has_binary(theirs: &Theirs) -> bool {
    let tuples = match theirs {
        Theirs::Insert { tuple, .. } => vec![tuple],
        Theirs::Update { old_tuple, new_tuple, .. } => old_tuple.iter().chain([new_tuple]).collect(),
        Theirs::Delete { old_tuple, .. } => vec![old_tuple],
        _ => vec![],
    };
    tuples.iter().any(|tuple| tuple.columns.iter().any(ColumnData::is_binary))
}
