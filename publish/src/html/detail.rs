//! What a page shows of a run beyond its report.

use voteburst_burst::tally::{Latency, ResponseSeconds, band_of};
use voteburst_coordinator::journal::Evidence;

/// Steps of a curve per halving of the distance to 100 %, as HdrHistogram's own tools draw it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
/// The most of a scenario that a page carries, in bytes; arrivals by trace may be of any length.
const MOST_SCENARIO: usize = 64 * 1024;
/// The most of one of its lines, in characters.
const MOST_LINE: usize = 500;
/// Headers whose values anybody may read. The page goes to chat and mail, so the others are hidden.
const HARMLESS_HEADERS: [&str; 5] = ["accept", "accept-encoding", "accept-language", "content-type", "user-agent"];

/// What a page shows of a run beyond its report. By default it is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// Votes planned for each second from T0 on.
    pub planned_per_s: Vec<u32>,
    /// The distribution of response times of accepted votes: quantile in [0, 1], milliseconds.
    pub response: Vec<(f64, f64)>,
    /// The same of the generator's lateness.
    pub lateness: Vec<(f64, f64)>,
    /// The windows of the questions: name, when it opens and when it closes in seconds after T0.
    pub windows: Vec<(String, f64, f64)>,
    /// Response times of every proxy by the second that votes were planned for, in the order of the report.
    pub heat: Vec<Heat>,
    /// The scenario as it was played, in TOML, with the values of headers that may be secret hidden.
    pub scenario: String,
}

impl Detail {
    /// What is known of a kept run.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        let (plan, total) = (&evidence.plan, evidence.tally().total());
        let window = |question: &voteburst_burst::scenario::Question| {
            let closes = question.opens_at + question.window;
            (question.id.clone(), question.opens_at.as_secs_f64(), closes.as_secs_f64())
        };
        Self {
            planned_per_s: plan.votes_by_second(&(0..plan.scenario.audience.viewers)),
            response: curve(&total.response),
            lateness: curve(&total.lateness),
            heat: heat(evidence),
            windows: plan.scenario.questions.iter().map(window).collect(),
            scenario: shown(&plan.scenario.to_toml()),
        }
    }
}

/// Response times of one proxy, for a picture of all: counts by second and band.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heat {
    /// Its address.
    pub proxy: String,
    /// Second after T0, its lowest band that holds a vote, and the counts from that band on.
    pub seconds: Vec<(i64, usize, Vec<u64>)>,
}

fn heat(evidence: &Evidence) -> Vec<Heat> {
    let t0 = i64::from(evidence.record.t0_second.unwrap_or(0));
    let proxies = evidence.tally().proxies().into_iter();
    proxies.map(|(address, tally)| Heat { proxy: address.to_string(), seconds: bands(&tally.response_by_second, t0) }).collect()
}

fn bands(response: &ResponseSeconds, t0: i64) -> Vec<(i64, usize, Vec<u64>)> {
    let mut seconds: Vec<(i64, usize, Vec<u64>)> = Vec::new();
    for (second, place, count) in response.cells() {
        let (t, band) = (i64::from(second) - t0, band_of(place));
        if seconds.last().is_none_or(|(last, ..)| *last != t) {
            seconds.push((t, band, Vec::new()));
        }
        // Cells come in order, so the first of a second is its lowest, and there is a last one.
        let Some((_, lowest, counts)) = seconds.last_mut() else { continue };
        let index = band - *lowest;
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        counts[index] += u64::from(count);
    }
    seconds
}

fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    if latency.is_empty() {
        return Vec::new();
    }
    let steps = latency.counts().iter_quantiles(TICKS_PER_HALF_DISTANCE);
    steps.map(|step| (step.quantile_iterated_to(), step.value_iterated_to() as f64 / 1_000.0)).collect()
}

/// A scenario's TOML as a page may show it.
fn shown(toml: &str) -> String {
    let (mut out, mut in_headers) = (String::new(), false);
    for line in toml.lines() {
        if line.starts_with('[') {
            in_headers = line == "[target.headers]";
        }
        let name = line.split('=').next().unwrap_or_default().trim().trim_matches('"').to_ascii_lowercase();
        if out.len() + line.len().min(MOST_LINE) > MOST_SCENARIO {
            out.push_str("# … and more, in plan.toml\n");
            break;
        }
        if in_headers && line.contains('=') && !HARMLESS_HEADERS.contains(&name.as_str()) {
            let name = line.split('=').next().unwrap_or_default().trim_end();
            out.push_str(&format!("{name} = \"(hidden)\"\n"));
        } else if line.len() > MOST_LINE {
            out.extend(line.chars().take(MOST_LINE));
            out.push_str(" … (cut)\n");
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use voteburst_burst::tally::band_ms;

    use super::*;

    #[test]
    fn a_scenario_is_shown_without_its_secrets_and_never_longer_than_a_page_bears() {
        let toml = "name = \"x\"\n[target.headers]\nauthorization = \"Bearer s3cret\"\nContent-Type = \"a/b\"\n\"x-key\" = \"k3y\"\n[stage]\nproxies = 2\n";
        let told = shown(toml);
        assert!(!told.contains("s3cret") && !told.contains("k3y"), "{told}");
        assert!(told.contains("authorization = \"(hidden)\"") && told.contains("a/b") && told.contains("proxies = 2"), "{told}");
        assert!(shown(&"offset = 1\n".repeat(100_000)).len() < MOST_SCENARIO + 100);
    }

    #[test]
    fn bands_hold_every_vote_once_in_its_second_and_between_its_bounds() {
        let mut response = ResponseSeconds::default();
        let votes = [(9, 0), (9, 3), (12, 1_000), (12, 1_100), (12, 900_000)];
        votes.iter().for_each(|(second, micros)| response.record_ns(*second, micros * 1_000));
        let bands = bands(&response, 10);
        assert_eq!(bands.iter().map(|(t, ..)| *t).collect::<Vec<_>>(), [-1, 2]);
        assert_eq!(bands[0], (-1, 0, vec![2]));
        let (_, lowest, counts) = &bands[1];
        let filled: Vec<_> = (*lowest..).zip(counts).filter(|(_, count)| **count > 0).collect();
        assert_eq!(filled.iter().map(|(_, count)| **count).collect::<Vec<_>>(), [1, 1, 1]);
        for ((band, _), ms) in filled.iter().zip([1.0, 1.1, 900.0]) {
            assert!((band_ms(*band)..band_ms(band + 1)).contains(&ms), "{ms} in band {band}");
        }
    }

    #[test]
    fn a_curve_rises_to_all_votes() {
        let mut latency = Latency::new();
        assert_eq!(curve(&latency), []);
        (1..=1000).for_each(|ms| latency.record_ns(Duration::from_millis(ms).as_nanos() as u64));
        let curve = curve(&latency);
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        let last = curve.last().unwrap();
        assert!(last.0 == 1.0 && (last.1 - 1000.0).abs() < 1.0, "{last:?}");
    }
}
