//! Tidewire within this process, and a live session in it: what a program that embeds it would have. The engine has threads
//! and a runtime of its own, as the clients do not run on its.

use std::thread::JoinHandle;

use tidewire::app;
use tidewire::config::Limits;
use tidewire::db::Client;
use tidewire::delivery::hub::{Hub, Told};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::listener::Count;
use crate::rig::{INBOX_MAX_SIZE, Rig};

/// Events that may wait for the client: it is on a runtime of its own, and runs when the system lets it.
const MOST_WAITING: usize = 1 << 20;

/// The engine, running.
pub struct InProcess {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl InProcess {
    /// Returns once it delivers. What is attached to the hub before is told of everything from there on.
    pub async fn start(rig: &Rig, hub: &Hub) -> Self {
        let stop = CancellationToken::new();
        let (ready, is_ready) = oneshot::channel();
        let mut ready = Some(ready);
        let (target, token) = (rig.target.clone(), stop.clone());
        let limits = Limits { inbox_size: INBOX_MAX_SIZE.into(), ..Limits::default() };
        let hub = hub.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let serving = app::serve(&target, &limits, &hub, token, || {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
            });
            runtime.block_on(Box::pin(serving)).expect("it serves");
        });
        is_ready.await.expect("it got ready");
        InProcess { stop, thread }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join().expect("it stopped")).await.expect("it stopped");
    }
}

/// A live session.
pub struct LiveSession {
    pub count: Count,
    /// Without it the session is deleted.
    _holds: Client,
}

/// A live session with that subscription, made while an engine runs; each event is given to `told` and counted.
pub async fn attach(rig: &Rig, hub: &Hub, subscribe: &str, mut told: impl FnMut(&str) + Send + 'static) -> LiveSession {
    let client = rig.target.connect().await.expect("a connection").client;
    let row = client.query_one("select event.session_create(durable => false)::text", &[]).await;
    let session: String = row.expect("a session").get(0);
    client.batch_execute(&format!("select event.{subscribe}; unlisten *")).await.expect("a subscription");
    rig.settle().await;
    let count = Count::default();
    let counted = count.clone();
    let mut live = hub.attach(session.parse().expect("an id"), MOST_WAITING);
    tokio::spawn(async move {
        while let Some(event) = live.next().await {
            match event {
                Told::Event { payload, .. } => {
                    told(&payload);
                    counted.add();
                }
                Told::Gap { .. } => counted.lose(),
            }
        }
    });
    LiveSession { count, _holds: client }
}
