//! `/live` and `/ready` answer whoever asks, however many others hold connections open.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{Database, Outside, PATIENCE, Tidewire};

/// How often a crowd is probed while it stands: for longer than a slow client is given. That a probe does not wait for a
/// place is tested in `src/http/places.rs`.
const PROBES: usize = 6;

struct Stage {
    _database: Database,
    tidewire: Tidewire,
    outside: Outside,
}

impl Stage {
    async fn set() -> Stage {
        let database = Database::start().await;
        let tidewire = Tidewire::up_with(&database.url(), &["--listen", "127.0.0.1:0"]).await;
        let outside = Outside::of(&tidewire).await;
        outside.until_ready().await;
        Stage { _database: database, tidewire, outside }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.outside.address()).await.unwrap()
    }

    /// Both are answered, and stay so.
    async fn probe(&self) {
        for _ in 0..PROBES {
            for path in ["/live", "/ready"] {
                assert_eq!(self.outside.get(path).await.0, 200);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.tidewire.pid())).unwrap().count()
    }
}

/// Asks as a browser does, which means to ask again.
const ASK: &[u8] = b"GET /live HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n";

#[tokio::test]
async fn idle_clients_that_keep_their_connections_hold_up_no_probe() {
    let stage = Stage::set().await;
    for count in [64, 500] {
        let mut crowd = Vec::new();
        for _ in 0..count {
            let mut stream = stage.connect().await;
            stream.write_all(ASK).await.unwrap();
            let mut answer = [0; 15];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            crowd.push(stream);
        }
        stage.probe().await;
    }
}

#[tokio::test]
async fn an_answer_ends_the_connection() {
    let stage = Stage::set().await;
    let mut stream = stage.connect().await;
    stream.write_all(ASK).await.unwrap();
    let mut answer = String::new();
    let all = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    all.expect("it was kept open").unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("live\n"), "{answer}");
}

#[tokio::test]
async fn clients_that_say_nothing_hold_up_no_probe() {
    let stage = Stage::set().await;
    for count in [64, 500] {
        let mut crowd = Vec::new();
        for _ in 0..count {
            crowd.push(stage.connect().await);
        }
        stage.probe().await;
    }
}

#[tokio::test]
async fn clients_that_send_slowly_hold_up_no_probe_and_are_cut() {
    let stage = Stage::set().await;
    let mut crowd = JoinSet::new();
    for _ in 0..100 {
        let mut stream = stage.connect().await;
        crowd.spawn(async move {
            for byte in ASK.iter().cycle() {
                let sent = stream.write_all(&[*byte]).await;
                let mut nothing = [0; 1];
                if sent.is_err() || matches!(stream.try_read(&mut nothing), Ok(0)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    stage.probe().await;
    let all_are_cut = async { while crowd.join_next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, all_are_cut).await.expect("they go on sending");
}

#[tokio::test]
async fn a_crowd_takes_no_more_descriptors_than_there_are_places() {
    let stage = Stage::set().await;
    let before = stage.descriptors();
    let mut crowd = Vec::new();
    for _ in 0..700 {
        crowd.push(stage.connect().await);
        assert!(stage.descriptors() <= before + 65, "{} after {before}", stage.descriptors());
    }
    stage.probe().await;
    assert!(stage.descriptors() <= before + 65);
}
