//! What the command says while it works: results on standard output, everything else on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the command speaks")]

use std::io::{IsTerminal, Write};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use voteburst_coordinator::progress::Progress;

/// The one message that ends the command.
pub(crate) fn error(problem: &impl std::fmt::Display) {
    eprintln!("voteburst: {problem}");
}

/// A line on standard error.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// The result, on standard output. A reader that has gone away is no failure of the rehearsal.
pub(crate) fn result(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Whether standard error is a terminal on which a line can be written over.
fn rewritable() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
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
            let _ = std::io::stderr().flush();
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

/// Shows progress until the run is over: a line each, and on a terminal the doors and the burst on one line that moves.
pub(crate) fn progress(mut from: mpsc::UnboundedReceiver<Progress>, quiet: bool) -> JoinHandle<()> {
    let live = rewritable();
    tokio::spawn(async move {
        let mut moving = false;
        while let Some(progress) = from.recv().await {
            // Whoever asked for quiet still has to know that an agent is gone.
            if quiet && !matters(&progress) {
                continue;
            }
            let moves = live && matches!(progress, Progress::Doors { .. } | Progress::Burst { .. });
            if moving {
                eprint!("\r\x1b[2K");
            }
            if moves {
                eprint!("  {progress}");
                let _ = std::io::stderr().flush();
            } else {
                eprintln!("  {progress}");
            }
            moving = moves;
        }
        if moving {
            eprintln!();
        }
    })
}

fn matters(progress: &Progress) -> bool {
    matches!(progress, Progress::AgentLost { .. } | Progress::AgentRefused { .. } | Progress::Forced { .. })
}
