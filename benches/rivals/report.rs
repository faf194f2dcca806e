//! What was measured: a line of the table as soon as it is there, and all of it as JSON at the end.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::machine::Machine;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    None,
    /// Ours by the rival's.
    Ratio(f64),
    /// Ours.
    Figure(f64),
}

/// One line of the table.
#[derive(Debug)]
pub struct Line {
    /// "what is measured: the rival | ours".
    pub what: String,
    pub unit: &'static str,
    pub better: Better,
    /// A sample a round; none where there is no rival.
    pub rival: Vec<f64>,
    pub ours: Vec<f64>,
    pub bar: Bar,
}

impl Line {
    fn ratio(&self) -> Option<f64> {
        let (rival, ours) = (median(&self.rival)?, median(&self.ours)?);
        // of nothing there is no ratio
        (rival > 0.0).then(|| ours / rival)
    }

    /// `None` without a bar.
    fn is_reached(&self) -> Option<bool> {
        let (figure, bar) = match self.bar {
            Bar::None => return None,
            Bar::Ratio(bar) => (self.ratio()?, bar),
            Bar::Figure(bar) => (median(&self.ours)?, bar),
        };
        Some(if self.better == Better::Higher { figure >= bar } else { figure <= bar })
    }

    fn bar(&self) -> String {
        let sign = if self.better == Better::Higher { ">=" } else { "<=" };
        match self.bar {
            Bar::None => "-".to_owned(),
            Bar::Ratio(bar) => format!("{sign} {bar}x"),
            Bar::Figure(bar) => format!("{sign} {bar:.0}"),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.is_reached() {
            None => "",
            Some(true) => "ok",
            Some(false) => "MISSED",
        }
    }

    fn json(&self, group: &str) -> Value {
        let (kind, bar) = match self.bar {
            Bar::None => (None, None),
            Bar::Ratio(bar) => (Some("ratio"), Some(bar)),
            Bar::Figure(bar) => (Some("figure"), Some(bar)),
        };
        json!({
            "group": group,
            "what": self.what,
            "unit": self.unit,
            "better": if self.better == Better::Higher { "higher" } else { "lower" },
            "rival": { "median": median(&self.rival), "samples": self.rival },
            "tidewire": { "median": median(&self.ours), "samples": self.ours },
            "ratio": self.ratio(),
            "bar": kind.map(|kind| json!({ "of": kind, "is": bar })),
            "reached": self.is_reached(),
        })
    }
}

/// All lines so far.
pub struct Report {
    group: &'static str,
    lines: Vec<(&'static str, Line)>,
    begun: Instant,
}

impl Report {
    pub fn new() -> Self {
        Report { group: "", lines: Vec::new(), begun: Instant::now() }
    }

    /// The lines from here on are about that.
    pub fn group(&mut self, name: &'static str, about: &str) {
        self.group = name;
        println!("\n{name}: {about}");
        println!("{:<91} {:<8}{:>28}{:>28}{:>8}{:>12}", "", "unit", "rival", "tidewire", "ratio", "bar");
    }

    /// A line is done.
    pub fn line(&mut self, line: Line) {
        let ratio = line.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        println!(
            "{:<91} {:<8}{:>28}{:>28}{ratio:>8}{:>12}  {}",
            line.what,
            line.unit,
            spread(&line.rival),
            spread(&line.ours),
            line.bar(),
            line.verdict()
        );
        self.lines.push((self.group, line));
    }

    /// The summary; and the file, whose path is returned.
    pub fn finish(&self, machine: &Machine, file_suffix: &str) -> PathBuf {
        let with_bar = self.lines.iter().filter(|(_, line)| !matches!(line.bar, Bar::None)).count();
        let missed: Vec<_> = self.lines.iter().filter(|(_, line)| line.is_reached() == Some(false)).collect();
        println!("\n{} of {with_bar} bars missed, in {:.0} s", missed.len(), self.begun.elapsed().as_secs_f64());
        for (group, line) in &missed {
            println!("  {group}: {}", line.what);
        }
        let mut whole = Map::new();
        whole.insert("machine".to_owned(), machine.json());
        whole.insert("seconds".to_owned(), json!(self.begun.elapsed().as_secs()));
        whole.insert("bars".to_owned(), json!(with_bar));
        whole.insert("missed".to_owned(), json!(missed.len()));
        whole.insert("lines".to_owned(), self.lines.iter().map(|(group, line)| line.json(group)).collect());
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bench/results");
        std::fs::create_dir_all(&folder).expect("bench/results");
        let path = folder.join(format!("{}-{}{file_suffix}.json", machine.date, machine.commit));
        let text = serde_json::to_string_pretty(&whole).expect("JSON");
        std::fs::write(&path, text + "\n").expect("a file in bench/results");
        path
    }
}

/// The middle one; of an even number the mean of the two.
pub fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// The figure that so many of a hundred are not above.
pub fn percentile(figures: &[f64], percent: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn spread(figures: &[f64]) -> String {
    let Some(middle) = median(figures) else { return "-".to_owned() };
    if figures.len() == 1 {
        return shown(middle);
    }
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} ({} - {})", shown(middle), shown(least), shown(most))
}

fn shown(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 => format!("{figure:.2}"),
        size if size < 1000.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}
