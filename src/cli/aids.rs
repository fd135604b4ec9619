//! What helps to begin: a first scenario, completions, manual pages.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{dns_server, viewers};

/// `voteburst init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// How many viewers [default: 12000]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = viewers())]
    pub(crate) viewers: Option<u32>,
    /// Where votes go [default: a name on the stage]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// How many questions, one minute each [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) questions: Option<u32>,
    /// How many proxies the stage has [default: 15]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) proxies: Option<u32>,
    /// Play against a live target: no stage; needs --url
    #[arg(long, conflicts_with = "proxies")]
    pub(crate) live: bool,
    /// Ask this DNS server for a live name; repeat it for each [default: those of /etc/resolv.conf]
    #[arg(long = "resolver", value_name = "IP[:PORT]", value_parser = dns_server, requires = "live")]
    pub(crate) resolvers: Vec<SocketAddr>,
    /// Write it here; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "my-show.toml")]
    pub(crate) output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not say what was written and what to do next
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl Init {
    /// Whether flags say what to write, so that nothing is asked.
    pub(crate) fn says_anything(&self) -> bool {
        let numbers = [self.viewers, self.questions, self.proxies].iter().any(Option::is_some);
        numbers || self.url.is_some() || self.live
    }
}

/// `voteburst completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that reads it
    pub(crate) shell: clap_complete::Shell,
}

/// `voteburst man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for every command into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
