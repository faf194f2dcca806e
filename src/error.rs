//! What can go wrong. The kind decides what happens next: whether the engine tries again, the program's exit code and
//! the hint; message, detail and hint are worded as PostgreSQL words its own (manual, section 56.3 "Error Message Style Guide").
//!
//! An error is logged where it is handled; on the way there it gains context and keeps its source.

use std::fmt;

use crate::printable::{printable, printable_lines};

/// A `Result` of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the user typed, set or asked for cannot be done as it stands.
    InvalidInput,
    /// The database is not set up for Tidewire: `wal_level`, slots, privileges.
    Setup,
    /// The database refused the credentials.
    Authentication,
    /// The database cannot be reached, or the connection was cut. The engine tries again.
    Connection,
    /// The database answered a statement with an error.
    Database,
    /// Another Tidewire serves this database.
    Standby,
    /// The replication slot is gone or was invalidated.
    SlotLost,
    /// The server cannot send a change: it ends the stream there whenever it comes to it.
    Unsendable,
    /// Bytes from the database that the protocol does not allow.
    Protocol,
    /// A file, a process or the terminal failed.
    Io,
}

impl ErrorKind {
    /// Whether the same attempt may succeed later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, ErrorKind::Connection | ErrorKind::Standby)
    }

    /// The program's exit code: 2 for what the user can mend by typing something else, 1 for the rest.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::InvalidInput => 2,
            _ => 1,
        }
    }
}

/// A failure: its kind, a message, and where they help a detail, a hint and the error beneath it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of `kind`; `message` is a lower-case sentence without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), detail: None, hint: None, source: None }))
    }

    /// Adds what is known beyond the message.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds what the user can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the error beneath this one.
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says what was being done when it happened: `context: message`.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message alone, without detail and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do about it, if anything is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    /// As a terminal shows it. A server's errors quote names and data: only the program's own words start a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0.message))?;
        if let Some(detail) = &self.0.detail {
            write!(f, "\ndetail: {}", printable_lines(detail))?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\nhint: {}", printable_lines(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::new(ErrorKind::Io, error.to_string()).source(error)
    }
}
