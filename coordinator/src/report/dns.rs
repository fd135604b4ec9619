//! What phones made of DNS: by carrier and by kind of phone, with latency and failures of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::plan::Plan;
use voteburst_burst::skew::Skew;
use voteburst_burst::tally::{Group, LookupFailure, Lookups, PhoneGroup};

use super::build::quantiles;
use super::terminal::{block, line, millis, plain, thousands};
use super::{Quantiles, Report};

/// How many carriers the terminal lists.
const CARRIERS_SHOWN: usize = 10;

/// DNS as published.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsPart {
    /// Lookups that went over the wire.
    pub asked: u64,
    /// Lookups that phones answered from their own memory.
    pub remembered: u64,
    /// Lookups that failed.
    pub failed: u64,
    /// Those by class; classes that did not occur are left out.
    pub failures: BTreeMap<String, u64>,
    /// Of answered lookups, repeated queries included.
    pub latency_ms: Quantiles,
    /// By carrier, in the scenario's order; those that nobody asked are left out.
    pub carriers: Vec<CarrierPart>,
    /// By kind of phone, in the scenario's order; those that nobody held are left out.
    pub phones: Vec<PhonePart>,
}

/// What phones did, and where that led them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LookupPart {
    /// Lookups that went over the wire.
    pub asked: u64,
    /// Lookups that phones answered from their own memory.
    pub remembered: u64,
    /// Lookups that failed.
    pub failed: u64,
    /// How often each address came first in an answer.
    pub answers: BTreeMap<String, u64>,
    /// Connections opened to each address.
    pub led_to: BTreeMap<String, u64>,
}

/// One carrier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CarrierPart {
    /// Its number, from 1.
    pub carrier: u32,
    /// Its share of the audience, in [0, 1].
    pub share: f64,
    /// What phones behind it did.
    #[serde(flatten)]
    pub lookups: LookupPart,
    /// What its cache did; `null` for a real resolver.
    pub cache: Option<CacheFacts>,
}

/// What one of voteburst's own carriers counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CacheFacts {
    /// Queries of phones.
    pub queries: u64,
    /// Answered from the cache.
    pub hits: u64,
    /// Questions asked upstream.
    pub asked: u64,
    /// Queries that got an error because nobody upstream answered.
    pub failures: u64,
    /// Queries that got an answer whose time was over.
    pub stale: u64,
    /// Answers that were renewed before their end.
    pub prefetched: u64,
    /// Queries told that there is no such name or address.
    pub negative: u64,
}

/// One kind of phone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhonePart {
    /// The kind.
    pub phone: String,
    /// Its share of the audience, in [0, 1].
    pub share: f64,
    /// What phones of this kind did.
    #[serde(flatten)]
    pub lookups: LookupPart,
    /// How unevenly their connections fell on the proxies; `null` when they opened none.
    pub skew_connections: Option<Skew>,
}

impl DnsPart {
    /// Puts counts into words. `caches` are the counters of voteburst's own carriers by position; `proxies` every proxy
    /// that connections can lead to, for those that got none count in the skew.
    pub(super) fn of(plan: &Plan, lookups: &Lookups, caches: &BTreeMap<u16, CacheFacts>, proxies: &[IpAddr]) -> Self {
        let total = lookups.total();
        let failures = LookupFailure::ALL.iter().zip(lookups.failures).filter(|(_, count)| *count > 0);
        let scenario = &plan.scenario;
        let carrier = |(index, group): (&u16, &Group)| CarrierPart {
            carrier: u32::from(*index) + 1,
            share: scenario.carriers.list.get(usize::from(*index)).map_or(0.0, |carrier| carrier.share),
            lookups: lookup_part(group),
            cache: caches.get(index).copied(),
        };
        let phone = |(index, told): (&u8, &PhoneGroup)| {
            let phone = scenario.audience.phones.get(usize::from(*index))?;
            let seconds = |proxy: &IpAddr| {
                told.opened.get(proxy).map(Vec::as_slice).unwrap_or_default().iter().map(|count| u64::from(*count))
            };
            Some(PhonePart {
                phone: phone.name.clone(),
                share: phone.share,
                lookups: lookup_part(&told.group),
                skew_connections: Skew::of(&proxies.iter().map(|proxy| seconds(proxy).collect()).collect::<Vec<_>>()),
            })
        };
        Self {
            asked: total.asked,
            remembered: total.remembered,
            failed: total.failed,
            failures: failures.map(|(failure, count)| (failure.to_string(), count)).collect(),
            latency_ms: quantiles(&lookups.latency),
            carriers: lookups.carriers.iter().map(carrier).collect(),
            phones: lookups.phones.iter().filter_map(phone).collect(),
        }
    }
}

fn lookup_part(group: &Group) -> LookupPart {
    let named = |counts: &BTreeMap<IpAddr, u64>| counts.iter().map(|(address, count)| (address.to_string(), *count)).collect();
    LookupPart {
        asked: group.asked,
        remembered: group.remembered,
        failed: group.failed,
        answers: named(&group.answers),
        led_to: named(&group.led_to),
    }
}

/// DNS in words.
pub(super) fn render(out: &mut String, report: &Report) {
    let dns = &report.dns;
    if dns.asked + dns.remembered + dns.failed == 0 {
        return;
    }
    let quantile = |value| format!("{} ms", millis(value));
    let classes: Vec<_> = dns.failures.iter().map(|(class, count)| format!("{class} {}", thousands(*count))).collect();
    let failures = if classes.is_empty() { "none failed".to_owned() } else { format!("failed: {}", classes.join(", ")) };
    line(out, "");
    line(
        out,
        &format!(
            "DNS      {} lookups asked, {} remembered by phones; {failures}; answered within p50 {}, p99 {}, max {}",
            thousands(dns.asked),
            thousands(dns.remembered),
            quantile(dns.latency_ms.p50),
            quantile(dns.latency_ms.p99),
            quantile(dns.latency_ms.max)
        ),
    );
    carriers(out, dns, report.proxies.len());
    phones(out, dns);
    let also_rans: Vec<_> = report.proxies.iter().filter(|proxy| proxy.also_rans > 0).collect();
    if !also_rans.is_empty() {
        let counts: Vec<_> = also_rans.iter().map(|proxy| format!("{} {}", proxy.address, thousands(proxy.also_rans))).collect();
        line(out, &format!("  attempts to connect that lost a race, or failed before the next: {}", counts.join(", ")));
    }
}

fn carriers(out: &mut String, dns: &DnsPart, proxies: usize) {
    let mut table = plain(&["Carrier", "audience", "asked", "its cache had it", "asked the zone", "led to", "busiest proxy"]);
    for part in dns.carriers.iter().take(CARRIERS_SHOWN) {
        let (hits, upstream) = part.cache.map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |cache| (percent(cache.hits, cache.queries), thousands(cache.asked)),
        );
        table.add_row([
            part.carrier.to_string(),
            format!("{:.1} %", part.share * 100.0),
            thousands(part.lookups.asked),
            hits,
            upstream,
            format!("{} of {proxies}", part.lookups.led_to.len()),
            busiest(&part.lookups),
        ]);
    }
    block(out, &table);
    if dns.carriers.len() > CARRIERS_SHOWN {
        line(out, &format!("  … and {} more, in report.json", dns.carriers.len() - CARRIERS_SHOWN));
    }
}

fn phones(out: &mut String, dns: &DnsPart) {
    let mut table =
        plain(&["Phone", "audience", "asked", "remembered", "failed", "connected", "busiest over even", "worst second"]);
    for part in &dns.phones {
        let times = |value: Option<f64>| value.map_or_else(|| "?".into(), |value| format!("{value:.2} ×"));
        table.add_row([
            part.phone.clone(),
            format!("{:.1} %", part.share * 100.0),
            thousands(part.lookups.asked),
            thousands(part.lookups.remembered),
            thousands(part.lookups.failed),
            thousands(part.lookups.led_to.values().sum()),
            times(part.skew_connections.map(|skew| skew.total)),
            times(part.skew_connections.and_then(|skew| skew.peak_1s)),
        ]);
    }
    block(out, &table);
}

fn busiest(lookups: &LookupPart) -> String {
    let all: u64 = lookups.led_to.values().sum();
    let most = lookups.led_to.iter().max_by_key(|(_, count)| **count);
    most.map_or_else(|| "-".into(), |(address, count)| format!("{address} {}", percent(*count, all)))
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.1} %", part as f64 / whole as f64 * 100.0) }
}
