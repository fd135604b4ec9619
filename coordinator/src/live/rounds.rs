//! Histograms of a running burst, decoded a few agents at a time.
//!
//! A round goes once through all agents' newest snapshots, some at each tick, and what it added up takes the place of the
//! round before. So a fleet of a thousand delays nobody's word by more than a few of its snapshots take to decode, and its
//! percentiles are as old as a round is long: one second up to [`AGENTS_PER_S`] agents, 16 s for 1,000.

use std::collections::BTreeMap;
use std::net::IpAddr;

use voteburst_burst::tally::{Latency, ResponseBands};
use voteburst_proto::convert::{Latencies, Sealed};

use super::LatencyLive;

/// Agents whose histograms are decoded in a second. With 15 proxies one takes some hundred microseconds.
const AGENTS_PER_S: usize = 64;
/// Ticks in a second.
const TICKS_PER_S: usize = 10;

/// What the last round came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Response times of all proxies.
    pub response: LatencyLive,
    /// The same of each.
    pub by_proxy: BTreeMap<IpAddr, LatencyLive>,
    /// Response times by the second after the doors opened that votes were planned for.
    pub by_second: ResponseBands,
    /// How late votes were.
    pub lateness: LatencyLive,
    /// What agents warn of, by their number.
    pub warnings: BTreeMap<u32, Vec<String>>,
}

/// A round under way.
#[derive(Debug, Default)]
pub struct Rounds {
    /// The agent to go on with; `None` when no round is under way.
    next: Option<u32>,
    sum: Latencies,
    warnings: BTreeMap<u32, Vec<String>>,
    done: Decoded,
}

impl Rounds {
    /// What the last complete round came to.
    #[must_use]
    pub fn done(&self) -> &Decoded {
        &self.done
    }

    /// Begins a round unless one is under way.
    pub fn begin(&mut self) {
        self.next.get_or_insert(0);
    }

    /// Goes on with the round under way. `snapshots` are the newest of all agents, by agent.
    pub fn tick<'a>(&mut self, snapshots: impl Iterator<Item = &'a Sealed>) {
        self.go_on(snapshots, AGENTS_PER_S.div_ceil(TICKS_PER_S));
    }

    /// Adds up all snapshots at once, whatever round is under way: for the last look at a run that is over.
    pub fn all<'a>(&mut self, snapshots: impl Iterator<Item = &'a Sealed>) {
        *self = Self { next: Some(0), ..Self::default() };
        self.go_on(snapshots, usize::MAX);
    }

    fn go_on<'a>(&mut self, snapshots: impl Iterator<Item = &'a Sealed>, most: usize) {
        let Some(next) = self.next else { return };
        let mut rest = snapshots.skip_while(|snapshot| snapshot.agent < next).peekable();
        for snapshot in rest.by_ref().take(most) {
            let warnings = snapshot.add_latencies(&mut self.sum);
            if !warnings.is_empty() {
                self.warnings.insert(snapshot.agent, warnings);
            }
        }
        self.next = rest.peek().map(|snapshot| snapshot.agent);
        if self.next.is_none() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let (sum, warnings) = (std::mem::take(&mut self.sum), std::mem::take(&mut self.warnings));
        let mut response = Latency::new();
        sum.response.values().for_each(|proxy| response.merge(proxy));
        self.done = Decoded {
            response: LatencyLive::of(&response),
            by_proxy: sum.response.iter().map(|(address, latency)| (*address, LatencyLive::of(latency))).collect(),
            by_second: sum.response_by_second,
            lateness: LatencyLive::of(&sum.lateness),
            warnings,
        };
    }
}
