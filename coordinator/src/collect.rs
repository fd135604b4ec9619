//! What agents reported: the newest snapshot of each. Snapshots are cumulative, so loss, repetition and reordering
//! of them cannot change what is kept in the end.
//!
//! They are kept as they came, encoded, and added up one by one when the run is over: decoded, those of a thousand agents
//! would take 4 GiB. What a hostile fleet can make of this is bounded: bytes per agent by the service, addresses and
//! kinds of phones here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use voteburst_burst::tally::Tally;
use voteburst_proto::convert::{MOST_PROXIES, Sealed};

use crate::conductor::AgentId;

/// Why a snapshot was refused. Whoever sends one of these is broken or plays false.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotProblem {
    /// It belongs to another run.
    #[error("sent a snapshot of run {found:016x}: needed {needed:016x}")]
    OtherRun {
        /// The run it names.
        found: u64,
        /// This run.
        needed: u64,
    },
    /// It names another agent or incarnation than its session's.
    #[error("sent a snapshot in the name of another: agent {0}, incarnation {1:016x}")]
    OtherSender(u32, u64),
    /// More tickets ended than the share has.
    #[error("reported {found} tickets ended: its share has {needed}")]
    Ended {
        /// What it reported.
        found: u32,
        /// What its share has.
        needed: u32,
    },
    /// Response times of more votes than the share has: each of them may take room of its own.
    #[error("reported the response times of {found} votes: its share has {needed}")]
    Timed {
        /// What it reported.
        found: u64,
        /// What its share has.
        needed: u32,
    },
    /// The last snapshot does not hold one fate per ticket.
    #[error("reported the fates of {found} tickets: its share has {needed}")]
    Fates {
        /// How many fates it holds.
        found: usize,
        /// How many tickets the share has.
        needed: u32,
    },
    /// A newer snapshot with less in it.
    #[error("reported {now} tickets ended after {before}: counts only grow")]
    Shrunk {
        /// In the newer one.
        now: u32,
        /// In the one before.
        before: u32,
    },
    /// The fleet would have figures of too many addresses, each of which takes some 500 KB in the sum.
    #[error(
        "brings the addresses that the fleet has figures of to {0}: needed at most {MOST_PROXIES}; is its resolver a hostile one?"
    )]
    Addresses(usize),
    /// It has figures of a kind of phone or a carrier that the scenario does not have.
    #[error("has figures of {} kinds of phones and {} carriers: the scenario has {} and {}", found.phones, found.carriers, needed.phones, needed.carriers)]
    Askers {
        /// One more than the highest of each.
        found: Askers,
        /// What the scenario has.
        needed: Askers,
    },
}

/// How many there are of those by which lookups are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Askers {
    /// Kinds of phones.
    pub phones: usize,
    /// Carriers.
    pub carriers: usize,
}

/// What the coordinator knows of an agent's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The incarnation that joined.
    pub incarnation: u64,
    /// Tickets of its share.
    pub tickets: u32,
}

/// The newest snapshot of every agent of one run.
#[derive(Clone, Debug)]
pub struct Collection {
    run: u64,
    /// Of the scenario.
    askers: Askers,
    expected: BTreeMap<AgentId, Expected>,
    newest: BTreeMap<AgentId, Sealed>,
    /// All addresses that any snapshot named.
    addresses: BTreeSet<IpAddr>,
}

impl Collection {
    /// Nothing yet of these agents, in a run with so many kinds of phones and carriers.
    #[must_use]
    pub fn new(run: u64, askers: Askers, expected: BTreeMap<AgentId, Expected>) -> Self {
        Self { run, askers, expected, newest: BTreeMap::new(), addresses: BTreeSet::new() }
    }

    /// Keeps a snapshot if it is newer than what is there; tells whether it was.
    ///
    /// # Errors
    /// When it cannot be what this agent counted in this run.
    pub fn accept(&mut self, agent: AgentId, snapshot: Sealed) -> Result<bool, SnapshotProblem> {
        let sender = SnapshotProblem::OtherSender(snapshot.agent, snapshot.incarnation);
        let Some(expected) = self.expected.get(&agent) else { return Err(sender) };
        judge(self.run, agent, expected, &snapshot)?;
        match self.newest.get(&agent) {
            // After the last one nothing more is counted: what still comes cannot hold the fates, and must not take their place.
            Some(kept) if kept.last || kept.seq >= snapshot.seq => return Ok(false),
            Some(kept) if kept.ended > snapshot.ended => {
                return Err(SnapshotProblem::Shrunk { now: snapshot.ended, before: kept.ended });
            }
            _ => {}
        }
        self.meet(&snapshot)?;
        self.newest.insert(agent, snapshot);
        Ok(true)
    }

    fn meet(&mut self, snapshot: &Sealed) -> Result<(), SnapshotProblem> {
        let found = Askers { phones: snapshot.phones, carriers: snapshot.carriers };
        if found.phones > self.askers.phones || found.carriers > self.askers.carriers {
            return Err(SnapshotProblem::Askers { found, needed: self.askers });
        }
        let unknown: Vec<_> = snapshot.proxies.iter().filter(|address| !self.addresses.contains(address)).collect();
        let known = self.addresses.len() + unknown.len();
        if known > MOST_PROXIES {
            return Err(SnapshotProblem::Addresses(known));
        }
        self.addresses.extend(unknown);
        Ok(())
    }

    /// The newest snapshot of an agent.
    #[must_use]
    pub fn newest(&self, agent: AgentId) -> Option<&Sealed> {
        self.newest.get(&agent)
    }

    /// The newest snapshots of all agents, by agent.
    pub fn all(&self) -> impl Iterator<Item = &Sealed> {
        self.newest.values()
    }

    /// The newest snapshots themselves.
    #[must_use]
    pub fn into_snapshots(self) -> Vec<Sealed> {
        self.newest.into_values().collect()
    }
}

fn judge(run: u64, agent: AgentId, expected: &Expected, snapshot: &Sealed) -> Result<(), SnapshotProblem> {
    if snapshot.run != run {
        return Err(SnapshotProblem::OtherRun { found: snapshot.run, needed: run });
    }
    if (snapshot.agent, snapshot.incarnation) != (agent.0, expected.incarnation) {
        return Err(SnapshotProblem::OtherSender(snapshot.agent, snapshot.incarnation));
    }
    if snapshot.ended > expected.tickets {
        return Err(SnapshotProblem::Ended { found: snapshot.ended, needed: expected.tickets });
    }
    if snapshot.counts.timed > expected.tickets.into() {
        return Err(SnapshotProblem::Timed { found: snapshot.counts.timed, needed: expected.tickets });
    }
    let needed = if snapshot.last { expected.tickets } else { 0 };
    if snapshot.fates != needed as usize {
        return Err(SnapshotProblem::Fates { found: snapshot.fates, needed });
    }
    Ok(())
}

/// The fleet's tally: the sum of its agents' newest ones.
pub fn merge<'a>(snapshots: impl IntoIterator<Item = &'a Sealed>) -> Tally {
    let mut fleet = Tally::default();
    for snapshot in snapshots {
        snapshot.add_to(&mut fleet);
    }
    fleet
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use proptest::prelude::*;
    use voteburst_burst::clock::Offset;
    use voteburst_burst::outcome::Fate;
    use voteburst_proto::message::Snapshot;

    use super::*;

    const RUN: u64 = 77;
    const TICKETS: u32 = 10;

    fn snapshot(agent: u32, seq: u64) -> Snapshot {
        let mut tally = Tally::default();
        let index = tally.index(Ipv4Addr::new(127, 0, 0, 1).into());
        // Cumulative: the later, the more.
        for n in 0..seq {
            tally.proxy(index).second(u32::try_from(n).unwrap()).sent += agent + 1;
            tally.proxy(index).response.record_ns(n * 1_000_000);
            tally.proxy(index).response_by_second.record_ns(u32::try_from(n).unwrap(), n * 1_000_000);
        }
        Snapshot {
            run: RUN,
            agent,
            incarnation: u64::from(agent) + 500,
            seq,
            last: false,
            tally,
            ended: u32::try_from(seq).unwrap().min(TICKETS),
            connected: 0,
            connected_at_t0: None,
            first_send_lateness_ns: None,
            offset: Offset { nanos: 0, bound_ns: 1 },
            cpu: Duration::ZERO,
            memory_bytes: 0,
            warnings: Vec::new(),
            watched: None,
            fates: Vec::new(),
        }
    }

    fn sealed(agent: u32, seq: u64) -> Sealed {
        Sealed::new(&snapshot(agent, seq)).unwrap()
    }

    fn collection(agents: u32) -> Collection {
        let expected = |agent| (AgentId(agent), Expected { incarnation: u64::from(agent) + 500, tickets: TICKETS });
        Collection::new(RUN, Askers { phones: 1, carriers: 1 }, (0..agents).map(expected).collect())
    }

    proptest! {
        // Each case makes and compares some forty sets of histograms.
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Deliveries are (agent, seq) in any order and number; the last ones always arrive, at any place among them.
        #[test]
        fn loss_repetition_and_reordering_cannot_change_the_result(
            deliveries in proptest::collection::vec((0_u32..3, 1_u64..9), 0..40),
            places in proptest::collection::vec(any::<prop::sample::Index>(), 3),
        ) {
            let mut deliveries = deliveries;
            for (agent, place) in (0..3).zip(places) {
                deliveries.insert(place.index(deliveries.len() + 1), (agent, 9));
            }
            let mut all = collection(3);
            for (agent, seq) in deliveries {
                all.accept(AgentId(agent), sealed(agent, seq)).unwrap();
            }
            let mut ideal = collection(3);
            for agent in 0..3 {
                ideal.accept(AgentId(agent), sealed(agent, 9)).unwrap();
            }
            let mut naive = Tally::default();
            for agent in 0..3 {
                naive.merge(&snapshot(agent, 9).tally);
            }
            prop_assert_eq!(merge(all.all()), naive);
            prop_assert_eq!(all.into_snapshots(), ideal.into_snapshots());
        }
    }

    #[test]
    fn an_older_or_repeated_snapshot_is_left_out_and_says_so() {
        let mut all = collection(1);
        for (seq, kept) in [(3, true), (3, false), (2, false), (4, true)] {
            assert_eq!(all.accept(AgentId(0), sealed(0, seq)), Ok(kept), "seq {seq}");
        }
    }

    #[test]
    fn nothing_takes_the_place_of_the_last_snapshot() {
        let mut all = collection(1);
        let last = Snapshot { last: true, fates: vec![Fate::Accepted; 10], ..snapshot(0, 5) };
        assert_eq!(all.accept(AgentId(0), Sealed::new(&last).unwrap()), Ok(true));
        assert_eq!(all.accept(AgentId(0), sealed(0, 6)), Ok(false));
        assert_eq!(all.newest(AgentId(0)).map(|kept| kept.last), Some(true));
    }

    #[test]
    fn snapshots_that_cannot_be_are_refused_with_their_class() {
        let mut timed = snapshot(0, 6);
        let index = timed.tally.index(Ipv4Addr::new(127, 0, 0, 1).into());
        timed.tally.proxy(index).response_by_second.add(0, 0, TICKETS);
        let mut all = collection(2);
        all.accept(AgentId(0), sealed(0, 5)).unwrap();
        let cases = [
            (Snapshot { run: 1, ..snapshot(0, 6) }, SnapshotProblem::OtherRun { found: 1, needed: RUN }),
            (snapshot(1, 6), SnapshotProblem::OtherSender(1, 501)),
            (Snapshot { incarnation: 9, ..snapshot(0, 6) }, SnapshotProblem::OtherSender(0, 9)),
            (Snapshot { ended: 11, ..snapshot(0, 6) }, SnapshotProblem::Ended { found: 11, needed: 10 }),
            (timed, SnapshotProblem::Timed { found: 16, needed: 10 }),
            (Snapshot { ended: 4, ..snapshot(0, 6) }, SnapshotProblem::Shrunk { now: 4, before: 5 }),
            (
                Snapshot { last: true, fates: vec![Fate::Accepted; 9], ..snapshot(0, 6) },
                SnapshotProblem::Fates { found: 9, needed: 10 },
            ),
            (Snapshot { fates: vec![Fate::Accepted; 10], ..snapshot(0, 6) }, SnapshotProblem::Fates { found: 10, needed: 0 }),
        ];
        for (snapshot, problem) in cases {
            assert_eq!(all.accept(AgentId(0), Sealed::new(&snapshot).unwrap()), Err(problem));
        }
        assert!(matches!(all.accept(AgentId(9), sealed(9, 1)), Err(SnapshotProblem::OtherSender(9, _))));
        assert_eq!(all.newest(AgentId(0)).map(|kept| kept.seq), Some(5));
    }
}
