//! The machine as a whole, before anything starts on it: what all local agents, the stage and the run directory need.
//!
//! Each agent looks at its own machine again before each run, and tells the coordinator.

use std::fmt::Write as _;
use std::path::Path;

use voteburst_agent::preflight::{self, Check, CheckStatus, DiskNeeds, Load, NOT_TOLD};
use voteburst_agent::sources;
use voteburst_burst::plan::Plan;

use crate::cli::Rehearse;
use crate::problem::Problem;
use crate::say;

/// What a ballot takes on disk: 28 bytes in the stage's own file, and 28 in the run directory's.
const BALLOT_BYTES: u64 = 2 * 28;
/// An agent's tally: the aim for a snapshot of 15 proxies.
const TALLY_BYTES: u64 = 64 << 10;
/// Reports and the record of the run, without what grows with the number of agents.
const REPORT_BYTES: u64 = 1 << 20;
/// From here on a column of the table would push the next one off most screens.
const WIDEST: usize = 44;

/// Looks at this machine for the whole plan, held by so many agents here. Blocks as long as [`preflight::check`] does.
pub(crate) fn of_machine(plan: &Plan, agents: u32) -> Vec<Check> {
    let load = Load::of_audience(plan, agents);
    let told = &plan.scenario.agents.sources;
    let addresses = sources::choose(0, load.viewers, told, plan.scenario.stage.is_some(), &sources::local_ports());
    preflight::check(&load, &addresses)
}

/// Looks at the disk that the run is kept on.
pub(crate) fn of_disk(plan: &Plan, agents: u32, dir: &Path) -> Check {
    let ballots = if plan.scenario.stage.is_some() { u64::from(plan.tickets) * BALLOT_BYTES } else { 0 };
    preflight::disk(dir, DiskNeeds { ballots, others: u64::from(agents) * TALLY_BYTES + REPORT_BYTES })
}

/// Looks at what a rehearsal needs here; local agents are part of it, those elsewhere look for themselves.
///
/// Returns what was forced past.
///
/// # Errors
/// A usage problem with every bad line, unless it is forced.
pub(crate) fn before_run(plan: &Plan, agents: u32, dir: &Path, args: &Rehearse) -> Result<Vec<String>, Problem> {
    let mut checks = if args.wait_for.is_none() { of_machine(plan, agents) } else { Vec::new() };
    checks.push(of_disk(plan, agents, dir));
    let bad: Vec<_> = checks.iter().filter(|check| check.status == CheckStatus::Bad).collect();
    if !bad.is_empty() && !args.force {
        let lines: Vec<_> = bad.iter().map(|check| in_lines(check)).collect();
        return Err(Problem::usage(format!(
            "this machine cannot hold the rehearsal\n{}\n  --force plays it all the same; its verdict is then unknown at best",
            lines.join("\n")
        )));
    }
    if !args.quiet {
        for check in checks.iter().filter(|check| check.status == CheckStatus::Warning) {
            say::note(&format!("  ! {}: found {}, needed {}; {}", check.what, check.found, check.needed, check.effect));
        }
    }
    Ok(bad.iter().map(|check| format!("{}: found {}, needed {}", check.what, check.found, check.needed)).collect())
}

fn in_lines(check: &Check) -> String {
    format!(
        "  {}: found {}\n    needed: {}\n    fix:    {}\n    effect: {}",
        check.what, check.found, check.needed, check.fix, check.effect
    )
}

/// The table of a preflight: one row for each line, and below those that are not good what to do and what happens otherwise.
pub(crate) fn table(checks: &[Check]) -> String {
    let widest = |text: fn(&Check) -> &str, head: &str| {
        checks.iter().map(|check| text(check).chars().count()).filter(|width| *width <= WIDEST).fold(head.len(), usize::max)
    };
    let what = widest(|check| &check.what, "this machine");
    let found = widest(|check| &check.found, "found");
    // Writing to a String cannot fail.
    let mut out = String::new();
    let _ = writeln!(out, "  {:<what$}  {:<found$}  needed", "this machine", "found");
    for check in checks {
        let mark = match check.status {
            CheckStatus::Good if check.found == NOT_TOLD => '?',
            CheckStatus::Good => '✓',
            CheckStatus::Warning => '!',
            CheckStatus::Bad => '✗',
        };
        let _ = writeln!(out, "{mark} {:<what$}  {:<found$}  {}", check.what, check.found, check.needed);
        if check.status != CheckStatus::Good {
            let _ = writeln!(out, "    fix:    {}\n    effect: {}", check.fix, check.effect);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_tells_what_to_do_below_what_is_not_good() {
        let check = |what: &str, found: &str, status| {
            let told = |text: &str| if status == CheckStatus::Good { String::new() } else { text.into() };
            Check {
                what: what.into(),
                found: found.into(),
                needed: "10".into(),
                fix: told("raise it"),
                effect: told("5 of 10 fit"),
                status,
            }
        };
        let long = "x".repeat(WIDEST + 1);
        let checks = [
            check("files", "no limit", CheckStatus::Good),
            check("queue", NOT_TOLD, CheckStatus::Good),
            check("clock source", "hpet", CheckStatus::Warning),
            check("cores", "5", CheckStatus::Bad),
            check("ports", &long, CheckStatus::Good),
        ];
        let expected = [
            "  this machine  found          needed",
            "✓ files         no limit       10",
            "? queue         not told here  10",
            "! clock source  hpet           10",
            "    fix:    raise it",
            "    effect: 5 of 10 fit",
            "✗ cores         5              10",
            "    fix:    raise it",
            "    effect: 5 of 10 fit",
            &format!("✓ ports         {long}  10"),
            "",
        ];
        assert_eq!(table(&checks), expected.join("\n"));
    }
}
