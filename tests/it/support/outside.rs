//! What the program shows over HTTP.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{PATIENCE, Tidewire};

/// The program's HTTP address.
pub struct Outside {
    address: String,
}

/// An answer: its status and what it says.
pub type Answer = (u16, String);

impl Outside {
    /// Of a program that was started with `--listen`, whether or not it is ready.
    pub async fn of(tidewire: &Tidewire) -> Outside {
        const SAYS: &str = "listening on http://";
        tidewire.wait_for_log(SAYS).await;
        let log = tidewire.stderr();
        let after = &log[log.find(SAYS).unwrap() + SAYS.len()..];
        Outside { address: after.split_whitespace().next().unwrap().to_owned() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub async fn get(&self, path: &str) -> Answer {
        let exchange = async {
            let mut stream = TcpStream::connect(&self.address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("{path} was not answered"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Waits until `/ready` says no, for a reason with `why` in it.
    pub async fn until_unready(&self, why: &str) -> String {
        self.until(|(status, text)| (*status == 503 && text.contains(why)).then(|| text.clone()), why).await
    }

    /// Waits until `/ready` says yes.
    pub async fn until_ready(&self) {
        self.until(|(status, text)| (*status == 200 && text == "ready\n").then_some(()), "ready").await
    }

    async fn until<T>(&self, fits: impl Fn(&Answer) -> Option<T>, what: &str) -> T {
        let start = Instant::now();
        let mut seen: Vec<Answer> = Vec::new();
        loop {
            let answer = self.get("/ready").await;
            if let Some(found) = fits(&answer) {
                return found;
            }
            if seen.last() != Some(&answer) {
                seen.push(answer);
            }
            assert!(start.elapsed() < PATIENCE, "/ready does not say \"{what}\": {seen:?}");
            tokio::task::yield_now().await;
        }
    }

    /// One of the figures: the line that starts with `series` and a space.
    pub async fn figure(&self, series: &str) -> Option<f64> {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap_or_else(|_| panic!("{series} {value}")))
    }

    /// Waits until a figure is as expected.
    pub async fn until_figure(&self, series: &str, fits: impl Fn(f64) -> bool) -> f64 {
        let start = Instant::now();
        loop {
            let value = self.figure(series).await;
            match value {
                Some(value) if fits(value) => return value,
                _ => assert!(start.elapsed() < PATIENCE, "{series} is {value:?}"),
            }
        }
    }
}
