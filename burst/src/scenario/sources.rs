//! Addresses that agents connect from, as they are written: one by one, or as a network whose addresses are all meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most addresses that a list of sources may name: 1,024 of them hold 14 million connections to one proxy.
pub const MOST_SOURCES: usize = 1_024;

/// Why a text names no source addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceProblem {
    /// Neither an address nor a network.
    #[error("needed an IP address such as 10.0.8.1, or a network such as 10.0.8.0/28 for all of its addresses")]
    Malformed,
    /// A network with too many addresses.
    #[error("needed a network of at most {MOST_SOURCES} addresses, but this one has {0}")]
    TooMany(u128),
}

/// The addresses that an entry such as `10.0.8.7` or `10.0.8.0/28` names, in order.
///
/// An IPv4 network gives its host addresses: all but the first and the last, which name the network and everybody on it,
/// unless it is so small that it has neither (/31, RFC 3021, and /32). An IPv6 network gives all of its addresses. Bits beyond
/// the prefix do not matter.
///
/// # Errors
/// [`SourceProblem`] for what is neither an address nor a network, and for a network of more than [`MOST_SOURCES`] addresses.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, SourceProblem> {
    let Some((address, prefix)) = text.split_once('/') else {
        return text.parse().map(|address| vec![address]).map_err(|_| SourceProblem::Malformed);
    };
    let address: IpAddr = address.parse().map_err(|_| SourceProblem::Malformed)?;
    let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
    // `parse` would take "+8" too.
    let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse::<u32>().ok().filter(|prefix| digits && *prefix <= bits).ok_or(SourceProblem::Malformed)?;
    let size = 1_u128.checked_shl(bits - prefix).unwrap_or(u128::MAX);
    let edge = u128::from(address.is_ipv4() && prefix < 31);
    let count = size - 2 * edge;
    if count > MOST_SOURCES as u128 {
        return Err(SourceProblem::TooMany(count));
    }
    let within = |number: u128| match address {
        IpAddr::V4(address) => {
            let first = u128::from(u32::from(address)) / size * size;
            IpAddr::V4(Ipv4Addr::from(u32::try_from(first + number).unwrap_or(u32::MAX)))
        }
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) / size * size + number)),
    };
    Ok((edge..edge + count).map(within).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_names_its_addresses() {
        for (text, count, first, last) in [
            ("10.0.8.7", 1, "10.0.8.7", "10.0.8.7"),
            ("2001:db8::7", 1, "2001:db8::7", "2001:db8::7"),
            ("10.0.8.0/28", 14, "10.0.8.1", "10.0.8.14"),
            ("10.0.8.9/28", 14, "10.0.8.1", "10.0.8.14"),
            ("10.0.8.0/30", 2, "10.0.8.1", "10.0.8.2"),
            ("10.0.8.2/31", 2, "10.0.8.2", "10.0.8.3"),
            ("10.0.8.2/32", 1, "10.0.8.2", "10.0.8.2"),
            ("10.0.8.0/22", 1_022, "10.0.8.1", "10.0.11.254"),
            ("255.255.255.255/30", 2, "255.255.255.253", "255.255.255.254"),
            ("2001:db8::/126", 4, "2001:db8::", "2001:db8::3"),
            ("2001:db8::/118", 1_024, "2001:db8::", "2001:db8::3ff"),
            (
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
                1,
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
        ] {
            let found = addresses(text).unwrap();
            let edges = (found[0].to_string(), found[found.len() - 1].to_string());
            assert_eq!((found.len(), edges), (count, (first.to_owned(), last.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_names_no_addresses_or_too_many_is_refused() {
        for text in [
            "",
            "10.0.8",
            "10.0.8.0/",
            "10.0.8.0/33",
            "10.0.8.0/+8",
            "10.0.8.0/-1",
            "::/129",
            "host",
            "10.0.8.0/28/1",
            " 10.0.8.7",
        ] {
            assert_eq!(addresses(text), Err(SourceProblem::Malformed), "{text:?}");
        }
        for (text, count) in
            [("10.0.8.0/21", 2_046), ("0.0.0.0/0", (1 << 32) - 2), ("::/117", 2_048), ("::/1", 1 << 127), ("::/0", u128::MAX)]
        {
            assert_eq!(addresses(text), Err(SourceProblem::TooMany(count)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_any_network_without_its_edges(text in "[0-9a-f.:/]{0,20}", address: u32, prefix in 22_u32..31) {
            let _ = addresses(&text);
            let network = format!("{}/{prefix}", Ipv4Addr::from(address));
            let found = addresses(&network).unwrap();
            let mask = u32::MAX << (32 - prefix);
            prop_assert_eq!(found.len(), (1_usize << (32 - prefix)) - 2);
            prop_assert!(found.iter().all(|found| matches!(found, IpAddr::V4(found) if u32::from(*found) & mask == address & mask)));
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
