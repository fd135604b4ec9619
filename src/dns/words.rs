//! What a name was seen to do, in words and tables.

use voteburst_burst::observe::{Guess, Manner, Picture, Seen};

use super::audience::{Audience, Row};
use super::look::{Look, ServerView};
use super::phones::{self, PhoneView};
use crate::text::{line, table};

/// More addresses than this are counted, not shown.
const SHOWN: usize = 16;

/// Everything about one name.
pub(super) fn render(look: &Look, audience: Option<&Audience>) -> String {
    let mut out = String::new();
    head(&mut out, look);
    facts(&mut out, look);
    line(&mut out, "");
    table(&mut out, &["server", "speaks", "answers", "failed", "addresses", "per answer", "order", "TTL"], &servers(look));
    line(&mut out, "");
    line(
        &mut out,
        "What phones make of it, when the answer comes straight from the zone (a cache hands out what is left of the TTL)",
    );
    line(&mut out, "");
    let phones: Vec<_> = phones::views(&look.picture).iter().map(phone).collect();
    table(&mut out, &["phone", "keeps it", "tries", "asks again"], &phones);
    if let Some(audience) = audience {
        line(&mut out, "");
        line(&mut out, "What an audience makes of it, by DNS alone (mean, and the range of nine cases in ten)");
        line(&mut out, &format!("{}; for your own: voteburst forecast SCENARIO", audience.assumed()));
        line(&mut out, "");
        let rows: Vec<_> = audience.rows.iter().map(Row::cells).collect();
        let head = ["carriers", "busiest / mean", "in the worst second", "busiest holds", "idle addresses"];
        table(&mut out, &head, &rows);
    }
    out
}

/// Two names beside each other.
pub(super) fn comparison(first: &Look, second: &Look, differs: &[String], decided: bool) -> String {
    let mut out = String::new();
    for look in [first, second] {
        head(&mut out, look);
        facts(&mut out, look);
        line(&mut out, "");
    }
    let names = format!("{} and {}", first.name, second.name);
    match (decided, differs.is_empty()) {
        (false, _) => {
            line(&mut out, &format!("? too little was seen to say whether {names} are of the same kind"));
            line(&mut out, "  → look longer with --for, or name the authoritative servers with --server and --against-server");
        }
        (true, true) => line(&mut out, &format!("✓ {names} are of the same kind: an audience makes the same of both")),
        (true, false) => {
            line(&mut out, &format!("✗ {names} are not of the same kind: what is rehearsed on one says nothing about the other"));
            differs.iter().for_each(|why| line(&mut out, &format!("  ✗ {why}")));
            line(&mut out, "  → give the rehearsal's name the records of production's: same policy, same TTL, as many addresses");
        }
    }
    out
}

fn head(out: &mut String, look: &Look) {
    let picture = &look.picture;
    line(out, &format!("{} {}", look.name, verdict(picture)));
    picture.reasons.iter().for_each(|reason| line(out, &format!("  · {reason}")));
    line(out, "");
}

/// What it looks like, in one sentence. Policies that cannot be told apart are named together.
fn verdict(picture: &Picture) -> String {
    let (manner, sure) = picture.manner;
    if manner == Manner::OneAddress {
        return format!("has one address ({} sure)", percent(sure));
    }
    let best = picture.guess.first().map_or(0.0, |guess| guess.confidence);
    let alike: Vec<&Guess> = picture.guess.iter().filter(|guess| guess.confidence > best / 2.0).collect();
    let names: Vec<_> = alike.iter().map(|guess| guess.policy.name()).collect();
    let sum: f64 = alike.iter().map(|guess| guess.confidence).sum();
    let manner = match manner {
        Manner::Several if picture.per_answer.1 < picture.addresses.len() => {
            format!("{} of {} addresses per answer", range(picture.per_answer), picture.addresses.len())
        }
        Manner::Several => format!("all {} addresses in every answer", picture.addresses.len()),
        _ => manner.to_string(),
    };
    format!("looks like {} ({} sure): {manner}", names.join(" or "), percent(sum))
}

fn facts(out: &mut String, look: &Look) {
    let picture = &look.picture;
    let mut fact = |key: &str, value: &str| line(out, &format!("{key:<11} {value}"));
    let likely = picture.guess.iter().filter(|guess| guess.confidence >= 0.01);
    let policies: Vec<_> = likely.map(|guess| format!("{} {}", guess.policy, percent(guess.confidence))).collect();
    fact("policy", &policies.join(", "));
    if !look.aliases.is_empty() {
        fact("alias of", &look.aliases.iter().map(|name| name.trim_end_matches('.')).collect::<Vec<_>>().join(" → "));
    }
    fact("addresses", &addresses(picture));
    fact("per answer", &range(picture.per_answer));
    fact("order", picture.order.name());
    fact("TTL", &format!("{} s", range(picture.ttl_s)));
    fact("families", &format!("{} IPv4 and {} IPv6 addresses in the first answers", look.families.0, look.families.1));
    let yes = |yes| if yes { "yes" } else { "no" };
    let mut differs = format!("from query to query: {}", yes(picture.differs_per_query));
    if look.servers.len() > 1 {
        differs += &format!("; from server to server: {}", yes(picture.differs_per_server));
    }
    fact(
        "differs",
        &format!(
            "from query to query: {}; from server to server: {}",
            yes(picture.differs_per_query),
            yes(picture.differs_per_server)
        ),
    );
    let early = if look.ended_early { "; ended early, as more would change nothing" } else { "" };
    fact(
        "seen",
        &format!(
            "{} answers to {} queries in {:.1} s, {} of them draws of the zone's{early}",
            picture.answers, look.queries, picture.span_s, picture.draws
        ),
    );
    look.silent.iter().for_each(|why| fact("not seen", why));
}

fn addresses(picture: &Picture) -> String {
    let all = &picture.addresses;
    let draws = picture.draws.max(1) as f64;
    let one = |seen: &Seen| match picture.manner.0 {
        Manner::OnePerCache => format!("{} ({:.0} %)", seen.address, seen.draws as f64 / draws * 100.0),
        _ => seen.address.to_string(),
    };
    let shown: Vec<_> = all.iter().take(SHOWN).map(one).collect();
    let more = if all.len() > SHOWN { format!(" and {} more", all.len() - SHOWN) } else { String::new() };
    let least = if picture.complete || all.len() == 1 { "" } else { " at least" };
    format!("{}{least}: {}{more}", all.len(), shown.join(", "))
}

fn servers(look: &Look) -> Vec<Vec<String>> {
    let row = |server: &ServerView| {
        let name = server.name.as_ref().map_or_else(String::new, |name| format!("{} ", name.trim_end_matches('.')));
        vec![
            format!("{name}{}", server.address),
            if server.authoritative { "with authority" } else { "from a cache" }.into(),
            server.answers.to_string(),
            server.unanswered.to_string(),
            server.addresses.to_string(),
            range(server.per_answer),
            server.order.name().into(),
            format!("{} s", range(server.ttl_s)),
        ]
    };
    look.servers.iter().map(row).collect()
}

fn phone(view: &PhoneView) -> Vec<String> {
    let keeps = match view.keeps_s {
        None => "for ever".into(),
        Some(0) => "not at all".into(),
        Some(seconds) => format!("{seconds} s"),
    };
    vec![view.phone.into(), keeps, view.how.clone(), view.asks_again.into()]
}

fn range<N: PartialEq + std::fmt::Display>((least, most): (N, N)) -> String {
    if least == most { most.to_string() } else { format!("{least} to {most}") }
}

/// Never 100 %: nothing that was only looked at is certain.
fn percent(part: f64) -> String {
    format!("{:.0} %", (part * 100.0).min(99.0))
}
