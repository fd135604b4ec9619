//! What the view knows at one moment: the newest value, what it was a second before, and what was said on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use voteburst_coordinator::conductor::Phase;
use voteburst_coordinator::live::{Live, LiveProxy};
use voteburst_coordinator::progress::Progress;

/// Values are this far apart at least for a rate: a change of phase sends one out of turn.
const RATE_OVER: Duration = Duration::from_millis(900);
/// The most messages that are kept for the screen.
const MOST_MESSAGES: usize = 50;

/// How much colour there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// None: `NO_COLOR` is set.
    None,
    /// The 256 of xterm.
    Indexed,
    /// All: `COLORTERM` says so.
    True,
}

/// Everything that is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) live: Arc<Live>,
    /// Values before the newest, oldest first, with the time each came.
    earlier: VecDeque<(Duration, Arc<Live>)>,
    at: Duration,
    /// What matters beyond the moment, oldest first.
    pub(crate) messages: VecDeque<String>,
    /// Lanes scrolled away at the top.
    pub(crate) scrolled: usize,
    /// Whether the user has asked for the end.
    pub(crate) stopping: bool,
    pub(crate) colours: Colours,
}

impl Picture {
    pub(crate) fn new(colours: Colours) -> Self {
        Self {
            live: Arc::default(),
            earlier: VecDeque::new(),
            at: Duration::ZERO,
            messages: VecDeque::new(),
            scrolled: 0,
            stopping: false,
            colours,
        }
    }

    /// Takes a value that came at `at`, any fixed instant being zero.
    pub(crate) fn see(&mut self, at: Duration, live: Arc<Live>) {
        let before = std::mem::replace(&mut self.live, live);
        // What stood here before the first value is none.
        if !before.scenario.is_empty() {
            self.earlier.push_back((self.at, before));
        }
        self.at = at;
        while self.earlier.get(1).is_some_and(|(then, _)| at.saturating_sub(*then) >= RATE_OVER) {
            self.earlier.pop_front();
        }
    }

    /// Keeps a message.
    pub(crate) fn say(&mut self, text: String) {
        self.messages.push_back(text);
        if self.messages.len() > MOST_MESSAGES {
            self.messages.pop_front();
        }
    }

    /// How fast a count of the whole run grows, per second; `None` before there are two values to tell from.
    pub(crate) fn rate(&self, count: impl Fn(&Live) -> u64) -> Option<f64> {
        let (then, before) = self.earlier.front()?;
        let span = self.at.saturating_sub(*then);
        let grown = count(&self.live).saturating_sub(count(before));
        (span >= RATE_OVER).then(|| grown as f64 / span.as_secs_f64())
    }

    /// The same of one proxy.
    pub(crate) fn proxy_rate(&self, address: &str, count: impl Fn(&LiveProxy) -> u64) -> Option<f64> {
        self.rate(|live| live.proxies.iter().find(|proxy| proxy.address == address).map_or(0, &count))
    }

    /// Whether votes may have been cast by now.
    pub(crate) fn votes(&self) -> bool {
        self.live.phase >= Phase::Committed
    }
}

/// What is worth a line even for those who asked for quiet, and after the view is gone.
pub(crate) fn matters(progress: &Progress) -> bool {
    matches!(
        progress,
        Progress::AgentLost { .. }
            | Progress::AgentBack { .. }
            | Progress::AgentRefused { .. }
            | Progress::Forced { .. }
            | Progress::DoorsOverdue { .. }
    )
}
