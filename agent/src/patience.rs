//! How long viewers wait for answers.
//!
//! All wait equally long, so their deadlines come in the order in which they began: a queue and one timer serve
//! all of them. A timer per vote would cost every vote, and only the unanswered ones need it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Notify;
use voteburst_burst::clock::LocalTime;

/// The finest step in which overdue answers are noticed.
pub(crate) const STEP: Duration = Duration::from_millis(20);

/// One wait: whose, and which of that viewer's waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The viewer, by position in the share.
    pub(crate) viewer: u32,
    /// The how-manieth wait of that viewer.
    pub(crate) serial: u32,
}

/// The waits of all viewers, oldest first. Those that were answered stay until their deadline, 16 bytes each.
#[derive(Debug)]
pub(crate) struct Patience {
    timeout: Duration,
    queue: RefCell<VecDeque<(LocalTime, Wait)>>,
    begun: Notify,
}

impl Patience {
    /// Nobody waits; everybody who will does so for `timeout`.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, queue: RefCell::default(), begun: Notify::new() }
    }

    /// A viewer begins to wait.
    pub(crate) fn begin(&self, wait: Wait, now: LocalTime) {
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() {
            self.begun.notify_one();
        }
        queue.push_back((now.after(self.timeout), wait));
    }

    /// The next wait whose deadline has come.
    pub(crate) fn overdue(&self, now: LocalTime) -> Option<Wait> {
        let mut queue = self.queue.borrow_mut();
        let (deadline, _) = queue.front()?;
        if *deadline > now {
            return None;
        }
        queue.pop_front().map(|(_, wait)| wait)
    }

    /// Returns when it is worth asking for overdue waits again; never while nobody waits.
    pub(crate) async fn next(&self, now: LocalTime) {
        let front = self.queue.borrow().front().map(|(deadline, _)| *deadline);
        match front {
            Some(deadline) => tokio::time::sleep(deadline.since(now).max(STEP)).await,
            None => self.begun.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn waits_become_overdue_in_order_and_once() {
        let patience = Patience::new(Duration::from_nanos(100));
        let wait = |viewer| Wait { viewer, serial: 0 };
        patience.begin(wait(7), LocalTime(0));
        patience.begin(wait(8), LocalTime(10));
        let overdue = |now| std::iter::from_fn(|| patience.overdue(LocalTime(now))).map(|wait| wait.viewer).collect::<Vec<_>>();
        assert_eq!([overdue(99), overdue(100), overdue(500), overdue(500)], [vec![], vec![7], vec![8], vec![]]);
    }

    #[tokio::test]
    async fn nobody_is_asked_for_while_nobody_waits() {
        let patience = Patience::new(Duration::from_secs(1));
        assert_eq!(patience.next(LocalTime(0)).now_or_never(), None);
        patience.begin(Wait { viewer: 0, serial: 0 }, LocalTime(0));
        patience.next(LocalTime(1_000_000_000)).await;
        assert!(patience.overdue(LocalTime(1_000_000_000)).is_some());
    }
}
