//! `voteburst agent`: hold a share of the audience for a coordinator.

use std::process::ExitCode;

use crate::cli;
use crate::problem::Problem;

pub(crate) fn agent(args: cli::Agent) -> Result<ExitCode, Problem> {
    let _ = args;
    Err(Problem::usage("wait"))
}
