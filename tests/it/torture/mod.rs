//! Faults at random, from outside, all the while the oracle's writers write and its clients read; after each round everything
//! is brought up and compared.
//!
//! Beside that, hostile input (`hostile`, `beside`).
//!
//! `make torture MINUTES=30 SEED=7` does it for that long and prints what it did and found; a few rounds are in `make test`.
//! The seed decides what is written and which fault comes next; when exactly it hits is up to the machine.

mod beside;
mod fault;
mod hostile;
mod stage;
mod table;

use std::time::{Duration, Instant};

use crate::oracle::{SEED, seed};
use fault::{Fault, USUAL};
use stage::Stage;
use table::Tally;

/// How long `make torture` goes on.
const MINUTES: &str = "TIDEWIRE_TORTURE_MINUTES";
const DEFAULT_MINUTES: f64 = 5.0;

/// One round: some faults, with transactions before, between and after them; then all of it is compared.
async fn round(stage: &mut Stage, tally: &mut Tally, faults: &[Fault]) {
    let load = stage.oracle.begin();
    let mut tally_of_round = Vec::new();
    for fault in faults {
        load.write(stage.chance.between(2, 12)).await;
        tally_of_round.push((*fault, stage.inject(*fault, &load).await));
    }
    load.write(stage.chance.between(2, 12)).await;
    stage.mend().await;
    stage.oracle.end(load).await;
    let report = stage.oracle.compare().await;
    for (fault, happened) in tally_of_round {
        tally.injected(fault, happened);
    }
    tally.add(report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_at_random_lose_repeat_and_disorder_nothing() {
    let seed = seed();
    let mut stage = Stage::set(seed).await;
    let mut tally = Tally::default();
    let drawn = [stage.draw(2), stage.draw(2)];
    for faults in USUAL.into_iter().chain(drawn.iter().map(Vec::as_slice)) {
        round(&mut stage, &mut tally, faults).await;
        assert!(tally.is_clean(), "{SEED}={seed}\n{tally}");
    }
    eprintln!("{tally}");
    for fault in USUAL.concat() {
        assert!(tally.has(fault), "{SEED}={seed}: no {fault}\n{tally}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make torture"]
async fn torture() {
    let seed = seed();
    let minutes =
        std::env::var(MINUTES).map_or(DEFAULT_MINUTES, |minutes| minutes.parse().expect("a number of minutes"));
    // a fifth of the time is for what is written, the rest for faults
    beside::beside(seed, Duration::from_secs_f64(minutes * 12.0)).await;
    let ends = Instant::now() + Duration::from_secs_f64(minutes * 48.0);
    let mut stage = Stage::set(seed).await;
    let mut tally = Tally::default();
    while tally.is_clean() && Instant::now() < ends {
        let most = stage.chance.between(1, 3);
        let faults = stage.draw(most);
        let begun = Instant::now();
        round(&mut stage, &mut tally, &faults).await;
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        eprintln!("round {}: {} ({:.1} s)", tally.rounds, shown.join(", "), begun.elapsed().as_secs_f64());
    }
    println!("{tally}\n  seed {seed}");
    assert!(tally.is_clean(), "{SEED}={seed}");
    assert!(tally.is_telling(), "{SEED}={seed}: nothing happened");
}
