//! Seeds with random damage, and bytes that were never anything: every target, hundreds of times or more.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use super::seeds::{seeds, target};

/// One thing that is done to a seed.
#[derive(Debug, Clone)]
enum Damage {
    /// A byte is another one.
    Byte(Index, u8),
    /// A bit is the other one.
    Bit(Index, u32),
    /// A piece goes.
    Cut(Index, usize),
    /// A piece comes twice.
    Twice(Index, usize),
    /// Something comes between.
    Between(Index, Vec<u8>),
    /// From here on it is another seed.
    Graft(Index, Index),
}

/// What means something to one of the readers.
fn telling() -> Vec<Vec<u8>> {
    let words = r#"{ } ( ) [ ] , ; : = " "" \ \\ - + . / 0 9 e t f NULL null true NaN Infinity => BC 08:00 +00 [0:1]= \u00e9 \ud800 é 🐘"#;
    let words = words.split(' ').map(|word| word.as_bytes().to_vec());
    let counts = [0_u32, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX].map(|count| count.to_be_bytes().to_vec());
    let lone = [&b" "[..], b"\n", b"\0", b"\xff", b"\xff\xff", b"N\0\x01t", b"O", b"K"].map(<[u8]>::to_vec);
    words.chain(counts).chain(lone).collect()
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => (at(), 0..8_u32).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        1 => (at(), 1..9_usize).prop_map(|(at, length)| Damage::Cut(at, length)),
        1 => (at(), 1..65_usize).prop_map(|(at, length)| Damage::Twice(at, length)),
        3 => (at(), select(telling())).prop_map(|(at, word)| Damage::Between(at, word)),
        1 => (at(), at()).prop_map(|(at, seed)| Damage::Graft(at, seed)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage, seeds: &[(String, Vec<u8>)]) {
    let place = |at: &Index| at.index(bytes.len() + 1);
    match damage {
        Damage::Byte(at, byte) => {
            let at = place(at);
            bytes.splice(at..(at + 1).min(bytes.len()), [*byte]);
        }
        Damage::Bit(at, bit) => {
            let at = place(at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Damage::Cut(at, length) => {
            let at = place(at);
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        Damage::Twice(at, length) => {
            let at = place(at);
            let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        Damage::Between(at, word) => {
            let at = place(at);
            bytes.splice(at..at, word.iter().copied());
        }
        Damage::Graft(at, seed) => {
            let at = place(at);
            let (_, other) = &seeds[seed.index(seeds.len())];
            bytes.truncate(at);
            bytes.extend(other.iter().skip(at));
        }
    }
}

fn hold(name: &str, cases: u32) {
    let seeds = seeds(name);
    let (_, holds) = target(name);
    // Where the seeds lie is no place for what was found: it becomes a seed with a name of its own.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let from_seed = (any::<Index>(), vec(damage(), 1..6)).prop_map(|(seed, damages)| {
        let (_, mut bytes) = seeds[seed.index(seeds.len())].clone();
        for damage in &damages {
            apply(&mut bytes, damage, &seeds);
        }
        bytes
    });
    let words = vec(select(telling()), 0..24).prop_map(|words| words.concat());
    let bytes = prop_oneof![8 => from_seed, 1 => words, 1 => vec(any::<u8>(), 0..64)];
    TestRunner::new(config)
        .run(&bytes, |bytes| {
            holds(&bytes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn no_bytes_break_the_decoder_and_another_one_reads_the_same_in_them() {
    hold("pgoutput", 2000);
}

#[test]
fn no_stream_makes_an_event_that_is_not_json() {
    hold("tuple", 400);
}

#[test]
fn no_text_breaks_the_reader_of_arrays() {
    hold("array", 2000);
}

#[test]
fn no_text_breaks_the_reader_of_composites() {
    hold("composite", 2000);
}

#[test]
fn no_text_of_any_type_makes_what_is_not_json() {
    hold("value", 1500);
}

#[test]
fn no_text_but_the_one_that_is_written_is_an_event_id() {
    hold("event_id", 1500);
}
