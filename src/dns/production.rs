//! Before a run: is the rehearsal's name of the same kind as production's?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use voteburst_burst::observe::{Observation, Picture, kind_differs};
use voteburst_burst::scenario::Scenario;
use voteburst_burst::scenario::stage::Stage;
use voteburst_burst::zone::{Family, Moment, ZonePolicy};

use super::LONGEST;
use super::look::{Pace, look};
use super::servers::Subject;
use crate::problem::Problem;

/// Queries to a stage's zone: enough for what 15 addresses do, and for 25 windows at eight a window.
const QUERIES: u64 = 200;
const QUERIES_PER_WINDOW: u32 = 8;
/// The pace at which production is asked, in queries per second: that of `voteburst dns` when nothing is said.
const RATE: u32 = 20;
/// The same before a live run, whose user waits: its carriers will ask these servers anyway.
const RATE_BEFORE_RUN: u32 = 50;
const LONGEST_BEFORE_RUN: Duration = Duration::from_secs(6);

/// Why the name of this scenario is not of the same kind as its production name; empty when it is, or when it names none.
///
/// Production's servers are those of `dns.production_servers`, or found by NS lookups through `dns.recursive`, or this machine's resolvers. A stage's zone is asked in mind
/// alone, for queries on the wire would use up its draws; any other name is asked at the scenario's servers. `quiet` keeps
/// progress off standard error.
///
/// # Errors
/// Nobody answers for one of the names, or too little was seen to tell.
pub(crate) async fn compare_with_production(scenario: &Scenario, quiet: bool) -> Result<Vec<String>, Problem> {
    compare(scenario, Pace { rate: RATE, longest: LONGEST, until_sure: true, quiet }).await
}

async fn compare(scenario: &Scenario, pace: Pace) -> Result<Vec<String>, Problem> {
    let dns = &scenario.dns;
    let Some(production) = &dns.production_name else { return Ok(Vec::new()) };
    let subject = Subject { name: production, servers: &dns.production_servers, resolvers: &dns.recursive };
    let production = look(subject, pace).await?.picture;
    let rehearsal = match &scenario.stage {
        Some(stage) => staged(stage, scenario.seed)?,
        None => {
            let carriers: Vec<SocketAddr> = scenario.carriers.list.iter().filter_map(|carrier| carrier.resolver).collect();
            let resolvers = [dns.recursive.clone(), carriers].concat();
            let subject = Subject { name: &dns.name, servers: &dns.authoritative, resolvers: &resolvers };
            look(subject, pace).await?.picture
        }
    };
    for (picture, key) in [(&production, "production_name"), (&rehearsal, "name")] {
        if !picture.is_decided() {
            return Err(Problem::usage(format!(
                "dns.{key}: {} draws in {:.0} s do not show what this name does\n  needed: its authoritative servers within reach\n  fix:    see `voteburst dns NAME --for 5min`, or leave dns.production_name out",
                picture.draws, picture.span_s
            )));
        }
    }
    Ok(kind_differs(&production, &rehearsal))
}

/// What a live name's own servers were seen to do within a few seconds; `None` when that is too little to tell, or when the
/// scenario names none of them.
///
/// # Errors
/// Nobody answers for the name.
pub(crate) async fn seen_before_run(scenario: &Scenario, quiet: bool) -> Result<Option<Picture>, Problem> {
    let dns = &scenario.dns;
    if scenario.stage.is_some() || dns.authoritative.is_empty() {
        return Ok(None);
    }
    let pace = Pace { rate: RATE_BEFORE_RUN, longest: LONGEST_BEFORE_RUN, until_sure: true, quiet };
    let subject = Subject { name: &dns.name, servers: &dns.authoritative, resolvers: &[] };
    Ok(Some(look(subject, pace).await?.picture).filter(Picture::is_decided))
}

/// What a stage's zone would answer, in time that passes in mind alone.
fn staged(stage: &Stage, seed: u64) -> Result<Picture, Problem> {
    let addresses: Vec<IpAddr> = (0..u32::from(stage.fronts()))
        .map(|number| Ipv4Addr::from_bits(u32::from(Ipv4Addr::LOCALHOST) + number).into())
        .collect();
    let zone = stage.zone(&addresses, seed).map_err(Problem::usage)?;
    let gap = if zone.policy() == ZonePolicy::SingleAWindow {
        stage.window / QUERIES_PER_WINDOW
    } else {
        Duration::from_secs(1) / RATE
    };
    let observe = |query: u64| {
        let at = gap * query as u32;
        let answer = zone.answer(Family::V4, query, Moment { now: at, since_t0: None });
        let addresses = zone.addresses(&answer);
        Observation { server: 0, authoritative: true, at, addresses, ttl_s: answer.ttl_s }
    };
    let observations: Vec<Observation> = (0..QUERIES).map(observe).collect();
    Picture::of(&observations).ok_or_else(|| Problem::usage("stage: its zone holds no address before T0; needed one at least"))
}

#[cfg(test)]
mod tests {
    use voteburst_burst::observe::Manner;
    use voteburst_burst::scenario::Draft;
    use voteburst_burst::zone::{Member, Zone};
    use voteburst_dns::authority::Authority;

    use super::*;

    const LIVE: &str = r#"
name = "held-against"
seed = 7
audience = { viewers = 100 }
target = { url = "http://vote.rehearsal.test/vote", body = '{"ballot":"{ballot}"}' }

[[questions]]
id = "winner"
window = "2s"
arrivals = { shape = "uniform" }
choices = { anna = 0.6, ben = 0.4 }
"#;
    const STAGE: &str = r#"
proxies = 15
connection_limit = 100
web_servers = 1
web_server_coefficient = 15
service_time = { distribution = "constant", mean = "10ms" }
"#;

    fn scenario(text: &str) -> Scenario {
        let read = |path: &str| Err(std::io::Error::other(path.to_owned()));
        Draft::read(text, "scenario.toml").unwrap().resolve(&read).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
    }

    fn on_a_stage(zone: ZonePolicy) -> Scenario {
        scenario(&format!("{LIVE}[stage]\nzone = \"{zone}\"{STAGE}"))
    }

    async fn authority(name: &str, policy: ZonePolicy) -> Authority {
        let member = |number: u8| Member::new(format!("proxy-{number}"), Ipv4Addr::new(10, 0, 0, number).into());
        let zone = Zone::new(policy, (1..=15).map(member).collect(), 5, Duration::from_secs(5), 7).unwrap();
        Authority::start("127.0.0.1:0".parse().unwrap(), name, zone).await.unwrap()
    }

    #[test]
    fn a_stage_is_known_without_a_query_to_it() {
        for (policy, manner) in [
            (ZonePolicy::SingleAWeighted, Manner::OnePerCache),
            (ZonePolicy::SingleAWindow, Manner::OneForAll),
            (ZonePolicy::Multivalue, Manner::Several),
            (ZonePolicy::Simple, Manner::Several),
            (ZonePolicy::LbAlias, Manner::Several),
        ] {
            let scenario = on_a_stage(policy);
            let picture = staged(scenario.stage.as_ref().unwrap(), scenario.seed).unwrap();
            assert_eq!((picture.manner.0, picture.guess[0].policy), (manner, policy), "{picture:?}");
            assert!(picture.is_decided(), "{picture:?}");
        }
    }

    #[tokio::test]
    async fn a_scenario_without_a_production_name_is_held_against_nothing() {
        let scenario = on_a_stage(ZonePolicy::Simple);
        assert_eq!(compare_with_production(&scenario, true).await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_mistake_of_the_case_is_caught_before_a_run() {
        let production = authority("vote.production.test", ZonePolicy::SingleAWeighted).await;
        for (policy, differs) in [(ZonePolicy::Multivalue, true), (ZonePolicy::SingleAWeighted, false)] {
            let rehearsal = authority("vote.rehearsal.test", policy).await;
            let text = format!(
                "{LIVE}[dns]\nproduction_name = \"vote.production.test\"\nrecursive = [\"{}\", \"{}\"]",
                production.address(),
                rehearsal.address()
            );
            let pace = Pace { rate: 10 * RATE, longest: LONGEST, until_sure: true, quiet: true };
            let found = compare(&scenario(&text), pace).await.unwrap();
            assert_eq!(found.iter().any(|why| why.contains("8 addresses per answer")), differs, "{policy}: {found:?}");
            assert_eq!(found.is_empty(), !differs, "{policy}: {found:?}");
        }
    }
}
