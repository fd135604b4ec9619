//! Counts what happens to an agent's viewers, in the tally that its snapshots carry.

use std::net::IpAddr;

use voteburst_burst::clock::LocalTime;
use voteburst_burst::outcome::{Failure, Fate};
use voteburst_burst::tally::{Asker, LookupFailure, ProxyIndex, ProxyTally, Second, Tally};

use crate::clock::thread_cpu_ns;
use crate::votelog::VoteLog;
use crate::watch::stall::StallWatch;

/// Where something happened: at a proxy, or before one was known.
pub(crate) type Place = Option<ProxyIndex>;

/// Everything counted since the doors opened.
#[derive(Debug)]
pub(crate) struct Record {
    /// The tally.
    pub(crate) tally: Tally,
    /// What became of each ticket.
    pub(crate) log: VoteLog,
    /// How late the viewer began whose vote left first, in nanoseconds: ours, without what proxies and names took.
    pub(crate) first_send_lateness_ns: Option<u64>,
    /// Whether the worker comes round in time; `None` before it has to.
    pub(crate) stalls: Option<StallWatch>,
    doors: LocalTime,
    troubles: [u32; Failure::COUNT],
    last_trouble: String,
}

impl Record {
    /// Nothing counted; second 0 begins at `doors`.
    pub(crate) fn new(tickets: usize, doors: LocalTime) -> Self {
        Self {
            tally: Tally::default(),
            log: VoteLog::new(tickets),
            first_send_lateness_ns: None,
            stalls: None,
            doors,
            troubles: [0; Failure::COUNT],
            last_trouble: String::new(),
        }
    }

    /// Second 0 begins at this instant.
    pub(crate) fn open_doors(&mut self, at: LocalTime) {
        self.doors = at;
    }

    /// From now on the worker has to come round in time.
    pub(crate) fn watch_stalls(&mut self, now: LocalTime, cpu_ns: u64) {
        self.stalls = Some(StallWatch::begin(self.doors, now, cpu_ns));
    }

    /// The worker came round, and was to do so at `due`.
    pub(crate) fn turn(&mut self, due: LocalTime, now: LocalTime) {
        if let Some(watch) = &mut self.stalls {
            watch.turn(due, now, thread_cpu_ns);
        }
    }

    /// A phone knew where to go: `answered` over the wire, with this address first and after so many nanoseconds, or by its
    /// own memory.
    pub(crate) fn resolved(&mut self, asker: Asker, answered: Option<(IpAddr, u64)>, now: LocalTime) {
        let Some((first, nanos)) = answered else { return self.tally.lookups.remembered(asker) };
        self.tally.lookups.answered(asker, first, nanos);
        let proxy = self.tally.index(first);
        self.second(Some(proxy), now).dns_answers += 1;
    }

    /// A lookup failed.
    pub(crate) fn unresolved(&mut self, asker: Asker, failure: LookupFailure) {
        self.tally.lookups.failed(asker, failure);
    }

    /// A connection was opened.
    pub(crate) fn opened(&mut self, asker: Asker, address: IpAddr, now: LocalTime) -> ProxyIndex {
        let proxy = self.tally.index(address);
        self.second(Some(proxy), now).opened += 1;
        let second = self.second_of(now);
        self.tally.lookups.led_to(asker, address, second);
        proxy
    }

    /// An attempt to connect did not become the phone's connection, for another one did or all of them failed.
    pub(crate) fn also_ran(&mut self, address: IpAddr, now: LocalTime) {
        let proxy = self.tally.index(address);
        self.second(Some(proxy), now).also_rans += 1;
    }

    /// A connection was closed; `idle` when the proxy did so while no vote was in flight.
    pub(crate) fn closed(&mut self, proxy: ProxyIndex, idle: bool, now: LocalTime) {
        let second = self.second(Some(proxy), now);
        second.closed += 1;
        second.closed_idle += u32::from(idle);
    }

    /// How late the viewer began to act on a ticket that was planned for this instant.
    pub(crate) fn late(&mut self, place: Place, planned: LocalTime, lateness_ns: u64) {
        self.at(place).lateness.record_ns(lateness_ns);
        let second = self.second_of(planned);
        self.tally.late.record_ns(second, lateness_ns);
    }

    /// The first bytes of an attempt left; its viewer began so late to act on the ticket.
    pub(crate) fn sent(&mut self, proxy: ProxyIndex, lateness_ns: u64, now: LocalTime) {
        self.second(Some(proxy), now).sent += 1;
        self.first_send_lateness_ns.get_or_insert(lateness_ns);
    }

    /// An attempt whose bytes had left came to its end.
    pub(crate) fn ended(&mut self, proxy: ProxyIndex, now: LocalTime) {
        self.second(Some(proxy), now).ended += 1;
    }

    /// An answer came this long after the first byte was written, whatever its status.
    pub(crate) fn answered(&mut self, proxy: ProxyIndex, service_ns: u64) {
        self.at(Some(proxy)).service.record_ns(service_ns);
    }

    /// A vote that was planned for this instant was accepted.
    pub(crate) fn accepted(&mut self, proxy: ProxyIndex, planned: LocalTime, now: LocalTime) {
        let response_ns = u64::try_from(now.since(planned).as_nanos()).unwrap_or(u64::MAX);
        let second = self.second_of(planned);
        let tally = self.at(Some(proxy));
        tally.response.record_ns(response_ns);
        tally.response_by_second.record_ns(second, response_ns);
        self.second(Some(proxy), now).accepted += 1;
    }

    /// An attempt to vote failed.
    pub(crate) fn failed(&mut self, place: Place, class: Failure, now: LocalTime) {
        self.second(place, now).failed[class as usize] += 1;
    }

    /// A connection that no vote waited for did not come about. No vote failed, so the tally does not count it.
    pub(crate) fn trouble(&mut self, class: Failure, what: String) {
        self.troubles[class as usize] += 1;
        self.last_trouble = what;
    }

    /// How many of those were this machine's own doing.
    pub(crate) fn local_limits(&self) -> u64 {
        self.troubles[Failure::LocalLimit as usize].into()
    }

    /// How many of those were not made, for the allow-list forbids it.
    pub(crate) fn not_allowed(&self) -> u64 {
        self.troubles[Failure::NotAllowed as usize].into()
    }

    /// A ticket came to its end.
    pub(crate) fn fate(&mut self, ticket: usize, fate: Fate) {
        self.log.end(ticket, fate);
    }

    /// What a reader of the report should know besides the tally, in words.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let counted = Failure::ALL.iter().zip(self.troubles).filter(|(_, count)| *count > 0);
        let classes: Vec<_> = counted.map(|(class, count)| format!("{class} {count}")).collect();
        if classes.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "connections that viewers opened ahead of their votes failed ({}); the last one: {}",
            classes.join(", "),
            self.last_trouble
        )]
    }

    fn at(&mut self, place: Place) -> &mut ProxyTally {
        match place {
            Some(proxy) => self.tally.proxy(proxy),
            None => &mut self.tally.unplaced,
        }
    }

    fn second(&mut self, place: Place, now: LocalTime) -> &mut Second {
        let second = self.second_of(now);
        self.at(place).second(second)
    }

    fn second_of(&self, now: LocalTime) -> u32 {
        u32::try_from(now.since(self.doors).as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn events_count_in_their_second_since_the_doors_opened() {
        let mut record = Record::new(1, LocalTime(0));
        record.open_doors(LocalTime(5 * SECOND));
        let (asker, address) = (Asker { carrier: 0, phone: 0 }, [127, 0, 0, 1].into());
        record.resolved(asker, Some((address, 1_000)), LocalTime(5 * SECOND));
        record.also_ran(address, LocalTime(6 * SECOND));
        let proxy = record.opened(asker, address, LocalTime(6 * SECOND - 1));
        record.sent(proxy, 7, LocalTime(6 * SECOND));
        record.ended(proxy, LocalTime(7 * SECOND));
        record.closed(proxy, true, LocalTime(8 * SECOND));
        let seconds = &record.tally.proxy(proxy).seconds;
        let row = |index: usize| {
            let s: Second = seconds[index];
            [s.dns_answers, s.opened, s.also_rans, s.sent, s.ended, s.closed, s.closed_idle]
        };
        assert_eq!(
            [row(0), row(1), row(2), row(3)],
            [[1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1]]
        );
        let lookups = record.tally.lookups.total();
        assert_eq!((lookups.asked, lookups.led_to.get(&address)), (1, Some(&1)));
    }

    #[test]
    fn what_happens_before_the_doors_counts_in_second_0() {
        let mut record = Record::new(0, LocalTime(SECOND));
        record.failed(None, Failure::Dns, LocalTime(0));
        assert_eq!(record.tally.unplaced.seconds[0].failed[Failure::Dns as usize], 1);
    }

    #[test]
    fn lateness_counts_in_the_second_for_which_the_vote_was_planned() {
        let mut record = Record::new(2, LocalTime(0));
        record.open_doors(LocalTime(5 * SECOND));
        record.late(None, LocalTime(7 * SECOND), 3_000_000_000);
        record.late(None, LocalTime(8 * SECOND), 0);
        let votes: Vec<_> = record.tally.late.seconds().iter().map(voteburst_burst::tally::LateSecond::len).collect();
        assert_eq!((record.tally.late.first(), votes, record.tally.unplaced.lateness.len()), (2, vec![1, 1], 2));
    }

    #[test]
    fn a_response_time_counts_in_the_second_for_which_the_vote_was_planned_and_its_acceptance_when_it_came() {
        let mut record = Record::new(1, LocalTime(0));
        let proxy = record.tally.index([127, 0, 0, 1].into());
        record.accepted(proxy, LocalTime(2 * SECOND + 1), LocalTime(5 * SECOND + 1));
        let tally = record.tally.proxy(proxy);
        let planned: Vec<_> = tally.response_by_second.cells().map(|(second, _, count)| (second, count)).collect();
        assert_eq!((planned, tally.seconds[5].accepted, tally.response.len()), (vec![(2, 1)], 1, 1));
    }

    #[test]
    fn only_the_first_send_tells_how_late_the_agent_began() {
        let mut record = Record::new(0, LocalTime(0));
        let proxy = record.tally.index([127, 0, 0, 1].into());
        for lateness in [30, 10, 50] {
            record.sent(proxy, lateness, LocalTime(0));
        }
        assert_eq!(record.first_send_lateness_ns, Some(30));
    }

    #[test]
    fn troubles_outside_of_votes_are_told_in_words_and_fail_no_vote() {
        let mut record = Record::new(0, LocalTime(0));
        assert!(record.warnings().is_empty());
        record.trouble(Failure::Refused, "first".into());
        record.trouble(Failure::Refused, "second".into());
        let warnings = record.warnings();
        assert!(warnings[0].contains("refused 2") && warnings[0].contains("second"), "{warnings:?}");
        assert_eq!((record.tally.total().total().failed_total(), record.local_limits()), (0, 0));
        record.trouble(Failure::LocalLimit, "third".into());
        assert_eq!((record.tally.total().total().failed_total(), record.local_limits()), (0, 1));
        record.trouble(Failure::NotAllowed, "fourth".into());
        assert_eq!((record.local_limits(), record.not_allowed()), (1, 1));
    }
}
