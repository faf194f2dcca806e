//! Messages as a real server sends them. `TIDEWIRE_RECORD=1 cargo nextest run recorded` writes them to the seeds of
//! `pgoutput` (one message of each kind in each scenario) and `tuple` (each scenario's stream).

use std::collections::BTreeSet;
use std::fs;

use super::scenarios::SCENARIOS;
use super::seeds::folder;
use super::targets::{framed, messages, pgoutput, tuple};
use crate::support::{Client, Database};

const RECORD: &str = "TIDEWIRE_RECORD";

/// The largest stream that becomes a seed.
const SEED: usize = 16 << 10;

/// As the program's own walsender has it (src/wal/stream.rs).
const SESSION: &str =
    "set datestyle = 'ISO, MDY'; set intervalstyle = postgres; set timezone = 'UTC'; set bytea_output = hex;
    set extra_float_digits = 1; set client_min_messages = warning";

#[tokio::test]
async fn what_a_server_sends_is_read_as_another_decoder_reads_it_and_becomes_json() {
    let database = Database::start_with(&[("max_prepared_transactions", "2")]).await;
    database.install().await;
    let client = database.connect().await;
    let reader = database.connect().await;
    reader.sql(SESSION).await;
    client.sql("select pg_create_logical_replication_slot('recording', 'pgoutput')").await;
    let mut seen = BTreeSet::new();
    for (name, batches) in SCENARIOS {
        client.sql("set search_path = public; set client_min_messages = warning").await;
        for batch in *batches {
            client.sql(batch).await;
        }
        let recorded = recorded(&reader).await;
        seen.extend(recorded.iter().map(|message| char::from(message[0])));
        let mut cut = BTreeSet::new();
        for message in &recorded {
            pgoutput(message);
            // one of each kind is cut everywhere too: within a value, a name, a number
            let end = if cut.insert(message[0]) { message.len().min(600) } else { 0 };
            (0..end).for_each(|end| pgoutput(&message[..end]));
        }
        let stream = framed(&recorded);
        assert_eq!(messages(&stream), recorded);
        tuple(&stream);
        if std::env::var_os(RECORD).is_some() {
            record(name, &recorded, &stream);
        }
    }
    assert_eq!(seen.iter().collect::<String>(), "BCDIMORTUY", "every kind of message was sent");
}

async fn recorded(reader: &Client) -> Vec<Vec<u8>> {
    let rows = reader
        .query(
            "select data from pg_logical_slot_get_binary_changes('recording', null, null, 'proto_version', '1',
                                                                 'publication_names', 'tidewire', 'messages', 'true')",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn record(name: &str, recorded: &[Vec<u8>], stream: &[u8]) {
    assert!(stream.len() <= SEED, "{name}: {} bytes", stream.len());
    fs::create_dir_all(folder("tuple")).unwrap();
    fs::create_dir_all(folder("pgoutput")).unwrap();
    fs::write(folder("tuple").join(name), stream).unwrap();
    for message in recorded {
        let kind = match message[0] {
            // these are all alike
            b'B' | b'C' if name != SCENARIOS[0].0 => continue,
            b'B' => "begin",
            b'C' => "commit",
            b'D' => "delete",
            b'I' => "insert",
            b'M' => "message",
            b'O' => "origin",
            b'R' => "relation",
            b'T' => "truncate",
            b'U' => "update",
            _ => "type",
        };
        // the first ones of each scenario are of our own tables: the last is the scenario's own
        fs::write(folder("pgoutput").join(format!("{name}-{kind}")), message).unwrap();
    }
}
