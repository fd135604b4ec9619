//! `voteburst run`: one rehearsal, one verdict.

use std::path::PathBuf;
use std::process::ExitCode;

use voteburst_coordinator::report::terminal;

use crate::annotate;
use crate::baseline;
use crate::cli::{Logging, Rehearse, Run};
use crate::precedence;
use crate::problem::Problem;
use crate::rehearsal::{Stand, exit_code, play, token};
use crate::say;
use crate::scenario::{Overrides, Source};
use crate::signal::{STOPPING_RUN, Signals};
use crate::web::Web;

pub(crate) fn run(args: Run, logging: Logging) -> Result<ExitCode, Problem> {
    let source = Source::read(&args.rehearse.scenario)?;
    let overrides = Overrides { viewers: args.rehearse.viewers, seed: args.rehearse.seed, zone: args.zone };
    let plan = source.plan(overrides)?;
    let earlier = args.baselines.iter().map(|dir| baseline::load(dir, &plan)).collect::<Result<Vec<_>, _>>()?;
    let token = token(&args.rehearse)?;
    let dir = directory(&args.rehearse, &plan.scenario.name);
    let rehearse = args.rehearse;
    let _precedence = precedence::wanted(&plan.scenario);
    let played = runtime()?.block_on(async {
        let signals = Signals::watch(STOPPING_RUN)?;
        let (interrupts, keys) = (signals.listen(), signals.keys());
        let web = Web::open(&rehearse.web)?;
        let stand =
            Stand { args: &rehearse, logging, text: &source.text, token, interrupts, keys, web: &web, baselines: &earlier };
        let played = play(plan, &dir, stand).await;
        web.close().await;
        played
    })?;
    let report = &played.report;
    say::result(&if rehearse.json { crate::report::json(report) } else { terminal::render(report) });
    if annotate::wanted(logging) {
        annotate::of_report(report, &rehearse.scenario, &source.text).iter().for_each(|line| say::note(line));
    }
    if !rehearse.quiet {
        say::note(&format!("\nkept in {}", dir.display()));
    }
    Ok(ExitCode::from(exit_code(report.verdict.outcome, played.kept)))
}

/// Where runs are kept unless told otherwise, below the working directory.
pub(crate) const RUNS: &str = "runs";

/// Where a run is kept.
pub(crate) fn directory(args: &Rehearse, name: &str) -> PathBuf {
    args.out.clone().unwrap_or_else(|| PathBuf::from(RUNS).join(format!("{}-{name}", crate::clock::name())))
}

/// The runtime that stage, carriers and coordinator share; agents and stage workers are processes of their own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Problem::usage(format!("cannot start threads: {error}; raise `ulimit -u`")))
}
