//! Whom to ask about a name: its authoritative servers and resolvers, each met once before anything is counted.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use voteburst_burst::zone::Family;
use voteburst_dns::find::{DNS_PORT, Found, authorities, resolvers_of};
use voteburst_dns::stub::{AskError, Kind, Query, Question, Reply, ask};

use crate::problem::Problem;

/// How long a server is waited for at the first meeting, each time.
const EACH: Duration = Duration::from_secs(1);
/// How often it is asked then.
const ATTEMPTS: u32 = 3;

/// A name and where to look for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The name.
    pub(crate) name: &'a str,
    /// Servers that answer for it; empty: to be found.
    pub(crate) servers: &'a [SocketAddr],
    /// Resolvers; empty: this machine's, unless servers are named.
    pub(crate) resolvers: &'a [SocketAddr],
}

/// Somebody to ask.
#[derive(Clone, Debug)]
struct Candidate {
    /// Its own name, where it has one.
    label: Option<String>,
    address: SocketAddr,
    /// The name to ask it for: the one in question, or the last of its aliases.
    name: String,
}

/// A server that answered.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) label: Option<String>,
    pub(super) address: SocketAddr,
    pub(super) authoritative: bool,
    /// The question to look at.
    pub(super) question: Question,
}

/// Whom there is to ask.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) servers: Vec<Server>,
    /// The names that the name is an alias of, in order.
    pub(super) aliases: Vec<String>,
    /// Who was of no use, and why.
    pub(super) silent: Vec<String>,
    pub(super) family: Family,
    /// How many IPv4 and IPv6 addresses an answer held at first.
    pub(super) addresses: (usize, usize),
    pub(super) queries: u32,
}

/// Finds and meets the servers for a name.
pub(super) async fn meet(subject: Subject<'_>) -> Result<Met, Problem> {
    Question::new(subject.name, Kind::A).map_err(Problem::usage)?;
    let (candidates, mut silent) = candidates(subject).await?;
    let mut greeted = greet(candidates).await;
    greeted.sort_by_key(|(number, ..)| *number);
    let counted = |family: usize| {
        let of = |said: &Greeted| if family == 0 { said.v4.addresses.len() } else { said.v6 };
        greeted.iter().filter_map(|(_, _, said)| said.as_ref().ok()).map(of).max().unwrap_or(0)
    };
    let addresses = (counted(0), counted(1));
    let family = if addresses.0 == 0 && addresses.1 > 0 { Family::V6 } else { Family::V4 };
    let (mut servers, mut aliases, mut nobody) = (Vec::new(), Vec::new(), !greeted.is_empty());
    let queries = greeted.len() as u32 * 2;
    for (_, candidate, said) in greeted {
        nobody &= matches!(said, Err(AskError::NoSuchName { .. }));
        match said {
            Err(error) => silent.push(format!("{}: {error}", candidate.shown())),
            Ok(said) => {
                if said.v4.aliases.len() > Vec::len(&aliases) {
                    aliases.clone_from(&said.v4.aliases);
                }
                let question = Question::new(&candidate.name, family.into()).map_err(Problem::usage)?;
                let Candidate { label, address, .. } = candidate;
                servers.push(Server { label, address, authoritative: said.v4.authoritative, question });
            }
        }
    }
    let name = subject.name.trim_end_matches('.');
    if servers.is_empty() {
        let needed = if nobody {
            "a name that exists\n  fix:    correct the name"
        } else {
            "a DNS server that answers for it\n  fix:    name one by --server IP:PORT, or a resolver by --resolver IP:PORT"
        };
        return Err(Problem::usage(format!(
            "dns: nobody answers for {name}:\n    {}\n  needed: {needed}",
            silent.join("\n    ")
        )));
    }
    if addresses == (0, 0) {
        return Err(Problem::usage(format!(
            "dns: {name} exists, but has no address\n  needed: at least one, IPv4 or IPv6\n  fix:    correct the name, or the zone: `dig {name} A`"
        )));
    }
    Ok(Met { servers, aliases, silent, family, addresses, queries })
}

impl Candidate {
    fn shown(&self) -> String {
        self.label.as_ref().map_or_else(|| self.address.to_string(), |label| format!("{label} ({})", self.address))
    }
}

/// Who is to be asked, and what went wrong in finding out.
async fn candidates(subject: Subject<'_>) -> Result<(Vec<Candidate>, Vec<String>), Problem> {
    let here = |address: &SocketAddr| Candidate { label: None, address: *address, name: subject.name.into() };
    if !subject.servers.is_empty() {
        let named = [subject.servers, subject.resolvers].concat();
        return Ok((named.iter().map(here).collect(), Vec::new()));
    }
    let resolvers = if subject.resolvers.is_empty() { of_this_machine()? } else { subject.resolvers.to_vec() };
    let query = Query { id: 0, each: EACH, attempts: ATTEMPTS, recursion_desired: true, client_subnet: None };
    let (mut found, mut silent) = (None, Vec::new());
    for resolver in &resolvers {
        match authorities(subject.name, *resolver, &query, DNS_PORT).await {
            Ok(servers) => {
                found = Some(servers);
                break;
            }
            // Resolvers can still be asked for the name itself.
            Err(error) => silent.push(format!("its authoritative servers: {error}")),
        }
    }
    let found = found.map_or_else(Vec::new, |Found { owner, servers, .. }| {
        let candidate = |(label, address)| Candidate { label: Some(label), address, name: owner.clone() };
        servers.into_iter().map(candidate).collect()
    });
    Ok(([found, resolvers.iter().map(here).collect()].concat(), silent))
}

fn of_this_machine() -> Result<Vec<SocketAddr>, Problem> {
    let file = "/etc/resolv.conf";
    let refuse = |why: String| {
        Problem::usage(format!(
            "{file}: {why}\n  needed: a resolver, to find the name's servers\n  fix:    name one by --resolver IP:PORT, or the servers by --server IP:PORT"
        ))
    };
    let resolvers = resolvers_of(&std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?);
    if resolvers.is_empty() { Err(refuse("it names none".into())) } else { Ok(resolvers) }
}

/// What a server said at the first meeting.
struct Greeted {
    v4: Reply,
    v6: usize,
}

/// Asks all at once, for IPv4 and IPv6.
async fn greet(candidates: Vec<Candidate>) -> Vec<(usize, Candidate, Result<Greeted, AskError>)> {
    let mut meetings = JoinSet::new();
    for (number, candidate) in candidates.into_iter().enumerate() {
        meetings.spawn(async move {
            let said = first_words(&candidate).await;
            (number, candidate, said)
        });
    }
    meetings.join_all().await
}

async fn first_words(candidate: &Candidate) -> Result<Greeted, AskError> {
    let query = Query { id: 1, each: EACH, attempts: ATTEMPTS, recursion_desired: true, client_subnet: None };
    let question = |kind| Question::new(&candidate.name, kind).map_err(|error| AskError::Malformed(error.to_string()));
    let v4 = ask(candidate.address, &question(Kind::A)?, &query).await?;
    // Servers that know nothing of IPv6 are silent about it; the name is none the worse for it.
    let v6 = ask(candidate.address, &question(Kind::Aaaa)?, &Query { id: 2, attempts: 1, ..query }).await;
    Ok(Greeted { v4, v6: v6.map_or(0, |reply| reply.addresses.len()) })
}
