//! The little of GitHub Flavored Markdown (<https://github.github.com/gfm/>) that a summary needs.

use std::fmt::Write as _;

/// The longest text that is shown of anything that is not ours, in bytes once it is escaped.
const LONGEST: usize = 600;

/// Text that shows as it is, whatever it holds: on one line, without markup, without mention of a person or an issue.
pub(super) fn text(raw: &str) -> String {
    let mut out = String::new();
    for character in raw.chars() {
        if out.len() >= LONGEST {
            out.push('…');
            break;
        }
        match character {
            // GitHub and GitLab look for mentions after the markup is gone; an empty comment parts them.
            '@' | '#' => {
                out.push(character);
                out.push_str("<!-- -->");
            }
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(character);
            }
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// A table. Cells are Markdown already.
pub(super) struct Table {
    rows: String,
}

impl Table {
    /// One of text.
    pub(super) fn of_text(header: &[&str]) -> Self {
        Self::aligned(header, "---")
    }

    /// One whose first column is text, and whose others are figures.
    pub(super) fn of_figures(header: &[&str]) -> Self {
        Self::aligned(header, "---:")
    }

    fn aligned(header: &[&str], others: &str) -> Self {
        let mut table = Self { rows: String::new() };
        table.row(header);
        table.row(header.iter().enumerate().map(|(column, _)| if column == 0 { "---" } else { others }));
        table
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        for cell in cells {
            self.rows.push_str("| ");
            self.rows.push_str(cell.as_ref());
            self.rows.push(' ');
        }
        self.rows.push_str("|\n");
    }

    pub(super) fn text(self) -> String {
        self.rows
    }
}

/// Sections in order of importance, of which those are kept that fit.
pub(super) struct Bounded {
    out: String,
    most: usize,
    left_out: Vec<&'static str>,
}

/// What the line takes that names what was left out.
const ROOM_TO_SAY_SO: usize = 200;

impl Bounded {
    /// `most` is in bytes, so that whoever counts in characters finds fewer.
    pub(super) fn new(most: usize) -> Self {
        Self { out: String::new(), most, left_out: Vec::new() }
    }

    /// Adds a section, or leaves all of it out. `name` is what it is called then.
    pub(super) fn section(&mut self, name: &'static str, section: &str) {
        if section.is_empty() {
            return;
        }
        if self.out.len() + section.len() + ROOM_TO_SAY_SO > self.most {
            if !self.left_out.contains(&name) {
                self.left_out.push(name);
            }
            return;
        }
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.push_str(section);
    }

    pub(super) fn text(mut self) -> String {
        if !self.left_out.is_empty() {
            // Text in memory takes every byte.
            let _ = writeln!(self.out, "\nLeft out for want of room: {}.", self.left_out.join(", "));
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_shows_as_it_was_written() {
        assert_eq!(text("a|b <i>*x*</i> `c`"), "a\\|b &lt;i&gt;\\*x\\*&lt;/i&gt; \\`c\\`");
        assert_eq!(text("@team see #12"), "@<!-- -->team see #<!-- -->12");
        assert_eq!(text("a\r\nb\u{1b}[31m"), "a  b \\[31m");
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(text(&"é".repeat(300)), "é".repeat(300));
        assert_eq!(text(&"é".repeat(301)), "é".repeat(300) + "…");
    }

    #[test]
    fn a_section_that_does_not_fit_is_left_out_whole_and_named_once() {
        let mut bounded = Bounded::new(300);
        bounded.section("first", "kept\n");
        bounded.section("second", &"x".repeat(100));
        bounded.section("second", &"x".repeat(100));
        bounded.section("third", "kept too\n");
        assert_eq!(bounded.text(), "kept\n\nkept too\n\nLeft out for want of room: second.\n");
    }
}
