//! Ctrl-C and termination, as words for the conductor: the first ends the run in an orderly way, the second at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::problem::Problem;
use crate::{say, view};

/// What a rehearsal's user is told at the first Ctrl-C.
pub(crate) const STOPPING_RUN: &str = "\nstopping: what there is will be written, marked partial; Ctrl-C again to abandon it";

/// Passes signals on to whoever listened last.
pub(crate) struct Signals {
    listener: Arc<Mutex<Option<mpsc::UnboundedSender<()>>>>,
    keys: mpsc::UnboundedSender<()>,
}

impl Signals {
    /// Signals from now on. One that nobody listens to ends the command, as does the third.
    ///
    /// `stopping` is what the user is told at the first one.
    pub(crate) fn watch(stopping: &'static str) -> Result<Self, Problem> {
        let refuse = |error| Problem::usage(format!("cannot listen for Ctrl-C: {error}; start voteburst from a shell"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(refuse)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(refuse)?;
        let listener: Arc<Mutex<Option<mpsc::UnboundedSender<()>>>> = Arc::default();
        let told = Arc::clone(&listener);
        let (keys, mut pressed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for count in 1_u32.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    Some(()) = pressed.recv() => {}
                }
                let heard = told
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .as_ref()
                    .is_some_and(|listener| listener.send(()).is_ok());
                match count {
                    1 if heard => say::note(stopping),
                    2 if heard => say::note("\nabandoning"),
                    _ => {
                        view::give_back();
                        std::process::exit(3)
                    }
                }
            }
        });
        Ok(Self { listener, keys })
    }

    /// What is sent here counts as a signal: on a terminal that a view has taken Ctrl-C is a key.
    pub(crate) fn keys(&self) -> mpsc::UnboundedSender<()> {
        self.keys.clone()
    }

    /// Listens in place of whoever did before.
    pub(crate) fn listen(&self) -> mpsc::UnboundedReceiver<()> {
        let (tell, told) = mpsc::unbounded_channel();
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
        told
    }
}
