//! The stored counts, and what was counted now beside them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

/// By how much a case may grow. Less is moved by how the compiler happens to lay out what was not touched.
const TOLERANCE: f64 = 0.10;

/// `baseline.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    pub taken: Taken,
    pub cases: BTreeMap<String, Cost>,
}

/// What the counts depend on besides the code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    pub target: String,
    pub rustc: String,
    pub libc: String,
    pub valgrind: String,
}

/// What an iteration of a case takes.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    pub instructions: f64,
    pub allocations: f64,
}

/// A case's name and cost.
pub type Case = (String, Cost);

/// A case beside its baseline. One of the two may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub name: String,
    pub before: Option<Cost>,
    pub now: Option<Cost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Grown,
    Shrunk,
    /// There is no baseline for it.
    New,
    /// There is a baseline, and no case.
    Gone,
}

impl Verdict {
    pub fn fails(self) -> bool {
        matches!(self, Verdict::Grown | Verdict::New | Verdict::Gone)
    }
}

impl Row {
    pub fn verdict(&self) -> Verdict {
        let (before, now) = match (self.before, self.now) {
            (Some(before), Some(now)) => (before, now),
            (None, _) => return Verdict::New,
            (_, None) => return Verdict::Gone,
        };
        let figures = [(before.instructions, now.instructions), (before.allocations, now.allocations)];
        // an allocation where there was none is growth
        if figures.iter().any(|(before, now)| *now > before * (1.0 + TOLERANCE)) {
            Verdict::Grown
        } else if figures.iter().any(|(before, now)| *now < before * (1.0 - TOLERANCE)) {
            Verdict::Shrunk
        } else {
            Verdict::Same
        }
    }

    /// By how much its instructions grew, in percent.
    pub fn growth(&self) -> Option<f64> {
        Some((self.now?.instructions / self.before?.instructions - 1.0) * 100.0)
    }
}

/// Reads `baseline.toml`.
pub fn parse(text: &str) -> Result<Baseline, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// Each case beside its baseline, in the cases' order; then what only the baseline has.
pub fn compare(baseline: &Baseline, cases: &[Case]) -> Vec<Row> {
    let counted = cases.iter().map(|(name, now)| Row {
        name: name.clone(),
        before: baseline.cases.get(name).copied(),
        now: Some(*now),
    });
    let is_gone = |name: &String| cases.iter().all(|(case, _)| case != name);
    let gone = baseline.cases.iter().filter(|(name, _)| is_gone(name));
    let gone = gone.map(|(name, before)| Row { name: name.clone(), before: Some(*before), now: None });
    counted.chain(gone).collect()
}

/// The text of `baseline.toml`, a line a case.
pub fn written(taken: &Taken, cases: &[Case]) -> String {
    let Taken { target, rustc, libc, valgrind } = taken;
    let mut text = format!(
        "# What an iteration of each case takes: written by `make instructions-baseline`, held against by `make instructions`.\n\n\
         [taken]\ntarget = \"{target}\"\nrustc = \"{rustc}\"\nlibc = \"{libc}\"\nvalgrind = \"{valgrind}\"\n\n[cases]\n"
    );
    let width = cases.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default() + 2;
    for (name, Cost { instructions, allocations }) in cases {
        let name = format!("\"{name}\"");
        let _ = writeln!(
            text,
            "{name:<width$} = {{ instructions = {instructions:>6.0}, allocations = {allocations:>5.2} }}"
        );
    }
    text
}

/// What differs between the two that may move the counts: its name, then, now.
pub fn differing<'t>(before: &'t Taken, now: &'t Taken) -> Vec<(&'static str, &'t str, &'t str)> {
    let parts = [
        ("target", &before.target, &now.target),
        ("rustc", &before.rustc, &now.rustc),
        ("libc", &before.libc, &now.libc),
        ("valgrind", &before.valgrind, &now.valgrind),
    ];
    let differing = parts.into_iter().filter(|(_, before, now)| before != now);
    differing.map(|(part, before, now)| (part, before.as_str(), now.as_str())).collect()
}
