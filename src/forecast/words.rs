//! A forecast in words: a table, and what is worth saying of its rows.

use voteburst_burst::forecast::{Band, Formula, Rule};
use voteburst_burst::zone::{MULTIVALUE_MOST, ZonePolicy};

use super::{Row, Told};
use crate::text::{line, table};

const HEAD: [&str; 11] =
    ["row", "zone", "proxies", "TTL", "carriers", "in all", "worst second", "worst 5 s", "fullest holds", "idle", "formula"];
/// A proxy that gets this part of all that can come to it gets everything, for a reader.
const ALL: f64 = 0.95;
const EVEN: &str = "even, but for chance";
const MORE_THAN_AN_ANSWER: &str = "an answer holds 8 proxies: those left out get nobody from a cache until its TTL ends";
const _: () = assert!(MULTIVALUE_MOST == 8, "the sentence above says 8");
/// So many times worse in its worst second than in all: the total hides something.
const HIDDEN: f64 = 1.5;

pub(super) fn render(told: &Told) -> String {
    let mut out = String::new();
    let phones: Vec<_> = told.phones.iter().map(|(name, share)| format!("{:.0} % {name}", share * 100.0)).collect();
    let trials = told.rows.first().map_or(0, |row| row.forecast.trials);
    line(
        &mut out,
        &format!("{}: {} viewers come within {} s; {}", told.name, told.viewers, told.doors_open_s, phones.join(", ")),
    );
    line(
        &mut out,
        &format!(
            "New connections of the busiest proxy over an even share, by DNS alone: mean over {trials} trials (5 % to 95 %)"
        ),
    );
    line(&mut out, "");
    let rows: Vec<_> = told.rows.iter().enumerate().map(|(number, row)| cells(number + 1, row)).collect();
    table(&mut out, &HEAD, &rows);
    notes(&mut out, told);
    remarks(&mut out, &told.rows);
    line(&mut out, "");
    line(&mut out, "Not in it: limits, retries, dead proxies, silent name servers, IPv6. `voteburst run` plays those.");
    out
}

pub(super) fn combination(zone: ZonePolicy, proxies: u16, ttl_s: u32, carriers: usize) -> String {
    let what = match (zone, proxies) {
        (ZonePolicy::LbAlias, _) => "nodes",
        (_, 1) => "proxy",
        _ => "proxies",
    };
    format!("{zone}, {proxies} {what}, TTL {ttl_s} s, {carriers} {}", if carriers == 1 { "carrier" } else { "carriers" })
}

fn cells(number: usize, row: &Row) -> Vec<String> {
    let (told, connections) = (&row.forecast, &row.forecast.connections);
    let range = |band: &Band| format!("{:.2} ({:.2} to {:.2})", band.mean, band.p5, band.p95);
    let limit = row.connection_limit.map(|limit| format!(" of {limit}{}", if exceeds(row) { " !" } else { "" }));
    let open = told.peak_open;
    vec![
        number.to_string(),
        row.zone.to_string(),
        row.proxies.to_string(),
        format!("{} s", row.ttl_s),
        row.carriers.to_string(),
        range(&connections.total),
        connections.peak_1s.as_ref().map_or_else(|| "?".into(), range),
        connections.peak_5s.map_or_else(|| "?".into(), |band| format!("{:.2}", band.mean)),
        format!("{:.0} ({:.0} to {:.0}){}", open.mean, open.p5, open.p95, limit.unwrap_or_default()),
        format!("{:.1}", connections.idle.mean),
        told.formula.as_ref().map_or_else(|| "-".into(), formula),
    ]
}

/// In all, and at one instant.
fn formula(formula: &Formula) -> String {
    let about = if formula.exact { "" } else { "≈ " };
    format!("{about}{:.2}, at once {:.2}", formula.total, formula.instant)
}

fn notes(out: &mut String, told: &Told) {
    let mut notes = Vec::new();
    if told.rows.iter().any(|row| row.forecast.connections.peak_1s.is_none()) {
        notes.push("?: no second is busy enough to tell skew from chance (20 connections for each proxy)");
    }
    if told.rows.iter().any(|row| row.forecast.formula.is_some_and(|formula| !formula.exact)) {
        notes.push("≈: a formula that lies within -15 % and +25 %; \"at once\" is without counting noise");
    }
    if told.rows.iter().any(exceeds) {
        notes.push("!: more than a proxy accepts, in one trial of twenty or more");
    }
    if !notes.is_empty() {
        line(out, "");
    }
    notes.iter().for_each(|note| line(out, note));
}

/// Whether the fullest proxy is asked for more than it accepts, in at least one trial of twenty.
fn exceeds(row: &Row) -> bool {
    row.connection_limit.is_some_and(|limit| row.forecast.peak_open.p95 > f64::from(limit))
}

/// What a reader must not overlook, each once, with the rows it is true of.
fn remarks(out: &mut String, rows: &[Row]) {
    let mut said: Vec<(&'static str, Vec<usize>)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        for remark in [overfull(row), uneven(row), even(row)].into_iter().flatten() {
            match said.iter_mut().find(|(other, _)| *other == remark) {
                Some((_, numbers)) => numbers.push(index + 1),
                None => said.push((remark, vec![index + 1])),
            }
        }
    }
    if !said.is_empty() {
        line(out, "");
    }
    for (remark, numbers) in said {
        let mark = if remark == EVEN { '✓' } else { '✗' };
        let which = if numbers.len() == rows.len() { String::new() } else { format!("{}: ", in_words(&numbers)) };
        line(out, &format!("{mark} {which}{remark}"));
    }
}

/// Numbers in order, runs of them shortened: "rows 1, 4 to 6".
fn in_words(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next).flat_map(|run| match run {
        [first, _, .., last] => vec![format!("{first} to {last}")],
        short => short.iter().map(ToString::to_string).collect(),
    });
    let runs: Vec<_> = runs.collect();
    format!("{} {}", if numbers.len() == 1 { "row" } else { "rows" }, runs.join(", "))
}

fn overfull(row: &Row) -> Option<&'static str> {
    let limit = f64::from(row.connection_limit?);
    let open = row.forecast.peak_open;
    match limit {
        _ if open.p5 > limit => Some("the fullest proxy is all but always asked to hold more connections than it accepts"),
        _ if open.p50 > limit => Some("the fullest proxy is mostly asked to hold more connections than it accepts"),
        _ if open.p95 > limit => Some("the fullest proxy is at times asked to hold more connections than it accepts"),
        _ => None,
    }
}

fn uneven(row: &Row) -> Option<&'static str> {
    let (peak, total) = (row.forecast.connections.peak_1s?.mean, row.forecast.connections.total.mean);
    let all = ALL * f64::from(row.proxies);
    if row.proxies > 1 && peak >= all {
        return Some(if total < all {
            "in the worst second every new connection goes to one proxy, a little later to another"
        } else {
            "every connection goes to one proxy"
        });
    }
    if row.zone == ZonePolicy::Multivalue && usize::from(row.proxies) > MULTIVALUE_MOST {
        return Some(MORE_THAN_AN_ANSWER);
    }
    let hidden = peak > HIDDEN * total && !row.is_even();
    hidden.then_some("the total hides the worst second, which is half as uneven again or worse")
}

fn even(row: &Row) -> Option<&'static str> {
    row.is_even().then_some(EVEN)
}

impl Row {
    fn is_even(&self) -> bool {
        self.proxies > 1 && self.forecast.formula.is_some_and(|formula| formula.rule == Rule::Flat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_shortly() {
        let cases: [(&[usize], &str); 4] = [
            (&[3], "row 3"),
            (&[1, 2], "rows 1, 2"),
            (&[1, 2, 3, 4], "rows 1 to 4"),
            (&[1, 3, 4, 5, 9, 10], "rows 1, 3 to 5, 9, 10"),
        ];
        for (numbers, words) in cases {
            assert_eq!(in_words(numbers), words);
        }
    }
}
