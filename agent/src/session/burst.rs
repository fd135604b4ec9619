//! From the commit to the last snapshot. Nothing in here can delay a vote: the crew has its own thread, its own T0 and no
//! need of the coordinator, which may come and go.

use std::path::Path;
use std::time::Duration;

use voteburst_burst::clock::{FleetTime, Offset};
use voteburst_burst::generator::Watched;
use voteburst_proto::message::Snapshot;
use voteburst_proto::{FromAgent, FromCoordinator};

use super::line::Heard;
use super::{Cast, Session, SessionError};
use crate::crew::{Crew, CrewSnapshot};
use crate::watch::sample::Samples;

/// Fires at T0 and reports until the last snapshot was taken.
pub(super) async fn fire(session: &mut Session, cast: Cast, armed: Offset, t0: FleetTime) -> Result<(), SessionError> {
    let Cast { crew, doors, .. } = cast;
    // Converted once: a later, better offset must not move an instant that others have already converted.
    crew.fire(armed.to_local(t0));
    let samples = Samples::begin(Path::new("/"), doors, session.clock.now());
    let mut burst = Burst { session, crew, armed, t0, aborted: None, samples };
    burst.last_votes().await?;
    match burst.aborted.take() {
        // Who ended the run takes no result of it.
        Some(reason) => Err(SessionError::Aborted(reason)),
        None => {
            burst.deliver().await?;
            burst.stay().await;
            Ok(())
        }
    }
}

/// How long viewers stay on the line at most when their agent has nothing more to do, for a coordinator that says no more.
const STAY: Duration = Duration::from_secs(60);

struct Burst<'a> {
    session: &'a mut Session,
    crew: Crew,
    armed: Offset,
    t0: FleetTime,
    aborted: Option<String>,
    samples: Samples,
}

impl Burst<'_> {
    /// Reports until every ticket has ended, whatever the line does.
    async fn last_votes(&mut self) -> Result<(), SessionError> {
        let mut reachable = true;
        loop {
            tokio::select! {
                done = self.crew.done() => return Ok(done?),
                heard = self.session.line.hear_or_reopen(), if reachable => match heard {
                    Ok(Heard::Word(word)) => self.obey(word),
                    Ok(Heard::Broke) => {}
                    Ok(Heard::Back) => tracing::info!("the coordinator is there again"),
                    Err(error) => {
                        tracing::warn!(%error, "the coordinator does not take this agent back; the burst goes on");
                        reachable = false;
                    }
                },
                _ = self.session.reports.tick() => self.report().await?,
            }
        }
    }

    fn obey(&mut self, word: FromCoordinator) {
        match word {
            FromCoordinator::Drain => self.crew.drain(),
            FromCoordinator::Abort { reason } | FromCoordinator::Refused { reason, .. } => {
                self.crew.drain();
                self.aborted = Some(reason);
            }
            FromCoordinator::Commit { t0 } if t0 == self.t0 => {}
            // Two instants for one burst: the first one stands, for the others may know no other.
            FromCoordinator::Commit { .. } => tracing::warn!("a second commit with another T0 came; the first one stands"),
            other => tracing::debug!(?other, "a word that changes nothing during a burst"),
        }
    }

    async fn report(&mut self) -> Result<(), SessionError> {
        self.samples.take(self.session.clock.now());
        if !self.session.line.is_free() {
            return Ok(());
        }
        let counted = self.crew.snapshot().await?;
        let snapshot = self.snapshot(counted, false);
        self.session.line.say_if_free(|| FromAgent::Snapshot(Box::new(snapshot)));
        Ok(())
    }

    /// Offers the last snapshot, again after each time the line broke, until it was taken.
    async fn deliver(&mut self) -> Result<(), SessionError> {
        let counted = self.crew.snapshot().await?;
        self.samples.take(self.session.clock.now());
        let last = self.snapshot(counted, true);
        let within = self.session.options.patience;
        let mut why = "it did not say that it has it".to_owned();
        let delivered = async {
            self.session.line.say(FromAgent::Snapshot(Box::new(last.clone()))).await;
            loop {
                match self.session.line.hear_or_reopen().await? {
                    Heard::Word(FromCoordinator::Bye) => return Ok(()),
                    Heard::Word(FromCoordinator::Abort { reason }) => return Err(SessionError::Aborted(reason)),
                    Heard::Word(_) => {}
                    Heard::Broke => why = self.session.line.broken().unwrap_or_default().to_owned(),
                    Heard::Back => self.session.line.say(FromAgent::Snapshot(Box::new(last.clone()))).await,
                }
            }
        };
        match tokio::time::timeout(within, delivered).await {
            Ok(Err(error @ SessionError::Aborted(_))) => Err(error),
            Ok(Err(error)) => Err(SessionError::Undelivered { within, why: error.to_string() }),
            Ok(Ok(())) => Ok(()),
            Err(_) => Err(SessionError::Undelivered { within, why }),
        }
    }

    /// Keeps all connections until the coordinator has heard of everybody and closes the session: closing some ten thousand of them
    /// keeps a processor busy that other agents' last votes may need, and viewers do not hang up all at once either.
    async fn stay(&mut self) {
        let over = async { while self.session.line.hear().await.is_ok() {} };
        if tokio::time::timeout(STAY, over).await.is_err() {
            tracing::warn!("the coordinator has not closed the session within {} s; leaving", STAY.as_secs());
        }
    }

    fn snapshot(&mut self, counted: CrewSnapshot, last: bool) -> Snapshot {
        let offset = self.session.pinger.latest().unwrap_or(self.armed);
        let watched = Watched {
            stalls: counted.stalls.clone(),
            usage: self.samples.usage(),
            busiest: self.samples.busiest(),
            tcp: self.samples.tcp(),
            memory_peak_bytes: self.samples.memory_peak_bytes(),
            local_limits: counted.local_limits,
            not_allowed: counted.not_allowed,
        };
        self.session.snapshot(&self.crew, counted, offset, Some(watched), last)
    }
}
