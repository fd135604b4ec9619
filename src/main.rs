//! The command `voteburst`: parse, do, say, exit.

mod agent;
mod annotate;
mod baseline;
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
mod init;
mod log;
mod manual;
mod otlp;
mod precedence;
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
mod view;
mod web;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    log::start(cli.logging);
    let done = match cli.command {
        cli::Command::Run(args) => run::run(args, cli.logging),
        cli::Command::Compare(args) => compare::compare(args, cli.logging),
        cli::Command::Agent(args) => agent::agent(args),
        cli::Command::Stage(args) => stage::stage(args),
        cli::Command::Check(args) => check::check(args),
        cli::Command::Dns(args) => dns::dns(&args),
        cli::Command::Forecast(args) => forecast::forecast(&args),
        cli::Command::Report(args) => report::report(&args),
        cli::Command::Diff(args) => diff::diff(&args),
        cli::Command::Init(args) => init::init(&args),
        cli::Command::Completions(args) => Ok(manual::completions(&args)),
        cli::Command::Man(args) => manual::man(&args),
        cli::Command::StageWorker => stage::worker(),
        cli::Command::CalibrateAgent => calibrate::agent(),
        cli::Command::CalibrateTarget => calibrate::target(),
    };
    done.unwrap_or_else(|problem| {
        say::error(&problem);
        if annotate::wanted(cli.logging) {
            say::note(&annotate::error(problem.spot(), "voteburst", &problem.to_string()));
        }
        problem.exit_code()
    })
}
