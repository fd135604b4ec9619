//! How an authoritative zone answers: the five policies a name can have, as a pure function of query number and time.
//!
//! The rules of the first, third and fourth are those of Amazon Route 53 (Developer Guide: "Weighted routing",
//! "Multivalue answer routing", "Simple routing", "How Amazon Route 53 chooses records when health checking is
//! configured"). The authority is a sampler without memory: caches ask it once per TTL and get independent draws.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::draw::{Stream, below, draw};
use crate::scenario::nearest;

/// The most addresses in one multivalue answer (Route 53: "up to eight healthy records").
pub const MULTIVALUE_MOST: usize = 8;
/// The TTL of an alias to a load balancer, in seconds; it cannot be set (ELB User Guide).
pub const LB_ALIAS_TTL_S: u32 = 60;
/// The most members of a zone: a group of Route 53 holds up to 100 records of one name and type.
pub const MOST_MEMBERS: usize = 100;
/// The greatest TTL there is (RFC 2181, section 8).
pub const MOST_TTL_S: u32 = i32::MAX as u32;

/// How a zone answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZonePolicy {
    /// One address per answer, drawn by weight anew for every query: Route 53 weighted records with one address each.
    SingleAWeighted,
    /// One address for everybody, moving on to the next every few seconds: what the case looked like from outside.
    /// Not a documented policy of any provider.
    SingleAWindow,
    /// Up to eight random healthy addresses: Route 53 multivalue answer.
    Multivalue,
    /// All addresses in random order: Route 53 simple routing.
    Simple,
    /// A few stable addresses of a load balancer, in random order, TTL 60.
    LbAlias,
}

impl ZonePolicy {
    /// Every policy.
    pub const ALL: [Self; 5] = [Self::SingleAWeighted, Self::SingleAWindow, Self::Multivalue, Self::Simple, Self::LbAlias];

    /// The word for it in scenarios and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleAWeighted => "single-a-weighted",
            Self::SingleAWindow => "single-a-window",
            Self::Multivalue => "multivalue",
            Self::Simple => "simple",
            Self::LbAlias => "lb-alias",
        }
    }
}

impl fmt::Display for ZonePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no zone policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{word}` is no zone policy{near}; needed one of {all}",
    word = .0,
    near = probably_meant(.0),
    all = ZonePolicy::ALL.map(ZonePolicy::name).join(", ")
)]
pub struct UnknownPolicy(pub String);

/// The policy that was probably meant, as a question, if any is alike.
fn probably_meant(word: &str) -> String {
    nearest(word, &ZonePolicy::ALL.map(ZonePolicy::name)).map_or_else(String::new, |policy| format!(", did you mean `{policy}`?"))
}

impl FromStr for ZonePolicy {
    type Err = UnknownPolicy;

    fn from_str(word: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == word).ok_or_else(|| UnknownPolicy(word.into()))
    }
}

/// Which addresses a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4: type A.
    V4,
    /// IPv6: type AAAA.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What a zone knows of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// Its health check passes, or it has none.
    #[default]
    Healthy,
    /// Its health check fails.
    Unhealthy,
    /// The zone does not hold it.
    Absent,
}

/// One record of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id that sets records of one name and type apart.
    pub set_id: String,
    /// The address it holds.
    pub address: IpAddr,
    /// Its weight under [`ZonePolicy::SingleAWeighted`].
    pub weight: u8,
    /// Its state before T0, and until the first change.
    pub state: MemberState,
    /// What becomes of it when, after T0, in order of time.
    pub changes: Vec<(Duration, MemberState)>,
}

impl Member {
    /// A healthy member of weight 1 that stays so.
    #[must_use]
    pub fn new(set_id: String, address: IpAddr) -> Self {
        Self { set_id, address, weight: 1, state: MemberState::Healthy, changes: Vec::new() }
    }

    fn state_at(&self, since_t0: Option<Duration>) -> MemberState {
        let passed = self.changes.iter().take_while(|(at, _)| since_t0.is_some_and(|since| *at <= since));
        passed.last().map_or(self.state, |(_, state)| *state)
    }
}

/// When a query comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// After the zone was opened.
    pub now: Duration,
    /// After T0; `None` before.
    pub since_t0: Option<Duration>,
}

/// Why there is no such zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneProblem {
    /// Too few or too many members.
    #[error("a zone of {0} members: needed 1 to {MOST_MEMBERS}")]
    Members(usize),
    /// A TTL beyond 2³¹ − 1.
    #[error("a TTL of {0} s: needed 0 to {MOST_TTL_S}")]
    Ttl(u32),
    /// A window without length.
    #[error("a window of no length: needed more than 0")]
    Window,
}

/// A zone of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    policy: ZonePolicy,
    members: Vec<Member>,
    ttl_s: u32,
    window: Duration,
    seed: u64,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The members answered, by position, in the order of the answer; none when the zone holds none of the family.
    pub members: Vec<usize>,
    /// The TTL of their records, in seconds.
    pub ttl_s: u32,
}

impl Zone {
    /// A zone that answers by `policy` from these members. `window` matters under [`ZonePolicy::SingleAWindow`] only.
    ///
    /// # Errors
    /// No members or more than [`MOST_MEMBERS`], a TTL beyond [`MOST_TTL_S`], a window of no length.
    pub fn new(policy: ZonePolicy, members: Vec<Member>, ttl_s: u32, window: Duration, seed: u64) -> Result<Self, ZoneProblem> {
        if members.is_empty() || members.len() > MOST_MEMBERS {
            return Err(ZoneProblem::Members(members.len()));
        }
        if ttl_s > MOST_TTL_S {
            return Err(ZoneProblem::Ttl(ttl_s));
        }
        if window.is_zero() {
            return Err(ZoneProblem::Window);
        }
        Ok(Self { policy, members, ttl_s, window, seed })
    }

    /// The same zone with other draws.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    /// How it answers.
    #[must_use]
    pub fn policy(&self) -> ZonePolicy {
        self.policy
    }

    /// The TTL it was made with, in seconds; [`ZonePolicy::LbAlias`] answers [`LB_ALIAS_TTL_S`] whatever that is.
    #[must_use]
    pub fn ttl_s(&self) -> u32 {
        self.ttl_s
    }

    /// How long [`ZonePolicy::SingleAWindow`] stays with one address.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Its members.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The addresses of an answer, in its order.
    #[must_use]
    pub fn addresses(&self, answer: &Answer) -> Vec<IpAddr> {
        answer.members.iter().map(|member| self.members[*member].address).collect()
    }

    /// The answer to the `query`th query for this family. The same arguments give the same answer.
    #[must_use]
    pub fn answer(&self, family: Family, query: u64, moment: Moment) -> Answer {
        let state = |member: usize| self.members[member].state_at(moment.since_t0);
        let of_family = |member: &usize| Family::of(self.members[*member].address) == family;
        let present: Vec<usize> =
            (0..self.members.len()).filter(of_family).filter(|member| state(*member) != MemberState::Absent).collect();
        let ttl_s = if self.policy == ZonePolicy::LbAlias { LB_ALIAS_TTL_S } else { self.ttl_s };
        if present.is_empty() {
            return Answer { members: present, ttl_s };
        }
        // When none is healthy all count as healthy.
        let healthy: Vec<usize> = present.iter().copied().filter(|member| state(*member) == MemberState::Healthy).collect();
        let eligible = || if healthy.is_empty() { present.clone() } else { healthy.clone() };
        let members = match self.policy {
            ZonePolicy::SingleAWeighted => vec![self.by_weight(eligible(), query)],
            ZonePolicy::SingleAWindow => {
                let eligible = eligible();
                let window = moment.now.as_nanos() / self.window.as_nanos();
                vec![eligible[(window % eligible.len() as u128) as usize]]
            }
            ZonePolicy::Multivalue => {
                let mut chosen = self.shuffled(eligible(), query);
                chosen.truncate(MULTIVALUE_MOST);
                chosen
            }
            // Route 53 has no health checks on simple records, and an alias names whatever nodes there are.
            ZonePolicy::Simple | ZonePolicy::LbAlias => self.shuffled(present, query),
        };
        Answer { members, ttl_s }
    }

    /// Weight over the sum of weights, among healthy members of non-zero weight; those of weight zero only when no other
    /// is healthy; all equal when all weights are zero. With no health at all everybody counts as healthy, and a weight
    /// of zero still means "off".
    fn by_weight(&self, healthy: Vec<usize>, query: u64) -> usize {
        let weighted: Vec<usize> = healthy.iter().copied().filter(|member| self.members[*member].weight > 0).collect();
        let eligible = if weighted.is_empty() { healthy } else { weighted };
        let weight = |member: &usize| u64::from(self.members[*member].weight);
        let sum: u64 = eligible.iter().map(weight).sum();
        let drawn = draw(self.seed, Stream::ZoneAnswer, query);
        if sum == 0 {
            return eligible[below(drawn, eligible.len() as u64) as usize];
        }
        let mut rest = below(drawn, sum);
        let last = eligible[eligible.len() - 1];
        eligible
            .into_iter()
            .find(|member| {
                let found = rest < weight(member);
                rest = rest.saturating_sub(weight(member));
                found
            })
            .unwrap_or(last)
    }

    /// Fisher–Yates, with draws that belong to this query alone.
    fn shuffled(&self, mut members: Vec<usize>, query: u64) -> Vec<usize> {
        for end in (1..members.len()).rev() {
            let drawn = draw(self.seed, Stream::ZoneAnswer, query * MOST_MEMBERS as u64 + end as u64);
            members.swap(end, below(drawn, end as u64 + 1) as usize);
        }
        members
    }
}

#[cfg(test)]
mod tests;
