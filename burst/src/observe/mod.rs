//! What a name does, from its answers alone: how many addresses, how many in an answer, in which order, for how long, and
//! which zone policy that looks like.
//!
//! Answers of authoritative servers are draws of the zone's and tell the most. A cache gives the same draw again until its
//! TTL ends, so of its answers only those that are new entries count as draws. From draws to policies the way is Bayes'
//! rule, in `likelihood.rs`; every number there that is not counted is an assumption, and says so.
//!
//! In reading order: this file (what was seen), `order.rs`, `likelihood.rs` and `guess.rs` (what it looks like), `kind.rs`
//! (whether two names are of one kind for an audience).

mod draws;
mod guess;
mod kind;
mod likelihood;
mod order;
mod words;

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

pub use self::guess::Guess;
pub use self::kind::{Manner, kind_differs};
pub use self::order::Order;

use self::draws::Draws;
use crate::zone::{Family, MOST_MEMBERS, Member, Zone, ZonePolicy, ZoneProblem};

/// Draws below which nothing is said for sure: with fewer, a policy that happened to repeat itself looks like another one.
const FEWEST_DRAWS: usize = 20;
/// Draws after which more of them change nothing: of 15 equal addresses 100 draws miss one with probability
/// 15 × (14/15)^100 = 1.5 %.
const ENOUGH_DRAWS: usize = 100;
/// How likely a manner must be before two names are compared by it.
const DECIDED: f64 = 0.8;
/// How likely a manner must be before nobody need look any longer.
const SURE: f64 = 0.95;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Which server gave it, by a number of the observer's.
    pub server: usize,
    /// Whether the server spoke with authority (the AA bit), not out of a cache.
    pub authoritative: bool,
    /// When it was asked, after the first query of all.
    pub at: Duration,
    /// The addresses in the order of the answer, at least one.
    pub addresses: Vec<IpAddr>,
    /// The least TTL of the answer's records, in seconds.
    pub ttl_s: u32,
}

/// An address and how often it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// The address.
    pub address: IpAddr,
    /// In how many draws it was.
    pub draws: usize,
    /// In how many draws it stood first.
    pub first: usize,
}

/// What a name does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// Answers with addresses that were seen.
    pub answers: usize,
    /// Of those, draws of the zone's: answers of authoritative servers or, when there were none, new entries of caches.
    pub draws: usize,
    /// Whether authoritative servers answered.
    pub authoritative: bool,
    /// Time from the first answer to the last, in seconds.
    pub span_s: f64,
    /// Every address, in order of address.
    pub addresses: Vec<Seen>,
    /// Fewest and most addresses in an answer.
    pub per_answer: (usize, usize),
    /// Least and greatest TTL, in seconds; caches count down.
    pub ttl_s: (u32, u32),
    /// In which order the addresses of an answer come.
    pub order: Order,
    /// Whether one server answered differently, in addresses or order, from one query to the next within a TTL.
    pub differs_per_query: bool,
    /// Whether servers that answered within one second named different addresses.
    pub differs_per_server: bool,
    /// How often the addresses answered changed from one draw to the next.
    pub changes: usize,
    /// How long one answer stays the same for everybody, in seconds; only where that is how the name behaves.
    pub window_s: Option<f64>,
    /// Whether every address of the name has probably been seen.
    pub complete: bool,
    /// What it is for an audience, and how likely that is.
    pub manner: (Manner, f64),
    /// The policies it may be, most likely first. What is missing to 1 is none of the five.
    pub guess: Vec<Guess>,
    /// Why, in words.
    pub reasons: Vec<String>,
}

impl Picture {
    /// What these answers show; `None` when there is none.
    #[must_use]
    pub fn of(observations: &[Observation]) -> Option<Self> {
        let mut seen: Vec<&Observation> = observations.iter().filter(|seen| !seen.addresses.is_empty()).collect();
        seen.sort_by_key(|seen| seen.at);
        let (first, last) = (seen.first()?, seen.last()?);
        let draws = Draws::of(&seen);
        let weighed = guess::weigh(&draws);
        let sizes = || seen.iter().map(|seen| seen.addresses.len());
        let ttls = || seen.iter().filter(|seen| seen.authoritative || !draws.authoritative).map(|seen| seen.ttl_s);
        let mut picture = Self {
            answers: seen.len(),
            draws: draws.list.len(),
            authoritative: draws.authoritative,
            span_s: (last.at - first.at).as_secs_f64(),
            addresses: draws.counted(&seen),
            per_answer: (sizes().min()?, sizes().max()?),
            ttl_s: (ttls().min()?, ttls().max()?),
            order: order::of(&seen),
            differs_per_query: order::differs_per_query(&seen),
            differs_per_server: order::differs_per_server(&seen),
            changes: draws.changes(),
            window_s: None,
            complete: false,
            manner: kind::manner(&draws, &weighed),
            guess: weighed,
            reasons: Vec::new(),
        };
        if picture.manner.0 == Manner::OneForAll {
            picture.window_s = draws.window_s();
        }
        picture.complete = picture.is_complete(&draws);
        picture.reasons = words::reasons(&picture, &draws);
        Some(picture)
    }

    /// Whether enough was seen to compare this name with another.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.draws >= FEWEST_DRAWS && self.manner.1 >= DECIDED
    }

    /// Whether looking on would change nothing: the manner is clear and no address is missing. Of one address alone that is
    /// never so, for it may be the first of a window.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.draws >= ENOUGH_DRAWS && self.manner.1 >= SURE && self.complete && self.manner.0 != Manner::OneAddress
    }

    /// A zone that does the same, for a forecast of what an audience makes of it.
    ///
    /// # Errors
    /// More addresses than a zone may have ([`MOST_MEMBERS`]).
    pub fn zone(&self, seed: u64) -> Result<Zone, ZoneProblem> {
        let policy = self.guess.first().map_or(ZonePolicy::Simple, |guess| guess.policy);
        let most = self.addresses.iter().map(|seen| seen.draws).max().unwrap_or(1);
        let member = |(number, seen): (usize, &Seen)| Member {
            // Weights of Route 53 are 0 to 255; 0 would mean "off", and this one was answered.
            weight: u8::try_from(seen.draws * 255 / most.max(1)).unwrap_or(u8::MAX).max(1),
            ..Member::new(format!("address-{}", number + 1), seen.address)
        };
        if self.addresses.len() > MOST_MEMBERS {
            return Err(ZoneProblem::Members(self.addresses.len()));
        }
        let members = self.addresses.iter().enumerate().map(member).collect();
        let window = self.window_s.filter(|window| *window > 0.0).unwrap_or_else(|| f64::from(self.ttl_s.1.max(1)));
        Zone::new(policy, members, self.ttl_s.1, Duration::from_secs_f64(window), seed)
    }

    /// Whether addresses of this family were answered.
    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|seen| Family::of(seen.address) == family)
    }

    /// Addresses drawn at random are all seen once none of them was seen only once: what is unseen has about the share of
    /// what was seen once (Good, "The population frequencies of species", Biometrika 40, 1953). Addresses that come in turn
    /// are all seen once the first one has come round again.
    fn is_complete(&self, draws: &Draws) -> bool {
        if self.manner.0 == Manner::OneForAll {
            return draws.came_round();
        }
        self.addresses.iter().all(|seen| seen.draws > 1)
    }
}

#[cfg(test)]
mod tests;
