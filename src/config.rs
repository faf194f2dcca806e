//! What was typed, set and written down, made into what the program needs: flag, then `TIDEWIRE_*`, then `tidewire.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::db::Target;
use crate::error::{Error, ErrorKind, Result};

/// The settings file's name, looked for in the current folder.
pub const FILE: &str = "tidewire.toml";

/// `tidewire.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// See `--database-url`.
    pub database_url: Option<String>,
    /// See `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// See `--log`.
    pub log: Option<String>,
}

impl File {
    /// Reads the file; an absent one is an empty one, unless it was asked for by name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a file that cannot be read or has a setting that does not exist.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let text = match std::fs::read_to_string(path.unwrap_or(Path::new(FILE))) {
            Ok(text) => text,
            Err(missing) if path.is_none() && missing.kind() == std::io::ErrorKind::NotFound => {
                return Ok(File::default());
            }
            Err(source) => {
                let shown = path.unwrap_or(Path::new(FILE)).display();
                return Err(
                    Error::new(ErrorKind::InvalidInput, format!("cannot read {shown}: {source}")).source(source)
                );
            }
        };
        toml::from_str(&text).map_err(|source| {
            // the whole message quotes the line, which may hold a password
            Error::new(ErrorKind::InvalidInput, format!("{FILE}: {}", source.message()))
                .hint("It knows database-url, data-dir and log.")
        })
    }
}

/// The database that a command works on.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] without a URL, or for one that cannot be read.
pub fn target(typed: Option<&str>, file: &File) -> Result<Target> {
    match typed.or(file.database_url.as_deref()) {
        Some(url) => url.parse(),
        None => Err(Error::new(ErrorKind::InvalidInput, "no database is named")
            .hint("Use --database-url postgresql://user@host/database, set TIDEWIRE_DATABASE_URL, or write database-url into tidewire.toml.")),
    }
}
