//! What a key means.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// As a Ctrl-C: the first ends the run in order, the second at once.
    Interrupt,
    /// As two of them.
    Abandon,
    /// Scroll the lanes by so many, down where positive.
    Scroll(isize),
}

/// Lanes that a page key scrolls by.
const PAGE: isize = 10;

/// The meaning of a key, if it has one. On a raw terminal Ctrl-C is a key like others.
pub(crate) fn wish(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (KeyCode::Char('c'), true) | (KeyCode::Char('q'), false) => Some(Wish::Interrupt),
        (KeyCode::Char('Q'), false) => Some(Wish::Abandon),
        (KeyCode::Down | KeyCode::Char('j'), false) => Some(Wish::Scroll(1)),
        (KeyCode::Up | KeyCode::Char('k'), false) => Some(Wish::Scroll(-1)),
        (KeyCode::PageDown, false) => Some(Wish::Scroll(PAGE)),
        (KeyCode::PageUp, false) => Some(Wish::Scroll(-PAGE)),
        _ => None,
    }
}

/// How many interrupts a wish comes to after so many.
pub(crate) fn interrupts(wish: Wish, before: u32) -> u32 {
    match wish {
        Wish::Interrupt => 1,
        // One that did not help is followed by one more, as with Ctrl-C.
        Wish::Abandon => 2_u32.saturating_sub(before).max(1),
        Wish::Scroll(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_last_line_of_the_view_says() {
        let plain = |code| wish(KeyEvent::new(code, KeyModifiers::NONE));
        for (found, meant) in [
            (plain(KeyCode::Char('q')), Some(Wish::Interrupt)),
            (wish(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Wish::Interrupt)),
            (wish(KeyEvent::new(KeyCode::Char('Q'), KeyModifiers::SHIFT)), Some(Wish::Abandon)),
            (plain(KeyCode::Down), Some(Wish::Scroll(1))),
            (plain(KeyCode::PageUp), Some(Wish::Scroll(-10))),
            (plain(KeyCode::Char('c')), None),
            (plain(KeyCode::Enter), None),
        ] {
            assert_eq!(found, meant);
        }
        let mut released = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!(wish(released), None);
    }

    #[test]
    fn to_abandon_takes_two_interrupts_in_all_and_one_more_where_that_did_not_help() {
        for (wish, before, count) in [
            (Wish::Interrupt, 0, 1),
            (Wish::Interrupt, 1, 1),
            (Wish::Abandon, 0, 2),
            (Wish::Abandon, 1, 1),
            (Wish::Abandon, 2, 1),
            (Wish::Scroll(1), 0, 0),
        ] {
            assert_eq!(interrupts(wish, before), count, "{wish:?} after {before}");
        }
    }
}
