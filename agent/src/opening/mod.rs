//! Leave to open a connection ahead of a vote, and how much of it there is.
//!
//! More connections opening at once than a proxy accepts overflow the backlog of its listening socket by the agent's
//! doing. Viewers whose vote is due never ask here, so no planned instant moves; a viewer who enters may have to wait,
//! and for how long that went on is told. From T0 on there is as much leave as ever: those whose proxy closed their
//! connection in the burst are not held back by what happened at the doors.

pub(crate) mod ramp;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use voteburst_burst::clock::LocalTime;

use self::ramp::{LEAST, MOST, ROUND, Ramp, Signs};
use crate::watch::netstat::{self, TcpCounters};
use crate::worker::Worker;

/// A wait shorter than this, all together, moves nobody's entry by what the doors' plan tells apart: whole seconds.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// What leave there is, and how long somebody waited for it.
#[derive(Debug)]
pub(crate) struct Opening {
    free: Semaphore,
    /// How much leave is to be taken back from those who have it, when they are done.
    owed: Cell<u32>,
    ramp: Cell<Ramp>,
    begun: Cell<u64>,
    waiting: Cell<u32>,
    /// Since when somebody has waited.
    since: Cell<Option<LocalTime>>,
    held_back: Cell<Duration>,
    /// The least leave there was while somebody waited.
    narrowest: Cell<u32>,
}

/// Leave to open one connection; given back when dropped.
pub(crate) struct Leave<'a> {
    opening: &'a Opening,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(owed) = self.opening.owed.get().checked_sub(1) {
            self.opening.owed.set(owed);
            self.permit.take().into_iter().for_each(SemaphorePermit::forget);
        }
    }
}

impl Opening {
    /// As much leave as there ever is.
    pub(crate) fn new() -> Self {
        Self {
            free: Semaphore::new(MOST as usize),
            owed: Cell::new(0),
            ramp: Cell::new(Ramp::new()),
            begun: Cell::new(0),
            waiting: Cell::new(0),
            since: Cell::new(None),
            held_back: Cell::new(Duration::ZERO),
            narrowest: Cell::new(MOST),
        }
    }

    /// Waits for leave.
    pub(crate) async fn leave(&self) -> Leave<'_> {
        // The semaphore is never closed.
        let permit = self.free.acquire().await.ok();
        self.begun.set(self.begun.get() + 1);
        Leave { opening: self, permit }
    }

    /// A viewer begins to wait for leave, for there was none.
    pub(crate) fn begin_wait(&self, now: LocalTime) {
        self.waiting.set(self.waiting.get() + 1);
        self.since.set(self.since.get().or(Some(now)));
        self.narrowest.set(self.narrowest.get().min(self.ramp.get().at_once()));
    }

    /// A viewer no longer waits, whether it has leave or not.
    pub(crate) fn end_wait(&self, now: LocalTime) {
        self.waiting.set(self.waiting.get() - 1);
        if self.waiting.get() == 0
            && let Some(since) = self.since.take()
        {
            self.held_back.set(self.held_back.get() + now.since(since));
        }
    }

    /// A round is over.
    fn round(&self, lost: u64, late: Duration) {
        let ramp = self.ramp.get().after(Signs { lost, begun: self.begun.take(), late });
        self.become_as_wide_as(ramp);
    }

    fn become_as_wide_as(&self, ramp: Ramp) {
        let (before, after) = (self.ramp.replace(ramp).at_once(), ramp.at_once());
        if let Some(more) = after.checked_sub(before) {
            let paid = more.min(self.owed.get());
            self.owed.set(self.owed.get() - paid);
            self.free.add_permits((more - paid) as usize);
        } else {
            let less = before - after;
            let gone = self.free.forget_permits(less as usize);
            self.owed.set(self.owed.get() + less - u32::try_from(gone).unwrap_or(less));
            tracing::debug!(at_once = after, "fewer connections open at once");
        }
        if self.waiting.get() > 0 {
            self.narrowest.set(self.narrowest.get().min(after));
        }
    }

    /// For how long viewers who wanted to enter were held back, in words; `None` where that moved nothing.
    pub(crate) fn told(&self, now: LocalTime) -> Option<String> {
        let held_back = self.held_back.get() + self.since.get().map_or(Duration::ZERO, |since| now.since(since));
        let (seconds, narrowest) = (held_back.as_secs_f64(), self.narrowest.get());
        let why = match narrowest {
            MOST => format!("no more than {MOST} open at once, lest backlogs overflow"),
            _ => format!(
                "SYNs were sent again, a listen queue was full or this agent was late; {narrowest} opened at once at least, of {LEAST} to {MOST}"
            ),
        };
        (held_back >= WORTH_TELLING).then(|| {
            format!("viewers were let in later than the doors' plan says: opening was held back for {seconds:.1} s ({why})")
        })
    }
}

/// Looks each [`ROUND`] whether connections open too fast, until T0: then nothing may keep the worker from its tickets.
///
/// Reading the counters takes some 0.1 ms, which is why it ends with the doors.
pub(crate) async fn keep_ramp(worker: Rc<Worker>) {
    let root = Path::new("/");
    let mut before = netstat::read(root);
    while worker.before_t0() && !worker.is_draining() {
        let due = worker.clock.now().after(ROUND);
        tokio::time::sleep(ROUND).await;
        let (after, now) = (netstat::read(root), worker.clock.now());
        worker.opening.round(lost(&before, &after), now.since(due));
        before = after;
    }
    worker.opening.become_as_wide_as(Ramp::new());
}

/// What a kernel does not tell has not grown: then only the worker's lateness is a sign.
fn lost(before: &TcpCounters, after: &TcpCounters) -> u64 {
    let grown =
        |before: Option<u64>, after: Option<u64>| after.zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
    grown(before.syn_retransmits, after.syn_retransmits)
        .max(grown(before.listen_overflows, after.listen_overflows))
        .max(grown(before.listen_drops, after.listen_drops))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LATE: Duration = Duration::from_secs(1);

    fn taken(opening: &Opening, most: usize) -> Vec<Leave<'_>> {
        std::iter::from_fn(|| opening.leave().now_or_never()).take(most).collect()
    }

    #[test]
    fn leave_that_is_out_when_there_becomes_less_is_not_given_again() {
        let opening = Opening::new();
        let mut out = taken(&opening, 200);
        opening.round(0, LATE);
        // 56 were free and went at once; 72 of those who are out still have theirs.
        assert_eq!((opening.owed.get(), taken(&opening, 300).len()), (72, 0));
        out.truncate(128);
        assert_eq!((opening.owed.get(), taken(&opening, 300).len()), (0, 0));
        out.clear();
        assert_eq!(taken(&opening, 300).len(), 128);
    }

    #[test]
    fn what_is_still_owed_is_let_off_when_there_becomes_more() {
        let opening = Opening::new();
        let out = taken(&opening, 250);
        opening.round(0, LATE);
        assert_eq!(opening.owed.get(), 122);
        opening.become_as_wide_as(Ramp::new());
        assert_eq!((opening.owed.get(), taken(&opening, 300).len()), (0, 6));
        drop(out);
        assert_eq!(taken(&opening, 300).len(), 256);
    }

    #[test]
    fn time_counts_once_however_many_wait_and_from_a_second_on_it_is_told() {
        let (opening, at) = (Opening::new(), |millis: i64| LocalTime(millis * 1_000_000));
        opening.begin_wait(at(0));
        opening.begin_wait(at(400));
        opening.end_wait(at(500));
        opening.end_wait(at(900));
        assert_eq!(opening.told(at(9_000)), None);
        opening.begin_wait(at(10_000));
        let told = opening.told(at(10_600)).unwrap();
        assert!(told.contains("held back for 1.5 s (no more than 256 open at once"), "{told}");
        opening.round(0, LATE);
        opening.end_wait(at(12_300));
        let told = opening.told(at(20_000)).unwrap();
        assert!(told.contains("held back for 3.2 s") && told.contains("128 opened at once at least"), "{told}");
    }

    #[test]
    fn one_connection_that_finds_a_full_queue_counts_once() {
        let before = TcpCounters { syn_retransmits: Some(7), listen_overflows: Some(5), ..TcpCounters::default() };
        let after = TcpCounters { syn_retransmits: Some(9), listen_overflows: Some(9), listen_drops: Some(9), ..before };
        assert_eq!((lost(&before, &after), lost(&after, &before), lost(&before, &before)), (4, 0, 0));
    }
}
