//! What the command says while it works: results on standard output, everything else on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the command speaks")]

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use voteburst_coordinator::progress::Progress;

use crate::view;

/// Who takes what would go to standard error: the view, while the terminal is its own.
static ASIDE: Mutex<Option<mpsc::UnboundedSender<String>>> = Mutex::new(None);

/// From now on what is said goes there instead of to standard error; `None` ends that.
pub(crate) fn aside(to: Option<mpsc::UnboundedSender<String>>) {
    *ASIDE.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

/// The one message that ends the command.
pub(crate) fn error(problem: &impl std::fmt::Display) {
    note(&format!("voteburst: {problem}"));
}

/// A line on standard error.
pub(crate) fn note(text: &str) {
    let taken = ASIDE.lock().unwrap_or_else(PoisonError::into_inner);
    if taken.as_ref().is_none_or(|aside| aside.send(text.to_owned()).is_err()) {
        eprintln!("{text}");
    }
}

/// Where log lines go, each written at once.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        note(text.strip_suffix('\n').unwrap_or(&text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The result, on standard output. A reader that has gone away is no failure of the rehearsal.
pub(crate) fn result(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Whether standard error is a terminal on which a line can be written over.
pub(crate) fn rewritable() -> bool {
    let plain = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
    !plain && io::stderr().is_terminal()
}

/// One line on standard error that moves, on a terminal; elsewhere nothing.
pub(crate) struct Moving {
    live: bool,
}

impl Moving {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { live: !quiet && rewritable() }
    }

    /// Shows this in place of what stood there.
    pub(crate) fn show(&self, text: &str) {
        if self.live {
            eprint!("\r\x1b[2K  {text}");
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        if self.live {
            eprint!("\r\x1b[2K");
        }
    }
}

/// Shows progress until the run is over: a line each, and on a terminal the doors and the burst on one line that moves. It has
/// a thread of its own: a terminal that is held, or a pipe that nobody reads, must not hold the coordinator's.
pub(crate) fn progress(mut from: mpsc::UnboundedReceiver<Progress>, quiet: bool) -> JoinHandle<()> {
    let live = rewritable();
    tokio::task::spawn_blocking(move || {
        let mut moving = false;
        while let Some(progress) = from.blocking_recv() {
            // Whoever asked for quiet still has to know that an agent is gone.
            if quiet && !view::matters(&progress) {
                continue;
            }
            let moves = live && matches!(progress, Progress::Doors { .. } | Progress::Burst { .. });
            let (before, after) = (if moving { "\r\x1b[2K" } else { "" }, if moves { "" } else { "\n" });
            moving = moves;
            // At once: standard error has no buffer, and would write each piece alone.
            let line = format!("{before}  {progress}{after}");
            let _ = io::stderr().write_all(line.as_bytes());
        }
        if moving {
            eprintln!();
        }
    })
}
