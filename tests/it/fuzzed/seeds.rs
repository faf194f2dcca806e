//! The seeds: files in `fuzz/corpus`, in a folder for each target, each named for what it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::targets::{TARGETS, Target};

/// Where a target's seeds are.
pub fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// A target's seeds by name.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = fs::read_dir(folder(target))
        .unwrap_or_else(|error| panic!("{target} has no seeds: {error}"))
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

/// The target of that name.
pub fn target(name: &str) -> Target {
    *TARGETS.iter().find(|(other, _)| *other == name).unwrap_or_else(|| panic!("there is no target {name}"))
}

#[test]
fn every_seed_holds() {
    for (target, holds) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 5, "{target} has {} seeds", seeds.len());
        for (name, bytes) in seeds {
            eprintln!("{target}/{name}");
            holds(&bytes);
        }
    }
}

#[test]
fn every_seed_is_small_and_named_for_what_it_is() {
    for (target, _) in TARGETS {
        for (name, bytes) in seeds(target) {
            let is_hash = name.len() >= 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(
                !is_hash && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"-0123456789".contains(&byte)),
                "{name}"
            );
            assert!(bytes.len() <= 32 << 10, "{target}/{name} has {} bytes", bytes.len());
        }
    }
}

#[test]
fn every_target_has_a_program_and_every_program_a_target() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let programs = fs::read_dir(folder("").join("../fuzz_targets")).unwrap();
    let programs = programs.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(programs.collect::<BTreeSet<String>>(), names);
    let corpora = fs::read_dir(folder("")).unwrap().map(|folder| folder.unwrap().file_name().into_string().unwrap());
    assert_eq!(corpora.collect::<BTreeSet<String>>(), names);
}
