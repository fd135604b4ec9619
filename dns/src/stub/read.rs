//! What an answer says, and where a chain of aliases leads.

use std::net::IpAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData};

use super::{AskError, Kind, MOST_ALIASES, Question, Reply};

/// The aliases of a name as far as they are known.
pub(super) struct Chain {
    pub(super) kind: Kind,
    /// The name asked for, then what each is an alias of.
    names: Vec<Name>,
    /// The least TTL of the aliases, in seconds.
    ttl_s: u32,
    /// Whether all answers so far were given with authority.
    authoritative: bool,
}

/// How far an answer led.
pub(super) enum Step {
    /// To the end.
    Said(Reply),
    /// To an alias that is to be asked for.
    On(Name),
}

impl Chain {
    pub(super) fn new(question: &Question) -> Self {
        let kind = if question.asked.query_type() == Kind::Aaaa.record_type() { Kind::Aaaa } else { Kind::A };
        Self { kind, names: vec![question.asked.name().clone()], ttl_s: u32::MAX, authoritative: true }
    }

    /// Takes in the answer to a question for the last name of the chain.
    pub(super) fn read(&mut self, message: &Message) -> Result<Step, AskError> {
        let code = message.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Err(AskError::Code(code));
        }
        self.authoritative &= message.metadata.authoritative;
        let before = self.names.len();
        let (mut addresses, mut ttl_s) = (Vec::new(), u32::MAX);
        for record in &message.answers {
            if self.names.last() != Some(&record.name) {
                // Servers put chains in order (RFC 1034, section 4.3.2); what stands outside of it does not answer the question.
                continue;
            }
            match (&record.data, self.kind) {
                (RData::CNAME(target), _) if addresses.is_empty() => {
                    self.extend(&target.0)?;
                    self.ttl_s = self.ttl_s.min(ttl(record.ttl));
                    continue;
                }
                (RData::A(address), Kind::A) => addresses.push(IpAddr::V4(address.0)),
                (RData::AAAA(address), Kind::Aaaa) => addresses.push(IpAddr::V6(address.0)),
                _ => continue,
            }
            ttl_s = ttl_s.min(ttl(record.ttl));
        }
        if !addresses.is_empty() {
            return Ok(Step::Said(self.reply(addresses, ttl_s)));
        }
        let negative = negative_ttl(message);
        if code == ResponseCode::NXDomain {
            // The code is about the last name of the chain (RFC 6604, section 3).
            return Err(AskError::NoSuchName { ttl_s: self.ttl_s.min(negative.unwrap_or(0)) });
        }
        match self.names.last() {
            // With a SOA the server says that the last alias has no address (RFC 2308, section 2.2); without one it says
            // nothing about it.
            Some(last) if self.names.len() > before && negative.is_none() => Ok(Step::On(last.clone())),
            _ => Ok(Step::Said(self.reply(addresses, negative.unwrap_or(0)))),
        }
    }

    fn extend(&mut self, target: &Name) -> Result<(), AskError> {
        let seen = self.names.contains(target);
        self.names.push(target.clone());
        // The name asked for is in the chain, but is no alias.
        if seen || self.names.len() > MOST_ALIASES + 1 {
            return Err(AskError::AliasLoop(self.names.iter().map(Name::to_ascii).collect()));
        }
        Ok(())
    }

    fn reply(&self, addresses: Vec<IpAddr>, ttl_s: u32) -> Reply {
        let aliases = self.names[1..].iter().map(Name::to_ascii).collect();
        Reply { addresses, ttl_s: ttl_s.min(self.ttl_s), authoritative: self.authoritative, aliases }
    }
}

/// Whether an answer sends the asker to other servers (RFC 1034, section 4.3.2: a referral): it names servers instead of answering.
pub(super) fn refers(message: &Message) -> bool {
    let names_servers = message.authorities.iter().any(|record| matches!(record.data, RData::NS(_)));
    message.answers.is_empty() && names_servers && negative_ttl(message).is_none()
}

/// How long an answer without addresses may be kept: the lesser of the SOA's own TTL and its last field (RFC 2308, section 5).
fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(ttl(record.ttl).min(ttl(soa.minimum))),
        _ => None,
    })
}

/// A TTL with its highest bit set counts as 0 (RFC 2181, section 8).
fn ttl(found: u32) -> u32 {
    if found > i32::MAX as u32 { 0 } else { found }
}
