//! The words of the command line; what they mean is decided elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use voteburst_agent::Network;
use voteburst_burst::scenario::MOST_VIEWERS;
use voteburst_burst::zone::ZonePolicy;

/// Rehearse a vote burst before the show: real DNS behaviour, one synchronised minute, figures per proxy.
#[derive(Debug, Parser)]
#[command(name = "voteburst", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes:
  0  pass      every limit held, and everything planned was seen
  1  fail      a limit of the scenario was broken, or votes were lost, doubled or invented
  2  usage     the command line, the scenario or this machine does not allow the run; nothing was started
  3  unknown   the run is incomplete, was late or unsynchronised: it proves nothing either way

First steps:
  voteburst check   scenarios/show.toml     what would happen; sends nothing
  voteburst compare scenarios/show.toml     the case: single-A against multivalue DNS")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A number of viewers within the bounds of a scenario.
fn viewers() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(MOST_VIEWERS))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play a rehearsal once and judge it
    Run(Run),
    /// Play the same rehearsal under several DNS zone policies and put the results side by side
    ///
    /// Exits with 0 when at least one zone passes (there is one to take), 1 when all fail, 3 when a zone was not played or
    /// proved nothing.
    Compare(Compare),
    /// Hold a share of the audience for a coordinator on this or another machine
    Agent(Agent),
    /// Set up the scenario's stage alone, print its addresses and wait for Ctrl-C
    Stage(Stage),
    /// Read a scenario, derive its plan, check this machine and say what would happen; sends nothing to the target
    Check(Check),
    /// Make every report again from a run directory
    Report(Report),
    /// One worker process of a stage (started by voteburst itself)
    #[command(hide = true)]
    StageWorker,
}

/// What `run` and `compare` share.
#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// The scenario file (TOML)
    pub(crate) scenario: PathBuf,
    /// Play with this many viewers instead of the scenario's
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = viewers())]
    pub(crate) viewers: Option<u32>,
    /// Draw from this seed instead of the scenario's
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u32>,
    /// Start this many local agent processes [default: what the audience and this machine's file limit need]
    #[arg(long, value_name = "N", conflicts_with = "wait_for", allow_negative_numbers = true)]
    pub(crate) agents: Option<u32>,
    /// Start no agent here, but wait for this many to join from elsewhere (for `compare`, agents started with --stay)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) wait_for: Option<u32>,
    /// Listen here for agents; addresses other than loopback need --token-file
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// A file with the secret that agents must show, at least 16 bytes
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Networks that local agents may send votes to; repeat it for each [default: 127.0.0.0/8 and ::1/128]
    #[arg(long = "allow", value_name = "NETWORK", conflicts_with = "wait_for")]
    pub(crate) allow: Vec<Network>,
    /// Put the run directory here [default: runs/<time>-<name>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write the report as JSON to standard output instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Go on although a check of a machine failed; the verdict is then unknown at best
    #[arg(long)]
    pub(crate) force: bool,
}

/// `voteburst run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) rehearse: Rehearse,
    /// Play under this zone policy instead of the scenario's
    #[arg(long, value_name = "POLICY")]
    pub(crate) zone: Option<ZonePolicy>,
}

/// `voteburst compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    pub(crate) rehearse: Rehearse,
    /// A zone policy to play under; repeat it for each [default: single-a-weighted, multivalue]
    ///
    /// single-a-weighted: one address per answer, drawn by weight; single-a-window: one address for all, moving on every few
    /// seconds; multivalue: up to eight random addresses; simple: all addresses in random order; lb-alias: a few stable
    /// load balancer addresses.
    #[arg(long = "zone", value_name = "POLICY")]
    pub(crate) zones: Vec<ZonePolicy>,
}

/// `voteburst agent`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// Where the coordinator listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) join: String,
    /// A file with the secret that the coordinator asks for
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Networks that this agent may send votes to; repeat it for each [default: 127.0.0.0/8 and ::1/128]
    #[arg(long = "allow", value_name = "NETWORK")]
    pub(crate) allow: Vec<Network>,
    /// Address to connect from; repeat it for each [default: the scenario's, or automatic]
    #[arg(long = "source", value_name = "ADDR")]
    pub(crate) sources: Vec<std::net::IpAddr>,
    /// Join again after each run, for a `compare` that waits for agents; ends when no coordinator is back within 60 s
    #[arg(long)]
    pub(crate) stay: bool,
    /// No progress on standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `voteburst stage`.
#[derive(Debug, Args)]
pub(crate) struct Stage {
    /// The scenario file (TOML); it must have a [stage]
    pub(crate) scenario: PathBuf,
    /// Answer by this zone policy instead of the scenario's
    #[arg(long, value_name = "POLICY")]
    pub(crate) zone: Option<ZonePolicy>,
}

/// `voteburst check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The scenario file (TOML)
    pub(crate) scenario: PathBuf,
    /// Networks that local agents may send votes to; repeat it for each [default: 127.0.0.0/8 and ::1/128]
    #[arg(long = "allow", value_name = "NETWORK")]
    pub(crate) allow: Vec<Network>,
    /// Check for this many viewers instead of the scenario's
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = viewers())]
    pub(crate) viewers: Option<u32>,
    /// Draw from this seed instead of the scenario's
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u32>,
}

/// `voteburst report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run directory, of `run` or of `compare`
    pub(crate) dir: PathBuf,
    /// Write the report as JSON to standard output instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
