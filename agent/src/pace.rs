//! When tickets are due: a pure rule, and the kernel timer that keeps it.
//!
//! One timer per worker serves all its viewers. It is a `timerfd`, for tokio's own timers have steps of 1 ms
//! ("millisecond granularity … should not be used for … high-resolution timers", docs of `tokio::time`), which
//! would show up as lateness of every vote.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use voteburst_burst::clock::LocalTime;
use voteburst_burst::plan::Ticket;

use crate::clock::Clock;

/// How many tickets are released before their viewers act.
///
/// Waking a whole crowd before any of it acts would walk through the memory of each viewer once more, after it has left
/// the processor's caches. Measured with 15,000 tickets due at once: 3.9 µs of the agent's own time per vote, against
/// 3.1 µs in portions (`benches/idle_and_vote`).
pub(crate) const AT_ONCE: usize = 64;

/// Hands out the tickets of a share in plan order, each once, none early.
///
/// Late is late: a pacer that was held up releases everything that has become due at once and shifts nothing.
#[derive(Debug)]
pub(crate) struct Pace {
    t0: LocalTime,
    next: usize,
}

impl Pace {
    /// Nothing released yet; planned instants count from `t0`.
    pub(crate) fn new(t0: LocalTime) -> Self {
        Self { t0, next: 0 }
    }

    /// The next tickets that have become due, at most [`AT_ONCE`]. `tickets` is the whole share in plan order.
    pub(crate) fn release(&mut self, tickets: &[Ticket], now: LocalTime) -> Range<usize> {
        let waiting = &tickets[self.next..tickets.len().min(self.next + AT_ONCE)];
        let due = waiting.partition_point(|ticket| planned_at(self.t0, ticket) <= now);
        let first = self.next;
        self.next += due;
        first..self.next
    }

    /// When the next ticket is due; `None` when all are released.
    pub(crate) fn next_at(&self, tickets: &[Ticket]) -> Option<LocalTime> {
        tickets.get(self.next).map(|ticket| planned_at(self.t0, ticket))
    }
}

/// The planned instant of a ticket on this agent's clock.
pub(crate) fn planned_at(t0: LocalTime, ticket: &Ticket) -> LocalTime {
    LocalTime(t0.0.saturating_add(i64::try_from(ticket.planned_ns).unwrap_or(i64::MAX)))
}

/// An alarm on the kernel's monotonic clock, good to some tens of microseconds.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    clock: Clock,
}

impl Alarm {
    /// An alarm that is not set. Needs a tokio runtime with its I/O driver.
    pub(crate) fn new(clock: Clock) -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[allow(
            deprecated,
            reason = "deprecated for types that may change their descriptor, which an OwnedFd never does; the new one is unsafe"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self { timer, clock })
    }

    /// Waits until an instant; returns at once when it has passed.
    pub(crate) async fn until(&self, at: LocalTime) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut it_value = self.clock.kernel_time(at);
        if it_value == zero {
            // All zeros would disarm the timer instead of setting it off.
            it_value.tv_nsec = 1;
        }
        let alarm = Itimerspec { it_interval: zero, it_value };
        loop {
            // Setting it also takes back an expiration that nobody has read (timerfd_create(2)), so none is: a system call less.
            timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &alarm)?;
            self.timer.readable().await?.clear_ready();
            if self.clock.now() >= at {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(planned_ns: &[u64]) -> Vec<Ticket> {
        let ticket = |(number, planned_ns): (usize, &u64)| {
            let number = u32::try_from(number).unwrap();
            Ticket { number, viewer: number, question: 0, choice: 0, planned_ns: *planned_ns }
        };
        planned_ns.iter().enumerate().map(ticket).collect()
    }

    #[test]
    fn each_ticket_is_released_once_and_none_early() {
        let tickets = tickets(&[0, 10, 10, 25]);
        let mut pace = Pace::new(LocalTime(100));
        // (now, released, next due)
        for (now, released, next) in [
            (99, 0..0, Some(100)),
            (100, 0..1, Some(110)),
            (109, 1..1, Some(110)),
            (110, 1..3, Some(125)),
            (1_000, 3..4, None),
            (2_000, 4..4, None),
        ] {
            assert_eq!(pace.release(&tickets, LocalTime(now)), released, "at {now}");
            assert_eq!(pace.next_at(&tickets), next.map(LocalTime), "after {now}");
        }
    }

    #[test]
    fn a_pacer_that_was_held_up_releases_all_that_is_due_and_shifts_nothing() {
        let tickets = tickets(&[0, 1, 2, 3, 1_000]);
        let mut pace = Pace::new(LocalTime(0));
        assert_eq!(pace.release(&tickets, LocalTime(500)), 0..4);
        assert_eq!(pace.next_at(&tickets), Some(LocalTime(1_000)));
    }

    #[test]
    fn a_crowd_that_is_due_at_once_is_released_in_portions() {
        let tickets = tickets(&[0; 2 * AT_ONCE + 1]);
        let mut pace = Pace::new(LocalTime(0));
        for (released, next) in [(0..AT_ONCE, Some(0)), (AT_ONCE..2 * AT_ONCE, Some(0)), (2 * AT_ONCE..2 * AT_ONCE + 1, None)] {
            assert_eq!(pace.release(&tickets, LocalTime(7)), released);
            assert_eq!(pace.next_at(&tickets), next.map(LocalTime));
        }
    }

    #[test]
    fn a_share_without_tickets_has_nothing_to_wait_for() {
        let mut pace = Pace::new(LocalTime(0));
        assert_eq!((pace.release(&[], LocalTime(5)), pace.next_at(&[])), (0..0, None));
    }

    #[test]
    fn instants_beyond_the_clock_saturate() {
        let far = &tickets(&[u64::MAX])[0];
        assert_eq!(planned_at(LocalTime(5), far), LocalTime(i64::MAX));
    }

    #[tokio::test]
    async fn an_alarm_never_rings_early_and_rings_at_once_for_the_past() {
        let clock = Clock::start();
        let alarm = Alarm::new(clock).unwrap();
        for wait_ns in [-1_000_000_000_i64, 0, 300_000, 3_000_000] {
            let at = LocalTime(clock.now().0 + wait_ns);
            alarm.until(at).await.unwrap();
            assert!(clock.now() >= at);
        }
    }
}
