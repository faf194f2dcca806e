//! What was done, and what came of it.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::Fault;
use crate::oracle::Report;

/// Counts over all rounds.
#[derive(Debug, Default)]
pub struct Tally {
    pub rounds: usize,
    faults: BTreeMap<&'static str, usize>,
    /// Those that were prepared and found no occasion.
    missed: usize,
    report: Report,
}

impl Tally {
    pub fn injected(&mut self, fault: Fault, happened: bool) {
        if happened {
            *self.faults.entry(fault.kind()).or_default() += 1;
        } else {
            self.missed += 1;
        }
    }

    pub fn add(&mut self, report: Report) {
        self.rounds += 1;
        self.report.add(report);
    }

    /// Whether a fault of this kind happened.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains_key(fault.kind())
    }

    /// Whether there were faults, and events that they could have cost.
    pub fn is_telling(&self) -> bool {
        !self.faults.is_empty() && self.report.expected > self.report.transactions
    }

    pub fn is_clean(&self) -> bool {
        self.report.is_clean()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, count: usize| writeln!(f, "  {name:<46}{count:>10}");
        let all: usize = self.faults.values().sum();
        line("faults injected", all)?;
        for (kind, count) in &self.faults {
            line(&format!("  {kind}"), *count)?;
        }
        line("prepared without an occasion", self.missed)?;
        line("rounds, each compared at its end", self.rounds)?;
        line("transactions", self.report.transactions)?;
        line("events expected", self.report.expected)?;
        line("events delivered", self.report.delivered)?;
        line("lost", self.report.lost)?;
        line("repeated", self.report.repeated)?;
        line("out of order", self.report.out_of_order)?;
        line("told otherwise than it was", self.report.different)?;
        for (kind, count) in &self.report.kinds {
            line(&format!("committed: {kind}"), *count)?;
        }
        self.report.seen.iter().try_for_each(|seen| writeln!(f, "{seen}"))
    }
}
