//! `voteburst run --baseline`: the earlier runs that a later one is held against.

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

/// What is known of a run, with its differences from those it is held against.
pub(crate) fn against(earlier: &[Side], dir: &Path, mut evidence: Evidence) -> Evidence {
    if !earlier.is_empty() {
        let this = Side::of(&dir.display().to_string(), &evidence);
        evidence.record.baselines = earlier.iter().map(|earlier| Diff::of(earlier, &this).of_whole_runs()).collect();
    }
    evidence
}
