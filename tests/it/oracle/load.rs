//! Writers, readers and a listener at work.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::chance::Chance;
use super::inbox::AllHeard;
use super::listener::Listener;
use super::pace::Pace;
use super::reader::{Reader, reader_of};
use super::schema::Table;
use super::writer::{SELDOM, Sessions, Writer};

const WRITERS: usize = 4;
const READERS: usize = 2;

/// What a load needs.
pub struct Parties {
    pub url: String,
    pub tables: Arc<Vec<Table>>,
    pub sessions: Sessions,
    pub lasting: Arc<Vec<String>>,
    pub listening: Arc<Vec<String>>,
}

/// All of them at work.
pub struct Load {
    pub pace: Arc<Pace>,
    writers: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<AllHeard>>,
    listener: JoinHandle<Listener>,
}

impl Load {
    pub fn start(parties: &Parties, chance: &mut Chance, pace: Pace, heard: AllHeard, listener: Listener) -> Load {
        let pace = Arc::new(pace);
        let writers = (0..WRITERS).map(|number| {
            let writer = Writer {
                url: parties.url.clone(),
                chance: chance.split(),
                tables: Arc::clone(&parties.tables),
                sessions: parties.sessions.clone(),
                lasting: Arc::clone(&parties.lasting),
                pace: Arc::clone(&pace),
                first: if number == 0 { SELDOM.to_vec() } else { Vec::new() },
            };
            tokio::spawn(writer.run())
        });
        let writers = writers.collect();
        let mut shares: Vec<AllHeard> = (0..READERS).map(|_| AllHeard::new()).collect();
        for (session, heard) in heard {
            shares[reader_of(&session, READERS)].insert(session, heard);
        }
        let readers = shares.into_iter().enumerate().map(|(own, heard)| {
            let reader = Reader {
                url: parties.url.clone(),
                chance: chance.split(),
                pace: Arc::clone(&pace),
                share: (own, READERS),
                listening: Arc::clone(&parties.listening),
                heard,
            };
            tokio::spawn(reader.run())
        });
        let readers = readers.collect();
        let listener = tokio::spawn(Listener { pace: Arc::clone(&pace), ..listener }.run());
        Load { pace, writers, readers, listener }
    }

    /// Waits until so many more transactions are done, committed or not. A few more are written meanwhile.
    pub async fn write(&self, transactions: usize) {
        self.pace.write(transactions).await;
    }

    /// Waits until all transactions are done; returns what was read and who listened.
    pub async fn finish(self) -> (AllHeard, Listener) {
        for writer in self.writers {
            writer.await.unwrap();
        }
        self.pace.end();
        let mut heard = AllHeard::new();
        for reader in self.readers {
            heard.extend(reader.await.unwrap());
        }
        (heard, self.listener.await.unwrap())
    }
}
