//! In which order the addresses of an answer come, and whether answers differ.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::Observation;

/// Answers this far apart were given at the same time.
const TOGETHER: Duration = Duration::from_secs(1);

/// In which order the addresses of an answer come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// One address per answer, or one answer alone: there is none to see.
    NoneToSee,
    /// Always the same: whoever takes the first address takes the same one as everybody else.
    Fixed,
    /// The same circle, begun at another place.
    Rotated,
    /// Any.
    Random,
}

impl Order {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoneToSee => "none to see",
            Self::Fixed => "fixed",
            Self::Rotated => "rotated",
            Self::Random => "random",
        }
    }
}

/// The order of the answers with two addresses or more; those of authorities when there are any, for caches turn them.
pub(super) fn of(seen: &[&Observation]) -> Order {
    let authoritative = seen.iter().any(|seen| seen.authoritative);
    let several: Vec<&[IpAddr]> = seen
        .iter()
        .filter(|seen| seen.authoritative == authoritative && seen.addresses.len() > 1)
        .map(|seen| seen.addresses.as_slice())
        .collect();
    let Some((first, others)) = several.split_first() else { return Order::NoneToSee };
    if others.is_empty() {
        Order::NoneToSee
    } else if is_fixed(&several) {
        Order::Fixed
    } else if others.iter().all(|other| is_rotation(first, other)) {
        Order::Rotated
    } else {
        Order::Random
    }
}

/// Whether no two addresses ever changed places; answers may hold different ones.
fn is_fixed(answers: &[&[IpAddr]]) -> bool {
    let mut before = BTreeSet::new();
    answers.iter().all(|answer| {
        answer.iter().enumerate().all(|(place, earlier)| {
            answer[place + 1..].iter().all(|later| {
                before.insert((*earlier, *later));
                !before.contains(&(*later, *earlier))
            })
        })
    })
}

fn is_rotation(one: &[IpAddr], other: &[IpAddr]) -> bool {
    let turned = |by: usize| one[by..].iter().chain(&one[..by]).eq(other);
    one.len() == other.len() && (0..one.len()).any(turned)
}

/// Whether one server gave two different answers, in addresses or order, in a row and within a second.
pub(super) fn differs_per_query(seen: &[&Observation]) -> bool {
    let mut last = BTreeMap::<usize, &Observation>::new();
    let (mut differs, mut pairs) = (0_usize, 0_usize);
    for now in seen {
        if let Some(before) = last.insert(now.server, now)
            && now.at - before.at <= TOGETHER
        {
            pairs += 1;
            differs += usize::from(before.addresses != now.addresses);
        }
    }
    // A zone that changes with time differs once per window; one that draws per query differs nearly always, and with two
    // equal addresses half of the time. A tenth lies between: ten queries to a window, or one member with 95 % of the weight.
    differs * 10 > pairs
}

/// Whether two servers gave different addresses within a second, in any order.
pub(super) fn differs_per_server(seen: &[&Observation]) -> bool {
    let set = |seen: &Observation| seen.addresses.iter().copied().collect::<BTreeSet<_>>();
    seen.windows(2)
        .any(|pair| pair[0].server != pair[1].server && pair[1].at - pair[0].at <= TOGETHER && set(pair[0]) != set(pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn order(answers: &[&[u8]]) -> Order {
        let seen: Vec<Observation> = answers
            .iter()
            .zip(0..)
            .map(|(answer, at)| Observation {
                server: 0,
                authoritative: true,
                at: Duration::from_millis(at * 50),
                addresses: answer.iter().copied().map(address).collect(),
                ttl_s: 5,
            })
            .collect();
        of(&seen.iter().collect::<Vec<_>>())
    }

    #[test]
    fn an_order_is_told_by_what_changes_places() {
        let cases: [(&str, &[&[u8]], Order); 7] = [
            ("one address per answer", &[&[1], &[2], &[1]], Order::NoneToSee),
            ("one answer alone", &[&[1, 2, 3]], Order::NoneToSee),
            ("always the same", &[&[3, 1, 2], &[3, 1, 2]], Order::Fixed),
            ("parts of one list", &[&[1, 2], &[2, 3], &[1, 3]], Order::Fixed),
            ("the circle begun elsewhere", &[&[1, 2, 3], &[3, 1, 2], &[2, 3, 1]], Order::Rotated),
            ("two changed places", &[&[1, 2, 3], &[2, 1, 3]], Order::Random),
            ("parts in any order", &[&[1, 2], &[3, 2], &[2, 1]], Order::Random),
        ];
        for (why, answers, expected) in cases {
            assert_eq!(order(answers), expected, "{why}");
        }
    }
}
