//! Who answers for a name with authority: its servers, found through a resolver.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::name::{NotAName, absolute};
use crate::stub::{AskError, Kind, Query, Question, ask, exchange};

/// The port of DNS servers (RFC 1035, section 4.2).
pub const DNS_PORT: u16 = 53;
/// The most servers that are looked for: the root has 13, Route 53 gives each zone four.
pub const MOST_SERVERS: usize = 13;
/// The most labels of a name that is looked for: one query each on the way up.
const MOST_LABELS: u8 = 20;

/// Where a name is answered with authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name that has the addresses: the last of its aliases, or itself.
    pub owner: String,
    /// The names it is an alias of (CNAME), in order, `owner` last; empty when it is none.
    pub aliases: Vec<String>,
    /// The zone that holds the owner.
    pub zone: String,
    /// The zone's servers by name, with one address each.
    pub servers: Vec<(String, SocketAddr)>,
}

/// Why no servers were found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// The name has too many labels.
    #[error("{0} has more than {MOST_LABELS} labels: needed a shorter name, or its servers by --server IP:PORT")]
    Deep(String),
    /// The resolver did not help.
    #[error("the resolver {resolver} was asked for {what}: {source}")]
    Resolver {
        /// Which one.
        resolver: SocketAddr,
        /// For what.
        what: String,
        /// What came of it.
        source: AskError,
    },
    /// There is no delegation above the name.
    #[error(
        "{resolver} knows no name servers of {name} nor of any zone above it; needed a recursive resolver, or the servers by --server IP:PORT"
    )]
    NoServers {
        /// Who was asked.
        resolver: SocketAddr,
        /// Of what.
        name: String,
    },
    /// The servers have no address.
    #[error("the name servers of {zone} have no address: {}; needed one that has, or servers by --server IP:PORT", .servers.join(", "))]
    NoAddresses {
        /// Of which zone.
        zone: String,
        /// Which ones.
        servers: Vec<String>,
    },
}

/// Finds the servers that answer for `name` with authority, on `port`, by asking `resolver`: where its aliases lead, then for
/// name servers from there upward, then for their addresses. Addresses that came along with the servers' names are taken.
///
/// `query` says how each question is asked; it should desire recursion.
///
/// # Errors
/// One of [`FindError`].
pub async fn authorities(name: &str, resolver: SocketAddr, query: &Query, port: u16) -> Result<Found, FindError> {
    let asked = absolute(name)?;
    if asked.num_labels() > MOST_LABELS {
        return Err(FindError::Deep(name.into()));
    }
    let seeker = Seeker { resolver, query };
    let reply = seeker.addresses(&asked.to_ascii(), Kind::A).await;
    let reply = reply.map_err(|source| seeker.refused(&asked.to_ascii(), "A", source))?;
    let owner = reply.aliases.last().map_or_else(|| Ok(asked), |last| absolute(last))?;
    let (zone, names, mut glue) = seeker.delegation(&owner).await?;
    let mut servers = Vec::new();
    for server in &names {
        let address = match glue.remove(server) {
            Some(address) => Some(address),
            None => seeker.address(server).await,
        };
        servers.extend(address.map(|address| (server.to_ascii(), SocketAddr::new(address, port))));
    }
    if servers.is_empty() {
        return Err(FindError::NoAddresses { zone: zone.to_ascii(), servers: names.iter().map(Name::to_ascii).collect() });
    }
    Ok(Found { owner: owner.to_ascii(), aliases: reply.aliases, zone: zone.to_ascii(), servers })
}

/// The resolvers of this machine, out of the text of /etc/resolv.conf (resolv.conf(5): lines `nameserver ADDRESS`). An address
/// with a scope, such as fe80::1%eth0, is passed over.
#[must_use]
pub fn resolvers_of(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    };
    resolv_conf.lines().filter_map(address).map(|address| SocketAddr::new(address, DNS_PORT)).collect()
}

struct Seeker<'a> {
    resolver: SocketAddr,
    query: &'a Query,
}

impl Seeker<'_> {
    fn refused(&self, name: &str, kind: &str, source: AskError) -> FindError {
        FindError::Resolver { resolver: self.resolver, what: format!("{kind} of {name}"), source }
    }

    async fn addresses(&self, name: &str, kind: Kind) -> Result<crate::stub::Reply, AskError> {
        let question = Question::new(name, kind).map_err(|error| AskError::Malformed(error.to_string()))?;
        ask(self.resolver, &question, self.query).await
    }

    /// One address of a server, IPv4 if it has any: not every machine has IPv6.
    async fn address(&self, server: &Name) -> Option<IpAddr> {
        for kind in [Kind::A, Kind::Aaaa] {
            match self.addresses(&server.to_ascii(), kind).await {
                Ok(reply) if !reply.addresses.is_empty() => return reply.addresses.first().copied(),
                Ok(_) => {}
                // Its zone has other servers.
                Err(error) => tracing::debug!(%server, %error, "a name server has no address"),
            }
        }
        None
    }

    /// The zone that holds a name, its servers, and the addresses that came along with them.
    async fn delegation(&self, owner: &Name) -> Result<(Name, Vec<Name>, BTreeMap<Name, IpAddr>), FindError> {
        let mut zone = owner.clone();
        // Bounded by the labels, which were counted.
        while !zone.is_root() {
            let refused = |source| self.refused(&zone.to_ascii(), "NS", source);
            let question = Question::about(zone.clone(), RecordType::NS).map_err(refused)?;
            let message = exchange(self.resolver, &question, self.query).await.map_err(refused)?;
            match message.metadata.response_code {
                // Some servers deny names that only lead to others; above them is a zone all the same.
                ResponseCode::NoError | ResponseCode::NXDomain => {}
                code => return Err(refused(AskError::Code(code))),
            }
            let servers = servers_of(&zone, &message);
            if !servers.is_empty() {
                let glue = glue_of(&message, &servers);
                return Ok((zone, servers, glue));
            }
            zone = zone.base_name();
        }
        Err(FindError::NoServers { resolver: self.resolver, name: owner.to_ascii() })
    }
}

/// The name servers of `zone` in an answer, or in a referral to them.
fn servers_of(zone: &Name, message: &Message) -> Vec<Name> {
    let mut servers: Vec<Name> = Vec::new();
    for record in message.answers.iter().chain(&message.authorities) {
        if let RData::NS(server) = &record.data
            && record.name == *zone
            && !servers.contains(&server.0)
            && servers.len() < MOST_SERVERS
        {
            servers.push(server.0.clone());
        }
    }
    servers
}

/// The addresses of these servers that came along, IPv4 before IPv6.
fn glue_of(message: &Message, servers: &[Name]) -> BTreeMap<Name, IpAddr> {
    let mut glue = BTreeMap::new();
    for record in &message.additionals {
        if !servers.contains(&record.name) {
            continue;
        }
        match &record.data {
            RData::A(address) => drop(glue.insert(record.name.clone(), IpAddr::V4(address.0))),
            RData::AAAA(address) => drop(glue.entry(record.name.clone()).or_insert(IpAddr::V6(address.0))),
            _ => {}
        }
    }
    glue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_as_the_system_reads_them() {
        let text = "# made by hand\nsearch example.com\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1\nnameserver fe80::1%eth0\nnameserver\nnameservers 192.0.2.9\n";
        let expected: Vec<SocketAddr> = vec!["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
        assert_eq!(resolvers_of(text), expected);
        assert!(resolvers_of("").is_empty());
    }
}
