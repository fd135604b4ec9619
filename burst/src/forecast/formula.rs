//! What a formula says of a burst, beside what playing it says.
//!
//! Notation: k equal proxies; caches with shares p of the audience, the largest p₁, all with the same TTL T; everybody enters
//! once, uniformly over B. Of an answer a addresses are used alike: all of them when somebody turns or shuffles it, 1 when its
//! order stays and phones take the first.
//!
//! - Each cache draws a new answer in each of its windows of length T. A proxy is among the a with chance a/k and then gets 1/a of
//!   that window, so its share has the mean 1/k and CV² = (k/a − 1)·Σp²·Σw², with w the windows' parts of B. N viewers
//!   add the counting noise of a multinomial draw, (k − 1)/N.
//! - The greatest of k such shares is about c_k deviations above the mean, with c_k the mean maximum of k standard normal draws.
//! - The largest cache's longest window alone puts 1 + (k/a − 1)·p₁·w₁ on one proxy, and nothing puts more than k/a there.
//!   The expected max/mean is the larger of the two under that cap. One cache that never asks twice reaches it exactly.
//! - One instant is the same with a single window.
//!
//! These are derived here, from moments alone; the tests hold them against the simulation. Max/mean of the same policies by
//! simulation is their check, not their source.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use super::Setting;
use crate::cache::{CacheModel, CacheOrder};
use crate::phone::{CacheScope, PickOrder};
use crate::scenario::Phase;
use crate::zone::{Family, MemberState, Moment, ZonePolicy};

/// How finely the phase of a moving zone is averaged over.
const OFFSETS: u32 = 100;

/// Which formula it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Every answer is used in full and holds every proxy: even, but for counting noise.
    Flat,
    /// One cache that asks once: everybody gets the addresses of a single answer.
    OneAnswer,
    /// Independent draws of several caches, or of several windows.
    Draws,
    /// The zone itself moves from proxy to proxy.
    Window,
}

/// What it says of everybody's first connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Formula {
    /// Which one.
    pub rule: Rule,
    /// Expected max/mean over all proxies, in all.
    pub total: f64,
    /// The same at one instant, without counting noise.
    pub instant: f64,
    /// Whether it is exact but for counting noise. Otherwise it was within 15 % below and 25 % above of the mean over trials
    /// wherever this repository's tests compare them.
    pub exact: bool,
}

/// What all formulas speak of.
struct Terms {
    proxies: f64,
    /// How many addresses of an answer are used.
    used: f64,
    largest: f64,
    /// Σp² over all caches.
    squares: f64,
    caches: usize,
    viewers: f64,
    span_s: f64,
    ttl_s: f64,
    phase: Phase,
}

/// The formula for a setting; `None` when none of these fits: unequal weights, members that are not healthy all the time,
/// caches or phones that differ, prefetch, real resolvers, phones that share a process.
#[must_use]
pub fn formula(setting: &Setting<'_>) -> Option<Formula> {
    let zone = setting.zone;
    let scenario = &setting.plan.scenario;
    let first = zone.members().first()?;
    let even = zone.members().iter().all(|member| {
        let v4 = Family::of(member.address) == Family::V4;
        v4 && member.weight == first.weight && member.state == MemberState::Healthy && member.changes.is_empty()
    });
    let cache = common_cache(setting)?;
    let turned = turned(setting, cache)?;
    let answer = zone.answer(Family::V4, 0, Moment::default());
    if !even || answer.members.is_empty() {
        return None;
    }
    let carriers = &scenario.carriers.list;
    let each =
        || carriers.iter().map(|carrier| (carrier.share / f64::from(carrier.caches.max(1)), f64::from(carrier.caches.max(1))));
    let terms = Terms {
        proxies: zone.members().len() as f64,
        used: if turned { answer.members.len() as f64 } else { 1.0 },
        largest: each().map(|(share, _)| share).fold(0.0, f64::max),
        squares: each().map(|(share, caches)| share * share * caches).sum(),
        caches: carriers.iter().map(|carrier| usize::from(carrier.caches.max(1))).sum(),
        viewers: f64::from(scenario.audience.viewers),
        span_s: scenario.audience.doors_open.as_secs_f64(),
        ttl_s: f64::from(cache.clamped(answer.ttl_s)),
        phase: scenario.carriers.phase,
    };
    if zone.policy() == ZonePolicy::SingleAWindow { terms.windows(zone.window()) } else { Some(terms.draws()) }
}

/// The cache that all carriers have; stale and negative answers do not matter here.
fn common_cache(setting: &Setting<'_>) -> Option<CacheModel> {
    let carriers = &setting.plan.scenario.carriers.list;
    let cache = carriers.first()?.cache;
    let alike = carriers.iter().all(|carrier| carrier.cache == cache && carrier.resolver.is_none());
    (alike && cache.prefetch_pct == 0).then_some(cache)
}

/// Whether all addresses of an answer come first equally often, for every kind of phone.
fn turned(setting: &Setting<'_>, cache: CacheModel) -> Option<bool> {
    let phones = &setting.plan.scenario.audience.phones;
    let turned = |order: PickOrder| cache.order != CacheOrder::Fixed || order == PickOrder::Shuffled;
    let first = turned(phones.first()?.model.order);
    let alike = phones.iter().all(|phone| phone.model.scope != CacheScope::Process && turned(phone.model.order) == first);
    alike.then_some(first)
}

impl Terms {
    fn draws(&self) -> Formula {
        let most = self.proxies / self.used;
        let noise = (self.proxies - 1.0) / self.viewers.max(1.0);
        if self.used >= self.proxies {
            let total = 1.0 + deviations(self.proxies) * noise.sqrt();
            return Formula { rule: Rule::Flat, total, instant: 1.0, exact: true };
        }
        if self.caches == 1 && self.ttl_s >= self.span_s && self.phase == Phase::Cold {
            let total = most * (1.0 + deviations(self.used) * ((self.used - 1.0) / self.viewers.max(1.0)).sqrt());
            return Formula { rule: Rule::OneAnswer, total, instant: most, exact: true };
        }
        let (longest, squares) = self.windows_of_a_cache();
        let expected = |longest: f64, windows: f64, noise: f64| {
            let by_largest = 1.0 + (most - 1.0) * self.largest * longest;
            let by_draws = 1.0 + deviations(self.proxies) * ((most - 1.0) * self.squares * windows + noise).sqrt();
            by_largest.max(by_draws).min(most.max(1.0 + deviations(self.proxies) * noise.sqrt()))
        };
        Formula { rule: Rule::Draws, total: expected(longest, squares, noise), instant: expected(1.0, 1.0, 0.0), exact: false }
    }

    /// The longest window of a cache as a part of the span, and the sum of the squares of all; both expected.
    fn windows_of_a_cache(&self) -> (f64, f64) {
        if self.span_s <= 0.0 {
            return (1.0, 1.0);
        }
        let part = self.ttl_s / self.span_s;
        match self.phase {
            Phase::Cold => {
                let whole = if part > 0.0 { (1.0 / part).floor() } else { 0.0 };
                let rest = if part > 0.0 { 1.0 - whole * part } else { 0.0 };
                (part.min(1.0), whole * part * part + rest * rest)
            }
            // The chance that two instants of the span lie in one window is max(0, 1 − distance/T), averaged.
            Phase::Random if part < 1.0 => (part, part - part * part / 3.0),
            // A window ends within the span with chance B/T, anywhere; of a cut at random the longer piece is 3/4.
            Phase::Random => (1.0 - 0.25 / part, 1.0 - 1.0 / (3.0 * part)),
        }
    }

    /// Everybody at the proxy whose turn it is; caches must not outlive a turn, or they decide.
    fn windows(&self, window: Duration) -> Option<Formula> {
        let window_s = window.as_secs_f64();
        if self.ttl_s > window_s || self.span_s <= 0.0 {
            return None;
        }
        let in_step = self.caches == 1 && self.ttl_s == window_s && self.phase == Phase::Cold;
        let most = if in_step {
            // Its only cache begins its own windows with the first to come, and each of them falls into the next turn.
            self.longest_turns(window_s, 0.0)
        } else {
            let midpoints = (0..OFFSETS).map(|n| (f64::from(n) + 0.5) / f64::from(OFFSETS) * window_s);
            midpoints.map(|into| self.longest_turns(window_s, into)).sum::<f64>() / f64::from(OFFSETS)
        };
        let total = most * self.proxies / self.span_s;
        Some(Formula { rule: Rule::Window, total, instant: self.proxies, exact: in_step || self.ttl_s == 0.0 })
    }

    /// For how long of the span it is the turn of the proxy that has most of it, when the span begins so far into a turn.
    fn longest_turns(&self, window_s: f64, into: f64) -> f64 {
        let mut held = vec![0.0; self.proxies as usize];
        let turns = ((self.span_s + into) / window_s).ceil() as usize;
        for turn in 0..turns {
            let begins = turn as f64 * window_s - into;
            held[turn % self.proxies as usize] += (begins + window_s).min(self.span_s) - begins.max(0.0);
        }
        held.into_iter().fold(0.0, f64::max)
    }
}

/// The expected maximum of so many standard normal draws: ∫ x·k·φ(x)·Φ(x)^(k−1) dx, by the trapezoid rule.
fn deviations(draws: f64) -> f64 {
    const FROM: f64 = -8.0;
    const STEP: f64 = 0.01;
    const STEPS: u32 = 1_600;
    let normal = Normal::standard();
    let at = |x: f64| x * draws * normal.pdf(x) * libm::pow(normal.cdf(x), draws - 1.0);
    if draws <= 1.0 { 0.0 } else { (0..=STEPS).map(|step| at(FROM + f64::from(step) * STEP) * STEP).sum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_maximum_of_normal_draws_is_that_of_the_tables() {
        // Order statistics of the normal distribution: Harter, "Expected values of normal order statistics", Biometrika 48 (1961).
        for (draws, mean) in [(1, 0.0), (2, 0.564_19), (4, 1.029_38), (8, 1.423_60), (15, 1.735_91)] {
            assert!((deviations(f64::from(draws)) - mean).abs() < 1e-4, "{draws}: {}", deviations(f64::from(draws)));
        }
    }
}
