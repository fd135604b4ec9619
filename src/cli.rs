//! The words of the command line; what they mean is decided elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use voteburst_agent::Network;
use voteburst_burst::scenario::{MOST_VIEWERS, sources};
use voteburst_burst::zone::ZonePolicy;
use voteburst_dns::find::DNS_PORT;

pub(crate) use self::aids::{Completions, Init, Man};
use crate::web::WebArgs;

mod aids;

/// Rehearse a vote burst before the show: real DNS behaviour, one synchronised minute, figures per proxy.
#[derive(Debug, Parser)]
#[command(name = "voteburst", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes:
  0  pass      every limit held, and everything planned was seen
  1  fail      a limit of the scenario was broken, or votes were lost, doubled or invented
  2  usage     the command line, the scenario or this machine does not allow the run; nothing was started
  3  unknown   the run is incomplete, was late or unsynchronised: it proves nothing either way

Environment:
  NO_COLOR, CLICOLOR, CLICOLOR_FORCE   no colours, colours on terminals only, colours always
  VOTEBURST_LOG          what to log where no -v is given, such as info or voteburst_agent=debug; stage workers read it too
  VOTEBURST_LOG_FORMAT   text or json

First steps:
  voteburst init                            write a scenario of your own
  voteburst check    scenarios/show.toml    what would happen; sends nothing
  voteburst forecast scenarios/show.toml    what DNS alone would make of it; sends nothing
  voteburst compare  scenarios/show.toml    the case: single-A against multivalue DNS")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logging: Logging,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// Whether problems are told to the build server too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Annotations {
    /// Where the environment says that this is a job of GitHub's.
    #[default]
    Auto,
    /// Always, as GitHub reads them.
    Github,
    /// Never.
    Off,
}

/// What the program tells of itself on standard error, beside results and progress.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Logging {
    /// Tell more on standard error, of local agents too: -v what happens, -vv also what goes wrong and is mended, -vvv all
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How log lines are written; progress and results stay text
    #[arg(long, global = true, value_name = "FORMAT", env = "VOTEBURST_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Tell on standard error at which line of the scenario a broken limit or a mistake stands, for GitHub to show it there
    /// (auto: where GITHUB_ACTIONS is true)
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) annotations: Annotations,
}

/// A number of viewers within the bounds of a scenario.
fn viewers() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(MOST_VIEWERS))
}

/// The longest TTL a scenario may have, in seconds.
const MOST_TTL_S: u32 = 172_800;

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
    /// Say what a name really does, and what phones make of it; or whether two names are of one kind
    ///
    /// Exits with 0 when it is clear what the name does (with --against: when both are of one kind), 1 when --against names one
    /// of another kind, 3 when too little was seen to tell.
    Dns(Dns),
    /// Say what DNS alone will make of a scenario's burst, under one or more zones; sends nothing
    ///
    /// Plays zone, carriers and phones in virtual time, many times with other draws. Every combination of the lists is a row.
    Forecast(Forecast),
    /// Make every report again from a run directory
    Report(Report),
    /// Compare two earlier runs: which differences are larger than their spread
    ///
    /// Exits with 0 whatever differs, 2 when a directory holds no run.
    Diff(Diff),
    /// Write a commented scenario, after a few questions on a terminal or by flags
    Init(Init),
    /// Write the completion script of a shell to standard output
    Completions(Completions),
    /// Write the manual page to standard output, or those of all commands into a directory
    Man(Man),
    /// One worker process of a stage (started by voteburst itself)
    #[command(hide = true)]
    StageWorker,
    /// One agent of a calibration (started by voteburst itself)
    #[command(hide = true)]
    CalibrateAgent,
    /// One null target of a calibration (started by voteburst itself)
    #[command(hide = true)]
    CalibrateTarget,
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
    #[command(flatten)]
    pub(crate) web: WebArgs,
    /// What to show on standard error while it goes on
    #[arg(long, value_name = "VIEW", value_enum, default_value_t = View::Auto)]
    pub(crate) view: View,
    /// Go on although a check of a machine failed; the verdict is then unknown at best
    #[arg(long)]
    pub(crate) force: bool,
}

/// What is shown while a rehearsal goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum View {
    /// The live view on a terminal, lines elsewhere and where TERM is dumb
    Auto,
    /// A line for each thing that happens
    Lines,
}

/// `voteburst run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) rehearse: Rehearse,
    /// Play under this zone policy instead of the scenario's
    #[arg(long, value_name = "POLICY")]
    pub(crate) zone: Option<ZonePolicy>,
    /// Hold the result against this earlier run of the same scenario, and fail when it is worse; repeat it for several
    ///
    /// A figure of the whole run is worse when it is so by more than chance explains and by more than thresholds.worse_max (a
    /// tenth of the earlier figure unless the scenario says otherwise). Refused before anything starts: a directory that is no run's,
    /// a run that was unknown, and one of another burst or world. With several a figure is worse when it is so against each of them: one
    /// run says nothing of how much runs of the same differ.
    #[arg(long = "baseline", value_name = "DIR")]
    pub(crate) baselines: Vec<PathBuf>,
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

/// What one `--source` names.
#[derive(Clone, Debug)]
pub(crate) struct SourceAddresses(pub(crate) Vec<std::net::IpAddr>);

fn source(text: &str) -> Result<SourceAddresses, String> {
    sources::addresses(text).map(SourceAddresses).map_err(|problem| problem.to_string())
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
    /// Address to connect from, or a network such as 10.0.8.0/28 for all of its addresses; repeat it for each [default: the
    /// scenario's, or automatic]
    #[arg(long = "source", value_name = "ADDR", value_parser = source)]
    pub(crate) sources: Vec<SourceAddresses>,
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
    /// Prove it: let this machine hold the audience and cast 120 % of the plan's peak against a target that does nothing
    ///
    /// Starts as many agents as a run would, and for each a process that answers every vote at once, all on loopback; the real
    /// target gets nothing. Takes as long as the doors are open, 25 s at most, and 9 s more; up to 18 s beyond that when the
    /// machine is too slow and smaller rates are tried. Says how late votes were, what a vote and a viewer cost, and whether this
    /// machine carries the plan or about how many viewers it does. Exits with 2 when it does not carry all of them, 3 when it
    /// was interrupted. Nothing is kept.
    #[arg(long)]
    pub(crate) calibrate: bool,
}

/// A DNS server: an address, with a port or without.
pub(crate) fn dns_server(text: &str) -> Result<SocketAddr, String> {
    let with_port = || Some(SocketAddr::new(text.parse().ok()?, DNS_PORT));
    text.parse().ok().or_else(with_port).ok_or_else(|| "needed IP or IP:PORT, such as 192.0.2.53:53 or [2001:db8::53]:53".into())
}

/// How long to look at a name.
fn looking_time(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(3_600));
    let found = humantime::parse_duration(text).ok().filter(|time| (least..=most).contains(time));
    found.ok_or_else(|| "needed 1s to 1h, such as 60s or 5min".into())
}

/// `voteburst dns`.
#[derive(Debug, Args)]
pub(crate) struct Dns {
    /// The name that viewers resolve
    pub(crate) name: String,
    /// Ask this server, be it authoritative or a resolver; repeat it for each [default: the name's authoritative servers, found
    /// by NS lookups, and this machine's resolvers]
    #[arg(long = "server", value_name = "IP[:PORT]", value_parser = dns_server)]
    pub(crate) servers: Vec<SocketAddr>,
    /// Ask this resolver too, and find authoritative servers through the first one; repeat it for each [default: those of
    /// /etc/resolv.conf]
    #[arg(long = "resolver", value_name = "IP[:PORT]", value_parser = dns_server)]
    pub(crate) resolvers: Vec<SocketAddr>,
    /// Look for so long, 1s to 1h [default: until more would change nothing, at most 30s]
    #[arg(long = "for", value_name = "TIME", value_parser = looking_time)]
    pub(crate) time: Option<Duration>,
    /// Queries per second, over all servers together; resolvers in clouds drop what is above about 1000
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) rate: u32,
    /// Say what an audience of so many would make of it
    #[arg(long, value_name = "N", default_value_t = 100_000, allow_negative_numbers = true, value_parser = viewers())]
    pub(crate) viewers: u32,
    /// Compare with this name, as production with the rehearsal's
    #[arg(long, value_name = "NAME2")]
    pub(crate) against: Option<String>,
    /// Ask this server for NAME2; repeat it for each [default: its authoritative servers, found by NS lookups, and resolvers]
    #[arg(long = "against-server", value_name = "IP[:PORT]", value_parser = dns_server, requires = "against")]
    pub(crate) against_servers: Vec<SocketAddr>,
    /// Write everything as JSON to standard output instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// A TTL: whole seconds, or a time with its unit.
fn ttl(text: &str) -> Result<u32, String> {
    let whole = |time: Duration| (time.subsec_nanos() == 0).then(|| u32::try_from(time.as_secs()).ok()).flatten();
    let found = text.parse().ok().or_else(|| humantime::parse_duration(text).ok().and_then(whole));
    found.filter(|ttl_s| *ttl_s <= MOST_TTL_S).ok_or_else(|| "needed 0 to 172800 whole seconds, such as 5, 60s or 5min".into())
}

/// `voteburst forecast`.
#[derive(Debug, Args)]
pub(crate) struct Forecast {
    /// The scenario file (TOML); without a [stage] it needs --zone and --proxies
    pub(crate) scenario: PathBuf,
    /// Zone policies; several with commas or by repeating it [default: the scenario's]
    #[arg(long = "zone", value_name = "POLICY", value_delimiter = ',')]
    pub(crate) zones: Vec<ZonePolicy>,
    /// Numbers of proxies, such as 4,8,15 [default: the scenario's]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) proxies: Vec<u16>,
    /// TTLs of answers in seconds, such as 5,60 [default: the scenario's, 60 without a stage; lb-alias is always 60]
    #[arg(long = "ttl", value_name = "TTL,…", value_delimiter = ',', value_parser = ttl)]
    pub(crate) ttls: Vec<u32>,
    /// Numbers of carriers, such as 1,10,100 [default: the scenario's]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) carriers: Vec<u16>,
    /// Play with this many viewers instead of the scenario's
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = viewers())]
    pub(crate) viewers: Option<u32>,
    /// Draw from this seed instead of the scenario's
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u32>,
    /// How often to play each row [default: 32 to 200, as the audience allows]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) trials: Option<u32>,
    /// Write everything as JSON to standard output instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
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

/// `voteburst diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The run directory to compare with; of a `compare`, one of its zones' folders
    pub(crate) a: PathBuf,
    /// The other run directory
    pub(crate) b: PathBuf,
    /// How to write it to standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Also write it to this file as a page: differences first, then the pictures of both side by side
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs: docs/schema/diff-1.json
    Json,
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
