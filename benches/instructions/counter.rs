//! Runs the cases under callgrind: this program again, in an environment that is always the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::baseline::{Case, Cost, Taken};
use super::cases;
use super::profile::{self, Counted};

/// How often a case goes through its inputs while it is counted.
const ROUNDS: u32 = 8;

/// The argument that makes this program the one under callgrind.
pub const COUNTED: &str = "--counted";

/// What callgrind wrote of each case stays here, to be looked into.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions")
}

/// The file of a case.
pub fn file(name: &str) -> PathBuf {
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    folder().join(format!("{name}.callgrind"))
}

/// The cases with `wanted` in their names, counted.
pub fn count(wanted: &str) -> Result<Vec<Case>, String> {
    let valgrind = valgrind()?;
    let folder = folder();
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let program = std::env::current_exe().map_err(|error| format!("this program's file: {error}"))?;
    let (Some(home), Some(name)) = (program.parent(), program.file_name()) else {
        return Err("this program has no file".to_owned());
    };
    let part = folder.join("part");
    let mut command = Command::new(valgrind);
    // The environment and the program's path lie on the stack, and move what is on it.
    command.env_clear().current_dir(home);
    // A part ends where a case begins and where it has been counted (see counted_pass).
    command.args(["-q", "--tool=callgrind", "--dump-before=*::counted_pass", "--dump-after=*::counted_pass"]);
    command.arg(format!("--callgrind-out-file={}", part.display()));
    command.arg(Path::new(".").join(name)).args([COUNTED, wanted]);
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if !output.status.success() {
        return Err(format!("under callgrind: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    collect(&part, &String::from_utf8_lossy(&output.stdout))
}

/// Joins what the counted program says, a line a case, with callgrind's parts, which come in the same order.
fn collect(part: &Path, said: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut said = said.lines();
    for number in 1.. {
        let path = part.with_extension(number.to_string());
        let Ok(text) = fs::read_to_string(&path) else { break };
        if let Some(Counted { instructions, allocations }) = profile::of_case(&text) {
            let (iterations, name) =
                said.next().and_then(|line| line.split_once(' ')).ok_or("more parts than cases")?;
            let iterations: f64 = iterations.parse().map_err(|_| format!("\"{iterations}\" is not a number"))?;
            let cost = Cost {
                instructions: (instructions as f64 / iterations).round(),
                allocations: allocations as f64 / iterations,
            };
            if cases.iter().any(|(case, _)| case == name) {
                return Err(format!("there are two cases \"{name}\""));
            }
            cases.push((name.to_owned(), cost));
            // what was called before the part began is called no time in it; callgrind_annotate takes that for no call
            let text = text.replace("\ncalls=0 ", "\ncalls=1 ");
            fs::write(file(name), text).map_err(|error| format!("{}: {error}", file(name).display()))?;
        }
        let _ = fs::remove_file(&path);
    }
    let _ = fs::remove_file(part);
    match said.next() {
        Some(case) => Err(format!("callgrind did not count \"{case}\": is counted_pass a function of its own?")),
        None if cases.is_empty() => Err("no case has that in its name".to_owned()),
        None => Ok(cases),
    }
}

/// What the program does under callgrind: prepares each case, goes through it once, and then so that it is counted.
pub fn be_counted(wanted: &str) {
    for mut case in cases::all().filter(|case| case.name.contains(wanted)) {
        (case.round)();
        println!("{} {}", case.inputs as u32 * ROUNDS, case.name);
        counted_pass(&mut *case.round, ROUNDS);
    }
}

/// Callgrind knows it by its name.
#[inline(never)]
fn counted_pass(round: &mut dyn FnMut(), rounds: u32) {
    for _ in 0..rounds {
        round();
    }
}

/// Where valgrind is: looked for here, since the environment that it is given has no PATH.
fn valgrind() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("valgrind")).find(|file| file.is_file()).ok_or_else(|| {
        let hint = if cfg!(target_os = "macos") {
            "Valgrind does not run on Apple silicon, and hardly on any macOS: do this on Linux, or leave it to CI."
        } else {
            "scripts/setup instructions installs it."
        };
        format!("there is no valgrind, which counts the instructions\nhint: {hint}")
    })
}

/// What counts depend on besides the code, as it is here.
pub fn taken() -> Result<Taken, String> {
    let valgrind = said(Command::new(valgrind()?).arg("--version"))?;
    let rustc = said(Command::new("rustc").arg("-vV"))?;
    let of_rustc =
        |label: &str| rustc.lines().find_map(|line| line.strip_prefix(label)).unwrap_or("unknown").to_owned();
    Ok(Taken {
        target: of_rustc("host: "),
        rustc: of_rustc("release: "),
        // not every C library has a getconf that knows it
        libc: said(Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_else(|_| "unknown".to_owned()),
        valgrind: valgrind.trim_start_matches("valgrind-").to_owned(),
    })
}

fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
