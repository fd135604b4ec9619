//! How likely the draws are under each way a zone can answer, as logarithms.
//!
//! Draws are sets of addresses; under the single-A policies each set has one. All likelihoods are of the sets alone: the
//! order within an answer is told apart in `order.rs`, and says nothing about the policy.

use statrs::function::gamma::ln_gamma;

use super::draws::{Drawn, Draws};
use crate::zone::MULTIVALUE_MOST;

/// Windows looked at are at least this many gaps between queries long. A shorter window looks like a draw per query, as
/// nearly every query then falls into another one.
pub(super) const LEAST_GAPS: f64 = 4.0;
/// The longest window looked at, in times of the whole span: a longer one shows no change, and cannot be told from one address.
const MOST_SPANS: f64 = 4.0;
/// How many windows between the shortest and the longest are looked at, evenly by their logarithm.
const WINDOWS: u32 = 16;
/// How often somebody edits a zone while it is looked at. An assumption: once in ten minutes at the most.
const EDITED_EVERY_S: f64 = 600.0;
/// Queries in flight at the same time may be answered in any order; no two count as closer than this.
const LEAST_GAP_S: f64 = 0.001;

/// Draws independent of each other, by fixed but unknown shares (weighted records). With a uniform prior on the shares the
/// sequence has the Dirichlet-multinomial probability Γ(K)/Γ(n+K) · Π Γ(nᵢ+1).
pub(super) fn independent(draws: &Draws) -> f64 {
    let mut counts = vec![0_u32; draws.sets.len()];
    draws.list.iter().for_each(|drawn| counts[drawn.set] += 1);
    let (total, kinds) = (draws.list.len() as f64, counts.len() as f64);
    let sequence: f64 = counts.iter().map(|count| ln_gamma(f64::from(*count) + 1.0)).sum();
    let named: f64 = draws.sets.iter().map(|set| naming(draws, set.len())).sum();
    ln_gamma(kinds) - ln_gamma(total + kinds) + sequence - named
}

/// Random sets of up to eight out of all (multivalue): each as likely as the other.
pub(super) fn random_sets(draws: &Draws) -> f64 {
    let all = draws.distinct();
    draws.list.iter().map(|drawn| -ln_choose(all, draws.sets[drawn.set].len())).sum()
}

/// Whether answers are as large as those of multivalue: all addresses, or eight of more.
pub(super) fn is_as_large_as_multivalue(draws: &Draws) -> bool {
    let size = draws.distinct().min(MULTIVALUE_MOST);
    draws.sizes() == (size, size)
}

/// One set for everybody, which changes with time at an unknown pace (window). Zones of one name may show it in step or each
/// by its own clock, so both are looked at.
pub(super) fn by_time(draws: &Draws) -> f64 {
    let together: Vec<Vec<&Drawn>> = vec![draws.list.iter().collect()];
    let servers = draws.list.iter().map(|drawn| drawn.server).max().unwrap_or(0);
    let of = |server: usize| draws.list.iter().filter(|drawn| drawn.server == server).collect::<Vec<_>>();
    let apart: Vec<Vec<&Drawn>> = (0..=servers).map(of).filter(|list| !list.is_empty()).collect();
    let (in_step, each) = (windows(draws, &together), windows(draws, &apart));
    mean_of(&[in_step, each])
}

/// The same set always, unless somebody edits the zone (simple, load balancer).
pub(super) fn steady(draws: &Draws) -> f64 {
    changing(draws, &draws.list.iter().collect::<Vec<_>>(), EDITED_EVERY_S)
}

/// The mean likelihood over windows of all lengths.
fn windows(draws: &Draws, lists: &[Vec<&Drawn>]) -> f64 {
    let mut gaps: Vec<f64> = lists.iter().flat_map(|list| list.windows(2).map(gap_s)).collect();
    gaps.sort_by(f64::total_cmp);
    let Some(median) = gaps.get(gaps.len() / 2) else { return 0.0 };
    let span: f64 = lists.iter().map(|list| list.windows(2).map(gap_s).sum()).fold(0.0, f64::max);
    let (shortest, longest) = (LEAST_GAPS * median, (MOST_SPANS * span).max(LEAST_GAPS * median));
    let step = (longest / shortest).ln() / f64::from(WINDOWS - 1);
    let lengths = (0..WINDOWS).map(|number| shortest * (step * f64::from(number)).exp());
    let likelihoods: Vec<f64> = lengths.map(|length| lists.iter().map(|list| changing(draws, list, length)).sum()).collect();
    mean_of(&likelihoods)
}

/// Changes at a mean pace of one in `every_s`: within a gap g the set stays with probability exp(−g/every). A window's
/// changes are more regular than that, which this leaves out; runs alone tell enough.
fn changing(draws: &Draws, list: &[&Drawn], every_s: f64) -> f64 {
    let step = |pair: &[&Drawn]| {
        let stays = -gap_s(pair) / every_s;
        if pair[0].set == pair[1].set { stays } else { (-stays.exp_m1()).ln() - choosing(draws, draws.sets[pair[1].set].len()) }
    };
    list.windows(2).map(step).sum()
}

fn gap_s(pair: &[&Drawn]) -> f64 {
    (pair[1].at.saturating_sub(pair[0].at)).as_secs_f64().max(LEAST_GAP_S)
}

/// What naming one set among all of its size costs. A single address costs nothing: the addresses are the alphabet.
fn naming(draws: &Draws, size: usize) -> f64 {
    if size == 1 { 0.0 } else { ln_choose(draws.distinct(), size) }
}

/// What going on to another set costs: each other one of its size is as likely.
fn choosing(draws: &Draws, size: usize) -> f64 {
    if size == 1 { (draws.distinct().saturating_sub(1).max(1) as f64).ln() } else { ln_choose(draws.distinct(), size) }
}

fn ln_choose(all: usize, size: usize) -> f64 {
    let ln_factorial = |number: usize| ln_gamma(number as f64 + 1.0);
    ln_factorial(all) - ln_factorial(size) - ln_factorial(all - size)
}

/// The logarithm of the mean of numbers given by their logarithms.
fn mean_of(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + (logs.iter().map(|log| (log - most).exp()).sum::<f64>() / logs.len() as f64).ln()
}
