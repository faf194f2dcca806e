//! What can be seen from outside: `/live`, `/ready` and `/metrics`, over plain HTTP and without authentication. No row, no
//! name that a user chose and no error's own text is in it. Nothing here asks the database: it answers at once, whatever hangs.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observation, health, meter, observe};

/// The version of the text format that Prometheus reads.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Connections that are answered at a time; others wait. Whoever scrapes and probes needs a few.
const CONNECTIONS: usize = 64;

/// How long a client may take to ask, and rest between two questions.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection lives.
const LONGEST: Duration = Duration::from_secs(600);

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
    /// Those of the socket.
    pub async fn serve(self) -> Result<()> {
        meter::begin();
        observe(&Observation::Listening { address: self.address });
        let routes =
            Router::new().route("/live", get(live)).route("/ready", get(ready)).route("/metrics", get(metrics));
        let service = TowerToHyperService::new(routes);
        let mut protocol = http1::Builder::new();
        protocol.timer(TokioTimer::new()).header_read_timeout(ASK_WITHIN);
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&free).acquire_owned().await else { return Ok(()) };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let connection = protocol.serve_connection(TokioIo::new(stream), service.clone());
                    tokio::spawn(async move {
                        answer(pin!(connection)).await;
                        drop(place);
                    });
                }
                // Out of file descriptors, say, which is over at some time; or the client has gone away already.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN_AFTER).await,
            }
        }
    }
}

/// Answers on one connection. One whose client does not read has to end at some time, too.
async fn answer(mut connection: Pin<&mut http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>>) {
    if timeout(LONGEST, &mut connection).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(ASK_WITHIN, connection).await;
    }
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
