//! From likelihoods to how sure one can be of each policy.

use serde::Serialize;

use super::draws::Draws;
use super::likelihood;
use crate::zone::{LB_ALIAS_TTL_S, MULTIVALUE_MOST, ZonePolicy};

/// How likely each policy is before anything was seen. Assumptions: the four that providers document alike; the window is
/// no provider's, so less.
const DOCUMENTED: f64 = 1.0;
const UNDOCUMENTED: f64 = 0.3;
/// Something else that explains the draws as well as the best of the five: keeps any confidence below 0.99.
const SOMETHING_ELSE: f64 = 0.01;
/// A TTL of exactly 60 s where it can be chosen: one of the twelve or so that people choose (5, 10, 15, 20, 30, 60, 120, 300,
/// 600, 900, 1800, 3600). An assumption. A load balancer's alias has no other (ELB User Guide: the TTL is 60 s).
const CHOSE_60: f64 = 1.0 / 12.0;
/// Between two and eight addresses: nine of ten load balancers, for each zone of the network has a node or a few, and half of
/// all fleets. Assumptions.
const LB_HAS_FEW: f64 = 0.9;
const FLEET_HAS_FEW: f64 = 0.5;
/// One address alone is rare for a load balancer, which has one per zone. An assumption.
const LB_HAS_ONE: f64 = 0.1;
/// What contradicts a policy as documented but has been seen: a load balancer that answers with more than eight or with parts of
/// its nodes; another TTL than 60 s through something in between.
const AGAINST_THE_BOOK: f64 = 0.002;
/// A size of answers that multivalue would not choose: another provider's, or health checks that flap. An assumption.
const ODD_SIZE: f64 = 0.02;
/// Sets of several addresses under a single-A policy: Route 53 allows it, hardly anybody does it. An assumption.
const SEVERAL_IN_A_SET: f64 = 0.02;

/// A policy and how likely it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Guess {
    /// The policy.
    pub policy: ZonePolicy,
    /// In [0, 1].
    pub confidence: f64,
}

/// How likely each policy is, most likely first.
pub(super) fn weigh(draws: &Draws) -> Vec<Guess> {
    let logs = ZonePolicy::ALL.map(|policy| (policy, likelihood_of(draws, policy) + assumed(draws, policy).ln()));
    let most = logs.iter().map(|(_, log)| *log).fold(f64::NEG_INFINITY, f64::max);
    let weights = logs.map(|(policy, log)| (policy, (log - most).exp()));
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum::<f64>() + SOMETHING_ELSE;
    let mut guess: Vec<Guess> = weights.into_iter().map(|(policy, weight)| Guess { policy, confidence: weight / sum }).collect();
    guess.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
    guess
}

fn likelihood_of(draws: &Draws, policy: ZonePolicy) -> f64 {
    match policy {
        ZonePolicy::SingleAWeighted => likelihood::independent(draws),
        ZonePolicy::SingleAWindow => likelihood::by_time(draws),
        ZonePolicy::Multivalue => likelihood::random_sets(draws),
        ZonePolicy::Simple | ZonePolicy::LbAlias => likelihood::steady(draws),
    }
}

/// What is known of a policy besides its draws: how common it is, its TTL, the size of its answers.
fn assumed(draws: &Draws, policy: ZonePolicy) -> f64 {
    let all = draws.distinct();
    let is_60 = draws.ttl_s == LB_ALIAS_TTL_S;
    let chosen_ttl = if !draws.ttl_known {
        1.0
    } else if is_60 {
        CHOSE_60
    } else {
        1.0 - CHOSE_60
    };
    let fleet = if all == 1 { 1.0 } else { FLEET_HAS_FEW };
    let single = if draws.sizes().1 == 1 { 1.0 } else { SEVERAL_IN_A_SET };
    match policy {
        ZonePolicy::SingleAWeighted => DOCUMENTED * chosen_ttl * fleet * single,
        ZonePolicy::SingleAWindow => UNDOCUMENTED * chosen_ttl * fleet * single,
        ZonePolicy::Multivalue => {
            let size = if likelihood::is_as_large_as_multivalue(draws) {
                1.0
            } else if draws.sizes().1 > MULTIVALUE_MOST || draws.sizes() == (1, 1) {
                // More than eight it never answers, and one alone of several neither.
                f64::MIN_POSITIVE
            } else {
                ODD_SIZE
            };
            DOCUMENTED * chosen_ttl * fleet * size
        }
        ZonePolicy::Simple => DOCUMENTED * chosen_ttl * fleet,
        ZonePolicy::LbAlias => {
            let ttl = if is_60 || !draws.ttl_known && draws.ttl_s < LB_ALIAS_TTL_S { 1.0 } else { AGAINST_THE_BOOK };
            let size = match all {
                1 => LB_HAS_ONE,
                2..=MULTIVALUE_MOST => LB_HAS_FEW,
                _ => AGAINST_THE_BOOK,
            };
            DOCUMENTED * ttl * size
        }
    }
}
