//! What can be seen from outside: `/live`, `/ready` and `/metrics`, over plain HTTP and without
//! authentication. No row, no name that a user chose and no error's own text is in it. Nothing here
//! asks the database: it answers at once, whatever hangs.

mod places;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::time::timeout;

use self::places::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observation, health, meter, observe};

/// The version of the text format that Prometheus reads.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Connections that are open at a time, a file descriptor each. A probe or a scraper needs one for
/// milliseconds; beyond that many the oldest of whoever has most of them is closed for the next
/// one.
const CONNECTIONS: usize = 64;

/// How long a client may take for its request's head. It fits into one packet, and lost twice that
/// arrives within some 700 ms.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How long a connection lives: one question, and an answer that a slow network takes.
const LONGEST: Duration = Duration::from_secs(5);

/// A pause where the system has no room for another connection, so that waiting for it costs
/// nothing.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Listens, and answers once [`Listener::serve`] runs.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens at `HOST:PORT`; port 0 is one that is free.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when that is no address, or taken, or may not be had.
    pub async fn bind(at: &str) -> Result<Self> {
        let failed = |source: std::io::Error| {
            Error::new(ErrorKind::InvalidInput, format!("cannot listen on \"{at}\": {source}"))
                .hint("It looks like 127.0.0.1:9187 or [::1]:9187; with port 0 a free one is taken.")
                .source(source)
        };
        let listener = TcpListener::bind(at).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listener { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// None so far: what fails is tried again.
    pub async fn serve(self) -> Result<()> {
        meter::begin();
        observe(&Observation::Listening { address: self.address });
        let routes =
            Router::new().route("/live", get(live)).route("/ready", get(ready)).route("/metrics", get(metrics));
        let service = TowerToHyperService::new(routes);
        let mut protocol = http1::Builder::new();
        // An answer ends the connection. A kept one saves a handshake every few seconds and holds a
        // place all the while.
        protocol.timer(TokioTimer::new()).header_read_timeout(ASK_WITHIN).keep_alive(false);
        let mut places = Places::new(CONNECTIONS);
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = protocol.serve_connection(TokioIo::new(stream), service.clone());
                    // One whose client does not read has to end at some time, too.
                    places.take(peer.ip(), async move { drop(timeout(LONGEST, connection).await) }).await;
                }
                Err(failed) if is_of_the_client(&failed) => {}
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN_AFTER).await,
            }
        }
    }
}

/// Whether it says no more than that the client has gone away already.
fn is_of_the_client(failed: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(failed.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn live() -> impl IntoResponse {
    match health::is_dead() {
        None => (StatusCode::OK, "live\n".to_owned()),
        Some(time) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the program's tasks have not run for {} s\n", time.as_secs()))
        }
    }
}

async fn ready() -> impl IntoResponse {
    match health::unready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS)], meter::render())
}
