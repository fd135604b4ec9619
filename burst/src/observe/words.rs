//! Why a picture looks as it does, in words.

use super::draws::Draws;
use super::kind::Manner;
use super::likelihood::LEAST_GAPS;
use super::{FEWEST_DRAWS, Picture};
use crate::zone::{LB_ALIAS_TTL_S, MULTIVALUE_MOST};

/// The reasons, the most telling first.
pub(super) fn reasons(picture: &Picture, draws: &Draws) -> Vec<String> {
    let mut reasons = vec![match picture.manner.0 {
        Manner::OneAddress => format!(
            "all {} draws in {:.0} s were the same address: a name with one address (any policy with one member does that); one that changes less often than that would look the same",
            picture.draws, picture.span_s
        ),
        Manner::OnePerCache => format!(
            "one address per answer, {} in all; the next draw differed in {} of {} cases, however soon it came: it depends on the query, not on the time",
            picture.addresses.len(),
            picture.changes,
            picture.draws.saturating_sub(1)
        ),
        Manner::OneForAll => by_time(picture),
        Manner::Several => several(picture, draws),
    }];
    if picture.manner.0 == Manner::OnePerCache {
        reasons.push(shares(picture));
        if let Some(gap) = draws.gap_s() {
            reasons.push(format!(
                "draws came {gap:.2} s apart: an address that changed with time, but faster than every {:.1} s, would look the same",
                gap * LEAST_GAPS
            ));
        }
    }
    if picture.manner.0 == Manner::OneForAll && !picture.complete {
        reasons.push("no address came again yet: there may be more; look longer with --for".into());
    } else if !picture.complete && picture.manner.0 != Manner::OneAddress {
        reasons.push("some addresses were seen once only: there may be more".into());
    }
    if !draws.authoritative {
        reasons.push(format!(
            "seen through caches only: of {} answers {} were new draws; ask the authoritative servers to be sure",
            picture.answers, picture.draws
        ));
    }
    if picture.draws < FEWEST_DRAWS {
        reasons.push(format!("{} draws tell little; {FEWEST_DRAWS} are the least to go by", picture.draws));
    }
    reasons
}

fn by_time(picture: &Picture) -> String {
    let window = picture.window_s.map_or_else(String::new, |window| match picture.changes {
        1 => format!(", each for {window:.1} s at least"),
        _ => format!(", each for about {window:.1} s"),
    });
    format!(
        "everybody gets the same answer at a time{window}: {} draws changed {} times only; drawn for each query they would nearly always",
        picture.draws, picture.changes
    )
}

fn several(picture: &Picture, draws: &Draws) -> String {
    let all = picture.addresses.len();
    let (least, most) = picture.per_answer;
    if draws.sets.len() > 1 && picture.changes * 4 < picture.draws {
        return format!("the {most} addresses of an answer changed {} times while they were looked at", picture.changes);
    }
    if draws.sets.len() > 1 {
        let many = if least == most { most.to_string() } else { format!("{least} to {most}") };
        return format!(
            "{many} of {all} addresses per answer, chosen anew for each query: multivalue answers hold up to {MULTIVALUE_MOST}"
        );
    }
    if all > MULTIVALUE_MOST {
        return format!(
            "all {all} addresses in every answer: multivalue would hold {MULTIVALUE_MOST} at most, and load balancers answer with few"
        );
    }
    if picture.ttl_s.1 == LB_ALIAS_TTL_S {
        return format!(
            "the same {all} addresses in every answer with a TTL of {LB_ALIAS_TTL_S} s, which is the only one of a load balancer's alias; simple or multivalue records with that TTL would look the same"
        );
    }
    format!(
        "the same {all} addresses in every answer: with up to {MULTIVALUE_MOST} addresses simple and multivalue cannot be told apart, and do the same to an audience; a load balancer's TTL would be {LB_ALIAS_TTL_S} s"
    )
}

/// The shares as weights, with what chance alone does to them.
fn shares(picture: &Picture) -> String {
    let draws = picture.draws.max(1) as f64;
    let mean = 1.0 / picture.addresses.len().max(1) as f64;
    // Three standard deviations of a binomial share: one of 15 addresses lies outside of them by chance in 4 % of pictures.
    let chance = 3.0 * (mean * (1.0 - mean) / draws).sqrt();
    let parts = || picture.addresses.iter().map(|seen| seen.draws as f64 / draws);
    let (least, most) = (parts().fold(1.0, f64::min), parts().fold(0.0, f64::max));
    if most - mean <= chance && mean - least <= chance {
        return format!(
            "shares from {:.1} % to {:.1} %: equal weights, as far as {} draws show",
            least * 100.0,
            most * 100.0,
            picture.draws
        );
    }
    format!("shares from {:.1} % to {:.1} %: the weights are not equal", least * 100.0, most * 100.0)
}
