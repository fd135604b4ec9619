//! The command `voteburst`: parse, do, say, exit.

mod agent;
mod calibrate;
mod carriers;
mod check;
mod cli;
mod clock;
mod compare;
mod diff;
mod dns;
mod fleet;
mod forecast;
mod preflight;
mod problem;
mod rehearsal;
mod report;
mod run;
mod say;
mod scenario;
mod signal;
mod stage;
mod text;
mod web;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("VOTEBURST_LOG").unwrap_or_else(|_| "error".into()))
        .init();
    let done = match cli::Cli::parse().command {
        cli::Command::Run(args) => run::run(args),
        cli::Command::Compare(args) => compare::compare(args),
        cli::Command::Agent(args) => agent::agent(args),
        cli::Command::Stage(args) => stage::stage(args),
        cli::Command::Check(args) => check::check(args),
        cli::Command::Dns(args) => dns::dns(&args),
        cli::Command::Forecast(args) => forecast::forecast(&args),
        cli::Command::Report(args) => report::report(&args),
        cli::Command::Diff(args) => diff::diff(&args),
        cli::Command::StageWorker => stage::worker(),
        cli::Command::CalibrateAgent => calibrate::agent(),
        cli::Command::CalibrateTarget => calibrate::target(),
    };
    done.unwrap_or_else(|problem| {
        say::error(&problem);
        problem.exit_code()
    })
}
