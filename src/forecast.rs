//! `voteburst forecast`: what DNS alone will make of a burst, by zone policy, proxies, TTL and carriers. Sends nothing.

mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use voteburst_burst::forecast::{Forecast, Setting, forecast as play};
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Draft;
use voteburst_burst::zone::{LB_ALIAS_TTL_S, Member, Zone, ZonePolicy};

use crate::cli;
use crate::problem::Problem;
use crate::report;
use crate::say::{self, Moving};
use crate::scenario::Source;

/// A table of more rows is no table.
const MOST_ROWS: usize = 200;
/// The TTL where neither scenario nor command line says one, in seconds: "60 or 120 s is a common choice" (Amazon Route 53
/// Developer Guide, best practices for DNS).
const USUAL_TTL_S: u32 = 60;
/// How long a moving zone stays with one address, where no stage says so.
const USUAL_WINDOW: Duration = Duration::from_secs(5);

/// One combination and its forecast.
#[derive(Debug, Serialize)]
struct Row {
    zone: ZonePolicy,
    /// Addresses that viewers can reach: proxies, or nodes of a load balancer.
    proxies: u16,
    ttl_s: u32,
    carriers: usize,
    /// Connections that each of them accepts; `null` when no stage says so.
    connection_limit: Option<u32>,
    forecast: Forecast,
}

/// Everything that is said.
#[derive(Debug, Serialize)]
struct Told {
    name: String,
    seed: u64,
    viewers: u32,
    doors_open_s: f64,
    /// Kinds of phones with their shares.
    phones: Vec<(String, f64)>,
    rows: Vec<Row>,
}

/// A zone to be played.
struct Choice {
    policy: ZonePolicy,
    proxies: u16,
    ttl_s: u32,
    connection_limit: Option<u32>,
    zone: Zone,
}

pub(crate) fn forecast(args: &cli::Forecast) -> Result<ExitCode, Problem> {
    let source = Source::read(&args.scenario)?;
    let mut draft = source.draft();
    draft = args.viewers.into_iter().fold(draft, Draft::with_viewers);
    draft = args.seed.into_iter().fold(draft, Draft::with_seed);
    let choices = choices(&source, &draft, args)?;
    let drafts: Vec<Draft> = match args.carriers.as_slice() {
        [] => vec![draft],
        counts => counts.iter().map(|count| draft.clone().with_carriers(*count)).collect(),
    };
    let rows = choices.len() * drafts.len();
    if rows > MOST_ROWS {
        return Err(Problem::usage(format!(
            "found {rows} combinations of --zone, --proxies, --ttl and --carriers\n  needed: at most {MOST_ROWS}\n  fix:    ask for fewer at a time"
        )));
    }
    let moving = Moving::new(args.quiet);
    let mut told: Option<Told> = None;
    let mut done = 0;
    for draft in drafts {
        let plan = Plan::new(source.resolve(draft)?);
        let told = told.get_or_insert_with(|| Told::about(&plan));
        for choice in &choices {
            done += 1;
            moving.show(&format!("{done} of {rows}: {}", choice.in_words(plan.scenario.carriers.list.len())));
            told.rows.push(row(&plan, choice, args.trials));
        }
    }
    drop(moving);
    // There is at least one draft.
    let Some(mut told) = told else { return Ok(ExitCode::SUCCESS) };
    // Rows that differ in carriers alone stand together.
    let place = |row: &Row| choices.iter().position(|choice| choice.is_of(row));
    told.rows.sort_by_key(place);
    say::result(&if args.json { report::json(&told) } else { words::render(&told) });
    Ok(ExitCode::SUCCESS)
}

/// Every zone that is asked for, each once.
fn choices(source: &Source, draft: &Draft, args: &cli::Forecast) -> Result<Vec<Choice>, Problem> {
    let scenario = source.resolve(draft.clone())?;
    let Some(stage) = &scenario.stage else { return live_choices(args, scenario.seed) };
    let zones = or(&args.zones, stage.zone);
    let mut found: Vec<Choice> = Vec::new();
    for policy in zones {
        // The nodes of a load balancer are the scenario's: what it stands for does not change with the proxies beside it.
        let proxies = if policy == ZonePolicy::LbAlias { vec![stage.proxies] } else { or(&args.proxies, stage.proxies) };
        for proxies in proxies {
            for ttl_s in or(&args.ttls, stage.ttl_s) {
                let stage = source.resolve(draft.clone().with_zone(policy).with_proxies(proxies).with_ttl(ttl_s))?.stage;
                // It was there before the overrides.
                let Some(stage) = stage else { continue };
                let choice = Choice {
                    policy,
                    proxies: stage.fronts(),
                    ttl_s: said_ttl_s(policy, ttl_s),
                    connection_limit: Some(stage.connection_limit_per_front()),
                    zone: stage.zone(&addresses(stage.fronts()), scenario.seed).map_err(Problem::usage)?,
                };
                add(&mut found, choice);
            }
        }
    }
    Ok(found)
}

/// Without a stage, what a live zone does is to be told.
fn live_choices(args: &cli::Forecast, seed: u64) -> Result<Vec<Choice>, Problem> {
    if args.zones.is_empty() || args.proxies.is_empty() {
        return Err(Problem::usage(
            "forecast: found a scenario without [stage] and no --zone and --proxies beside it\n  needed: what its zone does\n  fix:    `voteburst dns NAME` says which policy a name has and how many addresses; then --zone multivalue --proxies 8 --ttl 60",
        ));
    }
    let mut found = Vec::new();
    for policy in args.zones.iter().copied() {
        for proxies in args.proxies.iter().copied() {
            for ttl_s in or(&args.ttls, USUAL_TTL_S) {
                let member = |(n, address): (usize, IpAddr)| Member::new(format!("proxy-{}", n + 1), address);
                let members = addresses(proxies).into_iter().enumerate().map(member).collect();
                let zone = Zone::new(policy, members, ttl_s, USUAL_WINDOW, seed).map_err(Problem::usage)?;
                add(&mut found, Choice { policy, proxies, ttl_s: said_ttl_s(policy, ttl_s), connection_limit: None, zone });
            }
        }
    }
    Ok(found)
}

/// What comes out alike is one row: a load balancer's TTL stays what it is, whatever is asked for.
fn add(found: &mut Vec<Choice>, choice: Choice) {
    let key = |choice: &Choice| (choice.policy, choice.proxies, choice.ttl_s);
    if !found.iter().any(|other| key(other) == key(&choice)) {
        found.push(choice);
    }
}

fn or<T: Copy>(asked: &[T], usual: T) -> Vec<T> {
    if asked.is_empty() { vec![usual] } else { asked.to_vec() }
}

fn said_ttl_s(policy: ZonePolicy, ttl_s: u32) -> u32 {
    if policy == ZonePolicy::LbAlias { LB_ALIAS_TTL_S } else { ttl_s }
}

/// Which address a proxy has changes no figure.
fn addresses(count: u16) -> Vec<IpAddr> {
    (1..=u32::from(count)).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + number).into()).collect()
}

fn row(plan: &Plan, choice: &Choice, trials: Option<u32>) -> Row {
    let scenario = &plan.scenario;
    let agents = scenario.audience.viewers.div_ceil(scenario.agents.max_viewers.max(1));
    Row {
        zone: choice.policy,
        proxies: choice.proxies,
        ttl_s: choice.ttl_s,
        carriers: scenario.carriers.list.len(),
        connection_limit: choice.connection_limit,
        forecast: play(&Setting { plan, zone: &choice.zone, agents, trials }),
    }
}

impl Choice {
    fn is_of(&self, row: &Row) -> bool {
        (self.policy, self.proxies, self.ttl_s) == (row.zone, row.proxies, row.ttl_s)
    }

    fn in_words(&self, carriers: usize) -> String {
        words::combination(self.policy, self.proxies, self.ttl_s, carriers)
    }
}

impl Told {
    fn about(plan: &Plan) -> Self {
        let scenario = &plan.scenario;
        Self {
            name: scenario.name.clone(),
            seed: scenario.seed,
            viewers: scenario.audience.viewers,
            doors_open_s: scenario.audience.doors_open.as_secs_f64(),
            phones: scenario.audience.phones.iter().map(|phone| (phone.name.clone(), phone.share)).collect(),
            rows: Vec::new(),
        }
    }
}
