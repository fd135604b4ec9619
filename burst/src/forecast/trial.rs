//! One trial: everybody enters, connects, votes, and connects again where a connection was closed.

use std::time::Duration;

use super::cast::Cast;
use super::world::{Proxy, World};
use crate::draw::{Stream, draw, unit};
use crate::phone::PhoneMemory;
use crate::skew::Skew;

/// What one trial came to.
pub(super) struct Outcome {
    pub(super) connections: Option<Skew>,
    pub(super) votes: Option<Skew>,
    /// Proxies that got no connection.
    pub(super) idle: usize,
    /// Proxies that got no vote.
    pub(super) idle_of_votes: usize,
    pub(super) peak_open: u64,
    pub(super) by_phone: Vec<Option<Skew>>,
    pub(super) idle_by_phone: Vec<usize>,
}

/// Counts by proxy and second.
struct Counts {
    opened: Vec<Vec<u64>>,
    votes: Vec<Vec<u64>>,
    /// Opened minus closed.
    level: Vec<Vec<i64>>,
    by_phone: Vec<Vec<Vec<u64>>>,
}

/// Connections that are about to be opened again, by the millisecond. Who is put in comes later than everybody taken out so far,
/// so there is nothing to sort but the viewers of one millisecond.
struct Agenda {
    /// The newest entry of each millisecond.
    heads: Vec<u32>,
    /// Whose connection, which of its votes is next, and the entry before in the same millisecond.
    entries: Vec<(u32, u32, u32)>,
    /// The first millisecond that has not been taken out.
    next_ms: u32,
}

/// No entry.
const NONE: u32 = u32::MAX;

impl Agenda {
    fn new(seconds: usize) -> Self {
        Self { heads: vec![NONE; seconds * 1_000], entries: Vec::new(), next_ms: 0 }
    }

    fn put(&mut self, at_ms: u32, who: u32, vote: u32) {
        if let Some(head) = self.heads.get_mut(at_ms as usize) {
            self.entries.push((who, vote, *head));
            // Viewers and votes are counted in 32 bits, and connections of one trial with them.
            *head = self.entries.len() as u32 - 1;
        }
    }

    /// The next millisecond up to this one in which somebody connects: leaves who does, in order, in `due`.
    fn take(&mut self, until_ms: u32, due: &mut Vec<(u32, u32)>) -> Option<u32> {
        due.clear();
        let until_ms = until_ms.min(self.heads.len() as u32 - 1);
        let at_ms = (self.next_ms..=until_ms).find(|ms| self.heads[*ms as usize] != NONE);
        self.next_ms = at_ms.unwrap_or_else(|| until_ms.max(self.next_ms.saturating_sub(1))) + 1;
        let mut entry = self.heads[at_ms? as usize];
        while let Some((who, vote, before)) = self.entries.get(entry as usize) {
            due.push((*who, *vote));
            entry = *before;
        }
        due.sort_unstable();
        at_ms
    }
}

pub(super) struct Trial<'a> {
    cast: &'a Cast,
    world: World<'a>,
    /// How long a proxy keeps an idle connection, in milliseconds.
    keep_alive_ms: u32,
    seed: u64,
    counts: Counts,
    again: Agenda,
    /// Of viewers that may connect more than once, where `memory_of` says.
    memories: Vec<PhoneMemory<Proxy>>,
    memory_of: Vec<u32>,
    /// Who connects again in one millisecond; kept for its room.
    due: Vec<(u32, u32)>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(cast: &'a Cast, world: World<'a>, proxies: usize, phones: usize, keep_alive: Duration, seed: u64) -> Self {
        let grid = || vec![vec![0; cast.seconds]; proxies];
        Self {
            cast,
            world,
            keep_alive_ms: u32::try_from(keep_alive.as_millis()).unwrap_or(u32::MAX),
            seed,
            counts: Counts {
                opened: grid(),
                votes: grid(),
                level: vec![vec![0; cast.seconds + 1]; proxies],
                by_phone: (0..phones).map(|_| grid()).collect(),
            },
            again: Agenda::new(cast.seconds),
            memories: Vec::new(),
            memory_of: vec![NONE; cast.len()],
            due: Vec::new(),
        }
    }

    pub(super) fn play(mut self) -> Outcome {
        for viewer in 0..self.cast.len() {
            let at_ms = self.cast.enters_ms[viewer];
            self.connect_again(at_ms);
            self.connect(viewer as u32, at_ms, 0);
        }
        self.connect_again(u32::MAX);
        self.outcome()
    }

    /// Everybody who connects again up to this time does.
    fn connect_again(&mut self, until_ms: u32) {
        let mut due = std::mem::take(&mut self.due);
        while let Some(at_ms) = self.again.take(until_ms, &mut due) {
            due.iter().for_each(|(who, vote)| self.connect(*who, at_ms, *vote));
        }
        self.due = due;
    }

    /// A viewer connects at this time, with this vote next; its connection lives until it is idle for too long.
    fn connect(&mut self, who: u32, at_ms: u32, mut vote: u32) {
        let viewer = who as usize;
        let votes = self.cast.votes(viewer);
        let comes_back = self.comes_back(at_ms, votes, vote as usize);
        let (carrier, phone, agent) = (self.cast.carrier[viewer], self.cast.phone[viewer], self.cast.agent[viewer]);
        let now = Duration::from_millis(at_ms.into());
        // Who connects only once needs no memory: at first contact it holds nothing.
        if comes_back && self.memory_of[viewer] == NONE {
            self.memory_of[viewer] = self.memories.len() as u32;
            self.memories.push(PhoneMemory::default());
        }
        let own = self.memories.get_mut(self.memory_of[viewer] as usize);
        let Some(proxy) = self.world.connect(carrier, phone, agent, now, own) else { return };
        let proxy = usize::from(proxy);
        let second = |ms: u32| ((ms / 1_000) as usize).min(self.cast.seconds - 1);
        self.counts.opened[proxy][second(at_ms)] += 1;
        self.counts.by_phone[usize::from(phone)][proxy][second(at_ms)] += 1;
        self.counts.level[proxy][second(at_ms)] += 1;
        let mut active_ms = at_ms;
        let closed_ms = loop {
            let idle_until = active_ms.saturating_add(self.keep_alive_ms);
            match votes.get(vote as usize) {
                Some(planned) if *planned < idle_until => {
                    self.counts.votes[proxy][second(*planned)] += 1;
                    active_ms = active_ms.max(*planned);
                    vote += 1;
                }
                _ => break idle_until,
            }
        };
        self.counts.level[proxy][((closed_ms / 1_000) as usize).min(self.cast.seconds)] -= 1;
        if (vote as usize) < votes.len() || closed_ms < self.cast.t0_ms {
            // As the agent's viewers do: a pause of up to a second, unless a vote is due before.
            let pause_ms = (unit(draw(self.seed, Stream::Backoff, u64::from(who) << 32 | u64::from(closed_ms))) * 1_000.0) as u32;
            let due = votes.get(vote as usize).copied().unwrap_or(u32::MAX).max(closed_ms);
            let at_ms = closed_ms.saturating_add(pause_ms).min(due);
            if (at_ms / 1_000) < self.cast.seconds as u32 {
                self.again.put(at_ms, who, vote);
            }
        }
    }

    /// Whether a connection opened now will be closed for idleness while its viewer still wants one.
    fn comes_back(&self, at_ms: u32, votes: &[u32], next: usize) -> bool {
        let mut active = at_ms;
        for vote in &votes[next..] {
            if *vote >= active.saturating_add(self.keep_alive_ms) {
                return true;
            }
            active = active.max(*vote);
        }
        active.saturating_add(self.keep_alive_ms) < self.cast.t0_ms
    }

    fn outcome(self) -> Outcome {
        let Self { cast, counts, .. } = self;
        let from_t0 = (cast.t0_ms / 1_000) as usize;
        let votes: Vec<Vec<u64>> = counts.votes.iter().map(|seconds| seconds[from_t0.min(seconds.len())..].to_vec()).collect();
        let idle = |grid: &[Vec<u64>]| grid.iter().filter(|seconds| seconds.iter().all(|count| *count == 0)).count();
        let peak = |levels: &Vec<i64>| {
            let mut level = 0;
            let running = levels.iter().map(|step| {
                level += step;
                level
            });
            running.max().unwrap_or(0)
        };
        Outcome {
            connections: Skew::of(&counts.opened),
            votes: Skew::of(&votes),
            idle: idle(&counts.opened),
            idle_of_votes: idle(&votes),
            peak_open: counts.level.iter().map(peak).max().unwrap_or(0).unsigned_abs(),
            by_phone: counts.by_phone.iter().map(|grid| Skew::of(grid)).collect(),
            idle_by_phone: counts.by_phone.iter().map(|grid| idle(grid)).collect(),
        }
    }
}
