//! `make instructions`: how many instructions and allocations what is done for each change takes, under callgrind, and whether
//! that is more than `baseline.toml` has. Unlike time it is the same on a busy machine.
//!
//! `cargo bench --bench instructions -- route` counts the cases with "route" in their names; `-- --write` writes the
//! baseline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench fails by panicking"
)]

mod baseline;
mod cases;
mod counter;
#[path = "../../fuzz/src/encoder.rs"]
mod encoder;
mod profile;
mod report;
mod table;

use std::fs;
use std::process::ExitCode;

use anstream::{eprintln, println};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/baseline.toml");

fn main() -> ExitCode {
    // cargo passes --bench
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        [counter::COUNTED, wanted] => {
            counter::be_counted(wanted);
            Ok(true)
        }
        [] => check(""),
        ["--write"] => write(),
        [wanted] if !wanted.starts_with('-') => check(wanted),
        _ => Err("usage: cargo bench --bench instructions -- [--write | PART OF A CASE'S NAME]".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Counts and compares; whether nothing grew.
fn check(wanted: &str) -> Result<bool, String> {
    let text = fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}"))?;
    let mut baseline = baseline::parse(&text).map_err(|error| format!("{BASELINE}: {error}"))?;
    baseline.cases.retain(|name, _| name.contains(wanted));
    let taken = counter::taken()?;
    let cases = counter::count(wanted)?;
    if baseline.taken.target != taken.target {
        // another machine's instructions are other instructions
        print!("{}", report::counts(&cases));
        eprintln!("The baseline is of {}, this is {}: nothing was compared.", baseline.taken.target, taken.target);
        // as in CI, where nothing is left out
        return Ok(std::env::var_os("TIDEWIRE_NO_SKIP").is_none());
    }
    let rows = baseline::compare(&baseline, &cases);
    println!("{}", report::table(&rows));
    let verdict = report::verdict(&rows, &baseline::differing(&baseline.taken, &taken));
    eprintln!("{verdict}");
    Ok(!rows.iter().any(|row| row.verdict().fails()))
}

/// Counts, and makes that the baseline.
fn write() -> Result<bool, String> {
    let before = fs::read_to_string(BASELINE).ok().and_then(|text| baseline::parse(&text).ok());
    let taken = counter::taken()?;
    let cases = counter::count("")?;
    if let Some(before) = before {
        println!("{}", report::table(&baseline::compare(&before, &cases)));
    }
    fs::write(BASELINE, baseline::written(&taken, &cases)).map_err(|error| format!("{BASELINE}: {error}"))?;
    println!("The baseline is written: commit it with the change, and say why.");
    Ok(true)
}
