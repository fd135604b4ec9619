//! `voteburst diff`: two earlier runs, and which of their differences are larger than their spread; as words, JSON or a page.

use std::process::ExitCode;

use voteburst_coordinator::journal::{Evidence, write_atomically};
use voteburst_coordinator::report::diff::{Diff, Side};
use voteburst_publish::html::{self, Detail};

use crate::problem::Problem;
use crate::{cli, report, say};

pub(crate) fn diff(args: &cli::Diff) -> Result<ExitCode, Problem> {
    let (of_a, of_b) = (Evidence::load(&args.a).map_err(Problem::usage)?, Evidence::load(&args.b).map_err(Problem::usage)?);
    let (a, b) = (Side::of(&args.a.display().to_string(), &of_a), Side::of(&args.b.display().to_string(), &of_b));
    let diff = Diff::of(&a, &b);
    if let Some(path) = &args.html {
        let page = html::of_diff(&diff, [(&a.report, &Detail::of(&of_a)), (&b.report, &Detail::of(&of_b))]);
        let refuse = |error| {
            let path = path.display();
            Problem::usage(format!(
                "{path}: could not be written: {error}\n  needed: a file in a directory that can be written to\n  fix:    give another --html"
            ))
        };
        write_atomically(path, page.as_bytes()).map_err(refuse)?;
    }
    say::result(&match args.format {
        cli::Format::Text => diff.render(),
        cli::Format::Json => report::json(&diff),
    });
    Ok(ExitCode::SUCCESS)
}
