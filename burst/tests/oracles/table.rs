//! The whole published table, played viewer by viewer: each cell within what chance allows.
//!
//! Fewer viewers and trials than the table had, so that this ends soon: what that costs in certainty stands in [`Allowance`].

use voteburst_burst::forecast::{Band, Setting, SkewBands, formula};
use voteburst_burst::zone::ZonePolicy::{self, Multivalue, SingleAWeighted};

use crate::playing::{BURST, Burst, SEED};
use crate::published::{Cell, IDLE_ROUNDED, ROUNDED, Row, rows};

/// The clients of the table.
const CLIENTS: f64 = 100_000.0;
const PHASES: [&str; 2] = ["cold", "random"];

/// How far a figure may lie from the published one.
struct Allowance {
    /// One standard error of a mean over trials, the table's and ours, and of the sizes of carriers, which a plan fixes by a draw for
    /// each viewer.
    error: f64,
    /// One standard error of a 95th percentile: sqrt(0.05·0.95) / φ(1.645) = 2.1 deviations over the root of the trials.
    error_p95: f64,
    /// At most this much more counting noise have fewer viewers: the greatest of k counts, c_k deviations of a count of
    /// `mean`/k of them, if all of it adds up.
    noise: f64,
}

impl Allowance {
    fn of(row: &Row, burst: &Burst, cell: Cell, found: &Band, clients: f64) -> Self {
        let viewers = f64::from(burst.viewers);
        // From 5 % to 95 % are 3.29 deviations of a normal, from the mean to 95 % 1.645.
        let deviation = ((found.p95 - found.p5) / 3.29).max((cell.p95 - cell.mean) / 1.645);
        let trials = deviation * (1.0 / f64::from(burst.trials) + 1.0 / row.trials()).sqrt();
        let (largest, used) = (row.largest(), if burst.policy == Multivalue { 8.0_f64.min(row.proxies.into()) } else { 1.0 });
        let window = (f64::from(row.ttl_s) / 60.0).min(1.0);
        let sizes = (f64::from(row.proxies) / used - 1.0) * window * (largest * (1.0 - largest) / viewers).sqrt();
        let greatest = [(4, 1.03), (8, 1.42), (15, 1.74)].iter().find(|(k, _)| *k == row.proxies).expect("4, 8 or 15 proxies").1;
        let noise = greatest * (f64::from(row.proxies) * cell.mean).sqrt() * (viewers.powf(-0.5) - clients.powf(-0.5));
        Self { error: trials.hypot(sizes), error_p95: (2.1 * trials).hypot(sizes), noise }
    }

    /// What is wrong with a mean, if anything. Three standard errors; of 400 figures one may lie outside of them by chance,
    /// but the seed stands, so none does for ever or it does not at all.
    fn refuses(&self, what: &str, found: f64, published: f64, error: f64) -> Option<String> {
        let (least, most) = (published - 3.0 * error - ROUNDED, published + self.noise + 3.0 * error + ROUNDED);
        (!(least..=most).contains(&found))
            .then(|| format!("{what}: {found:.3}, published {published}, allowed {least:.3} to {most:.3}"))
    }
}

/// As many viewers as keep counting noise small beside what is looked at, and as many trials as time allows.
fn sized(row: &Row, policy: ZonePolicy) -> (u32, u32) {
    match (policy, row.proxies, row.ttl_s, row.carriers) {
        (Multivalue, 15, ..) => (30_000, 12),
        // Nothing but counting noise.
        (Multivalue, ..) => (20_000, 6),
        // Many draws: little skew.
        (_, _, 5, 100..) => (12_000, 20),
        _ => (4_000, 50),
    }
}

fn check(row: &Row, policy: ZonePolicy, phase: &'static str, cell: Cell) -> Vec<String> {
    let (viewers, trials) = sized(row, policy);
    let Row { proxies, carriers, ttl_s, .. } = *row;
    let burst = Burst { viewers, trials, proxies, carriers, ttl_s, phase, policy, ..BURST };
    let told = burst.play();
    let SkewBands { total, idle, .. } = &told.connections;
    let allowance = Allowance::of(row, &burst, cell, total, CLIENTS);
    // One cache gives whole windows to proxies: the figure takes few values, and which of them stands at 95 % may be a matter of one
    // trial.
    let few_values = carriers == 1 && ttl_s < 60 && policy == SingleAWeighted;
    let step = if few_values { f64::from(proxies) * f64::from(ttl_s) / 60.0 / 3.0 } else { 0.0 };
    let mut wrong: Vec<String> = [
        allowance.refuses("mean", total.mean, cell.mean, allowance.error),
        allowance.refuses("p95", total.p95, cell.p95, allowance.error_p95 + step),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Idle proxies are whole numbers that differ by about one from trial to trial.
    let idle_deviation = ((idle.p95 - idle.p5) / 3.29).max(cell.idle.min(1.0).sqrt());
    let idle_error = idle_deviation * (1.0 / f64::from(trials) + 1.0 / row.trials()).sqrt();
    if (idle.mean - cell.idle).abs() > 3.0 * idle_error + IDLE_ROUNDED {
        wrong.push(format!("idle: {}, published {}, give or take {:.2}", idle.mean, cell.idle, 3.0 * idle_error + IDLE_ROUNDED));
    }
    // A single run may lie anywhere; the mean over trials lies near the formula.
    let by_formula = told.formula.expect("one phone, like caches, equal proxies").total;
    if carriers > 1 && !(0.85..1.25).contains(&(total.mean / by_formula)) {
        wrong.push(format!("mean {:.3} beside a formula's {by_formula:.3}", total.mean));
    }
    wrong.iter().map(|wrong| format!("k {proxies}, R {carriers}, T {ttl_s}, {policy}, {phase}, seed {SEED}: {wrong}")).collect()
}

fn check_all(proxies: u8) {
    let rows = rows().into_iter().filter(|row| row.proxies == proxies);
    let wrong: Vec<String> = rows
        .flat_map(|row| {
            let of = |policy, cells: [Cell; 2]| (0..2).flat_map(move |n| check(&row, policy, PHASES[n], cells[n]));
            of(SingleAWeighted, row.single).chain(of(Multivalue, row.spread)).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn four_proxies_come_out_as_published() {
    check_all(4);
}

#[test]
fn eight_proxies_come_out_as_published() {
    check_all(8);
}

#[test]
fn fifteen_proxies_come_out_as_published() {
    check_all(15);
}

/// All come within one second, so that each cache answers all of them alike: that is one instant.
#[test]
fn one_instant_comes_out_as_published_whatever_the_ttl() {
    let mut wrong = Vec::new();
    for row in rows().iter().filter(|row| row.ttl_s == 60) {
        for policy in [SingleAWeighted, Multivalue] {
            let (viewers, trials) = sized(row, policy);
            let Row { proxies, carriers, .. } = *row;
            let burst = Burst { viewers, trials, proxies, carriers, ttl_s: 60, policy, over: "1s", ..BURST };
            let found = burst.play().connections.total;
            for same in rows().iter().filter(|other| (other.proxies, other.carriers) == (proxies, carriers)) {
                let mean = if policy == Multivalue { same.peak_spread } else { same.peak_single };
                let cell = Cell { mean, p95: mean, idle: 0.0 };
                let allowance = Allowance::of(row, &burst, cell, &found, f64::INFINITY);
                let refused = allowance.refuses("one instant", found.mean, mean, allowance.error);
                wrong.extend(refused.map(|wrong| format!("k {proxies}, R {carriers}, T {}, {policy}: {wrong}", same.ttl_s)));
            }
        }
    }
    assert!(wrong.is_empty(), "seed {SEED}:\n{}", wrong.join("\n"));
}

#[test]
fn formulas_lie_near_every_published_mean() {
    let mut wrong = Vec::new();
    for row in rows() {
        let Row { proxies, carriers, ttl_s, .. } = row;
        for (policy, cells, peak) in [(SingleAWeighted, row.single, row.peak_single), (Multivalue, row.spread, row.peak_spread)] {
            for (phase, cell) in PHASES.into_iter().zip(cells) {
                let burst = Burst { viewers: 100_000, proxies, carriers, ttl_s, policy, phase, ..BURST };
                let setting = Setting { plan: &burst.plan(), zone: &burst.zone(), agents: 1, trials: None };
                let told = formula(&setting).expect("one phone, like caches, equal proxies");
                for (what, formula, published) in [("total", told.total, cell.mean), ("instant", told.instant, peak)] {
                    // An exact formula has nothing between it and the mean but rounding.
                    let (low, high) = if told.exact { (0.99, 1.01) } else { (0.85, 1.25) };
                    let ratio = published / formula;
                    if !(low..=high).contains(&ratio) {
                        wrong.push(format!(
                            "k {proxies}, R {carriers}, T {ttl_s}, {policy}, {phase}: {what} {published}, {told:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
