//! Forecast beside measured: what DNS alone would make of the burst, and whether it was so.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::forecast::{Band, Forecast, Setting, SkewBands, forecast};
use voteburst_burst::skew::Skew;

use super::Findings;
use super::terminal::{block, line, plain};
use crate::record::ZoneSeen;

/// How far outside of the range a measured figure may lie and still agree: seconds of a real run do not begin where those of
/// the forecast do, and a connection takes its time.
const SLACK: f64 = 0.02;

/// What DNS alone makes of the burst, as published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastPart {
    /// How often it was played in virtual time, with other draws each time.
    pub trials: u32,
    /// Of a live target, what its zone looked like before the run; `null` on a stage, whose zone is known.
    pub zone_seen: Option<String>,
    /// Figure by figure.
    pub figures: Vec<Figure>,
}

/// One figure, forecast and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// A stable name, such as `votes.peak_1s`.
    pub name: String,
    /// What was measured; `null` when too little happened to tell.
    pub measured: Option<f64>,
    /// 1 % of trials lie below this.
    pub p1: f64,
    /// 5 % do.
    pub p5: f64,
    /// Half do.
    pub p50: f64,
    /// 95 % do.
    pub p95: f64,
    /// 99 % do.
    pub p99: f64,
    /// Whether the measured figure lies between `p1` and `p99`, give or take 2 %; `null` without one.
    pub agrees: Option<bool>,
}

/// What was measured of the figures that are forecast.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// Of votes, from T0 on.
    pub(super) votes: Option<Skew>,
    /// Of new connections, from the opening of the doors on.
    pub(super) connections: Option<Skew>,
    /// The most connections open at one proxy.
    pub(super) peak_open: i64,
}

impl ForecastPart {
    /// The forecast beside what was measured; `None` when nothing is known of the zone.
    pub(super) fn of(findings: &Findings<'_>, measured: Measured) -> Option<Self> {
        let plan = findings.plan;
        let (zone, seen) = match &plan.scenario.stage {
            Some(stage) => (stage.zone(&nominal(stage.fronts()), plan.scenario.seed).ok()?, None),
            None => (findings.zone_seen?.zone().ok()?, findings.zone_seen.map(in_words)),
        };
        let agents = u32::try_from(findings.agents.len()).unwrap_or(u32::MAX).max(1);
        let told = forecast(&Setting { plan, zone: &zone, agents, trials: None });
        Some(Self { trials: told.trials, zone_seen: seen, figures: figures(&told, measured) })
    }

    /// Whether any measured figure lies outside of its range.
    pub(super) fn disagrees(&self) -> bool {
        self.figures.iter().any(|figure| figure.agrees == Some(false))
    }
}

/// Addresses for the forecast: which one a proxy has changes no figure.
fn nominal(fronts: u16) -> Vec<IpAddr> {
    (1..=u32::from(fronts)).map(|number| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))).collect()
}

fn in_words(seen: &ZoneSeen) -> String {
    format!("{}, {} addresses, TTL {} s", seen.policy, seen.members.len(), seen.ttl_s)
}

fn figures(told: &Forecast, measured: Measured) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut skew = |of: &str, bands: &SkewBands, skew: Option<Skew>| {
        figures.push(figure(&format!("{of}.total"), bands.total, skew.map(|skew| skew.total)));
        let peaks =
            [("peak_1s", bands.peak_1s, skew.and_then(|s| s.peak_1s)), ("peak_5s", bands.peak_5s, skew.and_then(|s| s.peak_5s))];
        for (name, band, measured) in peaks {
            figures.extend(band.map(|band| figure(&format!("{of}.{name}"), band, measured)));
        }
    };
    if let Some(votes) = &told.votes {
        skew("votes", votes, measured.votes);
    }
    skew("connections", &told.connections, measured.connections);
    figures.push(figure("peak_open", told.peak_open, Some(measured.peak_open as f64)));
    figures
}

fn figure(name: &str, band: Band, measured: Option<f64>) -> Figure {
    let Band { p1, p5, p50, p95, p99, .. } = band;
    let agrees = measured.map(|found| (p1 * (1.0 - SLACK)..=p99 * (1.0 + SLACK)).contains(&found));
    Figure { name: name.into(), measured, p1, p5, p50, p95, p99, agrees }
}

/// The forecast in words.
pub(super) fn render(out: &mut String, part: &ForecastPart) {
    let head = format!("Forecast of DNS alone, {} trials", part.trials);
    let mut table = plain(&[&head, "measured", "expected", "1 % to 99 %", ""]);
    for figure in &part.figures {
        let name = words(&figure.name);
        let number = |value: f64| if figure.name == "peak_open" { format!("{value:.0}") } else { format!("{value:.2}") };
        let measured = figure.measured.map_or_else(|| "?".into(), number);
        let mark = match figure.agrees {
            Some(true) => "as forecast",
            Some(false) if figure.measured > Some(figure.p99) => "ABOVE",
            Some(false) => "BELOW",
            None => "too little to tell",
        };
        let range = format!("{} to {}", number(figure.p1), number(figure.p99));
        table.add_row([name.to_owned(), measured, number(figure.p50), range, mark.to_owned()]);
    }
    block(out, &table);
    if let Some(seen) = &part.zone_seen {
        line(out, &format!("  the zone looked like {seen} before the run"));
    }
    if part.disagrees() {
        line(
            out,
            "  ! Measured and forecast disagree: limits, retries or dead proxies moved the load, or DNS did not do what is said here.",
        );
        // Of few trials 1 % and 99 % are the least and the greatest: one more lies outside of N with a chance of 2 in N + 1.
        line(out, &format!("    By chance alone about one figure in {} lies outside.", (part.trials + 1).min(100) / 2));
    }
}

fn words(name: &str) -> &str {
    match name {
        "votes.total" => "votes, busiest over even, in all",
        "votes.peak_1s" => "votes, worst second",
        "votes.peak_5s" => "votes, worst 5 s",
        "connections.total" => "new connections, in all",
        "connections.peak_1s" => "new connections, worst second",
        "connections.peak_5s" => "new connections, worst 5 s",
        "peak_open" => "open connections, fullest proxy",
        other => other,
    }
}
