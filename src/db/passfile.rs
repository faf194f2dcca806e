//! The password file, as libpq has it: `~/.pgpass`, or what `PGPASSFILE` or `passfile` names.
//!
//! A module of its own, because it is read for nothing else.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The mode of what others than its owner can read or write.
const OTHERS: u32 = 0o077;

/// Where a password that was not given was looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Source {
    /// Nowhere, or where there is none.
    #[default]
    None,
    /// It is of this file.
    File(PathBuf),
    /// Others than its owner can read this file, so it was not.
    Open(PathBuf),
}

/// What a line of the file has to match.
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password for it, and where it is from. A file that is not there, or is no file, holds none.
pub(super) fn look_up(path: &Path, wanted: &Wanted<'_>) -> (Option<String>, Source) {
    let Ok(metadata) = std::fs::metadata(path) else { return (None, Source::None) };
    if !metadata.is_file() {
        return (None, Source::None);
    }
    if metadata.mode() & OTHERS != 0 {
        return (None, Source::Open(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match text.lines().find_map(|line| password(line, wanted)) {
        Some(password) => (Some(password), Source::File(path.to_owned())),
        None => (None, Source::None),
    }
}

/// The password of a line that matches.
fn password(line: &str, wanted: &Wanted<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let port = wanted.port.to_string();
    let mut rest = line;
    for value in [wanted.host, &port, wanted.database, wanted.user] {
        let (found, behind) = field(rest)?;
        // written with a backslash it is a name
        if rest.split(':').next() != Some("*") && found != value {
            return None;
        }
        rest = behind;
    }
    Some(field(rest).map_or_else(|| unescaped(rest), |(password, _)| password)).filter(|found| !found.is_empty())
}

/// What stands before the next colon, and behind it.
fn field(text: &str) -> Option<(String, &str)> {
    let mut found = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ':' => return Some((found, &text[at + 1..])),
            '\\' => found.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => found.push(character),
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    field(&format!("{text}:")).map_or_else(String::new, |(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_matches_by_all_four_names() {
        let wanted = Wanted { host: "db", port: 5432, database: "shop", user: "a:n" };
        for (line, found) in [
            (r"db:5432:shop:a\:n:se\:cr\\et", Some(r"se:cr\et")),
            ("*:*:*:*:any", Some("any")),
            (r"db:5432:shop:a\:n:ends:here", Some("ends")),
            (r"\*:*:*:*:no", None),
            ("db:5433:*:*:no", None),
            ("db:5432:shop:a:n:no", None),
            ("#*:*:*:*:no", None),
            ("*:*:*:*:", None),
            ("db:5432", None),
            ("", None),
        ] {
            assert_eq!(password(line, &wanted).as_deref(), found, "{line}");
        }
    }
}
