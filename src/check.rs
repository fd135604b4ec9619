//! `voteburst check`: what would happen, and whether this machine can do it. Sends nothing to the target.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use voteburst_agent::preflight::CheckStatus;
use voteburst_burst::plan::Plan;

use crate::carriers::Carriers;
use crate::cli;
use crate::fleet;
use crate::preflight;
use crate::problem::Problem;
use crate::run::{RUNS, runtime};
use crate::say;
use crate::scenario::{Overrides, Source};

pub(crate) fn check(args: cli::Check) -> Result<ExitCode, Problem> {
    let overrides = Overrides { viewers: args.viewers, seed: args.seed, zone: None };
    let plan = Source::read(&args.scenario)?.plan(overrides)?;
    let agents = fleet::size(&plan, None)?;
    if let Some(file) = &plan.scenario.target.ca_file {
        std::fs::metadata(file).map_err(|error| {
            Problem::usage(format!("target.ca_file: {file}: {error}\n  needed: a PEM file, at this path on every agent's machine\n  fix:    correct the path, or leave it out to trust the system's certificates"))
        })?;
    }
    let mut out = words(&plan, agents);
    let mut checks = preflight::of_machine(&plan, agents);
    checks.push(preflight::of_disk(&plan, agents, Path::new(RUNS)));
    line(&mut out, "");
    out += &preflight::table(&checks);
    let failed = checks.iter().any(|check| check.status == CheckStatus::Bad);
    if plan.scenario.stage.is_none() {
        let addresses = runtime()?.block_on(Carriers::probe(&plan.scenario, None))?;
        crate::rehearsal::refuse_strangers(&addresses, &args.allow)?;
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        line(&mut out, "");
        line(&mut out, &format!("dns        {} is now at {}", plan.scenario.dns.name, addresses.join(", ")));
    }
    line(&mut out, "");
    line(
        &mut out,
        if failed {
            "This machine cannot hold the rehearsal: see what to fix above."
        } else {
            "Nothing stands in the way. Nothing was sent to the target."
        },
    );
    say::result(&out);
    if args.calibrate && !failed {
        return crate::calibrate::calibrate(&plan, agents);
    }
    Ok(ExitCode::from(if failed { 2 } else { 0 }))
}

fn words(plan: &Plan, agents: u32) -> String {
    let scenario = &plan.scenario;
    let mut out = String::new();
    line(&mut out, &format!("scenario   {} · seed {} · plan {}", scenario.name, scenario.seed, plan.hash));
    let audience = &scenario.audience;
    let phones: Vec<_> = audience.phones.iter().map(|phone| format!("{:.0} % {}", phone.share * 100.0, phone.name)).collect();
    line(
        &mut out,
        &format!(
            "audience   {} viewers enter over {} s; phones: {}",
            audience.viewers,
            audience.doors_open.as_secs_f64(),
            phones.join(", ")
        ),
    );
    let largest = scenario.carriers.list.iter().map(|carrier| carrier.share).fold(0.0, f64::max);
    line(
        &mut out,
        &format!("carriers   {}; the largest holds {:.1} % of the audience", scenario.carriers.list.len(), largest * 100.0),
    );
    match &scenario.stage {
        None => line(&mut out, &format!("target     live: {} at the addresses of {}", scenario.target.host, scenario.dns.name)),
        Some(stage) => {
            line(&mut out, &format!("stage      {} proxies, zone {}, TTL {} s", stage.fronts(), stage.zone, stage.ttl_s));
            let (computed, carries) = (stage.limit_in_words(), stage.votes_per_s());
            line(
                &mut out,
                &format!(
                    "           each proxy: {} connections; {computed} requests at each of {} web servers, which carries {carries:.0} votes/s",
                    stage.connection_limit_per_front(),
                    stage.web_servers
                ),
            );
        }
    }
    line(&mut out, &format!("agents     {agents} here, unless told otherwise"));
    for (question, counts) in scenario.questions.iter().zip(&plan.choices) {
        let choices: Vec<_> =
            question.choices.iter().zip(counts).map(|(choice, count)| format!("{} {count}", choice.id)).collect();
        line(
            &mut out,
            &format!(
                "question   {}: opens {} s after T0 for {} s, {} votes ({})",
                question.id,
                question.opens_at.as_secs_f64(),
                question.window.as_secs_f64(),
                counts.iter().sum::<u32>(),
                choices.join(", ")
            ),
        );
    }
    line(&mut out, &format!("votes      {} in all; {}", plan.tickets, busiest(plan)));
    out
}

fn busiest(plan: &Plan) -> String {
    let busiest = plan.busiest_second(&(0..plan.scenario.audience.viewers));
    busiest.map_or_else(|| "nobody votes".into(), |(second, count)| format!("the busiest second is t = {second} s with {count}"))
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}
