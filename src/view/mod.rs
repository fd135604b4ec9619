//! The live view: a rehearsal on the whole terminal, for whoever sits before it.
//!
//! It reads values that the coordinator makes once a second, draws what changed at most four times a second, and sends back
//! nothing but the user's wish to stop. While it is there, what the command says goes to it ([`crate::say`]); what matters is
//! said again when it has gone. Whoever is no terminal gets lines.

mod draw;
mod keys;
mod look;
mod picture;
mod screen;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use voteburst_coordinator::live::Live;
use voteburst_coordinator::progress::Progress;

use self::keys::{Wish, interrupts, wish};
use self::picture::{Colours, Picture};
use self::screen::Screen;
use crate::clock::Began;
use crate::{log, say};

pub(crate) use self::picture::matters;
pub(crate) use self::screen::give_back;

/// Least time between two drawings, and how often what is new is looked for: values come once a second, and each look in vain
/// wakes a core that votes may want.
const EVERY: Duration = Duration::from_millis(250);

/// Whether standard error is a terminal that a view can be drawn on, in the foreground: another process group would be stopped
/// for touching it.
pub(crate) fn possible() -> bool {
    let stderr = io::stderr();
    say::rewritable() && tcgetpgrp(&stderr).is_ok_and(|foreground| foreground == getpgrp())
}

/// What the view is fed with.
pub(crate) struct Feed {
    /// Its end is the view's.
    pub(crate) progress: mpsc::UnboundedReceiver<Progress>,
    pub(crate) live: watch::Receiver<Arc<Live>>,
    /// Takes an interrupt for each time the user wants to stop.
    pub(crate) interrupts: mpsc::UnboundedSender<()>,
}

/// Draws until the run is over. When the terminal cannot be taken, lines are shown in its place.
pub(crate) fn start(feed: Feed) -> JoinHandle<()> {
    match Screen::take() {
        Ok(screen) => tokio::task::spawn_blocking(move || show(screen, feed)),
        Err(error) => {
            say::note(&format!("  no view on this terminal: {error}"));
            say::progress(feed.progress, false)
        }
    }
}

fn show(mut screen: Screen, feed: Feed) {
    let (aside, said) = mpsc::unbounded_channel();
    say::aside(Some(aside));
    let mut view = View { picture: Picture::new(colours()), feed, said, after: Vec::new(), interrupts: 0, changed: true };
    let began = Began::now();
    let mut drawn = None;
    // A terminal that has gone away ends the view, not the run.
    let done = loop {
        if view.take_in(began.elapsed()) {
            break Ok(());
        }
        let since = drawn.map_or(EVERY, |drawn| began.elapsed().saturating_sub(drawn));
        let mut wait = EVERY;
        if view.changed && since < EVERY {
            wait -= since;
        } else if view.changed {
            if let Err(error) = screen.terminal.draw(|frame| draw::draw(frame, &view.picture)) {
                break Err(error);
            }
            (drawn, view.changed) = (Some(began.elapsed()), false);
        }
        if let Err(error) = view.listen(wait) {
            break Err(error);
        }
    };
    drop(screen);
    say::aside(None);
    view.leave(done);
}

struct View {
    picture: Picture,
    feed: Feed,
    /// What the command says meanwhile.
    said: mpsc::UnboundedReceiver<String>,
    /// What is said when the view has gone.
    after: Vec<String>,
    interrupts: u32,
    changed: bool,
}

impl View {
    /// Takes in what is new; tells whether the run is over.
    fn take_in(&mut self, now: Duration) -> bool {
        self.take_said();
        if self.feed.live.has_changed().unwrap_or(false) {
            let live = Arc::clone(&self.feed.live.borrow_and_update());
            self.picture.see(now, live);
            self.changed = true;
        }
        loop {
            match self.feed.progress.try_recv() {
                Ok(progress) => {
                    if matters(&progress) {
                        self.picture.say(progress.to_string());
                        self.after.push(format!("  {progress}"));
                        self.changed = true;
                    }
                }
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }

    fn take_said(&mut self) {
        while let Ok(text) = self.said.try_recv() {
            self.picture.say(text.trim().to_owned());
            self.after.push(text);
            self.changed = true;
        }
    }

    /// Waits so long for the user.
    fn listen(&mut self, mut wait: Duration) -> io::Result<()> {
        while event::poll(wait)? {
            match event::read()? {
                Event::Key(key) => wish(key).into_iter().for_each(|wish| self.grant(wish)),
                Event::Resize(..) => self.changed = true,
                _ => {}
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn grant(&mut self, wish: Wish) {
        if let Wish::Scroll(by) = wish {
            let last = self.picture.live.proxies.len().saturating_sub(1);
            self.picture.scrolled = self.picture.scrolled.saturating_add_signed(by).min(last);
        }
        for _ in 0..interrupts(wish, self.interrupts) {
            self.interrupts += 1;
            self.picture.stopping = true;
            // Nobody takes it any more once the run is over.
            let _ = self.feed.interrupts.send(());
        }
        self.changed = true;
    }

    /// Says what must not go with the picture; on, in lines, when the view ended before the run.
    fn leave(mut self, done: io::Result<()>) {
        self.take_said();
        self.after.iter().for_each(|text| say::note(text));
        if let Err(error) = done {
            say::note(&format!("  the view ended: {error}"));
            while let Some(progress) = self.feed.progress.blocking_recv() {
                say::note(&format!("  {progress}"));
            }
        }
    }
}

fn colours() -> Colours {
    let all = std::env::var("COLORTERM").is_ok_and(|value| value == "truecolor" || value == "24bit");
    match all {
        _ if !log::coloured() => Colours::None,
        true => Colours::True,
        false => Colours::Indexed,
    }
}
