//! Where PostgreSQL's server programs are on this machine.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::{Error, ErrorKind, Result};

/// The environment variable that names the folder of the server's programs.
pub const BINDIR_VARIABLE: &str = "TIDEWIRE_PG_BINDIR";

/// The programs that a cluster needs.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// The oldest major version that Tidewire works with.
const OLDEST_MAJOR: u32 = 14;

/// Where distributions put each version: the folder above, the beginning of the version's folder, the way down from it.
const USUAL_PLACES: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/usr/lib", "postgresql", "bin"),
    ("/usr/local", "pgsql", "bin"),
];

/// A server's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    major: u32,
    text: String,
}

impl Version {
    /// The number that decides whether a data folder fits: 15 of 15.18.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Reads what `postgres --version` prints: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(output: &str) -> Option<Version> {
        let text = output.trim().strip_prefix("postgres (PostgreSQL) ")?.split(' ').next()?;
        let major = text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some(Version { major, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A folder that holds `initdb`, `postgres` and `pg_ctl`.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
    version: Version,
}

impl Binaries {
    /// Finds PostgreSQL 14 or newer: by `TIDEWIRE_PG_BINDIR`, by `pg_config`, on `PATH`, in the distributions' usual
    /// places, the newest first there.
    pub async fn find() -> Result<Binaries> {
        Binaries::search(None).await
    }

    /// Finds the programs of one major version, which is what an existing data folder needs.
    pub async fn find_major(major: u32) -> Result<Binaries> {
        Binaries::search(Some(major)).await
    }

    async fn search(major: Option<u32>) -> Result<Binaries> {
        let fits = |version: &Version| match major {
            Some(major) => version.major == major,
            None => version.major >= OLDEST_MAJOR,
        };
        let chosen = std::env::var_os(BINDIR_VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let dirs = match &chosen {
            Some(dir) => vec![dir.clone()],
            None => candidates().await,
        };
        let mut unfit = Vec::new();
        for dir in dirs {
            match Binaries::inspect(&dir).await {
                Some(binaries) if fits(&binaries.version) => return Ok(binaries),
                Some(binaries) => unfit.push(format!("PostgreSQL {} in \"{}\"", binaries.version, dir.display())),
                None => {}
            }
        }
        unfit.dedup();
        Err(not_found(major, chosen.as_deref(), &unfit))
    }

    /// What is in `dir`, if that is a server.
    async fn inspect(dir: &Path) -> Option<Binaries> {
        if !PROGRAMS.iter().all(|program| dir.join(program).is_file()) {
            return None;
        }
        let output = Command::new(dir.join("postgres")).arg("--version").output().await.ok()?;
        let version = Version::parse(&String::from_utf8_lossy(&output.stdout))?;
        Some(Binaries { dir: dir.to_owned(), version })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The server's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The path of one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The folders that may hold a server, the likeliest first.
async fn candidates() -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output().await
        && let Ok(dir) = String::from_utf8(output.stdout)
    {
        dirs.push(PathBuf::from(dir.trim()));
    }
    dirs.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute()));
    for (above, prefix, below) in USUAL_PLACES {
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(above)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let version = name.to_str()?.strip_prefix(prefix)?;
                // No number, as in /usr/local/pgsql, comes after every number.
                let number = if version.is_empty() { 0 } else { version.split('.').next()?.parse().ok()? };
                Some((number, entry.path().join(below)))
            })
            .collect();
        versions.sort_by(|a, b| b.cmp(a));
        dirs.extend(versions.into_iter().map(|(_, dir)| dir));
    }
    dirs
}

fn not_found(major: Option<u32>, chosen: Option<&Path>, unfit: &[String]) -> Error {
    let wanted = match major {
        Some(major) => format!("PostgreSQL {major}"),
        None => format!("PostgreSQL {OLDEST_MAJOR} or newer"),
    };
    let mut error = Error::new(ErrorKind::Setup, format!("could not find the server programs of {wanted}"));
    if !unfit.is_empty() {
        error = error.detail(format!("Found only {}.", unfit.join(", ")));
    } else if let Some(dir) = chosen {
        let dir = dir.display();
        error = error.detail(format!("{BINDIR_VARIABLE} is \"{dir}\", which does not hold {}.", PROGRAMS.join(", ")));
    }
    error.hint(match chosen {
        Some(_) => format!("Unset {BINDIR_VARIABLE}, or set it to the folder that holds {}.", PROGRAMS.join(", ")),
        None => format!(
            "Install them{}, or set {BINDIR_VARIABLE} to the folder that holds {}.",
            package_command(major).map(|command| format!(" with \"{command}\"")).unwrap_or_default(),
            PROGRAMS.join(", "),
        ),
    })
}

/// What installs the server here, by the package manager that is here.
fn package_command(major: Option<u32>) -> Option<String> {
    let has = |path: &str| Path::new(path).exists();
    let versioned = |name: &str| major.map_or_else(|| name.to_owned(), |major| format!("{name}-{major}"));
    if has("/usr/bin/apt-get") {
        Some(format!("sudo apt-get install {}", versioned("postgresql")))
    } else if has("/usr/bin/dnf") {
        Some("sudo dnf install postgresql-server".to_owned())
    } else if cfg!(target_os = "macos") {
        Some(format!("brew install postgresql@{}", major.unwrap_or(17)))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_postgres_prints() {
        let parse = |text| Version::parse(text).map(|version| (version.major, version.text));
        assert_eq!(parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some((15, "15.18".to_owned())));
        assert_eq!(parse("postgres (PostgreSQL) 18beta1\n"), Some((18, "18beta1".to_owned())));
        assert_eq!(parse("postgres (PostgreSQL) devel"), None);
        assert_eq!(parse("pg_ctl (PostgreSQL) 15.18"), None);
    }

    #[test]
    fn an_error_names_what_was_found_and_what_to_do() {
        let error = not_found(Some(14), None, &["PostgreSQL 15.18 in \"/usr/bin\"".to_owned()]).to_string();
        assert!(error.starts_with("could not find the server programs of PostgreSQL 14\n"), "{error}");
        assert!(error.contains("\ndetail: Found only PostgreSQL 15.18 in \"/usr/bin\".\n"), "{error}");
        assert!(error.contains("\nhint: Install them"), "{error}");
    }
}
