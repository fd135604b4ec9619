//! `voteburst agent`: hold a share of the audience for a coordinator.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use voteburst_agent::clock::Clock;
use voteburst_agent::session::{JoinOptions, SessionError, join};
use voteburst_agent::{AllowList, Network};
use voteburst_burst::scenario::sources::MOST_SOURCES;

use crate::cli;
use crate::problem::Problem;
use crate::say;

/// How long to look for a coordinator that is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where votes may go: loopback, unless told otherwise.
pub(crate) fn allowed(networks: &[Network]) -> AllowList {
    if networks.is_empty() { AllowList::default() } else { AllowList::new(networks.to_vec()) }
}

/// How long a comparison may take from one run to the next.
const BETWEEN_RUNS: Duration = Duration::from_secs(60);

pub(crate) fn agent(args: cli::Agent) -> Result<ExitCode, Problem> {
    let token = args.token_file.as_ref().map(|file| {
        fs::read_to_string(file).map(|text| text.trim().to_owned()).map_err(|error| {
            Problem::usage(format!("--token-file {}: {error}\n  needed: a readable file with the coordinator's token\n  fix:    copy it from the coordinator's machine", file.display()))
        })
    });
    let sources: Vec<_> = args.sources.into_iter().flat_map(|named| named.0).collect();
    if sources.len() > MOST_SOURCES {
        return Err(Problem::usage(format!(
            "--source: found {} addresses in all\n  needed: at most {MOST_SOURCES}\n  fix:    name fewer: an agent uses two or three for 20,000 viewers",
            sources.len()
        )));
    }
    let mut options = JoinOptions {
        token: token.transpose()?,
        allowed: allowed(&args.allow),
        sources: (!sources.is_empty()).then_some(sources),
        slot: None,
        patience: PATIENCE,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Problem::usage(format!("cannot start the agent's runtime: {error}; raise `ulimit -n` and `ulimit -u`"))
    })?;
    if !args.quiet {
        say::note(&format!("joining {}", args.join));
    }
    let mut played = 0_u32;
    loop {
        match runtime.block_on(join(&args.join, options.clone(), Clock::start())) {
            Ok(()) => {}
            // A local agent's coordinator has just told the user itself.
            Err(SessionError::Aborted(_)) if args.quiet => return Ok(ExitCode::from(3)),
            Err(SessionError::NoCoordinator { .. }) if played > 0 => break,
            Err(error @ SessionError::Endpoint(_)) => return Err(Problem::usage(error)),
            Err(error) => return Err(Problem::unknown(error)),
        }
        played += 1;
        if !args.quiet {
            say::note("done: this agent's share is with the coordinator");
        }
        if !args.stay {
            break;
        }
        options.patience = BETWEEN_RUNS;
    }
    Ok(ExitCode::SUCCESS)
}
