//! The carriers of a rehearsal: real DNS caches beside the coordinator, so that viewers of several agents share one
//! exactly as they share an ISP's.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use voteburst_burst::scenario::{Phase, Scenario};
use voteburst_dns::carrier::{Carrier, CarrierSpec};
use voteburst_dns::stub::{self, Kind, Query, Question};

use crate::problem::Problem;

/// How often an authoritative server of a live name is asked before a run: enough to see most of a few dozen addresses.
const PROBES: u16 = 48;

/// The carriers of one run.
pub(crate) struct Carriers {
    /// Where each listens, by its position in the scenario.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether they are the real world's, which answer only queries that desire recursion.
    pub(crate) recursion_desired: bool,
    /// Ours, with their positions in the scenario.
    own: Vec<(u64, Carrier)>,
}

impl Carriers {
    /// Starts a carrier for each of the scenario's, in front of `authority` on a stage or of the scenario's servers;
    /// where the scenario names real resolvers these stand in their place.
    pub(crate) async fn start(scenario: &Scenario, authority: Option<SocketAddr>, on: IpAddr) -> Result<Self, Problem> {
        let dns = &scenario.dns;
        let upstreams =
            authority.map_or_else(|| [dns.authoritative.clone(), dns.recursive.clone()].concat(), |authority| vec![authority]);
        let (mut addresses, mut own) = (Vec::new(), Vec::new());
        for (number, carrier) in (0..).zip(&scenario.carriers.list) {
            if let Some(resolver) = carrier.resolver {
                addresses.push(resolver);
                continue;
            }
            let spec = CarrierSpec {
                upstreams: upstreams.clone(),
                recursion_desired: !dns.recursive.is_empty(),
                cache: carrier.cache,
                caches: carrier.caches,
                client_subnet: carrier.client_subnet,
                each: scenario.carriers.upstream_timeout,
                attempts: scenario.carriers.upstream_attempts,
                seed: scenario.seed ^ number,
            };
            let started = Carrier::start(SocketAddr::new(on, 0), spec).await.map_err(Problem::usage)?;
            started.serve_only(&dns.name).map_err(Problem::usage)?;
            if scenario.carriers.phase == Phase::Random {
                warm(&started, scenario).await?;
            }
            addresses.push(started.address());
            own.push((number, started));
        }
        Ok(Self { addresses, recursion_desired: own.is_empty(), own })
    }

    /// Asks once for the name, at the servers behind our carriers so that their caches stay cold, or at the real resolvers:
    /// a name that nobody knows ends the rehearsal before anything is started.
    pub(crate) async fn probe(scenario: &Scenario, authority: Option<SocketAddr>) -> Result<Vec<IpAddr>, Problem> {
        let dns = &scenario.dns;
        let resolvers: Vec<SocketAddr> = scenario.carriers.list.iter().filter_map(|carrier| carrier.resolver).collect();
        let (servers, recursion) = match (authority, resolvers.is_empty(), dns.recursive.is_empty()) {
            (Some(authority), ..) => (vec![authority], false),
            (None, false, _) => (resolvers, true),
            (None, true, false) => (dns.recursive.clone(), true),
            (None, true, true) => (dns.authoritative.clone(), false),
        };
        let question = Question::new(&dns.name, Kind::A).map_err(Problem::usage)?;
        let name = dns.name.trim_end_matches('.');
        let mut found = Vec::new();
        // An authority that draws one address per answer shows its others only when it is asked again.
        let times = if authority.is_none() && !recursion { PROBES } else { 1 };
        for server in servers {
            for time in 0..times {
                let query = Query {
                    id: id(server, time),
                    each: dns.timeout,
                    attempts: dns.attempts,
                    recursion_desired: recursion,
                    client_subnet: None,
                };
                let reply = stub::ask(server, &question, &query).await.map_err(|error| {
                    Problem::usage(format!(
                        "dns: {name} cannot be resolved at {server}: {error}\n  needed: at least one IPv4 address\n  fix:    correct dns.name or the servers in the scenario; try `dig @{} -p {} {name} A`",
                        server.ip(),
                        server.port()
                    ))
                })?;
                found.extend(reply.addresses);
            }
        }
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Err(Problem::usage(format!(
                "dns: {name} exists, but has no IPv4 address\n  needed: at least one, for viewers to connect to\n  fix:    correct dns.name, or the zone: `dig {name} A`"
            )));
        }
        Ok(found)
    }

    /// What each of our carriers counted, and its end.
    pub(crate) async fn stop(self) -> Value {
        let mut counters = Vec::new();
        for (number, carrier) in self.own {
            let address = carrier.address().to_string();
            counters.push(json!({ "carrier": number, "address": address, "counters": carrier.counters() }));
            carrier.shutdown().await;
        }
        Value::Array(counters)
    }
}

/// Lets a carrier hold an answer of random age, as if the name had been asked for all day.
async fn warm(carrier: &Carrier, scenario: &Scenario) -> Result<(), Problem> {
    let kinds: &[Kind] = if scenario.dns.ipv6 { &[Kind::A, Kind::Aaaa] } else { &[Kind::A] };
    for kind in kinds {
        carrier.warm(&scenario.dns.name, *kind).await.map_err(Problem::usage)?;
    }
    Ok(())
}

/// An id for the probe's query. It need not be secret: the answer decides only whether to go on.
fn id(server: SocketAddr, time: u16) -> u16 {
    (server.port() ^ 0x5642).wrapping_add(time)
}
