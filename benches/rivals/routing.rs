//! What it takes to find who is to be told, by the number of subscriptions: each in a process of its own, whose memory is
//! that of the subscriptions.

use std::hint::black_box;
use std::process::{Command, exit};
use std::time::Instant;

use tidewire::subscription::{Index, Selector, Subscription};
use uuid::Uuid;

use crate::Effort;
use crate::process::Process;
use crate::report::{Bar, Better, Line, Report, median};

/// The argument that makes the bench such a process.
pub const CHILD: &str = "--routing-child";

/// As many look-ups as are timed together.
const LOOKUPS: u64 = 200_000;
const TIMES: usize = 11;
const SESSIONS: u64 = 1000;

/// What is measured in one process.
struct Figures {
    nanoseconds: f64,
    bytes: f64,
}

pub fn run(report: &mut Report, effort: Effort) {
    let rounds = effort.choose(1, 5);
    let mut few: Vec<Figures> = Vec::new();
    let sizes = [("row", 1000), ("row", 100_000), ("row", 1_000_000), ("table", 10_000)];
    let mut all: Vec<Vec<Figures>> = sizes.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((kind, count), figures) in sizes.iter().zip(&mut all) {
            figures.push(measure(kind, *count));
        }
    }
    for ((kind, count), figures) in sizes.iter().zip(all) {
        let time = |figures: &[Figures]| figures.iter().map(|each| each.nanoseconds).collect();
        let is_largest = *count == 1_000_000;
        let bytes = figures.iter().map(|each| each.bytes).collect();
        let what = format!("a change: 1000 row subscriptions | {count} {kind} subscriptions");
        let bar = if is_largest { Bar::Ratio(1.2) } else { Bar::None };
        // the first is the others' rival
        if few.is_empty() {
            let what = format!("a change: {count} {kind} subscriptions");
            let ours = time(&figures);
            report.line(Line { what, unit: "ns", better: Better::Lower, rival: Vec::new(), ours, bar: Bar::None });
        } else {
            let (rival, ours) = (time(&few), time(&figures));
            report.line(Line { what, unit: "ns", better: Better::Lower, rival, ours, bar });
        }
        let bar = if is_largest { Bar::Figure(150.0) } else { Bar::None };
        let what = format!("memory of each of {count} {kind} subscriptions");
        report.line(Line { what, unit: "bytes", better: Better::Lower, rival: Vec::new(), ours: bytes, bar });
        if few.is_empty() {
            few = figures;
        }
    }
}

fn measure(kind: &str, count: u64) -> Figures {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([CHILD, kind, &count.to_string()])
        .output()
        .expect("this program again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut figures = text.split_whitespace().map(|figure| figure.parse().expect("a figure"));
    let (Some(nanoseconds), Some(bytes)) = (figures.next(), figures.next()) else { panic!("two figures: {text}") };
    Figures { nanoseconds, bytes }
}

/// Builds the index, measures, prints: nanoseconds a look-up and bytes a subscription.
pub fn child(kind: &str, count: &str) {
    let count: u64 = count.parse().expect("a number");
    let is_row = match kind {
        "row" => true,
        "table" => false,
        _ => exit(2),
    };
    // memory comes by pages: of few subscriptions there are several indexes
    let copies = (200_000 / count).max(1);
    let before = process().memory();
    let mut indexes: Vec<Index> = (0..copies).map(|copy| index(is_row, count, copy)).collect();
    let bytes = (process().memory() - before) * 1e6 / (count * copies) as f64;
    let index = &mut indexes[0];
    assert_eq!(index.len() as u64, count, "subscriptions");
    let mut times: Vec<f64> = (0..TIMES).map(|_| look_up(index, is_row, count)).collect();
    // the first warms the caches
    times.remove(0);
    println!("{} {bytes}", median(&times).expect("a figure"));
}

fn process() -> Process {
    Process(std::process::id())
}

fn index(is_row: bool, count: u64, copy: u64) -> Index {
    let mut chance = Chance(copy + 1);
    let mut uuid = || Uuid::from_u64_pair(chance.next(), chance.next());
    let sessions: Vec<Uuid> = (0..SESSIONS.min(count)).map(|_| uuid()).collect();
    let mut index = Index::default();
    for number in 0..count {
        let id = uuid();
        let session = sessions[(number % sessions.len() as u64) as usize];
        // keys of rows: every other one from a range twice as long
        let (relation, selector) = if is_row {
            (16384, Selector::Row(vec![(number * 2).to_string()]))
        } else {
            (16384 + number as u32 * 2, Selector::Table)
        };
        index.add(Subscription { id, session, durable: true, relation, selector, visible: None });
    }
    index
}

/// Half of what is looked up is subscribed to. The keys are made before, as the stream gives them as text.
fn look_up(index: &mut Index, is_row: bool, count: u64) -> f64 {
    let mut chance = Chance(7);
    let places: Vec<u64> = (0..LOOKUPS).map(|_| chance.next() % (count * 2)).collect();
    let keys: Vec<Box<[u8]>> = places.iter().map(|place| place.to_string().into_bytes().into()).collect();
    let mut hits = 0;
    let begun = Instant::now();
    for (place, key) in places.iter().zip(&keys) {
        let relation = if is_row { 16384 } else { 16384 + *place as u32 };
        let found = index.on_update(relation, std::iter::once(&key[..]), 2, true);
        hits += black_box(found).len() as u64;
    }
    let nanoseconds = begun.elapsed().as_nanos() as f64 / LOOKUPS as f64;
    assert!(hits.abs_diff(LOOKUPS / 2) < LOOKUPS / 50, "half of them are hits: {hits}");
    nanoseconds
}

/// Numbers that look random, the same ones each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
