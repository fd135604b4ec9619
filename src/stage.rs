//! `voteburst stage`: the stage alone, until Ctrl-C; and the worker processes of any stage.

use std::fmt::Write as _;
use std::process::ExitCode;

use voteburst_burst::scenario::stage::Stage;

use crate::cli;
use crate::problem::Problem;
use crate::rehearsal::OpenStage;
use crate::run::runtime;
use crate::say;
use crate::scenario::{Overrides, Source};
use crate::signal::Signals;

pub(crate) fn stage(args: cli::Stage) -> Result<ExitCode, Problem> {
    let plan = Source::read(&args.scenario)?.plan(Overrides { zone: args.zone, ..Overrides::default() })?;
    let scenario = plan.scenario;
    let Some(stage) = scenario.stage.clone() else {
        return Err(Problem::usage(format!(
            "{}: found no [stage]\n  needed: one to set up\n  fix:    copy it from scenarios/show.toml",
            args.scenario.display()
        )));
    };
    runtime()?.block_on(async {
        let mut interrupts = Signals::watch("\nending the stage")?.listen();
        // Any ballot counts here: whoever votes on a stage alone is not this process.
        let open = OpenStage::open(&scenario, &stage, 0).await?;
        say::result(&describe(&open, &stage, &scenario.dns.name));
        interrupts.recv().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn describe(open: &OpenStage, stage: &Stage, name: &str) -> String {
    let (world, authority) = (&open.world, open.authority.address());
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "zone      {} · {} answers for {name}", authority, stage.zone);
    let _ = writeln!(out, "          dig @{} -p {} {name} A", authority.ip(), authority.port());
    let scheme = if world.authority_pem().is_some() { "https" } else { "http" };
    for address in world.addresses() {
        let _ = writeln!(out, "proxy     {scheme}://{address}:{}/", world.port());
    }
    let _ = writeln!(
        out,
        "limits    {} connections a proxy; {} requests at each of {} web servers",
        stage.connection_limit_per_front(),
        stage.limit_in_words(),
        stage.web_servers
    );
    let _ = writeln!(out, "processes {} · this is a model of HAProxy's limits · Ctrl-C ends it", world.workers());
    if let Some(authority) = world.authority_pem() {
        let _ =
            writeln!(out, "trust     this authority, made for this stage alone (target.ca_file of a scenario, curl --cacert):");
        out += authority;
    }
    out
}

pub(crate) fn worker() -> Result<ExitCode, Problem> {
    voteburst_stage::worker::main().map_err(Problem::unknown)?;
    Ok(ExitCode::SUCCESS)
}
