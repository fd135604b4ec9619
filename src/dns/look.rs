//! Looking at a name: many queries, at a bounded pace, until more would change nothing.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use voteburst_burst::draw::{Stream, draw};
use voteburst_burst::observe::{Observation, Order, Picture};
use voteburst_burst::zone::Family;
use voteburst_dns::stub::{AskError, Query, Reply, ask};

use super::servers::{Met, Server, Subject, meet};
use crate::clock::Began;
use crate::problem::Problem;
use crate::say::{self, Moving};

/// How long one answer is waited for. Asked once each: a repeated query would be a draw that nobody counts.
const EACH: Duration = Duration::from_secs(1);
/// After how many answers it is worked out anew whether more are needed.
const LOOK_AGAIN: usize = 25;

/// How fast and how long to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Queries per second over all servers together. Resolvers of clouds drop what is above a limit: Amazon VPC 1024 packets per
    /// second and network interface (Amazon VPC User Guide, "DNS quotas").
    pub(crate) rate: u32,
    /// The longest time.
    pub(crate) longest: Duration,
    /// Whether to end as soon as more would change nothing.
    pub(crate) until_sure: bool,
    /// Whether to be silent about progress.
    pub(crate) quiet: bool,
}

/// What a name was seen to do.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) servers: Vec<ServerView>,
    /// Who was of no use, and why.
    pub(crate) silent: Vec<String>,
    /// How many IPv4 and IPv6 addresses an answer held at first.
    pub(crate) families: (usize, usize),
    /// Queries sent for it, in all.
    pub(crate) queries: u32,
    /// Whether it ended before its time because more would have changed nothing.
    pub(crate) ended_early: bool,
    pub(crate) picture: Picture,
}

/// One server's part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerView {
    /// Its own name, where it is known.
    pub(crate) name: Option<String>,
    pub(crate) address: SocketAddr,
    /// Whether it speaks with authority, not out of a cache.
    pub(crate) authoritative: bool,
    pub(crate) answers: usize,
    /// Queries that it left unanswered or answered with an error.
    pub(crate) unanswered: usize,
    /// Different addresses it answered.
    pub(crate) addresses: usize,
    /// Fewest and most addresses in an answer.
    pub(crate) per_answer: (usize, usize),
    /// Least and greatest TTL, in seconds.
    pub(crate) ttl_s: (u32, u32),
    pub(crate) order: Order,
}

/// Looks at a name.
pub(crate) async fn look(subject: Subject<'_>, pace: Pace) -> Result<Look, Problem> {
    let met = meet(subject).await?;
    let name = subject.name.trim_end_matches('.').to_owned();
    if !pace.quiet {
        let kind = if met.family == Family::V4 { "A" } else { "AAAA" };
        let most = if pace.until_sure { "at most " } else { "" };
        say::note(&format!(
            "asking {} for {name} {kind}, {} queries/s for {most}{} s",
            servers_in_words(&met.servers),
            pace.rate,
            pace.longest.as_secs()
        ));
    }
    let watch = Watch::over(&met, pace).await;
    let picture = Picture::of(&watch.observations).ok_or_else(|| {
        Problem::unknown(format!(
            "dns: {name} was answered at first, then no more: {} queries without an answer\n  needed: servers that go on answering\n  fix:    ask more slowly with --rate, or other servers with --server",
            watch.queries
        ))
    })?;
    let servers = met.servers.iter().enumerate().map(|(number, server)| watch.of(number, server)).collect();
    Ok(Look {
        name,
        aliases: met.aliases,
        servers,
        silent: met.silent,
        families: met.addresses,
        queries: met.queries + watch.queries,
        ended_early: watch.ended_early,
        picture,
    })
}

fn servers_in_words(servers: &[Server]) -> String {
    let authorities = servers.iter().filter(|server| server.authoritative).count();
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    match (authorities, servers.len() - authorities) {
        (0, resolvers) => count(resolvers, "resolver"),
        (authorities, 0) => count(authorities, "authoritative server"),
        (authorities, resolvers) => {
            format!("{} and {}", count(authorities, "authoritative server"), count(resolvers, "resolver"))
        }
    }
}

/// What came of the queries so far.
struct Watch {
    observations: Vec<Observation>,
    unanswered: Vec<usize>,
    queries: u32,
    ended_early: bool,
}

/// One query as it ended: which server's, when it was sent, and what came.
type Ended = (usize, Duration, Result<Reply, AskError>);

impl Watch {
    /// Asks the servers in turn.
    async fn over(met: &Met, pace: Pace) -> Self {
        let mut watch = Self { observations: Vec::new(), unanswered: vec![0; met.servers.len()], queries: 0, ended_early: false };
        let most = u64::from(pace.rate) * pace.longest.as_secs().max(1);
        // Ids need not be secret: whoever can answer in a server's place can do so anyway.
        let seed = RandomState::new().build_hasher().finish();
        let (began, line) = (Began::now(), Moving::new(pace.quiet));
        let mut ticks = interval(Duration::from_secs(1) / pace.rate.max(1));
        // A late tick must not make others come closer: the pace is a promise to the servers.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking: JoinSet<Ended> = JoinSet::new();
        let mut next_look = LOOK_AGAIN;
        for number in 0..most {
            ticks.tick().await;
            if began.elapsed() >= pace.longest {
                break;
            }
            watch.ask(met, (number, draw(seed, Stream::QueryId, number)), began, &mut asking);
            while let Some(ended) = asking.try_join_next() {
                watch.take(met, ended.ok());
            }
            if watch.observations.len() >= next_look {
                next_look = watch.observations.len() + LOOK_AGAIN;
                let picture = Picture::of(&watch.observations);
                line.show(&progress(&watch, picture.as_ref()));
                if pace.until_sure && picture.is_some_and(|picture| picture.is_sure()) {
                    watch.ended_early = true;
                    break;
                }
            }
        }
        while let Some(ended) = asking.join_next().await {
            watch.take(met, ended.ok());
        }
        watch
    }

    fn ask(&mut self, met: &Met, (number, drawn): (u64, u64), began: Began, asking: &mut JoinSet<Ended>) {
        let server = (number % met.servers.len() as u64) as usize;
        let Server { address, question, .. } = met.servers[server].clone();
        // The high bits are as good as any.
        let id = (drawn >> 48) as u16;
        let query = Query { id, each: EACH, attempts: 1, recursion_desired: true, client_subnet: None };
        let at = began.elapsed();
        asking.spawn(async move { (server, at, ask(address, &question, &query).await) });
        self.queries += 1;
    }

    fn take(&mut self, met: &Met, ended: Option<Ended>) {
        match ended {
            Some((server, at, Ok(reply))) if !reply.addresses.is_empty() => self.observations.push(Observation {
                server,
                // What a server is was settled at the first meeting: a resolver that just asked may pass on the AA bit.
                authoritative: met.servers[server].authoritative,
                at,
                addresses: reply.addresses,
                ttl_s: reply.ttl_s,
            }),
            Some((server, ..)) => self.unanswered[server] += 1,
            None => {}
        }
    }

    /// One server's part.
    fn of(&self, number: usize, server: &Server) -> ServerView {
        let own: Vec<Observation> = self.observations.iter().filter(|seen| seen.server == number).cloned().collect();
        let picture = Picture::of(&own);
        let seen = |of: fn(&Picture) -> usize| picture.as_ref().map_or(0, of);
        ServerView {
            name: server.label.clone(),
            address: server.address,
            authoritative: server.authoritative,
            answers: own.len(),
            unanswered: self.unanswered[number],
            addresses: seen(|picture| picture.addresses.len()),
            per_answer: picture.as_ref().map_or((0, 0), |picture| picture.per_answer),
            ttl_s: picture.as_ref().map_or((0, 0), |picture| picture.ttl_s),
            order: picture.as_ref().map_or(Order::NoneToSee, |picture| picture.order),
        }
    }
}

fn progress(watch: &Watch, picture: Option<&Picture>) -> String {
    let answers = watch.observations.len();
    picture.map_or_else(
        || format!("{answers} answers"),
        |picture| format!("{answers} answers, {} addresses: {}", picture.addresses.len(), picture.manner.0),
    )
}
