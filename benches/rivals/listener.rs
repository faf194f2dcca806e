//! A client that listens: the same one for the trigger's notifications and for ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidewire::db::Client;

use crate::rig::Rig;

/// What arrived, counted; and what is done with each.
#[derive(Clone, Default)]
pub struct Count(Arc<(AtomicU64, AtomicBool)>);

impl Count {
    pub fn add(&self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Something was left out.
    pub fn lose(&self) {
        self.0.1.store(true, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    pub fn reset(&self) {
        self.0.0.store(0, Ordering::Relaxed);
    }

    /// Returns when so many have arrived.
    pub async fn reach(&self, wanted: u64) -> Instant {
        let begun = Instant::now();
        while self.get() < wanted {
            assert!(begun.elapsed() < Duration::from_secs(1800), "{} of {wanted} notifications arrived", self.get());
            assert!(!self.0.1.load(Ordering::Relaxed), "the client was too slow: something was left out");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Instant::now()
    }
}

/// A connection that listens. Dropped, it is closed.
pub struct Listener {
    pub client: Client,
    pub session: String,
    pub count: Count,
}

impl Listener {
    /// To a channel that a trigger notifies.
    pub async fn to_channel(rig: &Rig, channel: &str, told: impl FnMut(&str) + Send + 'static) -> Listener {
        let listener = Listener::open(rig, told).await;
        listener.client.batch_execute(&format!("listen {channel}")).await.expect("listen");
        listener
    }

    /// To a new durable session with that subscription.
    pub async fn to_session(rig: &Rig, subscribe: &str, told: impl FnMut(&str) + Send + 'static) -> Listener {
        let mut listener = Listener::open(rig, told).await;
        let row = listener.client.query_one("select event.session_create()::text", &[]).await.expect("a session");
        listener.session = row.get(0);
        listener.client.batch_execute(&format!("select event.{subscribe}")).await.expect("a subscription");
        rig.settle().await;
        listener
    }

    async fn open(rig: &Rig, mut told: impl FnMut(&str) + Send + 'static) -> Listener {
        let mut connection = rig.target.connect().await.expect("a connection");
        let count = Count::default();
        let counted = count.clone();
        tokio::spawn(async move {
            while let Some(notification) = connection.notifications.recv().await {
                told(notification.payload());
                counted.add();
            }
        });
        Listener { client: connection.client, session: String::new(), count }
    }
}
