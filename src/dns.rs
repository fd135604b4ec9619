//! `voteburst dns`: what a name really does, what phones and an audience make of it, and whether two names are of one kind.
//!
//! The way: whom to ask (`servers.rs`), asking at a bounded pace (`look.rs`), what that shows (`voteburst_burst::observe`), and saying
//! it (`words.rs`, `phones.rs`, `audience.rs`). The same comparison stands before a run whose scenario names its production name
//! (`production.rs`).

mod audience;
mod look;
mod phones;
mod production;
mod servers;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use voteburst_burst::observe::kind_differs;

use self::look::{Look, Pace};
pub(crate) use self::production::{compare_with_production, seen_before_run};
use self::servers::Subject;
use crate::cli;
use crate::problem::Problem;
use crate::run::runtime;
use crate::say;

/// How long a name is looked at unless somebody says so: six windows of five seconds, and 600 queries at the usual pace.
const LONGEST: Duration = Duration::from_secs(30);

pub(crate) fn dns(args: &cli::Dns) -> Result<ExitCode, Problem> {
    let pace =
        Pace { rate: args.rate, longest: args.time.unwrap_or(LONGEST), until_sure: args.time.is_none(), quiet: args.quiet };
    let first = Subject { name: &args.name, servers: &args.servers, resolvers: &args.resolvers };
    let (first, second) = runtime()?.block_on(async {
        // One after the other: the pace is for both together.
        let first = look::look(first, pace).await?;
        let second = match &args.against {
            None => None,
            Some(name) => {
                let second = Subject { name, servers: &args.against_servers, resolvers: &args.resolvers };
                Some(look::look(second, pace).await?)
            }
        };
        Ok::<_, Problem>((first, second))
    })?;
    let Some(second) = second else {
        let audience = audience::of(&first.picture, args.viewers)?;
        say::result(&if args.json {
            let mut json = in_json(&first);
            json["audience"] = json!(audience);
            text(&json)
        } else {
            words::render(&first, audience.as_ref())
        });
        return Ok(ExitCode::from(if first.picture.is_decided() { 0 } else { 3 }));
    };
    let differs = kind_differs(&first.picture, &second.picture);
    let decided = first.picture.is_decided() && second.picture.is_decided();
    let code = match (decided, differs.is_empty()) {
        (false, _) => 3,
        (true, true) => 0,
        (true, false) => 1,
    };
    say::result(&if args.json {
        text(&json!({
            "first": in_json(&first),
            "second": in_json(&second),
            "decided": decided,
            "differences": differs,
        }))
    } else {
        words::comparison(&first, &second, &differs, decided)
    });
    Ok(ExitCode::from(code))
}

fn in_json(look: &Look) -> Value {
    json!({
        "name": look.name,
        "aliases": look.aliases,
        "servers": look.servers,
        "silent": look.silent,
        "queries": look.queries,
        "ended_early": look.ended_early,
        "decided": look.picture.is_decided(),
        "picture": look.picture,
        "phones": phones::views(&look.picture),
    })
}

fn text(json: &Value) -> String {
    format!("{json:#}\n")
}
