//! Where an agent is willing to send votes, whatever a coordinator or a name server says.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses, such as `10.0.0.0/8` or `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network: needed an address with or without a prefix length, such as 10.0.0.0/8 or 192.0.2.7")]
pub struct NotANetwork(pub String);

impl Network {
    /// Whether an address lies within.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => {
                let differ = u32::from(mine) ^ u32::from(theirs);
                differ.checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => {
                let differ = u128::from(mine) ^ u128::from(theirs);
                differ.checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let refuse = || NotANetwork(text.chars().take(64).collect());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) => digits.parse().ok().filter(|prefix| *prefix <= most).ok_or_else(refuse)?,
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The networks that an agent may send votes to. An address outside is never dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList(Vec<Network>);

impl AllowList {
    /// Exactly these networks.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether votes may go to an address.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(address))
    }

    /// Whether nothing beyond this machine is allowed.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let inside = |network: &Network| match network.address {
            IpAddr::V4(address) => address.is_loopback() && network.prefix >= 8,
            IpAddr::V6(address) => address.is_loopback() && network.prefix == 128,
        };
        self.0.iter().all(inside)
    }

    /// The networks, in the order given.
    #[must_use]
    pub fn networks(&self) -> &[Network] {
        &self.0
    }
}

/// Loopback alone: a load tester must be told before it leaves the machine.
impl Default for AllowList {
    fn default() -> Self {
        let network = |address: [u8; 4], prefix| Network { address: address.into(), prefix };
        let v6 = Network { address: std::net::Ipv6Addr::LOCALHOST.into(), prefix: 128 };
        Self(vec![network([127, 0, 0, 0], 8), v6])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        for (network, address, holds) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.9.9.9/8", "10.0.0.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "::1", true),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
        ] {
            assert_eq!(network.parse::<Network>().unwrap().holds(address.parse().unwrap()), holds, "{address} in {network}");
        }
    }

    #[test]
    fn what_names_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/-1", "vote.test"] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork(text.into())));
        }
    }

    #[test]
    fn without_a_word_only_loopback_is_allowed() {
        let list = AllowList::default();
        assert!(list.is_loopback());
        for (address, allowed) in [("127.9.9.9", true), ("::1", true), ("128.0.0.1", false), ("10.0.0.1", false), ("::2", false)]
        {
            assert_eq!(list.allows(address.parse().unwrap()), allowed, "{address}");
        }
        assert!(!AllowList::new(vec!["126.0.0.0/7".parse().unwrap()]).is_loopback());
    }
}
