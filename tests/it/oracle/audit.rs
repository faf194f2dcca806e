//! What was committed, as PostgreSQL tells it: the notes of the triggers, in the order of a slot of our own.

use std::collections::HashMap;

use serde::Deserialize;

use crate::support::Client;

/// The slot that gives the order of the commits.
pub const SLOT: &str = "oracle";

/// One committed transaction.
#[derive(Debug)]
pub struct Transaction {
    /// The start of its commit record, as an event's id has it.
    pub lsn: String,
    pub xid: i64,
    /// What it did, in its order.
    pub notes: Vec<Note>,
}

/// One thing that a transaction did.
#[derive(Debug)]
pub struct Note {
    pub relation: usize,
    pub op: String,
    /// The partition.
    pub leaf: Option<String>,
    pub old: Option<Image>,
    pub new: Option<Image>,
    /// The names of the columns that differ.
    pub changed: Vec<String>,
    pub control: Option<Control>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// All of it, as jsonb.
    pub row: String,
    /// Its key, as jsonb.
    pub id: String,
    /// The key's texts.
    pub key: Vec<String>,
    /// Those by which a subscription finds it.
    pub sought: Vec<String>,
}

/// A session or subscription comes or goes.
#[derive(Debug, Deserialize)]
pub struct Control {
    pub session: String,
    pub id: Option<String>,
    pub kind: Option<String>,
    pub column: Option<String>,
    pub key: Option<Vec<String>>,
}

/// Reads what was committed since the last call. Nobody may be writing.
#[derive(Debug, Default)]
pub struct Audit {
    /// The last commit that was read.
    lsn: String,
}

impl Audit {
    pub async fn read(&mut self, client: &Client) -> Vec<Transaction> {
        let mut notes = notes(client).await;
        // Looked at and then moved on: what a crash forgets of that is passed over by its position.
        let commits = client
            .query(
                "select upper(encode(substring(data from 2 for 8), 'hex')),
                        ('x' || encode(substring(data from 18 for 4), 'hex'))::bit(32)::bigint
                 from pg_logical_slot_peek_binary_changes($1, null, null, 'proto_version', '1',
                                                          'publication_names', 'oracle')
                 where get_byte(data, 0) = ascii('B')",
                &[&SLOT],
            )
            .await
            .unwrap();
        let mut transactions = Vec::new();
        for commit in commits {
            let (lsn, xid): (String, i64) = (commit.get(0), commit.get(1));
            if lsn <= self.lsn {
                continue;
            }
            self.lsn.clone_from(&lsn);
            if let Some(notes) = notes.remove(&xid) {
                transactions.push(Transaction { lsn, xid, notes });
            }
        }
        assert!(notes.is_empty(), "committed, and not in the order of the commits: {:?}", notes.keys());
        client
            .sql("select pg_replication_slot_advance('oracle', pg_current_wal_flush_lsn()); truncate oracle.audit")
            .await;
        transactions
    }
}

async fn notes(client: &Client) -> HashMap<i64, Vec<Note>> {
    let rows = client
        .query(
            "select xid, relation, op, leaf, changed, control::text, old::text, old_row::text, old_key, old_sought,
                    new::text, new_row::text, new_key, new_sought
             from oracle.audit order by seq",
            &[],
        )
        .await
        .unwrap();
    let mut notes: HashMap<i64, Vec<Note>> = HashMap::new();
    for row in rows {
        let image = |at: usize| {
            Some(Image {
                row: row.get::<_, Option<String>>(at)?,
                id: row.get(at + 1),
                key: row.get(at + 2),
                sought: row.get(at + 3),
            })
        };
        let control: Option<&str> = row.get(5);
        notes.entry(row.get(0)).or_default().push(Note {
            relation: usize::try_from(row.get::<_, Option<i32>>(1).unwrap_or_default()).unwrap(),
            op: row.get(2),
            leaf: row.get(3),
            old: image(6),
            new: image(10),
            changed: row.get::<_, Option<Vec<String>>>(4).unwrap_or_default(),
            control: control.map(|text| serde_json::from_str(text).unwrap()),
        });
    }
    notes
}
