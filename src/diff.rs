//! `voteburst diff`: two earlier runs, and which of their differences are larger than their spread.

use std::path::Path;
use std::process::ExitCode;

use voteburst_coordinator::journal::Evidence;
use voteburst_coordinator::report::diff::{Diff, Side};

use crate::problem::Problem;
use crate::{cli, report, say};

pub(crate) fn diff(args: &cli::Diff) -> Result<ExitCode, Problem> {
    let diff = Diff::of(&side(&args.a)?, &side(&args.b)?);
    say::result(&match args.format {
        cli::Format::Text => diff.render(),
        cli::Format::Json => report::json(&diff),
    });
    Ok(ExitCode::SUCCESS)
}

/// A run out of its directory, in which nothing is changed.
pub(crate) fn side(dir: &Path) -> Result<Side, Problem> {
    let evidence = Evidence::load(dir).map_err(Problem::usage)?;
    Ok(Side::of(&dir.display().to_string(), &evidence))
}
