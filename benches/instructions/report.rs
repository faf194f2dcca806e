//! What is printed.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::baseline::{Case, Cost, Row, Verdict};
use super::counter;

const BAD: Style = AnsiColor::Red.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const PLAIN: Style = Style::new();

/// Cases without a baseline.
pub fn counts(cases: &[Case]) -> String {
    let rows: Vec<Row> =
        cases.iter().map(|(name, now)| Row { name: name.clone(), before: Some(*now), now: Some(*now) }).collect();
    table(&rows)
}

/// The cases beside their baselines, in colours.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    let mut text = format!("{:width$}{:>26}{:>24}\n", "", "instructions", "allocations");
    let _ = writeln!(text, "{:width$}{:>10}{:>9}{:>9}{:>14}{:>8}", "", "baseline", "now", "", "baseline", "now");
    for row in rows {
        let style = match row.verdict() {
            Verdict::Same => PLAIN,
            Verdict::Shrunk => GOOD,
            Verdict::Grown | Verdict::New | Verdict::Gone => BAD,
        };
        let of = |cost: Option<Cost>, figure: fn(Cost) -> String| cost.map_or_else(|| "-".to_owned(), figure);
        let instructions: fn(Cost) -> String = |cost| format!("{:.0}", cost.instructions);
        let allocations: fn(Cost) -> String = |cost| format!("{:.2}", cost.allocations);
        let growth = row
            .growth()
            .filter(|percent| *percent != 0.0)
            .map_or_else(String::new, |percent| format!("{percent:+.1} %"));
        let _ = writeln!(
            text,
            "{style}{:width$}{:>10}{:>9}{growth:>9}{:>14}{:>8}{style:#}",
            row.name,
            of(row.before, instructions),
            of(row.now, instructions),
            of(row.before, allocations),
            of(row.now, allocations),
        );
    }
    text
}

/// What is to be said of it, and what to do.
pub fn verdict(rows: &[Row], differing: &[(&str, &str, &str)]) -> String {
    let of = |verdict| rows.iter().filter(move |row| row.verdict() == verdict);
    let mut text = String::new();
    for row in of(Verdict::Grown) {
        let _ = writeln!(text, "{BAD}more than 10 % more:{BAD:#} {}", row.name);
        let _ = writeln!(text, "    where: callgrind_annotate --auto=no {}", counter::file(&row.name).display());
    }
    for row in of(Verdict::New) {
        let _ = writeln!(text, "{BAD}without a baseline:{BAD:#} {}", row.name);
    }
    for row in of(Verdict::Gone) {
        let _ = writeln!(text, "{BAD}a baseline without a case:{BAD:#} {}", row.name);
    }
    if rows.iter().any(|row| row.verdict().fails()) {
        for (part, before, now) in differing.iter().filter(|_| of(Verdict::Grown).next().is_some()) {
            let _ = writeln!(
                text,
                "The baseline was taken with {part} {before}, this is {now}: that alone may have moved it. Count the commit before \
                 with it, to tell."
            );
        }
        text.push_str(
            "hint: If it is meant, run `make instructions-baseline`, and commit what that writes with the change and the reason.",
        );
    } else if of(Verdict::Shrunk).next().is_some() {
        text.push_str(
            "Some take more than 10 % less. hint: Run `make instructions-baseline` and commit it, so that the gain is kept.",
        );
    } else {
        text.push_str("No case takes more than 10 % more than its baseline.");
    }
    text
}
