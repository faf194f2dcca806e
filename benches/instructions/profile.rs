//! One part of what callgrind writes (Valgrind manual, "Callgrind Format Specification"): what a case took.

use std::collections::HashSet;

/// The C library's functions that hand out memory.
const ALLOCATING: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Instructions.
    pub instructions: u64,
    /// Calls that ask for memory.
    pub allocations: u64,
}

/// Reads a part; `None` if it is not the one of a case.
pub fn of_case(text: &str) -> Option<Counted> {
    // A part ends before the function is entered and another when it returns.
    if !text.lines().any(|line| line.starts_with("desc: Trigger: --dump-after=")) {
        return None;
    }
    let instructions = text.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()?;
    let mut allocations = 0;
    // a name stands where its number is used first, and the number alone from then on
    let mut allocating = HashSet::new();
    let mut callee = "";
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if ALLOCATING.contains(&name) {
                allocating.insert(number);
            }
            callee = number;
        } else if let Some(calls) = line.strip_prefix("calls=")
            && allocating.contains(callee)
        {
            allocations += calls.split(' ').next()?.parse::<u64>().ok()?;
        }
    }
    Some(Counted { instructions, allocations })
}
