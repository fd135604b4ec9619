//! getaddrinfo(3), as every program over glibc that has no resolver of its own.

use super::*;

use std::collections::BTreeSet;

use voteburst_burst::phone::PhoneKind;

/// What the C program finds, lookup by lookup.
fn lookups(place: &Place, times: usize) -> Vec<Vec<IpAddr>> {
    let (source, built) = (client("lookup.c"), place.dir.path().join("lookup"));
    let ended = Command::new("cc").arg("-o").arg(&built).arg(source).output().unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    let found: Vec<_> = place.lines(&built, &[NAME, &times.to_string()]).iter().map(|line| addresses(line)).collect();
    assert_eq!(found.len(), times, "{found:?}");
    found
}

#[test]
fn glibc_asks_for_every_lookup_in_both_families_and_keeps_the_order_of_dns() {
    let Some(place) = Place::serving(&far(8), 300, false) else { return };
    let found = lookups(&place, 5);
    // No cache: five lookups, five draws of the zone's, each in its own order.
    assert_eq!(found, place.answers("A"), "the order of DNS, once for each lookup");
    assert_eq!(place.answers("AAAA").len(), 5, "both families, for every lookup");
    assert_eq!(PhoneKind::GlibcNoCache.model().unwrap().lifetime_s(300), 0);
}

#[test]
fn glibc_behind_unbound_gets_a_cached_answer_turned_anew_for_every_lookup() {
    let Some(place) = Place::serving(&far(8), 300, true) else { return };
    let found = lookups(&place, 40);
    assert_eq!(place.answers("A").len(), 1, "one question serves all");
    // Forty random ids leave out four of eight or more with probability below 70 × 2^-40.
    let firsts: BTreeSet<_> = found.iter().map(|list| list[0]).collect();
    assert!(firsts.len() >= 5, "{found:?}");
}

/// Whether this machine has an IPv6 address besides `::1` (proc(5), `/proc/net/if_inet6`).
fn reaches_beyond_itself_by_ipv6() -> bool {
    let listed = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let addresses = listed.lines().map(|line| u128::from_str_radix(&line[..32], 16).unwrap());
    addresses.into_iter().any(|address| Ipv6Addr::from_bits(address) != Ipv6Addr::LOCALHOST)
}

#[test]
fn glibc_puts_ipv6_first_and_sorts_ipv4_of_its_own_network_where_it_knows_that_network() {
    if !has_ipv6() {
        return;
    }
    let mut near: Vec<IpAddr> = vec![Ipv6Addr::LOCALHOST.into()];
    near.extend([2, 4, 8, 16].map(|last| IpAddr::from([127, 0, 0, last])));
    let Some(place) = Place::serving(&near, 300, false) else { return };
    let found = lookups(&place, 6);
    assert!(found.iter().all(|list| list[0].is_ipv6()), "{found:?}");
    let (found, asked): (Vec<_>, _) = (found.iter().map(|list| list[1..].to_vec()).collect(), place.answers("A"));
    assert!(asked.windows(2).any(|pair| pair[0] != pair[1]), "DNS turns them: {asked:?}");
    // Rule 9 within one subnet: the longest common prefix with the source wins, so that round robin has no effect. Agents and
    // proxies in one private network fall into this trap; phones do not. glibc learns of its subnets only where there is
    // IPv6 beyond `::1`: elsewhere its list of addresses stays empty (sysdeps/unix/sysv/linux/check_pf.c, `seen_ipv6`).
    let expected = if reaches_beyond_itself_by_ipv6() { vec![near[1..].to_vec(); 6] } else { asked };
    assert_eq!(found, expected);
}
