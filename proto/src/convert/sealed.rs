//! Snapshots as a coordinator keeps them: judged on arrival, and encoded until the end.
//!
//! Decoded, a snapshot of 15 proxies takes 4 MiB, for each of its 47 histograms has room for every latency there may
//! be; encoded it takes some ten KiB. A thousand agents fit into memory in one form only.

use std::collections::BTreeMap;
use std::net::IpAddr;

use prost::Message as _;
use voteburst_burst::clock::Offset;
use voteburst_burst::outcome::{Failure, Fate};
use voteburst_burst::tally::{LateSecond, LateSeconds, Latency, ResponseBands, Tally};

use super::agent::head_from_wire;
use super::{WireProblem, generator, lookups, tally};
use crate::message::{FromAgent, Snapshot};
use crate::wire::{self, agent_message::Body};

/// What a coordinator hears of an agent.
#[derive(Debug)]
pub enum Heard {
    /// Any word but a snapshot.
    Word(FromAgent),
    /// A snapshot that was judged, and is still encoded.
    Snapshot(Box<Sealed>),
}

impl TryFrom<wire::AgentMessage> for Heard {
    type Error = WireProblem;

    fn try_from(message: wire::AgentMessage) -> Result<Self, WireProblem> {
        match message.body {
            Some(Body::Snapshot(snapshot)) => Sealed::judge(snapshot).map(|sealed| Self::Snapshot(Box::new(sealed))),
            body => wire::AgentMessage { body }.try_into().map(Self::Word),
        }
    }
}

/// Counts of a whole snapshot that need no histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts whose bytes began to leave.
    pub sent: u64,
    /// Votes accepted.
    pub accepted: u64,
    /// Votes whose response times are told by second.
    pub timed: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// The same by [`Failure`] number.
    pub failed_by: [u64; Failure::COUNT],
}

/// Counts of one proxy in a snapshot that need no histogram, since the doors opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyCounts {
    /// The proxy.
    pub address: IpAddr,
    /// Connections opened.
    pub opened: u64,
    /// Connections closed, by either side.
    pub closed: u64,
    /// DNS answers whose first address it was.
    pub dns_answers: u64,
    /// Attempts whose bytes began to leave.
    pub sent: u64,
    /// Votes accepted.
    pub accepted: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Of those, connections it refused.
    pub refused: u64,
}

/// Counts of all lookups of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupCounts {
    /// Those that went over the wire.
    pub asked: u64,
    /// Those that phones answered from memory.
    pub remembered: u64,
    /// Those that failed.
    pub failed: u64,
}

/// Histograms that are looked at while a run goes on, of as many snapshots as were added.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Planned instant to accepted answer, by proxy.
    pub response: BTreeMap<IpAddr, Latency>,
    /// Planned instant to the moment the viewer began to act, of all.
    pub lateness: Latency,
    /// Response times by the second that votes were planned for, in seconds since the doors opened, of all proxies.
    pub response_by_second: ResponseBands,
}

/// A snapshot that was judged as a whole and is kept as the bytes of a file, next to the few numbers that are needed
/// while a run goes on. Two are equal when their bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The run it belongs to.
    pub run: u64,
    /// The agent, by the number it was welcomed with.
    pub agent: u32,
    /// The incarnation of that agent.
    pub incarnation: u64,
    /// Grows by one with each snapshot of an incarnation.
    pub seq: u64,
    /// Whether nothing more will happen.
    pub last: bool,
    /// Tickets that have their fate.
    pub ended: u32,
    /// How many fates it holds.
    pub fates: usize,
    /// The newest offset of clocks.
    pub offset: Offset,
    /// Its counts, added up.
    pub counts: Counts,
    /// The same of each proxy.
    pub each: Vec<ProxyCounts>,
    /// Its lookups.
    pub lookups: LookupCounts,
    /// Connections open when it was made.
    pub connected: u32,
    /// How late its votes were, all seconds added up.
    pub late: LateSecond,
    /// Its longest stall, in microseconds.
    pub longest_stall_us: Option<u64>,
    /// Every address that it has figures of.
    pub proxies: Vec<IpAddr>,
    /// One more than the highest kind of phone in it.
    pub phones: usize,
    /// One more than the highest carrier in it.
    pub carriers: usize,
    bytes: Box<[u8]>,
}

impl Sealed {
    fn judge(mut snapshot: Box<wire::Snapshot>) -> Result<Self, WireProblem> {
        let counted =
            (std::mem::take(&mut snapshot.proxies), snapshot.unplaced.take(), snapshot.lookups.take(), snapshot.late.take());
        let head = head_from_wire((*snapshot).clone())?;
        (snapshot.proxies, snapshot.unplaced, snapshot.lookups, snapshot.late) = counted;
        let (counts, each) = tally::judge(&snapshot.proxies, snapshot.unplaced.as_ref())?;
        let mut proxies: Vec<_> = each.iter().map(|proxy| proxy.address).collect();
        let lookups = snapshot.lookups.as_ref().map(lookups::judge).transpose()?.unwrap_or_default();
        let mut late = LateSeconds::default();
        generator::add_late(snapshot.late.as_ref(), &mut late)?;
        proxies.extend(lookups.phones.values().flat_map(|told| told.opened.keys().chain(told.group.answers.keys())));
        proxies.extend(lookups.phones.values().flat_map(|told| told.group.led_to.keys()));
        proxies.extend(lookups.carriers.values().flat_map(|group| group.answers.keys().chain(group.led_to.keys())));
        proxies.sort_unstable();
        proxies.dedup();
        proxies.shrink_to_fit();
        // Taken apart and put together again: what no field of ours holds is not kept.
        let phones = lookups.phones.keys().last().map_or(0, |last| usize::from(*last) + 1);
        let carriers = lookups.carriers.keys().last().map_or(0, |last| usize::from(*last) + 1);
        let asked = lookups.total();
        let bytes = wire::AgentMessage { body: Some(Body::Snapshot(snapshot)) }.encode_to_vec();
        Ok(Self {
            run: head.run,
            agent: head.agent,
            incarnation: head.incarnation,
            seq: head.seq,
            last: head.last,
            ended: head.ended,
            fates: head.fates.len(),
            offset: head.offset,
            counts,
            each,
            lookups: LookupCounts { asked: asked.asked, remembered: asked.remembered, failed: asked.failed },
            connected: head.connected,
            late: late.total(),
            longest_stall_us: head.watched.and_then(|watched| watched.stalls.longest).map(|stall| stall.length_us),
            proxies,
            phones,
            carriers,
            bytes: bytes.into_boxed_slice(),
        })
    }

    /// A snapshot of this process.
    ///
    /// # Errors
    /// When it would be refused on the wire.
    pub fn new(snapshot: &Snapshot) -> Result<Self, WireProblem> {
        Self::judge(Box::new(snapshot.into()))
    }

    /// The snapshot in the bytes of a file.
    ///
    /// # Errors
    /// When the bytes are none, or when it would be refused on the wire; `None` when they are another word.
    pub fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, WireProblem> {
        match undecoded(bytes)?.body {
            Some(Body::Snapshot(snapshot)) => Self::judge(snapshot).map(Some),
            _ => Ok(None),
        }
    }

    /// The bytes of a file, from which [`Sealed::from_bytes`] makes it again.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of it but its tally, which is empty here.
    #[must_use]
    pub fn head(&self) -> Snapshot {
        self.wire().and_then(head_from_wire).unwrap_or_else(|problem| judged(&problem))
    }

    /// The fate of each ticket of the share in plan order; empty unless it is the last.
    #[must_use]
    pub fn fates(&self) -> Vec<Fate> {
        self.head().fates
    }

    /// How late this agent was, by second.
    #[must_use]
    pub fn late(&self) -> LateSeconds {
        let mut late = LateSeconds::default();
        let added = self.wire().and_then(|snapshot| generator::add_late(snapshot.late.as_ref(), &mut late));
        added.unwrap_or_else(|problem| judged(&problem));
        late
    }

    /// Adds its tally to another one, as [`Tally::merge`] would, one proxy at a time: whatever the number of agents, there
    /// is one set of decoded histograms.
    pub fn add_to(&self, fleet: &mut Tally) {
        let added = self.wire().and_then(|snapshot| {
            tally::add_to(&snapshot.proxies, snapshot.unplaced, fleet)?;
            fleet.lookups.merge(&lookups::from_wire(snapshot.lookups)?);
            generator::add_late(snapshot.late.as_ref(), &mut fleet.late)
        });
        added.unwrap_or_else(|problem| judged(&problem));
    }

    /// Adds the histograms that are looked at while a run goes on, and tells the agent's warnings: what costs more than the
    /// numbers beside the bytes, and far less than [`Sealed::add_to`].
    pub fn add_latencies(&self, sum: &mut Latencies) -> Vec<String> {
        let added = self.wire().and_then(|snapshot| {
            tally::add_latencies(&snapshot.proxies, snapshot.unplaced.as_ref(), sum)?;
            Ok(snapshot.warnings)
        });
        added.unwrap_or_else(|problem| judged(&problem))
    }

    fn wire(&self) -> Result<wire::Snapshot, WireProblem> {
        match undecoded(&self.bytes)?.body {
            Some(Body::Snapshot(snapshot)) => Ok(*snapshot),
            _ => Err(WireProblem::Missing("snapshot")),
        }
    }
}

fn undecoded(bytes: &[u8]) -> Result<wire::AgentMessage, WireProblem> {
    wire::AgentMessage::decode(bytes).map_err(|error| WireProblem::Undecodable(error.to_string()))
}

/// Only what was judged is ever sealed, and nobody can change it there.
fn judged<T>(problem: &WireProblem) -> T {
    unreachable!("a snapshot that was judged is refused: {problem}")
}
