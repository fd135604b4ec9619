//! What all viewers of an agent share: their tickets, the way they are woken, the record. One thread, so no locks.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use voteburst_burst::ballot::BallotId;
use voteburst_burst::clock::LocalTime;
use voteburst_burst::draw::{Stream, draw, unit};
use voteburst_burst::outcome::{Failure, Fate};
use voteburst_burst::plan::{Plan, Ticket};
use voteburst_burst::scenario::template::Fill;

use crate::clock::Clock;
use crate::dial::Dialler;
use crate::opening::Opening;
use crate::pace::planned_at;
use crate::patience::{Patience, Wait};
use crate::record::Record;
use crate::resolve::Resolver;
use crate::response::KnownHead;

/// Marks a ticket whose viewer was idle when it was released, so that the viewer tells how late it began.
const WOKEN: u32 = u32::MAX;

/// What others may see of a worker without asking it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) tried: AtomicU32,
    pub(crate) connected: AtomicU32,
    pub(crate) ended: AtomicU32,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Milestones {
    /// Every viewer's first attempt to connect has ended.
    pub(crate) entered: bool,
    /// Every ticket has ended, or the agent has drained.
    pub(crate) done: bool,
}

/// Where a viewer stands with its tickets, and how to wake it.
#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    /// Position in `Worker::queue` of the viewer's next ticket.
    next: u32,
    /// Position in `Worker::queue` up to which its tickets are released.
    released: u32,
    /// Tells the waits for an answer apart; even while none is under way.
    serial: u32,
    /// Whether the viewer waits for a ticket.
    idle: bool,
    /// Whether the wait under way is over.
    overdue: bool,
}

/// A ticket that a viewer is to act on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Its position in plan order within the share.
    pub(crate) index: usize,
    /// The instant it was planned for.
    pub(crate) planned: LocalTime,
    /// When the viewer began to act.
    pub(crate) begun: LocalTime,
    /// How late that was, in nanoseconds; for a viewer that was still busy, how late the pacer was.
    pub(crate) lateness_ns: u64,
}

/// The state that all viewers of an agent share.
pub(crate) struct Worker {
    pub(crate) clock: Clock,
    pub(crate) plan: Arc<Plan>,
    pub(crate) viewers: Range<u32>,
    run: u64,
    pub(crate) tickets: Vec<Ticket>,
    /// Positions in `tickets`, ordered by viewer and, for each, by planned instant.
    queue: Vec<u32>,
    /// Where each viewer's part of `queue` begins; one more entry than viewers.
    starts: Vec<u32>,
    slots: RefCell<Vec<Slot>>,
    /// How late the pacer released each ticket, in microseconds; [`WOKEN`] where its viewer was idle.
    release_us: RefCell<Vec<u32>>,
    pub(crate) record: RefCell<Record>,
    /// Where requests are rendered; emptied by each.
    pub(crate) request: RefCell<Vec<u8>>,
    /// The head of the answer that came last, whoever got it.
    pub(crate) known_head: RefCell<KnownHead>,
    pub(crate) dialler: Dialler,
    /// The way to the same proxies for full phones.
    pub(crate) full_dialler: Dialler,
    pub(crate) resolver: Resolver,
    pub(crate) patience: Patience,
    pub(crate) opening: Opening,
    pub(crate) t0: Cell<Option<LocalTime>>,
    pub(crate) connected_at_t0: Cell<Option<u32>>,
    draining: Cell<bool>,
    casting: Cell<u32>,
    pub(crate) counters: Arc<Counters>,
    milestones: watch::Sender<Milestones>,
    /// Why the worker cannot go on.
    pub(crate) broken: RefCell<Option<String>>,
    pub(crate) broke: Notify,
    /// Whether requests are HEAD, whose answers have no body.
    pub(crate) to_head: bool,
}

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) plan: Arc<Plan>,
    pub(crate) viewers: Range<u32>,
    pub(crate) run: u64,
    pub(crate) dialler: Dialler,
    pub(crate) resolver: Resolver,
    pub(crate) counters: Arc<Counters>,
    pub(crate) milestones: watch::Sender<Milestones>,
}

impl Worker {
    pub(crate) fn new(parts: Parts, tickets: Vec<Ticket>) -> Self {
        let Parts { clock, plan, viewers, run, dialler, resolver, counters, milestones } = parts;
        let (queue, starts) = by_viewer(&tickets, &viewers);
        let slot = |start: &u32| Slot { next: *start, released: *start, ..Slot::default() };
        let slots = starts[..viewers.len()].iter().map(slot).collect();
        let target = &plan.scenario.target;
        let mut request = Vec::new();
        let nobody = Fill { question: "", choice: "", viewer: 0, ballot: BallotId { run: 0, ticket: 0 }, attempt: 1 };
        target.request.render(&mut request, &nobody);
        Self {
            clock,
            viewers,
            run,
            queue,
            starts,
            slots: RefCell::new(slots),
            release_us: RefCell::new(vec![0; tickets.len()]),
            record: RefCell::new(Record::new(tickets.len(), clock.now())),
            to_head: request.starts_with(b"HEAD "),
            request: RefCell::new(request),
            known_head: RefCell::default(),
            full_dialler: dialler.offering_http2(),
            dialler,
            resolver,
            patience: Patience::new(target.response_timeout),
            opening: Opening::new(),
            t0: Cell::new(None),
            connected_at_t0: Cell::new(None),
            draining: Cell::new(false),
            casting: Cell::new(0),
            counters,
            milestones,
            broken: RefCell::default(),
            broke: Notify::new(),
            tickets,
            plan,
        }
    }

    /// Appends the request of an attempt to `out`.
    pub(crate) fn render(&self, out: &mut Vec<u8>, ticket: &Ticket, attempt: u32) {
        let question = &self.plan.scenario.questions[usize::from(ticket.question)];
        let fill = Fill {
            question: &question.id,
            choice: &question.choices[usize::from(ticket.choice)].id,
            viewer: ticket.viewer,
            ballot: BallotId { run: self.run, ticket: u64::from(ticket.number) },
            attempt,
        };
        self.plan.scenario.target.request.render(out, &fill);
    }

    /// When the window of a ticket's question closes. Only called for tickets that were released, so T0 is known.
    pub(crate) fn closes_at(&self, ticket: &Ticket) -> LocalTime {
        let question = &self.plan.scenario.questions[usize::from(ticket.question)];
        self.t0.get().unwrap_or(LocalTime(0)).after(question.opens_at + question.window)
    }

    /// A draw in [0, 1) of this run; `number` must not repeat within a stream.
    pub(crate) fn chance(&self, stream: Stream, number: u64) -> f64 {
        unit(draw(self.plan.scenario.seed, stream, number))
    }

    /// The pacer has released these tickets: their viewers may act.
    pub(crate) fn release(&self, tickets: Range<usize>, now: LocalTime) {
        let t0 = self.t0.get().unwrap_or(now);
        let mut slots = self.slots.borrow_mut();
        for index in tickets {
            let ticket = &self.tickets[index];
            let slot = &mut slots[(ticket.viewer - self.viewers.start) as usize];
            slot.released += 1;
            // Only the first ticket finds the viewer idle: how long that one takes is no lateness of the next.
            self.release_us.borrow_mut()[index] = if std::mem::take(&mut slot.idle) {
                slot.waker.iter().for_each(Waker::wake_by_ref);
                WOKEN
            } else {
                let late = now.since(planned_at(t0, ticket)).as_micros();
                u32::try_from(late).unwrap_or(WOKEN - 1).min(WOKEN - 1)
            };
        }
    }

    /// Whether a ticket of this viewer waits to be acted on.
    pub(crate) fn is_due(&self, me: u32) -> bool {
        let slot = &self.slots.borrow()[me as usize];
        slot.next < slot.released
    }

    /// Whether it makes sense for a viewer to hold a connection: it has tickets left, or the burst has not begun.
    pub(crate) fn wants_connection(&self, me: u32) -> bool {
        let left = self.slots.borrow()[me as usize].next < self.starts[me as usize + 1];
        !self.draining.get() && (left || self.before_t0())
    }

    /// Whether T0 lies ahead or is not known yet.
    pub(crate) fn before_t0(&self) -> bool {
        self.t0.get().is_none_or(|t0| self.clock.now() < t0)
    }

    /// Takes the next released ticket of a viewer.
    pub(crate) fn take(&self, me: u32) -> Option<Due> {
        let t0 = self.t0.get()?;
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[me as usize];
        if slot.next >= slot.released {
            return None;
        }
        let index = self.queue[slot.next as usize] as usize;
        slot.next += 1;
        let (planned, begun) = (planned_at(t0, &self.tickets[index]), self.clock.now());
        let lateness_ns = match self.release_us.borrow()[index] {
            WOKEN => u64::try_from(begun.since(planned).as_nanos()).unwrap_or(u64::MAX),
            micros => u64::from(micros) * 1_000,
        };
        self.casting.set(self.casting.get() + 1);
        Some(Due { index, planned, begun, lateness_ns })
    }

    /// A ticket that was taken has ended.
    pub(crate) fn end(&self, due: &Due, fate: Fate) {
        let ended = {
            let mut record = self.record.borrow_mut();
            record.fate(due.index, fate);
            record.log.ended()
        };
        self.counters.ended.store(ended, Ordering::Relaxed);
        self.casting.set(self.casting.get() - 1);
        self.note_done();
    }

    /// Remembers how to wake a viewer that has nothing to do. `idle`: a released ticket is to wake it.
    pub(crate) fn park(&self, me: u32, idle: bool, cx: &Context<'_>) {
        let slot = &mut self.slots.borrow_mut()[me as usize];
        slot.idle = idle;
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
    }

    /// The viewer is up and wants no wake-up for a ticket.
    pub(crate) fn unpark(&self, me: u32) {
        self.slots.borrow_mut()[me as usize].idle = false;
    }

    /// A viewer begins to wait for an answer.
    pub(crate) fn begin_wait(&self, me: u32, now: LocalTime) {
        let slot = &mut self.slots.borrow_mut()[me as usize];
        slot.serial = slot.serial.wrapping_add(1);
        slot.overdue = false;
        self.patience.begin(Wait { viewer: me, serial: slot.serial }, now);
    }

    /// The wait is over, whatever ended it.
    pub(crate) fn end_wait(&self, me: u32) {
        let slot = &mut self.slots.borrow_mut()[me as usize];
        slot.serial = slot.serial.wrapping_add(1);
    }

    /// Whether the answer this viewer waits for is overdue.
    pub(crate) fn is_overdue(&self, me: u32) -> bool {
        self.slots.borrow()[me as usize].overdue
    }

    /// Tells viewers whose answers are overdue, for ever.
    pub(crate) async fn watch_patience(&self) {
        loop {
            self.patience.next(self.clock.now()).await;
            let now = self.clock.now();
            while let Some(wait) = self.patience.overdue(now) {
                let slot = &mut self.slots.borrow_mut()[wait.viewer as usize];
                if slot.serial == wait.serial {
                    slot.overdue = true;
                    slot.waker.iter().for_each(Waker::wake_by_ref);
                }
            }
        }
    }

    /// Whether no further vote may begin.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// No further vote begins.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        // Those that pause before another attempt have to notice.
        self.slots.borrow().iter().filter_map(|slot| slot.waker.as_ref()).for_each(Waker::wake_by_ref);
        self.milestones.send_modify(|reached| reached.entered = true);
        self.note_done();
    }

    /// A viewer's first attempt to connect has ended.
    pub(crate) fn tried(&self) {
        let tried = self.counters.tried.fetch_add(1, Ordering::Relaxed) + 1;
        if tried as usize == self.viewers.len() {
            self.milestones.send_modify(|reached| reached.entered = true);
        }
    }

    /// Tells whoever waits for it when nothing is left to do.
    pub(crate) fn note_done(&self) {
        let all = self.counters.ended.load(Ordering::Relaxed) as usize == self.tickets.len();
        let drained = self.draining.get() && self.casting.get() == 0;
        if (all && self.t0.get().is_some()) || drained {
            self.milestones.send_if_modified(|reached| !std::mem::replace(&mut reached.done, true));
        }
    }

    /// Whether everything has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.milestones.borrow().done
    }

    /// The worker cannot go on.
    pub(crate) fn break_down(&self, why: String) {
        self.broken.borrow_mut().get_or_insert(why);
        self.broke.notify_one();
    }

    /// How long to wait before the attempt after number `attempt`: exponential, times a draw from 0.5 to 1.5.
    pub(crate) fn backoff(&self, ticket: &Ticket, attempt: u32) -> Duration {
        let retry = &self.plan.scenario.target.retry;
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let part = 0.5 + self.chance(Stream::Backoff, (u64::from(ticket.number) << 8) | u64::from(attempt & 0xff));
        let seconds = retry.backoff.as_secs_f64() * retry.backoff_factor.powi(exponent) * part;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Whether the app tries again after this failure of attempt number `attempt`.
    pub(crate) fn tries_again(&self, class: Failure, attempt: u32) -> bool {
        let retry = &self.plan.scenario.target.retry;
        attempt < retry.attempts && retry.on.contains(&class)
    }
}

/// Orders positions of tickets by viewer, keeping plan order within each.
fn by_viewer(tickets: &[Ticket], viewers: &Range<u32>) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; viewers.len() + 1];
    for ticket in tickets {
        starts[(ticket.viewer - viewers.start) as usize + 1] += 1;
    }
    for viewer in 0..viewers.len() {
        starts[viewer + 1] += starts[viewer];
    }
    let mut free = starts.clone();
    let mut queue = vec![0; tickets.len()];
    for (index, ticket) in (0_u32..).zip(tickets) {
        let at = &mut free[(ticket.viewer - viewers.start) as usize];
        queue[*at as usize] = index;
        *at += 1;
    }
    (queue, starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewers_tickets_stand_together_in_plan_order() {
        let ticket = |(planned_ns, viewer)| Ticket { number: 0, viewer, question: 0, choice: 0, planned_ns };
        let tickets: Vec<_> = [(1, 12), (2, 10), (3, 12), (4, 13), (5, 10)].map(ticket).to_vec();
        assert_eq!(by_viewer(&tickets, &(10..14)), (vec![1, 4, 0, 2, 3], vec![0, 2, 2, 4, 5]));
    }
}
