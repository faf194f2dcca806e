//! What Tidewire is built of comes from crates.io and under a licence that deny.toml allows. `make
//! deny` looks closer, where cargo-deny can be had; this is looked at everywhere.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: HashSet<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether an SPDX expression can be fulfilled with what is allowed: AND, OR and parentheses, of
/// which AND binds tighter.
fn is_allowed(expression: &str, allow: &HashSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = any(&mut words, allow);
    assert_eq!(words.next(), None, "{expression}");
    allowed
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any(words: &mut Words<'_>, allow: &HashSet<String>) -> bool {
    let mut allowed = all(words, allow);
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all(words, allow);
    }
    allowed
}

fn all(words: &mut Words<'_>, allow: &HashSet<String>) -> bool {
    let mut allowed = one(words, allow);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words, allow);
    }
    allowed
}

fn one(words: &mut Words<'_>, allow: &HashSet<String>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let allowed = any(words, allow);
        assert_eq!(words.next(), Some(")"));
        return allowed;
    }
    let name = words.next().expect("a licence");
    match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
        Some(exception) => allow.contains(&format!("{name} WITH {exception}")),
        None => allow.contains(name),
    }
}

#[test]
fn an_expression_is_read_as_spdx_has_it() {
    let allow = ["MIT", "ISC"].map(str::to_owned).into();
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("ISC AND MIT", true),
        ("ISC AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("GPL-3.0 AND (MIT OR ISC)", false),
        ("MIT OR GPL-3.0 AND GPL-2.0", true),
        ("MIT WITH some-exception", false),
    ] {
        assert_eq!(is_allowed(expression, &allow), expected, "{expression}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let deny: Deny = toml::from_str(&std::fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap();
    let compiler = Command::new("rustc").arg("-vV").output().unwrap();
    let compiler = String::from_utf8(compiler.stdout).unwrap();
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // of other systems' dependencies this machine need not have anything
    let arguments = ["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform", host];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{} has no licence", package["name"]));
        assert!(is_allowed(licence, &deny.licenses.allow), "{}: {licence}", package["name"]);
    }
}

#[test]
fn every_dependency_comes_from_crates_io() {
    let lock: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock")).unwrap()).unwrap();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "tidewire" {
            continue;
        }
        let source = package.get("source").and_then(toml::Value::as_str);
        assert_eq!(source, Some("registry+https://github.com/rust-lang/crates.io-index"), "{name}");
        assert!(package.get("checksum").is_some(), "{name} has no checksum");
    }
}
