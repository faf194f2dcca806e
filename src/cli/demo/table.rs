//! Rows as a table of text, and two states of them in one.

use anstyle::Style;
use serde_json::Value;

use super::super::line::{CHANGED, DELETED, INSERTED};
use super::diff::{Diff, Pair};
use super::walk::Row;

/// A line of a table: a mark before it, the colour of all of it, and of each cell its own.
struct Line {
    mark: char,
    style: Style,
    cells: Vec<Cell>,
}

struct Cell {
    text: String,
    style: Style,
    /// Numbers stand to the right.
    right: bool,
}

impl Cell {
    fn new(value: &Value) -> Cell {
        Cell { text: text(value), style: Style::new(), right: value.is_number() }
    }

    fn changed(before: &Value, after: &Value) -> Cell {
        let text = format!("{} → {}", text(before), text(after));
        Cell { text, style: CHANGED, right: after.is_number() }
    }
}

/// The rows of one state.
pub(super) fn of_rows(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| Line { mark: ' ', style: Style::new(), cells: cells(row) }).collect();
    draw(heads(rows.first()), lines)
}

/// The rows of both states: inserted ones green and `+`, deleted ones red and `-`, changed fields yellow and `~`.
pub(super) fn of_diff(diff: &Diff) -> String {
    let any = diff.pairs().find_map(|pair| pair.after.as_ref().or(pair.before.as_ref()));
    draw(heads(any), diff.pairs().map(line).collect())
}

fn line(pair: &Pair) -> Line {
    let plain = Style::new();
    match (&pair.before, &pair.after) {
        (None, Some(row)) => Line { mark: '+', style: INSERTED, cells: cells(row) },
        (Some(row), None) => Line { mark: '-', style: DELETED, cells: cells(row) },
        (Some(before), Some(after)) if before != after => {
            let cells = after.iter().map(|(name, value)| match before.get(name) {
                Some(old) if old != value => Cell::changed(old, value),
                _ => Cell::new(value),
            });
            Line { mark: '~', style: plain, cells: cells.collect() }
        }
        (Some(row), _) => Line { mark: ' ', style: plain, cells: cells(row) },
        (None, None) => Line { mark: ' ', style: plain, cells: Vec::new() },
    }
}

fn heads(row: Option<&Row>) -> Vec<String> {
    row.map(|row| row.keys().cloned().collect()).unwrap_or_default()
}

fn cells(row: &Row) -> Vec<Cell> {
    row.values().map(Cell::new).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn draw(heads: Vec<String>, lines: Vec<Line>) -> String {
    let columns: Vec<(String, usize, bool)> = heads
        .into_iter()
        .enumerate()
        .map(|(at, head)| {
            let cells = lines.iter().filter_map(|line| line.cells.get(at));
            let width = cells.clone().map(|cell| cell.text.chars().count()).chain([head.chars().count()]).max();
            (head, width.unwrap_or_default(), cells.clone().count() > 0 && cells.clone().all(|cell| cell.right))
        })
        .collect();
    let mut out = String::from("   ");
    for (head, width, right) in &columns {
        out.push_str("  ");
        out.push_str(&aligned(head, *width, *right));
    }
    end_line(&mut out);
    for Line { mark, style, cells } in lines {
        // a changed row's mark has the colour of its fields
        let mark_style = if mark == '~' { CHANGED } else { style };
        out.push_str(&format!("  {mark_style}{mark}{mark_style:#}"));
        for (cell, (_, width, _)) in cells.iter().zip(&columns) {
            let style = if style == Style::new() { cell.style } else { style };
            out.push_str(&format!("  {style}{}{style:#}", aligned(&cell.text, *width, cell.right)));
        }
        end_line(&mut out);
    }
    out
}

fn aligned(text: &str, width: usize, right: bool) -> String {
    if right { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

fn end_line(out: &mut String) {
    out.truncate(out.trim_end().len());
    out.push('\n');
}
