//! `make bench`: Tidewire beside its rivals on this machine, in one run, taking turns; each line prints the rival's
//! figure, ours, the ratio and whether the bar is reached. docs/performance.md says how each is measured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a bench fails by panicking"
)]

mod bulk;
mod in_process;
mod large;
mod latency;
mod listener;
mod machine;
mod many;
mod process;
mod report;
mod rest;
mod rig;
mod routing;
mod startup;
mod throughput;
mod waits;
mod writer;

use std::process::ExitCode;

use machine::Machine;
use report::Report;

/// The parts of the table, in its order.
const GROUPS: [(&str, &str); 9] = [
    ("writer", "what it costs a writer that its table is watched"),
    ("bulk", "1,000,000 rows in one INSERT, and in as many transactions"),
    ("latency", "from the start of an INSERT to the client that is told of it"),
    ("throughput", "changes a second from WAL that is there already; how far behind it falls"),
    ("routing", "finding who is to be told, by the number of subscriptions"),
    ("large", "one transaction of 10,000,000 rows"),
    ("rest", "what it takes while nothing happens"),
    ("startup", "until it is ready"),
    ("waits", "what a person waits for: the demo, a standby, a schema change"),
];

/// How thorough the run is.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub quick: bool,
}

impl Effort {
    /// Rounds that are counted.
    pub fn rounds(self) -> usize {
        self.choose(1, 3)
    }

    pub fn choose<T>(self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // a look-up table in a process of its own, so that its memory can be told from all the rest
    if let [first, kind, count] = arguments.as_slice()
        && first == routing::CHILD
    {
        routing::child(kind, count);
        return ExitCode::SUCCESS;
    }
    // cargo passes --bench
    let mut effort = Effort { quick: false };
    let mut chosen = Vec::new();
    for argument in arguments.iter().filter(|argument| *argument != "--bench") {
        match GROUPS.iter().find(|(name, _)| name == argument) {
            Some((name, _)) => chosen.push(*name),
            None if argument == "--quick" => effort.quick = true,
            None => {
                let is_help = argument == "--help" || argument == "-h";
                help(if is_help { None } else { Some(argument) });
                return if is_help { ExitCode::SUCCESS } else { ExitCode::from(2) };
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Box::pin(run(effort, &chosen)))
}

async fn run(effort: Effort, chosen: &[&str]) -> ExitCode {
    if let Err(missing) = rig::check_programs().await {
        eprintln!("bench: {missing}");
        return ExitCode::FAILURE;
    }
    let mut words: Vec<&str> = chosen.to_vec();
    if effort.quick {
        words.insert(0, "--quick");
    }
    let machine = Machine::look(words.join(" ")).await;
    machine.print();
    if effort.quick {
        println!("--quick: a glance, of one round and small numbers. Not for quoting.");
    }
    let mut report = Report::new();
    for (name, about) in GROUPS {
        if !chosen.is_empty() && !chosen.contains(&name) {
            continue;
        }
        report.group(name, about);
        match name {
            "writer" => Box::pin(writer::run(&mut report, effort)).await,
            "bulk" => Box::pin(bulk::run(&mut report, effort)).await,
            "latency" => Box::pin(latency::run(&mut report, effort)).await,
            "throughput" => Box::pin(throughput::run(&mut report, effort)).await,
            "routing" => {
                routing::run(&mut report, effort);
                Box::pin(many::run(&mut report, effort)).await;
            }
            "large" => Box::pin(large::run(&mut report, effort)).await,
            "rest" => Box::pin(rest::run(&mut report, effort)).await,
            "startup" => Box::pin(startup::run(&mut report, effort)).await,
            _ => Box::pin(waits::run(&mut report, effort)).await,
        }
    }
    let suffix: String = words.iter().map(|word| format!("-{}", word.trim_start_matches('-'))).collect();
    println!("{}", report.finish(&machine, &suffix).display());
    ExitCode::SUCCESS
}

fn help(unknown: Option<&str>) {
    if let Some(unknown) = unknown {
        eprintln!("bench: there is no \"{unknown}\"");
    }
    println!("make bench BENCH=\"[--quick] [GROUP ...]\"\n");
    println!(
        "Measures Tidewire beside its rivals and writes what it found to bench/results. Without a group: all of them.\n"
    );
    for (name, about) in GROUPS {
        println!("  {name:<12}{about}");
    }
    println!("\n  --quick     one round, small numbers");
}
