//! The log: a line for each observation, on standard error.
//!
//! A module of its own, because what a line may hold is decided here for all of them: its text
//! cannot start another line, and unless somebody asks for row data by name only Tidewire's own
//! lines are written.

use std::fmt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::error::{Error, ErrorKind, Result};
use crate::printable::printable;

/// Where the lines of this crate come from; a library's come from elsewhere.
const OWN: &str = env!("CARGO_PKG_NAME");

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// As `--log` has it.
    pub filter: String,
    /// Whether the libraries' lines are written where the filter lets them pass. The clients quote
    /// statements with their parameters, which are people's data.
    pub row_data: bool,
    /// Whether the lines have colours.
    pub colour: bool,
}

impl Log {
    /// What writes the lines.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a filter that cannot be read.
    pub fn subscriber<W>(&self, writer: W) -> Result<impl tracing::Subscriber + Send + Sync + 'static>
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let filter = EnvFilter::try_new(&self.filter).map_err(|source| {
            Error::new(ErrorKind::InvalidInput, format!("\"{}\" is not a log filter", self.filter)).source(source)
        })?;
        // Beside the filter and not in it: there the more specific directive has the last word.
        let own_alone = (!self.row_data).then(|| filter_fn(|metadata| is_own(metadata.target())));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(self.colour)
            .with_target(false)
            .fmt_fields(debug_fn(field).delimited(" "));
        Ok(tracing_subscriber::registry().with(filter).with(own_alone).with(lines))
    }

    /// Logs to standard error from here on.
    ///
    /// # Errors
    /// As [`Log::subscriber`], and [`ErrorKind::Setup`] where the process logs already.
    pub fn begin(&self) -> Result<()> {
        use tracing_subscriber::util::SubscriberInitExt as _;
        self.subscriber(std::io::stderr)?
            .try_init()
            .map_err(|source| Error::new(ErrorKind::Setup, "the log has been set up before").source(source))
    }
}

fn is_own(target: &str) -> bool {
    target.strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn field(writer: &mut Writer<'_>, field: &tracing::field::Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let value = printable(&value);
    match field.name() {
        "message" => writer.write_str(&value),
        // where a library's line comes from
        name if name.starts_with("log.") => Ok(()),
        name => write!(writer, "{name}={value}"),
    }
}
