//! Bursts whose outcome is certain, or has a simple expectation.

use voteburst_burst::forecast::{Band, Rule};
use voteburst_burst::zone::ZonePolicy::{Multivalue, SingleAWeighted, SingleAWindow};

use crate::playing::{BURST, Burst, SEED};

/// Viewers enough for every second to be busy enough to tell: 400 come in each, 300 are needed for fifteen proxies.
const BUSY: u32 = 24_000;

fn is_always(band: &Band, value: f64) -> bool {
    [band.mean, band.p1, band.p99].iter().all(|found| (found - value).abs() < 1e-9)
}

#[test]
fn one_address_behind_one_cache_for_a_minute_is_one_proxy_for_everybody() {
    let told = BURST.play();
    assert!(is_always(&told.connections.total, 15.0) && is_always(&told.connections.idle, 14.0), "{told:?}");
    assert!(is_always(&told.peak_open, 12_000.0), "nobody leaves: {:?}", told.peak_open);
    let formula = told.formula.unwrap();
    assert_eq!((formula.rule, formula.total, formula.instant, formula.exact), (Rule::OneAnswer, 15.0, 15.0, true));
}

#[test]
fn a_short_ttl_moves_everybody_together_and_reaches_twelve_proxies_at_most() {
    let told = Burst { ttl_s: 5, viewers: BUSY, ..BURST }.play();
    assert!(is_always(&told.connections.peak_1s.unwrap(), 15.0), "each second has one proxy: {told:?}");
    assert!(told.connections.idle.p1 >= 3.0, "twelve draws of fifteen: {:?}", told.connections.idle);
    assert!(told.connections.total.p99 < 15.0, "{:?}", told.connections.total);
}

#[test]
fn multivalue_behind_one_turning_cache_uses_eight_of_fifteen_evenly() {
    let told = Burst { policy: Multivalue, ..BURST }.play();
    assert!(is_always(&told.connections.idle, 7.0), "{told:?}");
    // 15/8, and of eight counts of 1,500 the greatest is 1.42 deviations of 36 above their mean; five of them at most.
    let total = told.connections.total;
    assert!((1.875..1.875 * (1.0 + 5.0 * 36.2 / 1_500.0)).contains(&total.p99), "seed {SEED}: {total:?}");
    assert!((total.mean / told.formula.unwrap().total - 1.0).abs() < 0.01, "{told:?}");
}

#[test]
fn multivalue_in_a_fixed_order_is_one_proxy_for_everybody_who_takes_the_first() {
    let told = Burst { policy: Multivalue, order: "fixed", ..BURST }.play();
    assert!(is_always(&told.connections.total, 15.0), "{told:?}");
}

#[test]
fn multivalue_over_eight_proxies_is_even_but_for_chance() {
    for order in ["rotate", "shuffle"] {
        let burst = Burst { policy: Multivalue, proxies: 8, order, ..BURST };
        let told = burst.play();
        let bound = 1.0 + 4.0 * (8.0 / f64::from(burst.viewers)).sqrt();
        assert!(told.connections.total.p99 < bound, "{order}, seed {SEED}: {:?} against {bound}", told.connections.total);
        assert_eq!(told.formula.map(|formula| (formula.rule, formula.instant)), Some((Rule::Flat, 1.0)));
    }
}

#[test]
fn a_window_of_five_seconds_over_fifteen_proxies_looks_mild_in_a_minute_and_is_one_proxy_at_any_instant() {
    let burst = Burst { policy: SingleAWindow, ttl_s: 0, viewers: BUSY, ..BURST };
    let told = burst.play();
    // A minute touches thirteen windows, and twelve when it begins with one: dns_layers.rs plays that.
    assert!(is_always(&told.connections.idle, 2.0), "{told:?}");
    // In most seconds there is one proxy; a window may end within any, but not within all of them.
    assert!(is_always(&told.connections.peak_1s.unwrap(), 15.0), "{told:?}");
    // Each whole window is a proxy's: 15/12 but for how many of the 24,000 come in the fullest of them, 2,000 ± 45.
    assert!((1.25..1.25 * 1.15).contains(&told.connections.total.mean), "{told:?}");
    let formula = told.formula.unwrap();
    assert!(formula.rule == Rule::Window && formula.exact && (formula.total - 1.25).abs() < 1e-9, "{formula:?}");
    // Over a single window's length: a cut at random leaves 3/4 on one of two proxies.
    let short = Burst { over: "5s", viewers: 4_000, trials: 100, ..burst }.play();
    let expected = 15.0 * 0.75;
    assert!((short.formula.unwrap().total - expected).abs() < 0.01, "{short:?}");
    // The longer piece is uniform from 1/2 to 1, with a deviation of 0.144 in each of 100 trials; and who comes when is drawn once, for 4,000.
    let error = 15.0 * (0.144_f64 / 10.0).hypot(0.5 / 4_000_f64.sqrt());
    assert!((short.connections.total.mean - expected).abs() < 3.0 * error, "seed {SEED}: {short:?}");
}

#[test]
fn a_cache_that_outlives_a_moving_zones_windows_has_no_formula() {
    let told = Burst { policy: SingleAWindow, ttl_s: 60, viewers: 1_000, ..BURST }.play();
    assert_eq!(told.formula, None);
}

#[test]
fn four_load_tools_that_ask_once_each_are_four_balls_in_fifteen_bins() {
    // E[max/mean] and idle bins of four balls in fifteen bins, counted over all 15⁴ ways: 5.1378 and 15·(14/15)⁴ = 11.38.
    let (expected, idle) = balls(4, 15);
    assert!((expected - 5.1378).abs() < 1e-4 && (idle - 11.382).abs() < 1e-3, "{expected} {idle}");
    // A TTL of 0 makes their four questions independent although one cache answers them.
    let burst = Burst { phone: "naive-loadtool", ttl_s: 0, agents: 4, viewers: 400, trials: 1_000, ..BURST };
    let told = burst.play().connections;
    // One trial has a deviation of 2.0 and 0.6; three standard errors of a thousand.
    assert!((told.total.mean - expected).abs() < 3.0 * 2.0 / 1_000_f64.sqrt(), "seed {SEED}: {:?}", told.total);
    assert!((told.idle.mean - idle).abs() < 3.0 * 0.6 / 1_000_f64.sqrt(), "seed {SEED}: {:?}", told.idle);
}

/// Mean max/mean and mean number of empty bins, over all ways to throw the balls.
fn balls(balls: u32, bins: usize) -> (f64, f64) {
    let (mut greatest, mut empty) = (0, 0);
    let ways = bins.pow(balls);
    for way in 0..ways {
        let mut counts = vec![0_usize; bins];
        (0..balls).fold(way, |rest, _| {
            counts[rest % bins] += 1;
            rest / bins
        });
        greatest += counts.iter().max().copied().unwrap_or_default();
        empty += counts.iter().filter(|count| **count == 0).count();
    }
    let mean = |sum: usize| sum as f64 / ways as f64;
    (mean(greatest) * bins as f64 / f64::from(balls), mean(empty))
}

#[test]
fn an_unknown_outcome_is_a_range_and_the_same_for_the_same_seed() {
    let burst = Burst { policy: SingleAWeighted, carriers: 10, viewers: 2_000, ..BURST };
    let (once, again) = (burst.play(), burst.play());
    assert_eq!(once, again);
    let total = once.connections.total;
    assert!(total.p1 < total.p50 && total.p50 < total.p99 && total.p1 < total.mean && total.mean < total.p99, "{total:?}");
}
