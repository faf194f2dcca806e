//! The house's rules that a machine can check.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "sql") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// The code before the tests in the same file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.contains("#[cfg(test)]"))
}

#[test]
fn pure_rooms_do_no_io_and_know_no_clock() {
    let forbidden = [
        "tokio",
        "std::net",
        "std::fs",
        "std::io",
        "std::time",
        "std::env",
        "std::process",
        "std::thread",
        "tracing",
        "crate::db",
        "crate::wal",
        "crate::inbox",
        "crate::observe",
        "crate::app",
        "crate::capture",
        "crate::monitor",
        "crate::http",
        "crate::delivery",
        "crate::upkeep",
        "crate::crash",
        "nix::",
    ];
    for room in ["src/pgoutput", "src/diff", "src/subscription", "src/json"] {
        for (path, text) in sources(room) {
            for line in code(&text).filter(|line| !line.trim_start().starts_with("//")) {
                for word in forbidden {
                    assert!(!line.contains(word), "{}: {line}", path.display());
                }
            }
        }
    }
}

#[test]
fn a_foreign_crate_has_one_home() {
    for (path, text) in sources("src") {
        let shown = path.display().to_string();
        for (name, home) in [
            ("tokio_postgres", "/src/db/"),
            ("pgwire_replication", "/src/wal/"),
            ("axum", "/src/http/"),
            ("hyper", "/src/http/"),
            ("metrics::", "/src/observe/"),
            ("metrics_exporter_prometheus", "/src/observe/"),
            ("tracing::", "/src/observe/"),
        ] {
            for line in code(&text).filter(|line| !line.trim_start().starts_with("//")) {
                assert!(shown.contains(home) || !line.contains(name), "{shown}: {line}");
            }
        }
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_docs_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests: String = sources("tests").into_iter().map(|(_, text)| text).collect();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let guarantees = readme.split("## Guarantees").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = guarantees.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    let mut names: Vec<String> = cells.flat_map(quoted).filter(|name| !name.contains(' ')).map(str::to_owned).collect();
    assert!(names.len() > 40, "the table of guarantees names its tests: {names:?}");
    for path in
        ["README.md", "ARCHITECTURE.md", "docs/performance.md", "docs/operations.md", "docs/sql.md", "docs/events.md"]
    {
        let text = fs::read_to_string(root.join(path)).unwrap();
        // a sentence, as no setting and no figure is
        let is_sentence =
            |name: &&str| name.matches('_').count() >= 5 && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        names.extend(quoted(&text).filter(is_sentence).map(str::to_owned));
    }
    for name in names {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

#[test]
fn what_an_operator_is_told_to_look_for_is_what_the_program_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let operations = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    // a text in the source may go on in the next line
    let joined = |text: String| text.lines().map(str::trim_start).collect::<String>().replace('\\', "");
    let program: String = sources("src").into_iter().map(|(_, text)| joined(text)).collect();
    let meter = fs::read_to_string(root.join("src/observe/meter.rs")).unwrap();
    let figures = operations.split(|c: char| !(c == '_' || c.is_ascii_alphanumeric()));
    for figure in figures.filter(|word| word.starts_with("tidewire_")) {
        assert!(meter.contains(&format!("\"{figure}\"")), "there is no figure {figure}");
    }
    // of the states' table: what /ready says, and the log
    let states = operations.split("\n## States").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = states.lines().filter(|line| line.starts_with('|')).map(|line| line.split('|').collect::<Vec<_>>());
    let mut said = 0;
    for row in rows.filter(|row| row.len() > 6) {
        for phrase in quoted(row[2]).chain(quoted(row[3])) {
            // what is not PostgreSQL's own
            for part in phrase
                .split(['…', ';', ':'])
                .map(str::trim)
                .filter(|part| part.len() > 8 && !phrase.starts_with("terminating"))
            {
                let part = part.trim_matches(|c: char| !c.is_ascii_alphanumeric());
                assert!(program.contains(part), "the program does not say \"{part}\"");
                said += 1;
            }
        }
    }
    assert!(said > 20, "{said}");
}

#[test]
fn no_file_is_over_500_lines() {
    for folder in ["src", "sql", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn a_backslash_in_sql_means_the_same_in_every_session() {
    // standard_conforming_strings is the caller's
    for (path, text) in sources("sql") {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("--") && line.contains('\\')) {
            let strings: Vec<&str> = line.split('\'').collect();
            for (before, string) in strings.iter().zip(strings.iter().skip(1)).step_by(2) {
                assert!(!string.contains('\\') || before.ends_with('E'), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn sql_is_in_ascii() {
    // a database may be of any encoding
    for (path, text) in sources("sql") {
        assert!(text.is_ascii(), "{}", path.display());
    }
}

#[test]
fn every_sql_function_has_a_comment_and_a_fixed_search_path() {
    for (path, text) in sources("sql/event") {
        for definition in text.split("\ncreate function ").skip(1) {
            let name = definition.split('(').next().unwrap();
            let body = definition.split("as $$").next().unwrap();
            // whose names were resolved when it was created
            let is_parsed = definition.split("end;").next().unwrap().contains("\nbegin atomic ");
            assert!(is_parsed || body.contains("set search_path = pg_catalog, pg_temp"), "{}: {name}", path.display());
            assert!(text.contains(&format!("comment on function {name}(")), "{}: {name}", path.display());
        }
    }
}
