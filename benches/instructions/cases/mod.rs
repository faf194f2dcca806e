//! What is counted: what the engine does for each change, stop by stop, and together.

mod decode;
mod diff;
mod encode;
mod route;
mod whole;

use std::hint::black_box;

/// One thing that is done over and over.
pub struct Case {
    /// Its stop and what comes by; the name in the baseline.
    pub name: &'static str,
    /// How many inputs it has.
    pub inputs: usize,
    /// Does it with each.
    pub round: Box<dyn FnMut()>,
}

impl Case {
    fn new<I: 'static>(name: &'static str, mut inputs: Vec<I>, mut each: impl FnMut(&mut I) + 'static) -> Self {
        let count = inputs.len();
        let round = move || inputs.iter_mut().for_each(|input| each(black_box(input)));
        Case { name, inputs: count, round: Box::new(round) }
    }
}

/// All, in the order in which a change comes by them.
pub fn all() -> impl Iterator<Item = Case> {
    decode::cases().into_iter().chain(diff::cases()).chain(route::cases()).chain(encode::cases()).chain(whole::cases())
}
