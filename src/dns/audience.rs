//! What an audience would make of a name: the forecast, with an audience that is assumed for want of a scenario.

use serde::Serialize;
use voteburst_burst::forecast::{Band, Forecast, Setting, forecast};
use voteburst_burst::observe::Picture;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Draft;
use voteburst_burst::zone::Family;

use crate::problem::Problem;

/// One audience in few words; phones and everything else as a scenario has them by default. The server stands for the zone that
/// was seen, and is never asked.
const SCENARIO: &str = r#"
name = "audience"
seed = 20240607
target = { url = "http://vote.audience.test/vote", body = '{"ballot":"{ballot}"}' }

[dns]
authoritative = ["192.0.2.53:53"]

[[questions]]
id = "winner"
window = "60s"
arrivals = { shape = "exponential-decay", mean = "12s" }
choices = { anna = 0.5, ben = 0.5 }
"#;
/// How many carriers: all behind one cache, which is the worst; the default of a scenario; and more than a nation is likely to have.
const CARRIERS: [u32; 3] = [1, 8, 100];
/// How long viewers take to come.
const DOORS_OPEN: &str = "10s";
/// Viewers over all trials, which takes a second or two; and the fewest trials for a range to mean anything.
const VIEWERS_IN_ALL: u32 = 4_000_000;
const TRIALS: (u32, u32) = (10, 100);

/// What audiences behind few and many carriers would make of a name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Audience {
    pub(crate) viewers: u32,
    /// The phones, with their shares.
    pub(crate) phones: Vec<(String, f64)>,
    pub(crate) rows: Vec<Row>,
}

/// One audience.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) carriers: u32,
    pub(crate) forecast: Forecast,
}

/// Plays audiences before a zone that does what was seen; `None` for a name without IPv4 addresses, as the forecast plays no IPv6.
pub(super) fn of(picture: &Picture, viewers: u32) -> Result<Option<Audience>, Problem> {
    if !picture.has(Family::V4) {
        return Ok(None);
    }
    let zone = picture.zone(0).map_err(Problem::usage)?;
    let (fewest, most) = TRIALS;
    let trials = Some((VIEWERS_IN_ALL / viewers.max(1)).clamp(fewest, most));
    let mut audience = Audience { viewers, phones: Vec::new(), rows: Vec::new() };
    for carriers in CARRIERS {
        let plan = plan(viewers, carriers)?;
        audience.phones = plan.scenario.audience.phones.iter().map(|phone| (phone.name.clone(), phone.share)).collect();
        let forecast = forecast(&Setting { plan: &plan, zone: &zone, agents: 1, trials });
        audience.rows.push(Row { carriers, forecast });
    }
    Ok(Some(audience))
}

fn plan(viewers: u32, carriers: u32) -> Result<Plan, Problem> {
    let text =
        format!("{SCENARIO}\n[audience]\nviewers = {viewers}\ndoors_open = \"{DOORS_OPEN}\"\n\n[carriers]\ncount = {carriers}\n");
    let read = |path: &str| Err(std::io::Error::other(format!("{path} is not to be read here")));
    let draft = Draft::read(&text, "the assumed audience").map_err(Problem::usage)?;
    Ok(Plan::new(draft.resolve(&read).map_err(Problem::usage)?))
}

impl Audience {
    /// What is assumed, in words.
    pub(super) fn assumed(&self) -> String {
        let phones: Vec<_> = self.phones.iter().map(|(name, share)| format!("{:.0} % {name}", share * 100.0)).collect();
        format!(
            "{} viewers who come within {DOORS_OPEN}, one connection each; {}; behind carriers of sizes 1, 1/2, 1/3 …",
            self.viewers,
            phones.join(", ")
        )
    }
}

impl Row {
    /// The cells of a table: carriers, the busiest address against the mean in all and in the worst second, what it holds, and
    /// addresses that get nobody.
    pub(super) fn cells(&self) -> Vec<String> {
        let Forecast { connections, peak_open, .. } = &self.forecast;
        let times = |band: &Band| format!("{:.1} × ({:.1} to {:.1})", band.mean, band.p5, band.p95);
        vec![
            self.carriers.to_string(),
            times(&connections.total),
            connections.peak_1s.as_ref().map_or_else(|| "too few to tell".into(), times),
            format!("{:.0} ({:.0} to {:.0})", peak_open.mean, peak_open.p5, peak_open.p95),
            format!("{:.1}", connections.idle.mean),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assumed_audience_is_a_sound_scenario() {
        for carriers in CARRIERS {
            let plan = plan(1_000, carriers).unwrap();
            assert_eq!((plan.scenario.audience.viewers, plan.scenario.carriers.list.len()), (1_000, carriers as usize));
        }
    }
}
