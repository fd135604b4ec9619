//! How an authoritative zone answers: the five policies a name can have, as a pure function of query number and time.
//!
//! The rules of the first, third and fourth are those of Amazon Route 53 (Developer Guide: "Weighted routing",
//! "Multivalue answer routing", "Simple routing", "How Amazon Route 53 chooses records when health checking is
//! configured"). The authority is a sampler without memory: caches ask it once per TTL and get independent draws.

use std::fmt;
use std::net::Ipv4Addr;
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

/// One record of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id that sets records of one name and type apart.
    pub set_id: String,
    /// The address it holds.
    pub address: Ipv4Addr,
    /// Its weight under [`ZonePolicy::SingleAWeighted`].
    pub weight: u8,
    /// Whether its health check says so.
    pub healthy: bool,
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
    /// The members answered, by position, in the order of the answer.
    pub members: Vec<usize>,
    /// Their addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Their TTL, in seconds.
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

    /// How it answers.
    #[must_use]
    pub fn policy(&self) -> ZonePolicy {
        self.policy
    }

    /// Its members.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The answer to the `query`th query, `now` after the zone was opened. The same arguments give the same answer.
    #[must_use]
    pub fn answer(&self, query: u64, now: Duration) -> Answer {
        let chosen = match self.policy {
            ZonePolicy::SingleAWeighted => vec![self.by_weight(query)],
            ZonePolicy::SingleAWindow => {
                let healthy = self.healthy();
                let window = now.as_nanos() / self.window.as_nanos();
                vec![healthy[(window % healthy.len() as u128) as usize]]
            }
            ZonePolicy::Multivalue => {
                let mut chosen = self.shuffled(self.healthy(), query);
                chosen.truncate(MULTIVALUE_MOST);
                chosen
            }
            // Route 53 has no health checks on simple records, and an alias names whatever nodes there are.
            ZonePolicy::Simple | ZonePolicy::LbAlias => self.shuffled((0..self.members.len()).collect(), query),
        };
        let ttl_s = if self.policy == ZonePolicy::LbAlias { LB_ALIAS_TTL_S } else { self.ttl_s };
        Answer { addresses: chosen.iter().map(|member| self.members[*member].address).collect(), members: chosen, ttl_s }
    }

    /// The healthy members; all when none is, as Route 53 then treats all as healthy.
    fn healthy(&self) -> Vec<usize> {
        let healthy: Vec<usize> = (0..self.members.len()).filter(|member| self.members[*member].healthy).collect();
        if healthy.is_empty() { (0..self.members.len()).collect() } else { healthy }
    }

    /// Weight over the sum of weights, among healthy members of non-zero weight; those of weight zero only when no other
    /// is healthy; all equal when all weights are zero. With no health at all everybody counts as healthy, and a weight
    /// of zero still means "off".
    fn by_weight(&self, query: u64) -> usize {
        let healthy = self.healthy();
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(k: u8) -> Vec<Member> {
        let member =
            |i: u8| Member { set_id: format!("proxy-{i}"), address: Ipv4Addr::new(127, 0, 0, 11 + i), weight: 1, healthy: true };
        (0..k).map(member).collect()
    }

    fn zone(policy: ZonePolicy, members: Vec<Member>) -> Zone {
        Zone::new(policy, members, 5, Duration::from_secs(5), 42).unwrap()
    }

    /// How often each member came first in 15,000 answers.
    fn firsts(zone: &Zone) -> Vec<u32> {
        let mut counts = vec![0; zone.members().len()];
        for query in 0..15_000 {
            counts[zone.answer(query, Duration::ZERO).members[0]] += 1;
        }
        counts
    }

    /// Chi-square against equal shares; the bound is the 99.9 % quantile for 14 degrees of freedom or fewer.
    fn even(counts: &[u32]) -> bool {
        let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts.iter().map(|count| (f64::from(*count) - mean).powi(2) / mean).sum::<f64>() < 36.1
    }

    #[test]
    fn weighted_answers_one_address_drawn_by_weight() {
        assert!(even(&firsts(&zone(ZonePolicy::SingleAWeighted, members(15)))));
        let mut uneven = members(3);
        (uneven[0].weight, uneven[1].weight, uneven[2].weight) = (3, 1, 0);
        let counts = firsts(&zone(ZonePolicy::SingleAWeighted, uneven));
        // 15,000 · 3/4 with a standard deviation of 53; five of them.
        assert!((10_985..=11_515).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
    }

    #[test]
    fn weights_of_zero_and_health_follow_the_rules_of_route_53() {
        // Weights, health, and the members that may be answered.
        let cases: [(&[u8], &[bool], &[usize]); 6] = [
            (&[0, 0, 0], &[true, true, true], &[0, 1, 2]),
            (&[1, 1, 1], &[true, false, true], &[0, 2]),
            (&[1, 1, 1], &[false, false, false], &[0, 1, 2]),
            (&[1, 1, 0], &[false, false, true], &[2]),
            (&[1, 0, 0], &[true, true, true], &[0]),
            (&[1, 0, 1], &[false, false, false], &[0, 2]),
        ];
        for (weights, health, expected) in cases {
            let mut members = members(3);
            for (member, (weight, healthy)) in members.iter_mut().zip(weights.iter().zip(health)) {
                (member.weight, member.healthy) = (*weight, *healthy);
            }
            let counts = firsts(&zone(ZonePolicy::SingleAWeighted, members));
            let answered: Vec<usize> = (0..3).filter(|member| counts[*member] > 0).collect();
            assert_eq!(answered, expected, "weights {weights:?}, health {health:?}");
        }
    }

    #[test]
    fn the_window_moves_everybody_on_to_the_next_address() {
        let zone = zone(ZonePolicy::SingleAWindow, members(15));
        let at = |query, seconds| zone.answer(query, Duration::from_secs(seconds)).members;
        for query in 0..100 {
            assert_eq!((at(query, 0), at(query, 4), at(query, 5), at(query, 75)), (vec![0], vec![0], vec![1], vec![0]));
        }
        // A minute is twelve windows: twelve proxies get 5 s each, three idle, max/mean 15/12.
        let mut seconds = [0; 15];
        (0..60).for_each(|second| seconds[at(second, second)[0]] += 1);
        assert_eq!((seconds.iter().filter(|s| **s == 0).count(), seconds.iter().max()), (3, Some(&5)));
    }

    #[test]
    fn multivalue_answers_eight_distinct_healthy_addresses_evenly() {
        let fifteen = zone(ZonePolicy::Multivalue, members(15));
        assert!(even(&firsts(&fifteen)));
        let answer = fifteen.answer(3, Duration::ZERO);
        assert_eq!(answer.addresses.len(), 8);
        let mut sick = members(15);
        sick[..10].iter_mut().for_each(|member| member.healthy = false);
        let mut five = zone(ZonePolicy::Multivalue, sick).answer(0, Duration::ZERO).members;
        five.sort_unstable();
        assert_eq!(five, [10, 11, 12, 13, 14]);
        let none = members(15).into_iter().map(|member| Member { healthy: false, ..member }).collect();
        assert_eq!(zone(ZonePolicy::Multivalue, none).answer(0, Duration::ZERO).members.len(), 8);
    }

    #[test]
    fn a_load_balancer_alias_has_a_ttl_of_sixty_and_all_its_nodes() {
        let answer = zone(ZonePolicy::LbAlias, members(3)).answer(0, Duration::ZERO);
        assert_eq!((answer.ttl_s, answer.addresses.len()), (60, 3));
    }

    proptest! {
        #[test]
        fn an_answer_is_pure_and_holds_no_address_twice(policy in 0_usize..5, k in 1_u8..40, query in any::<u32>(), at in 0_u64..10_000) {
            let zone = zone(ZonePolicy::ALL[policy], members(k));
            let answer = zone.answer(query.into(), Duration::from_secs(at));
            prop_assert_eq!(&answer, &zone.answer(query.into(), Duration::from_secs(at)));
            let mut distinct = answer.addresses.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), answer.addresses.len());
            prop_assert!(!distinct.is_empty());
        }
    }

    #[test]
    fn zones_that_cannot_be_are_refused() {
        let new = |members, ttl, window| Zone::new(ZonePolicy::Simple, members, ttl, window, 0).unwrap_err();
        assert_eq!(new(vec![], 5, Duration::from_secs(1)), ZoneProblem::Members(0));
        assert_eq!(new(members(101), 5, Duration::from_secs(1)), ZoneProblem::Members(101));
        assert_eq!(new(members(1), 1 << 31, Duration::from_secs(1)), ZoneProblem::Ttl(1 << 31));
        assert_eq!(new(members(1), 5, Duration::ZERO), ZoneProblem::Window);
    }

    #[test]
    fn every_policy_is_read_by_its_name() {
        for policy in ZonePolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let refused = |word: &str| word.parse::<ZonePolicy>().unwrap_err().to_string();
        let all = "needed one of single-a-weighted, single-a-window, multivalue, simple, lb-alias";
        assert_eq!(refused("multi-value"), format!("`multi-value` is no zone policy, did you mean `multivalue`?; {all}"));
        assert_eq!(refused("xyz"), format!("`xyz` is no zone policy; {all}"));
    }
}
