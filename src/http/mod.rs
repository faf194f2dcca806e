//! What can be seen from outside: `/live`, `/ready` and `/metrics`, over plain HTTP and without authentication. No row, no
//! name that a user chose and no error's own text is in it. Nothing here asks the database: it answers at once, whatever hangs.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observation, health, meter, observe};

/// The version of the text format that Prometheus reads.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

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
        axum::serve(self.listener, routes).await?;
        Ok(())
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
