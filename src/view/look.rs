//! Numbers, bars and colours.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;
use voteburst_coordinator::report::terminal::thousands;

use super::picture::Colours;

/// Colours of proxies in the order of the report: those of `publish/assets/palette.js` for dark backgrounds.
const PALETTE: [(u8, u8, u8); 8] = [
    (0x3f, 0x7a, 0xec),
    (0xf9, 0x9e, 0x0e),
    (0x0b, 0xd8, 0xa7),
    (0xbe, 0x6c, 0x96),
    (0xe3, 0x4a, 0x31),
    (0x9f, 0xa5, 0xe5),
    (0xfc, 0xdf, 0x3f),
    (0xd9, 0xfe, 0xfd),
];
/// With eight colours these tell 40 proxies apart, as dashes do in pictures.
const MARKS: [&str; 5] = ["●", "■", "▲", "◆", "★"];

/// How full a proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    Room,
    Near,
    Full,
}

impl Fill {
    /// Of this share of its limit: near from nine tenths on.
    pub(super) fn of(share: f64) -> Self {
        match share {
            _ if share >= 1.0 => Self::Full,
            _ if share >= 0.9 => Self::Near,
            _ => Self::Room,
        }
    }

    /// The word beside the bar, for no colour tells anything alone.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Room => "",
            Self::Near => "near",
            Self::Full => "FULL",
        }
    }

    pub(super) fn style(self, colours: Colours) -> Style {
        match self {
            Self::Room => colour(colours, Color::Green),
            Self::Near => colour(colours, Color::Yellow).add_modifier(Modifier::BOLD),
            Self::Full => colour(colours, Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}

/// This colour where there may be any.
pub(super) fn colour(colours: Colours, colour: Color) -> Style {
    if colours == Colours::None { Style::new() } else { Style::new().fg(colour) }
}

pub(super) fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

pub(super) fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// What is wrong stands out in bold, and in red where there is colour.
pub(super) fn alarm(colours: Colours) -> Style {
    colour(colours, Color::Red).add_modifier(Modifier::BOLD)
}

/// The mark of a proxy by its place among all.
pub(super) fn mark(index: usize, colours: Colours) -> Span<'static> {
    let (red, green, blue) = PALETTE[index % PALETTE.len()];
    let shape = MARKS[index / PALETTE.len() % MARKS.len()];
    let style = match colours {
        Colours::None => Style::new(),
        Colours::Indexed => Style::new().fg(Color::Indexed(nearest(red, green, blue))),
        Colours::True => Style::new().fg(Color::Rgb(red, green, blue)),
    };
    Span::styled(shape, style)
}

/// The nearest colour of xterm's 6 × 6 × 6 cube, whose steps are 0, 95, 135, 175, 215 and 255.
fn nearest(red: u8, green: u8, blue: u8) -> u8 {
    let step = |value: u8| match value {
        0..=47 => 0,
        48..=114 => 1,
        _ => (value - 35) / 40,
    };
    16 + 36 * step(red) + 6 * step(green) + step(blue)
}

/// The full and the empty part of a bar of so many cells for a share, which is cut to [0, 1]. What is not empty shows at least
/// one cell, and what is not full lacks at least one.
pub(super) fn bar(share: f64, cells: usize) -> (String, String) {
    let exact = share.clamp(0.0, 1.0) * cells as f64;
    let mut full = exact.round() as usize;
    if share > 0.0 {
        full = full.max(1);
    }
    if share < 1.0 {
        full = full.min(cells.saturating_sub(1));
    }
    ("█".repeat(full), "░".repeat(cells - full.min(cells)))
}

/// A whole number with commas, or in thousands where it needs more than seven places.
pub(super) fn count(number: u64) -> String {
    let text = thousands(number);
    if text.len() <= 9 { text } else { format!("{}k", thousands(number / 1_000)) }
}

/// A rate in whole numbers; "-" where none is known.
pub(super) fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".into(), |rate| count(rate.round() as u64))
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0995 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

/// Milliseconds, with as many digits as they are worth.
pub(super) fn millis(ms: f64) -> String {
    match ms.abs() {
        size if size < 10.0 => format!("{ms:.2} ms"),
        size if size < 100.0 => format!("{ms:.1} ms"),
        size if size < 10_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

/// The text, cut to so many characters with an ellipsis.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The same from the other end, where addresses differ.
pub(super) fn cut_start(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(length - width.saturating_sub(1)).collect();
    format!("…{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_the_colour_that_pages_give_it_on_a_dark_background() {
        let object = voteburst_publish::assets::PALETTE.split_once("const PALETTE = ").unwrap().1.split_once("};").unwrap().0;
        let palette: serde_json::Value = serde_json::from_str(&format!("{object}}}")).unwrap();
        let told = PALETTE.map(|(red, green, blue)| format!("#{red:02x}{green:02x}{blue:02x}"));
        assert_eq!(palette["dark"]["colours"], serde_json::json!(told));
    }

    #[test]
    fn a_bar_shows_that_something_is_there_and_that_something_is_free() {
        let cells = |share| bar(share, 10).0.chars().count();
        for (share, full) in [(0.0, 0), (0.001, 1), (0.5, 5), (0.999, 9), (1.0, 10), (7.0, 10), (-1.0, 0), (f64::NAN, 0)] {
            assert_eq!(cells(share), full, "share {share}");
            assert_eq!(bar(share, 10).1.chars().count(), 10 - full);
        }
    }

    #[test]
    fn a_proxy_is_near_its_limit_from_nine_tenths_on() {
        for (share, fill) in [(0.0, Fill::Room), (0.899, Fill::Room), (0.9, Fill::Near), (0.999, Fill::Near), (1.0, Fill::Full)] {
            assert_eq!(Fill::of(share), fill, "share {share}");
        }
    }

    #[test]
    fn numbers_take_no_more_room_than_there_is() {
        for (number, text) in [(0, "0"), (1_234, "1,234"), (9_999_999, "9,999,999"), (12_345_678, "12,345k")] {
            assert_eq!(count(number), text);
        }
        for (share, text) in [(0.0, "0 %"), (0.012, "1.2 %"), (0.1, "10 %"), (1.0, "100 %")] {
            assert_eq!(percent(share), text);
        }
        for (ms, text) in [(0.0, "0.00 ms"), (-1.5, "-1.50 ms"), (12.34, "12.3 ms"), (640.2, "640 ms"), (31_400.0, "31.4 s")] {
            assert_eq!(millis(ms), text);
        }
        assert_eq!((cut("abcdef", 4), cut_start("2001:db8::17", 6)), ("abc…".into(), "…8::17".into()));
    }

    #[test]
    fn forty_proxies_look_different_without_colours_too_beyond_eight() {
        let shapes: Vec<_> = (0..40).step_by(8).map(|index| mark(index, Colours::None).content.into_owned()).collect();
        assert_eq!(shapes, MARKS);
        assert_eq!(nearest(0, 95, 255), 16 + 6 + 5);
    }
}
