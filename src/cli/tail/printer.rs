//! Standard output, which somebody reads slowly, or no more.

use std::io::{self, Write};
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::super::line::{ASIDE, line};
use crate::delivery::change;
use crate::error::{Error, Result};
use crate::inbox::Event;

/// A thread that writes, so that an end never waits for whoever reads.
pub(super) struct Printer {
    json: bool,
    pages: mpsc::Sender<String>,
    printed: mpsc::Receiver<io::Result<()>>,
}

impl Printer {
    /// Starts the thread.
    pub(super) fn start(json: bool) -> Printer {
        let (pages, mut to_print) = mpsc::channel::<String>(1);
        let (done, printed) = mpsc::channel(1);
        std::thread::spawn(move || {
            while let Some(page) = to_print.blocking_recv() {
                let written = if json { write_as_it_is(&page) } else { write_styled(&page) };
                if done.blocking_send(written).is_err() {
                    return;
                }
            }
        });
        Printer { json, pages, printed }
    }

    /// Prints a page and waits until it is written.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) async fn print(&mut self, page: &[Event]) -> Result<()> {
        let mut text = String::new();
        for event in page {
            if self.json {
                text.push_str(&change::render(event));
            } else {
                let at = change::timestamp(event.committed_at);
                // the day is known to who watches, and so is what is below a millisecond
                let time = at.get(11..23).unwrap_or(&at);
                text.push_str(&format!("{ASIDE}{time}{ASIDE:#} {}", line(event)));
            }
            text.push('\n');
        }
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.pages.send(text).await.map_err(|_| gone())?;
        Ok(self.printed.recv().await.unwrap_or_else(|| Err(gone()))?)
    }

    /// Waits for what is being written.
    pub(super) async fn finish(self) {
        let Printer { pages, mut printed, .. } = self;
        drop(pages);
        while printed.recv().await.is_some() {}
    }
}

fn write_as_it_is(page: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(page.as_bytes())?;
    stdout.flush()
}

fn write_styled(page: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(page.as_bytes())?;
    stdout.flush()
}

/// Whether printing failed because nobody reads it.
pub(super) fn is_broken_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
}

/// Returns when nobody reads standard output any more, so that `| head -1` ends at its line and not at the next event.
/// Never for a file or a terminal.
pub(super) async fn stdout_closed() {
    // Watched only: it stays a blocking pipe for those who write to it.
    let watched = io::stdout().as_fd().try_clone_to_owned().and_then(pipe::Sender::from_owned_fd_unchecked);
    if let Ok(watched) = watched
        && watched.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
