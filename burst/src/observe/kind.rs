//! Whether two names are of one kind: whether an audience would be spread over their addresses in the same way.

use std::fmt;

use serde::Serialize;

use super::draws::Draws;
use super::guess::Guess;
use super::order::Order;
use super::{FEWEST_DRAWS, Picture};
use crate::zone::ZonePolicy;

/// Numbers and TTLs that differ by more than this factor are not alike: an audience notices them in who asks again within a
/// burst, and in how many proxies there are to be spread over.
const ALIKE: f64 = 2.0;

/// What a name is for an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// It has one address.
    OneAddress,
    /// Each cache gets one address, drawn for it alone.
    OnePerCache,
    /// All caches get the same one, which changes with time.
    OneForAll,
    /// Each cache gets several.
    Several,
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OneAddress => "one address",
            Self::OnePerCache => "one address per answer, drawn for each query",
            Self::OneForAll => "one answer for everybody, which changes with time",
            Self::Several => "several addresses per answer",
        })
    }
}

/// The likeliest manner of these draws, and how likely it is.
pub(super) fn manner(draws: &Draws, guess: &[Guess]) -> (Manner, f64) {
    let of = |policies: &[ZonePolicy]| {
        guess.iter().filter(|guess| policies.contains(&guess.policy)).map(|guess| guess.confidence).sum::<f64>()
    };
    if draws.distinct() == 1 {
        // The chance that the next draw is another address: one more success in n draws that all were failures (Laplace's
        // rule of succession).
        let draws = draws.list.len() as f64;
        return (Manner::OneAddress, (draws + 1.0) / (draws + 2.0));
    }
    let weighted = of(&[ZonePolicy::SingleAWeighted]);
    let window = of(&[ZonePolicy::SingleAWindow]);
    // Simple with one address at a time is a record that was edited: one address for all, too.
    let steady = of(&[ZonePolicy::Multivalue, ZonePolicy::Simple, ZonePolicy::LbAlias]);
    let (several, window) = if draws.sizes().1 == 1 { (0.0, window + steady) } else { (steady, window) };
    [(Manner::OnePerCache, weighted), (Manner::OneForAll, window), (Manner::Several, several)]
        .into_iter()
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .unwrap_or((Manner::Several, 0.0))
}

/// Why two names are not of one kind for an audience; empty when they are.
///
/// The policies `multivalue`, `simple` and `lb-alias` count as one kind as long as the answers hold as many addresses, and as
/// large a part of all: by answers alone they cannot be told apart, and an audience does the same with them.
#[must_use]
pub fn kind_differs(one: &Picture, other: &Picture) -> Vec<String> {
    let mut why = Vec::new();
    if one.manner.0 != other.manner.0 {
        why.push(format!("the first gives {}, the second {}", described(one), described(other)));
    }
    let several = one.manner.0 == Manner::Several && other.manner.0 == Manner::Several;
    if several {
        if in_parts(one) != in_parts(other) {
            why.push(format!("an answer of the first holds {}, one of the second {}", part_in_words(one), part_in_words(other)));
        } else if differ(one.per_answer.1, other.per_answer.1) {
            why.push(format!(
                "an answer of the first holds {} addresses, one of the second {}",
                one.per_answer.1, other.per_answer.1
            ));
        }
        if (one.order == Order::Fixed) != (other.order == Order::Fixed) {
            why.push(format!(
                "the order of addresses is {} in answers of the first and {} in those of the second: with a fixed order everybody begins at the same address",
                one.order.name(),
                other.order.name()
            ));
        }
    }
    let all = |picture: &Picture| picture.addresses.len();
    let counted = one.complete && other.complete && !(several && !in_parts(one) && !in_parts(other));
    if counted && one.manner.0 == other.manner.0 && differ(all(one), all(other)) {
        why.push(format!("the first has {} addresses in all, the second {}", all(one), all(other)));
    }
    if differ(one.ttl_s.1 as usize, other.ttl_s.1 as usize) {
        why.push(format!("answers of the first may be kept for {} s, those of the second for {} s", one.ttl_s.1, other.ttl_s.1));
    }
    why
}

/// What a picture is for an audience, with what was counted.
fn described(picture: &Picture) -> String {
    match picture.manner.0 {
        Manner::OneAddress if picture.draws < FEWEST_DRAWS => format!("one address in {} draws", picture.draws),
        Manner::Several => format!("{} addresses per answer", picture.per_answer.1),
        manner => manner.to_string(),
    }
}

/// Whether an answer holds a part of the addresses only.
fn in_parts(picture: &Picture) -> bool {
    picture.per_answer.1 < picture.addresses.len()
}

fn part_in_words(picture: &Picture) -> String {
    let all = picture.addresses.len();
    if in_parts(picture) { format!("{} of {all} addresses", picture.per_answer.1) } else { format!("all {all} addresses") }
}

fn differ(one: usize, other: usize) -> bool {
    // A TTL of 0 and one of 1 s are alike: neither lasts for a burst.
    let (less, more) = (one.min(other).max(1) as f64, one.max(other).max(1) as f64);
    more > ALIKE * less
}
