//! `voteburst completions` and `voteburst man`: what shells and `man` read, made from the command line's own description.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Completions, Man};
use crate::problem::Problem;
use crate::say;

const NAME: &str = "voteburst";

/// The command line as users see it: without the commands by which voteburst starts its own processes.
fn described() -> clap::Command {
    let whole = Cli::command();
    let seen: Vec<_> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let mut command = clap::Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .disable_help_subcommand(true);
    if let Some(about) = whole.get_about() {
        command = command.about(about.clone());
    }
    if let Some(after) = whole.get_after_help() {
        command = command.after_help(after.clone());
    }
    command.args(whole.get_arguments().cloned()).subcommands(seen)
}

pub(crate) fn completions(args: &Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut described(), NAME, &mut script);
    say::result(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

pub(crate) fn man(args: &Man) -> Result<ExitCode, Problem> {
    let command = described();
    if let Some(dir) = &args.dir {
        fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir)).map_err(|error| unwritable(dir, &error))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Vec::new();
    // Memory takes every byte.
    clap_mangen::Man::new(command).render(&mut page).map_err(Problem::unknown)?;
    say::result(&String::from_utf8_lossy(&page));
    Ok(ExitCode::SUCCESS)
}

fn unwritable(dir: &Path, error: &std::io::Error) -> Problem {
    Problem::usage(format!(
        "--dir {}: {error}\n  needed: a directory that can be written to\n  fix:    choose another one, or leave --dir out to have the page on standard output",
        dir.display()
    ))
}
