//! `voteburst compare`: the same burst under several zones, side by side.

use std::process::ExitCode;

use voteburst_burst::zone::ZonePolicy;
use voteburst_coordinator::report::compare::Comparison;

use crate::cli::{Compare, Logging};
use crate::precedence;
use crate::problem::Problem;
use crate::rehearsal::{Stand, exit_code, play, token};
use crate::run::{directory, runtime};
use crate::scenario::{Overrides, Source};
use crate::signal::{STOPPING_RUN, Signals};
use crate::web::Web;
use crate::{report, say};

pub(crate) fn compare(args: Compare, logging: Logging) -> Result<ExitCode, Problem> {
    let source = Source::read(&args.rehearse.scenario)?;
    let zones = zones(&args.zones)?;
    let rehearse = args.rehearse;
    // Every plan is made before anything starts: a scenario that only the second zone breaks must not cost a run.
    let plans =
        zones.iter().map(|zone| source.plan(Overrides { viewers: rehearse.viewers, seed: rehearse.seed, zone: Some(*zone) }));
    let plans = plans.collect::<Result<Vec<_>, _>>()?;
    let token = token(&rehearse)?;
    if rehearse.wait_for.is_some() && rehearse.listen.port() == 0 {
        return Err(Problem::usage(
            "--wait-for: found no fixed port to join at\n  needed: one that stays the same from zone to zone\n  fix:    --listen 127.0.0.1:7400, and agents started with --stay",
        ));
    }
    let _precedence = plans.first().and_then(|plan| precedence::wanted(&plan.scenario));
    let name = plans.first().map_or_else(String::new, |plan| format!("{}-compare", plan.scenario.name));
    let dir = directory(&rehearse, &name);
    let (comparison, details, kept) = runtime()?.block_on(async {
        let signals = Signals::watch(STOPPING_RUN)?;
        let web = Web::open(&rehearse.web)?;
        let (mut reports, mut details, mut kept) = (Vec::new(), Vec::new(), true);
        for (number, (zone, plan)) in zones.iter().zip(plans).enumerate() {
            if !rehearse.quiet {
                say::note(&format!("{} of {}: {zone}", number + 1, zones.len()));
            }
            let (interrupts, keys) = (signals.listen(), signals.keys());
            let stand = Stand {
                args: &rehearse,
                logging,
                text: &source.text,
                token: token.clone(),
                interrupts,
                keys,
                web: &web,
                baselines: &[],
            };
            match play(plan, &dir.join(zone.name()), stand).await {
                Ok(played) => {
                    let cut_short = played.report.verdict.reasons.iter().any(|reason| reason.code == "partial");
                    kept &= played.kept;
                    reports.push(played.report);
                    details.push(played.detail);
                    if cut_short {
                        break;
                    }
                }
                Err(problem) if reports.is_empty() => return Err(problem),
                Err(problem) => {
                    // What was played is worth keeping; the comparison says what it lacks.
                    say::error(&problem);
                    break;
                }
            }
        }
        web.close().await;
        let missing = zones.iter().skip(reports.len()).map(ToString::to_string).collect();
        Ok((Comparison::of(reports, missing), details, kept))
    })?;
    let written = report::write_comparison(&dir, &comparison, &details);
    if let Err(problem) = &written {
        say::error(problem);
    }
    say::result(&if rehearse.json { report::json(&comparison) } else { comparison.render() });
    if !rehearse.quiet {
        say::note(&format!("\nkept in {}; each zone in full: voteburst report {}/ZONE", dir.display(), dir.display()));
    }
    Ok(ExitCode::from(exit_code(comparison.outcome(), kept && written.is_ok())))
}

fn zones(asked: &[ZonePolicy]) -> Result<Vec<ZonePolicy>, Problem> {
    let zones = if asked.is_empty() { vec![ZonePolicy::SingleAWeighted, ZonePolicy::Multivalue] } else { asked.to_vec() };
    let mut distinct = zones.clone();
    distinct.sort_unstable_by_key(|zone| zone.name());
    distinct.dedup();
    if distinct.len() < zones.len() || zones.len() < 2 {
        let found: Vec<_> = zones.iter().map(ToString::to_string).collect();
        return Err(Problem::usage(format!(
            "--zone: found {}\n  needed: two zone policies or more, each once\n  fix:    --zone single-a-weighted --zone multivalue",
            found.join(", ")
        )));
    }
    Ok(zones)
}
