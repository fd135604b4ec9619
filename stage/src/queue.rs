//! Who may work on a request: the web servers' limits, and the queue in front of them. Pure.
//!
//! The rules are those of an HAProxy backend with `balance roundrobin` and `server … maxconn`
//! (HAProxy 2.6 configuration manual, sections 4.2 and 5.2): a server at its limit is skipped, and while all are at it
//! requests wait in one first-in-first-out queue of the backend.

use std::collections::VecDeque;

/// What becomes of a request on arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The server with this index works on it at once.
    Serve(usize),
    /// Every server is at its limit: it waits, under this number.
    Wait(u64),
}

/// The servers behind one proxy and the requests that wait for them. Nothing in it is shared between proxies.
///
/// A request waits only while every server is at its limit: `finish` hands a slot on before anybody else can take it.
#[derive(Debug)]
pub(crate) struct Balancer<W> {
    limit: u32,
    in_flight: Vec<u32>,
    peak: Vec<u32>,
    next: usize,
    /// The waiting, oldest first. `None`: gave up, and is kept until it reaches the front, so that numbers stay positions.
    queue: VecDeque<Option<W>>,
    front: u64,
    waiting: u32,
    waiting_peak: u32,
}

impl<W> Balancer<W> {
    /// `servers` web servers, each of which works on at most `limit` requests at once (both at least 1).
    pub(crate) fn new(servers: u16, limit: u32) -> Self {
        let idle = vec![0; usize::from(servers)];
        Self {
            limit,
            peak: idle.clone(),
            in_flight: idle,
            next: 0,
            queue: VecDeque::new(),
            front: 0,
            waiting: 0,
            waiting_peak: 0,
        }
    }

    /// Takes a request in; `waiter` is made only if it has to wait.
    pub(crate) fn admit(&mut self, waiter: impl FnOnce() -> W) -> Admission {
        let servers = self.in_flight.len();
        let free = (0..servers).map(|step| (self.next + step) % servers).find(|&server| self.in_flight[server] < self.limit);
        if let Some(server) = free {
            self.next = (server + 1) % servers;
        }
        self.admit_to(free, waiter)
    }

    /// Takes a request in, for a slot at a web server that somebody else has found, or else to wait.
    pub(crate) fn admit_to(&mut self, slot: Option<usize>, waiter: impl FnOnce() -> W) -> Admission {
        if let Some(server) = slot {
            self.begin(server);
            return Admission::Serve(server);
        }
        self.queue.push_back(Some(waiter()));
        self.waiting += 1;
        self.waiting_peak = self.waiting_peak.max(self.waiting);
        Admission::Wait(self.front + self.queue.len() as u64 - 1)
    }

    /// A slot at a web server came free elsewhere. It goes to the longest waiting request, if any: that one is returned.
    pub(crate) fn grant(&mut self, server: usize) -> Option<W> {
        let heir = self.pop()?;
        self.begin(server);
        Some(heir)
    }

    fn begin(&mut self, server: usize) {
        self.in_flight[server] += 1;
        self.peak[server] = self.peak[server].max(self.in_flight[server]);
    }

    /// `server` is done with a request. Its slot goes to the longest waiting request, if any: that one is returned.
    pub(crate) fn finish(&mut self, server: usize) -> Option<W> {
        let heir = self.pop();
        if heir.is_none() {
            self.in_flight[server] -= 1;
        }
        heir
    }

    /// The request that waits under this number waits no longer. Without effect if it was served already.
    pub(crate) fn give_up(&mut self, number: u64) {
        let position = number.checked_sub(self.front).and_then(|position| usize::try_from(position).ok());
        let Some(place) = position.and_then(|position| self.queue.get_mut(position)) else { return };
        if place.take().is_some() {
            self.waiting -= 1;
        }
        while self.queue.front().is_some_and(Option::is_none) {
            self.queue.pop_front();
            self.front += 1;
        }
    }

    /// Requests that each server works on now.
    pub(crate) fn in_flight(&self) -> &[u32] {
        &self.in_flight
    }

    /// The most that each server has worked on at once.
    pub(crate) fn in_flight_peak(&self) -> &[u32] {
        &self.peak
    }

    /// Requests that wait now.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting
    }

    /// The most that have waited at once.
    pub(crate) fn waiting_peak(&self) -> u32 {
        self.waiting_peak
    }

    fn pop(&mut self) -> Option<W> {
        while let Some(place) = self.queue.pop_front() {
            self.front += 1;
            if let Some(waiter) = place {
                self.waiting -= 1;
                return Some(waiter);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use voteburst_burst::draw::{Stream, below, draw};

    use super::*;

    fn admit_all(balancer: &mut Balancer<u32>, requests: std::ops::Range<u32>) -> Vec<Admission> {
        requests.map(|request| balancer.admit(|| request)).collect()
    }

    #[test]
    fn requests_go_round_the_servers_starting_with_the_first() {
        let mut balancer = Balancer::new(2, 50);
        admit_all(&mut balancer, 0..60);
        assert_eq!(balancer.in_flight(), [30, 30]);
        assert_eq!(balancer.waiting(), 0);
        assert_eq!(Balancer::<u32>::new(3, 1).admit(|| 0), Admission::Serve(0));
    }

    #[test]
    fn a_full_server_is_skipped() {
        let mut balancer = Balancer::new(3, 1);
        admit_all(&mut balancer, 0..3);
        assert_eq!(balancer.finish(1), None);
        assert_eq!(balancer.admit(|| 9), Admission::Serve(1), "the only one that is not full");
    }

    #[test]
    fn beyond_all_limits_requests_wait_and_are_served_in_the_order_of_arrival() {
        let mut balancer = Balancer::new(2, 50);
        admit_all(&mut balancer, 0..300);
        assert_eq!((balancer.in_flight(), balancer.waiting()), ([50, 50].as_slice(), 200));
        let heirs: Vec<_> = (0..200).filter_map(|turn| balancer.finish(turn % 2)).collect();
        assert_eq!(heirs, (100..300).collect::<Vec<_>>());
        assert_eq!((balancer.in_flight(), balancer.waiting(), balancer.waiting_peak()), ([50, 50].as_slice(), 0, 200));
    }

    #[test]
    fn who_gave_up_is_passed_over_and_may_give_up_again_without_effect() {
        let mut balancer = Balancer::new(1, 1);
        assert_eq!(admit_all(&mut balancer, 0..4)[1..], [Admission::Wait(0), Admission::Wait(1), Admission::Wait(2)]);
        balancer.give_up(1);
        balancer.give_up(1);
        assert_eq!(balancer.waiting(), 2);
        assert_eq!(balancer.finish(0), Some(1));
        assert_eq!(balancer.finish(0), Some(3));
        balancer.give_up(0);
        balancer.give_up(2);
        balancer.give_up(77);
        assert_eq!((balancer.waiting(), balancer.in_flight()), (0, [1].as_slice()));
    }

    #[test]
    fn whatever_happens_nobody_waits_beside_a_free_server_and_no_slot_is_lost() {
        for seed in 0..200 {
            let mut balancer = Balancer::new(1 + (seed % 4) as u16, 1 + (seed % 3) as u32);
            let capacity = (1 + seed % 4) * (1 + seed % 3);
            let (mut serving, mut waiting) = (Vec::new(), VecDeque::new());
            for step in 0..400 {
                let value = draw(seed, Stream::ServiceTime, step);
                match below(value, 3) {
                    0 => match balancer.admit(|| step) {
                        Admission::Serve(server) => serving.push(server),
                        Admission::Wait(number) => waiting.push_back((number, step)),
                    },
                    1 if !serving.is_empty() => {
                        let server = serving.swap_remove((value % serving.len() as u64) as usize);
                        let heir = balancer.finish(server);
                        assert_eq!(heir, waiting.pop_front().map(|(_, step)| step), "seed {seed} step {step}");
                        serving.extend(heir.map(|_| server));
                    }
                    _ if !waiting.is_empty() => {
                        let gone = waiting.remove((value % waiting.len() as u64) as usize);
                        balancer.give_up(gone.map_or(0, |(number, _)| number));
                    }
                    _ => {}
                }
                assert_eq!(balancer.waiting() as usize, waiting.len(), "seed {seed} step {step}");
                assert_eq!(balancer.in_flight().iter().sum::<u32>() as usize, serving.len(), "seed {seed} step {step}");
                assert!(
                    waiting.is_empty() || serving.len() as u64 == capacity,
                    "seed {seed} step {step}: waits beside a free server"
                );
            }
        }
    }
}
