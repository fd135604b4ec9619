//! What the authority says to a query.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{CNAME, NS};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestInfo};
use voteburst_burst::zone::Family;

use super::{QueryRecord, Shared};
use crate::server::{Answers, Said, holding, negative};

/// TTL of negative answers, in seconds (RFC 2308: the lesser of the SOA's own TTL and its last field).
const NEGATIVE_TTL_S: u32 = 5;
/// TTL of what leads to this server, in seconds; nothing of it changes while it runs.
const SERVER_TTL_S: u32 = 3_600;

/// Answers by the zone's policy.
pub(super) struct Policy(pub(super) Arc<Shared>);

impl Answers for Policy {
    async fn answer(&self, request: &Request) -> Said {
        let said = Said { authoritative: true, ..Said::default() };
        let Ok(info) = request.request_info() else { return Said { code: ResponseCode::FormErr, ..said } };
        let shared = &self.0;
        match shared.names.iter().position(|name| name == info.query.name()) {
            Some(position) => shared.answer(position, &info, subnet(request), said),
            None if *info.query.name() == shared.server => shared.of_server(&info, said),
            None => Said { code: ResponseCode::NXDomain, authorities: vec![shared.soa()], ..said },
        }
    }
}

impl Shared {
    /// The name that holds the addresses.
    fn holder(&self) -> Name {
        self.names.last().map(Name::from).unwrap_or_default()
    }

    fn soa(&self) -> Record {
        negative(self.holder(), NEGATIVE_TTL_S)
    }

    /// The answer to a query for one of the names: the aliases from there on, then what the last has of the type.
    fn answer(&self, position: usize, info: &RequestInfo<'_>, client_subnet: Option<String>, mut said: Said) -> Said {
        let kind = info.query.query_type();
        // The owner as it was written in the question: some resolvers check its capitals (draft-vixie-dnsext-dns0x20).
        let mut owner = info.query.original().name().clone();
        let drawn = self.draw(kind, info, client_subnet);
        for target in self.names[position + 1..].iter().map(Name::from) {
            said.answers.push(Record::from_rdata(owner, drawn.ttl_s, RData::CNAME(CNAME(target.clone()))));
            owner = target;
        }
        match kind {
            RecordType::CNAME => said.answers.truncate(1),
            RecordType::SOA => said.answers.push(self.soa()),
            RecordType::NS => {
                said.answers.push(Record::from_rdata(owner, SERVER_TTL_S, RData::NS(NS(Name::from(&self.server)))));
                said.additionals.extend(self.glue(Name::from(&self.server)));
                return said;
            }
            _ => said.answers.extend(drawn.addresses.into_iter().map(|address| holding(owner.clone(), drawn.ttl_s, address))),
        }
        let answered = said.answers.last().is_some_and(|record| record.record_type() == kind);
        if !answered {
            // The name exists, with nothing of this kind: dual-stack phones must not be left waiting.
            said.authorities.push(self.soa());
        }
        said
    }

    /// What the zone answers now. Addresses are drawn for those who ask for addresses, and every query is noted.
    fn draw(&self, kind: RecordType, info: &RequestInfo<'_>, client_subnet: Option<String>) -> Drawn {
        let at = self.opened.elapsed();
        let mut state = self.state();
        let family = if kind == RecordType::AAAA { Family::V6 } else { Family::V4 };
        let mut answer = state.zone.answer(family, state.queries, state.moment(at));
        if !matches!(kind, RecordType::A | RecordType::AAAA) {
            answer.members.clear();
        }
        state.queries += u64::from(!answer.members.is_empty());
        let addresses = state.zone.addresses(&answer);
        let set_ids = answer.members.iter().map(|member| state.zone.members()[*member].set_id.clone()).collect();
        let record = QueryRecord { at, peer: info.src, kind: kind.into(), addresses: addresses.clone(), set_ids, client_subnet };
        state.log.note(record);
        Drawn { addresses, ttl_s: answer.ttl_s }
    }

    fn of_server(&self, info: &RequestInfo<'_>, said: Said) -> Said {
        let wanted = |record: &Record| record.record_type() == info.query.query_type();
        let answers: Vec<Record> = self.glue(info.query.original().name().clone()).into_iter().filter(wanted).collect();
        let authorities = if answers.is_empty() { vec![self.soa()] } else { Vec::new() };
        Said { answers, authorities, ..said }
    }

    /// The address of this server. One that listens everywhere cannot know by which address it is reached.
    fn glue(&self, owner: Name) -> Option<Record> {
        (!self.ip.is_unspecified()).then(|| holding(owner, SERVER_TTL_S, self.ip))
    }
}

struct Drawn {
    addresses: Vec<IpAddr>,
    ttl_s: u32,
}

/// The network on whose behalf is asked.
fn subnet(request: &Request) -> Option<String> {
    match request.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(format!("{}/{}", subnet.addr(), subnet.source_prefix())),
        _ => None,
    }
}
