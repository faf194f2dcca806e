//! A stretch of the network between Tidewire and its server that can be cut at a chosen byte.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Database, PATIENCE};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The replication stream.
    Stream,
    /// Statements.
    Sql,
}

/// Where the next cut falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Behind that many bytes from the server, counted from now on.
    Reply(Link, usize),
    /// Behind that many bytes to the server.
    Request(Link, usize),
    /// The server never hears of the commit.
    BeforeCommit,
    /// The server has committed, and its answer does not arrive.
    AfterCommit,
    /// The server is asked for something else than to begin the transaction of a batch; what follows arrives as it is.
    SpoilBegin,
}

/// How the transaction of a batch begins.
const BEGIN: &[u8] = b"begin isolation level";

/// A simple query, as it goes over the wire.
const COMMIT: &[u8] = b"Q\0\0\0\x0bcommit\0";

/// Forwards connections to a server. All of them end when this is dropped.
pub struct Proxy {
    port: u16,
    url: String,
    plan: Arc<Plan>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Plan {
    next: Mutex<Option<Cut>>,
    done: watch::Sender<usize>,
    blocked: watch::Sender<Option<Block>>,
    all: CancellationToken,
}

/// What becomes of all connections of a sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Nothing arrives any more, on either side, and neither hears of the other's end.
    Silence(Link),
    /// New ones end at once.
    Refuse(Link),
}

/// What becomes of some bytes.
enum Fate {
    Pass,
    /// That many pass, and the connection ends.
    End(usize),
    /// They pass; what the server answers ends the connection.
    SwallowAnswer,
    /// All pass, but for the byte at that place.
    Spoil(usize),
}

impl Proxy {
    /// In front of a server that listens on TCP.
    pub async fn start(database: &Database) -> Proxy {
        let upstream = database.cluster.port();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Plan::default());
        let shared = Arc::clone(&plan);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, upstream, Arc::clone(&shared)));
            }
        });
        let url = database.tcp_url().replace(&format!(":{upstream}/"), &format!(":{port}/"));
        Proxy { port, url, plan, accepting }
    }

    /// As the superuser, by way of the proxy.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next cut; what it waits for must still come.
    pub fn arm(&self, cut: Cut) {
        *self.plan.next.lock().unwrap() = Some(cut);
    }

    /// From now on; `None`: no more.
    pub fn block(&self, block: Option<Block>) {
        self.plan.blocked.send_replace(block);
    }

    /// How many cuts there have been.
    pub fn cuts(&self) -> usize {
        *self.plan.done.borrow()
    }

    /// Arms, and returns when the connection is cut.
    pub async fn cut(&self, cut: Cut) {
        let mut done = self.plan.done.subscribe();
        let before = *done.borrow_and_update();
        self.arm(cut);
        let waited = tokio::time::timeout(PATIENCE, done.wait_for(|now| *now > before)).await;
        waited.unwrap_or_else(|_| panic!("{cut:?} did not happen in {PATIENCE:?}")).unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.plan.all.cancel();
    }
}

impl Plan {
    /// Returns once bytes may pass.
    async fn open(&self, link: Link) {
        let mut blocked = self.blocked.subscribe();
        let _ = blocked.wait_for(|block| *block != Some(Block::Silence(link))).await;
    }

    /// What becomes of bytes in one direction; takes the cut once it falls.
    fn pass(&self, link: Link, to_server: bool, bytes: &[u8]) -> Fate {
        let mut next = self.next.lock().unwrap();
        let fate = match &mut *next {
            Some(Cut::Reply(of, left)) if *of == link && !to_server => count(left, bytes.len()),
            Some(Cut::Request(of, left)) if *of == link && to_server => count(left, bytes.len()),
            Some(cut @ (Cut::BeforeCommit | Cut::AfterCommit)) if to_server => {
                match bytes.windows(COMMIT.len()).position(|window| window == COMMIT) {
                    Some(at) if *cut == Cut::BeforeCommit => Fate::End(at),
                    Some(_) => Fate::SwallowAnswer,
                    None => Fate::Pass,
                }
            }
            Some(Cut::SpoilBegin) if to_server => {
                let at = bytes.windows(BEGIN.len()).position(|window| window == BEGIN);
                at.map_or(Fate::Pass, Fate::Spoil)
            }
            _ => Fate::Pass,
        };
        if matches!(fate, Fate::Spoil(_)) {
            self.done.send_modify(|cuts| *cuts += 1);
        }
        if !matches!(fate, Fate::Pass) {
            *next = None;
        }
        fate
    }
}

fn count(left: &mut usize, bytes: usize) -> Fate {
    if bytes >= *left {
        return Fate::End(*left);
    }
    *left -= bytes;
    Fate::Pass
}

async fn forward(client: TcpStream, upstream: u16, plan: Arc<Plan>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut hello = [0; 4096];
    let Ok(length) = from_client.read(&mut hello).await else { return };
    let hello = &hello[..length];
    let is_stream = hello.windows(12).any(|window| window == b"replication\0");
    let link = if is_stream { Link::Stream } else { Link::Sql };
    if *plan.blocked.borrow() == Some(Block::Refuse(link)) {
        return;
    }
    plan.open(link).await;
    if to_server.write_all(hello).await.is_err() {
        return;
    }
    let end = plan.all.child_token();
    let (swallow, swallows) = watch::channel(false);
    let requests = pump(from_client, to_server, (&plan, link), |bytes| {
        let fate = plan.pass(link, true, bytes);
        if matches!(fate, Fate::SwallowAnswer) {
            swallow.send_replace(true);
        }
        fate
    });
    let replies = pump(from_server, to_client, (&plan, link), |bytes| {
        if *swallows.borrow() { Fate::End(0) } else { plan.pass(link, false, bytes) }
    });
    // Both halves are dropped when one ends: the connection is gone for both sides.
    let was_cut = tokio::select! {
        was_cut = requests => was_cut,
        was_cut = replies => was_cut,
        () = end.cancelled() => false,
    };
    if was_cut {
        plan.done.send_modify(|cuts| *cuts += 1);
    }
}

/// Returns at the end of the connection; whether that was a cut.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (plan, link): (&Plan, Link),
    fate: impl Fn(&[u8]) -> Fate,
) -> bool {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        plan.open(link).await;
        let length = match read {
            Ok(0) | Err(_) => return false,
            Ok(length) => length,
        };
        let (pass, is_cut) = match fate(&buffer[..length]) {
            Fate::Pass | Fate::SwallowAnswer => (length, false),
            Fate::End(at) => (at, true),
            Fate::Spoil(at) => {
                buffer[at] = b'x';
                (length, false)
            }
        };
        if to.write_all(&buffer[..pass]).await.is_err() || is_cut {
            return is_cut;
        }
    }
}
