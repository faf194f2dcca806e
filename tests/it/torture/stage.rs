//! A server, a program, and the hand that breaks them and brings them up again.

use std::future::Future;
use std::time::Duration;

use nix::sys::signal::Signal;
use tidewire::db::cluster::StopMode;

use super::fault::Fault;
use crate::oracle::{Chance, Load, Oracle};
use crate::support::fault::{Backend, signal, until, until_within};
use crate::support::fault_proxy::Proxy;
use crate::support::{Client, Database, Tidewire};

/// What a fault waits for comes with so many transactions, or it does not come.
const TRANSACTIONS: usize = 60;

/// A cancellation that comes between two statements does nothing: so many are tried.
const CANCELS: usize = 10;

/// How long the program may take to be ready after all that was done to it: its pauses grow up to 2 s, and it starts
/// anew after a failure that it cannot mend.
const READY_WITHIN: Duration = Duration::from_secs(60);

pub struct Stage {
    pub chance: Chance,
    pub oracle: Oracle,
    database: Database,
    proxy: Proxy,
    tidewire: Tidewire,
    /// The program is to die at a point that it has not come to yet.
    is_doomed: bool,
}

impl Stage {
    pub async fn set(seed: u64) -> Stage {
        // A frozen program is given up after this; much less would give up one that only waits for its turn.
        let database = Database::on_tcp(&[("wal_sender_timeout", "2s")]).await;
        let proxy = Proxy::start(&database).await;
        let tidewire = Tidewire::up(&proxy.url()).await;
        let oracle = Oracle::start(&database, seed).await;
        Stage { chance: Chance::new(!seed), oracle, database, proxy, tidewire, is_doomed: false }
    }

    /// What comes next.
    pub fn draw(&mut self, faults: usize) -> Vec<Fault> {
        (0..faults).map(|_| Fault::draw(&mut self.chance)).collect()
    }

    /// Makes the fault happen; false if it did not come to it. Server and program run afterwards, or are about to.
    pub async fn inject(&mut self, fault: Fault, load: &Load) -> bool {
        self.server_answers().await;
        match fault {
            Fault::KillTidewire => {
                self.tidewire.signal(Signal::SIGKILL);
                self.replaced(load).await
            }
            Fault::StopTidewire => {
                self.tidewire.signal(Signal::SIGTERM);
                self.replaced(load).await
            }
            Fault::FreezeTidewire => self.freeze().await,
            Fault::Crash(point, count) => self.crash(point, count, load).await,
            Fault::TakeOver => self.take_over().await,
            Fault::KillWriter => {
                let writers = "select pid from pg_stat_activity where application_name = '' and state = 'active'
                               and backend_type = 'client backend' and pid <> pg_backend_pid() order by pid limit 1";
                let client = self.database.connect().await;
                let pid = client.rows(writers).await.first().map(|row| row[0].as_deref().unwrap().parse().unwrap());
                self.kill_backend(&client, pid).await
            }
            Fault::KillBackend(backend) => {
                let client = self.database.connect().await;
                let pid = backend.find(&client).await;
                self.kill_backend(&client, pid).await
            }
            Fault::Terminate(backend) => {
                let client = self.database.connect().await;
                match backend.find(&client).await {
                    Some(pid) => client.text(&format!("select pg_terminate_backend({pid})")).await == "t",
                    None => false,
                }
            }
            Fault::Cancel(backend) => {
                self.is_up().await;
                let client = self.database.connect().await;
                let mut hit = false;
                for _ in 0..CANCELS {
                    if let Some(pid) = backend.find(&client).await {
                        hit |= client.text(&format!("select pg_cancel_backend({pid})")).await == "t";
                    }
                    load.write(1).await;
                }
                hit
            }
            Fault::KillServer => {
                self.database.kill();
                self.database.revive().await;
                true
            }
            Fault::KillBoth => {
                self.database.kill();
                self.tidewire.signal(Signal::SIGKILL);
                self.database.revive().await;
                self.replaced(load).await
            }
            Fault::RestartFast => self.restart(StopMode::Fast).await,
            Fault::RestartImmediate => self.restart(StopMode::Immediate).await,
            Fault::Cut(cut) => {
                let before = self.proxy.cuts();
                let client = self.database.connect().await;
                self.proxy.arm(cut);
                happens(load, &client, || async { self.proxy.cuts() > before }).await
            }
        }
    }

    /// `kill -9` of one process; returns when the server has noticed and ends all the others.
    async fn kill_backend(&self, witness: &Client, pid: Option<u32>) -> bool {
        let Some(pid) = pid else { return false };
        signal(pid, Signal::SIGKILL);
        until("the server ends all connections", || async { witness.is_closed() }).await;
        true
    }

    /// Brings everything up.
    pub async fn mend(&mut self) {
        self.server_answers().await;
        if self.is_doomed {
            self.tidewire.signal(Signal::SIGKILL);
            self.tidewire.wait().await;
        }
        self.is_up().await;
    }

    /// Waits until the program is ready, and starts it when it has ended.
    async fn is_up(&mut self) {
        let begun = std::time::Instant::now();
        while !self.tidewire.stdout().lines().any(|line| line.starts_with("ready")) || self.tidewire.ended().is_some() {
            assert!(begun.elapsed() < READY_WITHIN, "tidewire is not ready\n{}", self.tidewire.stderr());
            if self.tidewire.ended().is_some() {
                self.server_answers().await;
                self.tidewire = self.spawn();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn spawn(&mut self) -> Tidewire {
        self.is_doomed = false;
        Tidewire::spawn(&["up", "--database-url", &self.proxy.url()])
    }

    /// The program that was told to end has ended, and another takes its place after a while.
    async fn replaced(&mut self, load: &Load) -> bool {
        self.tidewire.wait().await;
        if self.chance.one_in(2) {
            load.write(self.chance.between(1, 10)).await;
        }
        self.tidewire = self.spawn();
        true
    }

    async fn freeze(&mut self) -> bool {
        self.is_up().await;
        self.tidewire.freeze();
        let client = self.database.connect().await;
        let is_given_up = || async { Backend::Stream.find(&client).await.is_none() };
        until("the server gives up the frozen program", is_given_up).await;
        self.tidewire.thaw();
        true
    }

    async fn crash(&mut self, point: &str, count: usize, load: &Load) -> bool {
        self.tidewire.signal(Signal::SIGKILL);
        self.tidewire.wait().await;
        self.tidewire = Tidewire::doomed(&self.proxy.url(), &format!("{point}:{count}"));
        let client = self.database.connect().await;
        let is_started = |tidewire: &mut Tidewire| tidewire.ended().is_some() || tidewire.stdout().starts_with("ready");
        while !is_started(&mut self.tidewire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..TRANSACTIONS {
            if self.tidewire.ended().is_some() {
                self.tidewire = self.spawn();
                return true;
            }
            some_more(load, &client).await;
        }
        // it may still come there, among the faults that follow
        self.is_doomed = true;
        false
    }

    async fn take_over(&mut self) -> bool {
        self.is_up().await;
        let mut second = self.spawn();
        let stands_by = |second: &Tidewire| second.stderr().contains("standing by");
        // what was done before may still keep the first from its work: then the second is the one that serves
        let begun = std::time::Instant::now();
        while !stands_by(&second) && !second.stdout().starts_with("ready") && second.ended().is_none() {
            assert!(begun.elapsed() < READY_WITHIN, "the second does nothing\n{}", second.stderr());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let stood_by = stands_by(&second);
        self.tidewire.signal(Signal::SIGKILL);
        self.tidewire = second;
        stood_by
    }

    async fn restart(&mut self, mode: StopMode) -> bool {
        self.database.cluster.restart(mode).await.unwrap();
        true
    }

    /// Waits until the server takes connections: it may be starting itself anew.
    async fn server_answers(&self) {
        let url = self.database.url();
        until_within("the server answers", READY_WITHIN, || async { Client::answers(&url).await }).await;
    }
}

/// Whether it happens while some more is written.
async fn happens<F: Future<Output = bool>>(load: &Load, client: &Client, mut fact: impl FnMut() -> F) -> bool {
    for _ in 0..TRANSACTIONS {
        if fact().await {
            return true;
        }
        some_more(load, client).await;
    }
    fact().await
}

/// Something is written, and delivered unless nobody does.
async fn some_more(load: &Load, client: &Client) {
    load.write(1).await;
    let _ = client.batch_execute("select event.sync('100 ms')").await;
}
