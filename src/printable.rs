//! Text that others chose, made safe to print: it stays on its line and commands no terminal.
//!
//! A module of its own, because the log, the program's errors and `tidewire tail` follow one rule.

use std::borrow::Cow;

/// The text with `\u000a` and the like in place of each character that is not safe to print.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_unsafe(character) {
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// The same for a text of several lines. Its line ends stay, and each further line is indented: at
/// the start of a line stands nothing that is not the program's own.
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.lines().map(printable).collect();
    lines.join("\n  ")
}

/// Whether a character ends a line or commands what shows it: control characters (C0, DEL, C1 with
/// NEL), the line and the paragraph separator, and those that change the direction in which text is
/// shown.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}')
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_or_commands_a_terminal_is_escaped() {
        let text = "a\n\r\u{85}\u{2028}\u{2029}\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2066}é→😀";
        let escaped = r"a\u000a\u000d\u0085\u2028\u2029\u001b[2J\u009b2J\u007f\u202e\u2066é→😀";
        assert_eq!(printable(text), escaped);
        assert_eq!(printable("plain \\ 'text'"), "plain \\ 'text'");
    }

    #[test]
    fn lines_stay_lines_and_cannot_pass_for_the_programs_own() {
        assert_eq!(printable_lines("first\nhint: \u{1b}x\r\nlast\n"), "first\n  hint: \\u001bx\n  last");
    }
}
