//! The view as lines of text, for whatever size the terminal has.

mod agents;
mod head;
mod lanes;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::look::{alarm, bold, cut, dim};
use super::picture::Picture;

/// From this size on agents, DNS and messages have a column of their own.
const WIDE: (u16, u16) = (132, 30);
/// The width of that column.
const SIDE: u16 = 58;
/// The least that anything can be read on.
const LEAST: (u16, u16) = (40, 8);

/// Draws all of it.
pub(crate) fn draw(frame: &mut Frame<'_>, picture: &Picture) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{}: needs {} × {}", picture.live.phase, LEAST.0, LEAST.1);
        return frame.render_widget(Paragraph::new(text), area);
    }
    if area.width >= WIDE.0 && area.height >= WIDE.1 { wide(frame, picture) } else { narrow(frame, picture) }
}

/// One column: lanes get what the lines around them leave.
fn narrow(frame: &mut Frame<'_>, picture: &Picture) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut below = vec![agents::in_a_line(picture), agents::dns_in_a_line(picture), last_message(picture)];
    below.push(keys(picture));
    let room = height - below.len() - head::LEAST_ROWS;
    let mut lines = head::lines(picture, width, room > picture.live.proxies.len() + head::BAR_ROWS);
    let rows = height.saturating_sub(below.len() + lines.len());
    lines.extend(filled(lanes::lines(picture, width, rows), rows));
    lines.extend(below);
    put(frame, area, lines);
}

/// Two columns below the head.
fn wide(frame: &mut Frame<'_>, picture: &Picture) {
    let area = frame.area();
    let mut lines = head::lines(picture, area.width.into(), true);
    lines.push(Line::default());
    let top = lines.len() as u16;
    let rows = area.height - top - 1;
    let left = Rect::new(0, top, area.width - SIDE - 2, rows);
    let right = Rect::new(area.width - SIDE, top, SIDE, rows);
    put(frame, Rect { height: top, ..area }, lines);
    put(frame, left, lanes::lines(picture, left.width.into(), rows.into()));
    put(frame, right, agents::column(picture, SIDE.into(), rows.into()));
    put(frame, Rect::new(0, area.height - 1, area.width, 1), vec![keys(picture)]);
}

fn put(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Paragraph::new(lines), area);
}

fn filled(mut lines: Vec<Line<'static>>, rows: usize) -> Vec<Line<'static>> {
    lines.resize(rows, Line::default());
    lines
}

/// A name in bold, then what it names.
fn named(name: &'static str, text: impl Into<Span<'static>>) -> Line<'static> {
    Line::from(vec![Span::styled(format!("{name:<8}"), bold()), text.into()])
}

fn last_message(picture: &Picture) -> Line<'static> {
    picture.messages.back().map_or_else(Line::default, |message| Line::styled(one_line(message), alarm(picture.colours)))
}

/// A message without what would break the picture: it may hold words of other machines.
fn one_line(message: &str) -> String {
    cut(&message.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "?"), 400)
}

fn keys(picture: &Picture) -> Line<'static> {
    if picture.stopping {
        return Line::styled("stopping: what there is will be kept   q, Q or Ctrl-C again abandons it", bold());
    }
    Line::styled("q end in order, keep what is there   Q abandon at once   ↑ ↓ more proxies", dim())
}
