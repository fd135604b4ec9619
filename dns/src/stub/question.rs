//! A question and its bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Asked};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use voteburst_burst::scenario::Subnet;
use voteburst_burst::zone::Family;

use super::{AskError, Query};
use crate::name::{NotAName, absolute};
use crate::server::EDNS_BYTES;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl Kind {
    pub(crate) fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
        }
    }
}

impl From<Family> for Kind {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::A,
            Family::V6 => Self::Aaaa,
        }
    }
}

impl From<Kind> for Family {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::A => Self::V4,
            Kind::Aaaa => Self::V6,
        }
    }
}

/// A question, written once for any number of queries.
#[derive(Clone, Debug)]
pub struct Question {
    pub(super) asked: Asked,
    /// The query as bytes, its id still 0 and without RD.
    bytes: Vec<u8>,
}

impl Question {
    /// A question for `name`, which is taken as absolute.
    ///
    /// # Errors
    /// When it is no DNS name.
    pub fn new(name: &str, kind: Kind) -> Result<Self, NotAName> {
        Self::about(absolute(name)?, kind.record_type()).map_err(|error| NotAName { name: name.into(), why: error.to_string() })
    }

    /// A question for records of any type. Only those for addresses can be given to [`super::ask`].
    pub(crate) fn about(name: Name, kind: RecordType) -> Result<Self, AskError> {
        let asked = Asked::query(name, kind);
        let bytes = unsaid(&asked).to_vec().map_err(|error| AskError::Malformed(error.to_string()))?;
        Ok(Self { asked, bytes })
    }

    /// The bytes of one query.
    pub(super) fn with(&self, query: &Query) -> Result<Vec<u8>, AskError> {
        let mut bytes = match query.client_subnet {
            None => self.bytes.clone(),
            Some(subnet) => {
                let mut message = unsaid(&self.asked);
                message.set_edns(on_behalf_of(subnet));
                message.to_vec().map_err(|error| AskError::Malformed(error.to_string()))?
            }
        };
        bytes[..2].copy_from_slice(&query.id.to_be_bytes());
        // RD is the lowest bit of the third byte (RFC 1035, section 4.1.1).
        bytes[2] |= u8::from(query.recursion_desired);
        Ok(bytes)
    }
}

fn unsaid(asked: &Asked) -> Message {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.add_query(asked.clone());
    message
}

fn on_behalf_of(subnet: Subnet) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(EDNS_BYTES);
    // Bits after the prefix must be zero, and a query's scope too (RFC 7871, section 6).
    edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(network(subnet), subnet.prefix, 0)));
    edns
}

/// The network's first address.
fn network(subnet: Subnet) -> IpAddr {
    match subnet.address {
        IpAddr::V4(address) => {
            let kept = u32::MAX.checked_shl(32_u32.saturating_sub(subnet.prefix.into())).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & kept).into()
        }
        IpAddr::V6(address) => {
            let kept = u128::MAX.checked_shl(128_u32.saturating_sub(subnet.prefix.into())).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & kept).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_network_of_a_phone_is_told() {
        let cases = [
            ("192.0.2.77", 24, "192.0.2.0"),
            ("192.0.2.77", 32, "192.0.2.77"),
            ("192.0.2.77", 0, "0.0.0.0"),
            ("192.0.255.77", 20, "192.0.240.0"),
            ("2001:db8:ffff:ffff::1", 56, "2001:db8:ffff:ff00::"),
            ("2001:db8::1", 128, "2001:db8::1"),
            ("2001:db8::1", 0, "::"),
        ];
        for (address, prefix, expected) in cases {
            let subnet = Subnet { address: address.parse().unwrap(), prefix };
            assert_eq!(network(subnet).to_string(), expected, "{address}/{prefix}");
        }
    }

    #[test]
    fn a_question_for_no_network_stays_as_small_as_can_be() {
        let question = Question::new("vote.example", Kind::A).unwrap();
        let plain = Query {
            id: 0xbeef,
            each: std::time::Duration::from_secs(1),
            attempts: 1,
            recursion_desired: true,
            client_subnet: None,
        };
        let bytes = question.with(&plain).unwrap();
        // Header, name with a length before each label and a zero after the last, type and class.
        assert_eq!((bytes.len(), &bytes[..4]), (12 + 14 + 4, &[0xbe, 0xef, 1, 0][..]));
        let subnet = Subnet { address: [192, 0, 2, 0].into(), prefix: 24 };
        let told = question.with(&Query { client_subnet: Some(subnet), ..plain }).unwrap();
        // The OPT record: 11 bytes, and the option: code 8, length 7, family 1, prefix 24, scope 0 (RFC 7871, section 6).
        assert_eq!(told[bytes.len()..], [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]);
    }
}
