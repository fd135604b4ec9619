//! `voteburst run --baseline`: the earlier run that a later one is held against.

use std::path::Path;

use voteburst_burst::plan::Plan;
use voteburst_coordinator::journal::Evidence;
use voteburst_coordinator::report::diff::{Diff, Side};

use crate::problem::Problem;

/// The run in a directory, if one of this plan can be held against it. Nothing in there is changed.
///
/// # Errors
/// Usage errors: the directory is no run's, or its run proves nothing or played something else.
pub(crate) fn load(dir: &Path, plan: &Plan) -> Result<Side, Problem> {
    let refused = |problem: &dyn std::fmt::Display| Problem::usage(format!("--baseline: {problem}"));
    let evidence = Evidence::load(dir).map_err(|problem| refused(&problem))?;
    let side = Side::of(&dir.display().to_string(), &evidence);
    side.is_baseline_of(plan).map_err(|problem| refused(&problem))?;
    Ok(side)
}

/// What is known of a run, with its difference from the one it is held against.
pub(crate) fn against(earlier: Option<&Side>, dir: &Path, mut evidence: Evidence) -> Evidence {
    let this = || Side::of(&dir.display().to_string(), &evidence);
    let baseline = earlier.map(|earlier| Diff::of(earlier, &this()).of_whole_runs());
    evidence.record.baseline = baseline;
    evidence
}
