//! From words to meaning: every rule a scenario must keep, each with the message for the one who broke it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::problem::{Places, ScenarioProblem, nearest};
use super::stage::{ServiceTime, Stage};
use super::template::{PLACEHOLDERS, RequestTemplate, TemplateProblem};
use super::{
    Agents, Audience, Carrier, Carriers, Choice, Client, Dns, Draft, MOST_VIEWERS, Question, Retry, Scenario, Scheme, Target,
    Thresholds, words,
};
use crate::cache::CacheModel;
use crate::schedule::{LEAST_INSIDE, Shape};

mod carriers;
mod phones;
mod questions;
mod target;
mod world;

type Checked<T> = Result<T, ScenarioProblem>;

/// The longest time any key may hold.
const HOUR: Duration = Duration::from_secs(3_600);
/// How far from 1 a sum of shares may be: three thirds written with six digits pass.
const SHARE_SLACK: f64 = 1e-5;

pub(super) fn resolve(draft: Draft, read: &dyn Fn(&str) -> io::Result<String>) -> Checked<Scenario> {
    let Draft { file, text, mut words } = draft;
    let check = Check { places: Places::new(&file, &text) };
    check.id("name", &words.name)?;
    let seed = u64::from(check.whole("seed", words.seed, 0, u32::MAX)?);
    let audience = check.audience(&words.audience)?;
    let carriers = check.carriers(&words.carriers, seed)?;
    let (target, host_name) = check.target(&words.target)?;
    let dns = check.dns(&words, &host_name)?;
    let questions = check.questions(&mut words.questions, read)?;
    if u64::from(audience.viewers) * questions.len() as u64 > u64::from(u32::MAX) {
        return Err(check.places.problem(
            "questions",
            format!("{} questions for {} viewers", questions.len(), audience.viewers),
            "at most 4,294,967,295 votes",
            "ask fewer questions",
        ));
    }
    check.fits_the_tally(&audience, &questions)?;
    let agents = check.agents(&words.agents)?;
    let thresholds = check.thresholds(&words.thresholds)?;
    let stage = words.stage.as_ref().map(|stage| check.stage(stage)).transpose()?;
    check.whole_makes_sense(&words, &target)?;
    check.clients_can_choose(&audience, &target)?;
    Ok(Scenario { name: words.name.clone(), seed, audience, carriers, dns, target, questions, agents, thresholds, stage, words })
}

struct Check<'a> {
    places: Places<'a>,
}

impl Check<'_> {
    fn whole(&self, key: &str, found: i64, least: u32, most: u32) -> Checked<u32> {
        u32::try_from(found).ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let near = found.clamp(i64::from(least), i64::from(most));
            self.places.problem(
                key,
                found.to_string(),
                format!("a whole number from {least} to {most}"),
                format!("the nearest that works is {near}"),
            )
        })
    }

    fn number(&self, key: &str, found: f64, least: f64, most: f64) -> Checked<f64> {
        // A comparison with NaN is false, so NaN is refused too.
        if found >= least && found <= most {
            return Ok(found);
        }
        Err(self.places.problem(
            key,
            found.to_string(),
            format!("a number from {least} to {most}"),
            "correct the number".to_owned(),
        ))
    }

    fn time(&self, key: &str, found: words::Time, least: Duration, most: Duration) -> Checked<Duration> {
        if (least..=most).contains(&found.0) {
            return Ok(found.0);
        }
        let text = |time| humantime::format_duration(time).to_string();
        let needed = format!("a time from {} to {}", text(least), text(most));
        Err(self.places.problem(
            key,
            text(found.0),
            needed,
            format!("the nearest that works is \"{}\"", text(found.0.clamp(least, most))),
        ))
    }

    fn id(&self, key: &str, found: &str) -> Checked<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !found.is_empty() && found.len() <= 64 && found.chars().all(plain) && !found.starts_with('.') {
            return Ok(found.into());
        }
        let needed = "1 to 64 letters, digits, dashes, underscores or dots, not beginning with a dot";
        Err(self.places.problem(key, format!("`{found}`"), needed, "it names files and stands in votes: keep it plain"))
    }

    fn shares(&self, key: &str, shares: impl IntoIterator<Item = f64>) -> Checked<()> {
        let shares: Vec<f64> = shares.into_iter().collect();
        if let Some(odd) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(self.places.problem(
                key,
                format!("the share {odd}"),
                "shares from 0 to 1",
                "a third is 0.333333, not 33.3",
            ));
        }
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() <= SHARE_SLACK {
            return Ok(());
        }
        let found = format!("shares that sum to {}", (sum * 1e6).round() / 1e6);
        Err(self.places.problem(
            key,
            found,
            "shares that sum to 1",
            format!("{} {:.6} in all", if sum > 1.0 { "take away" } else { "add" }, (sum - 1.0).abs()),
        ))
    }

    fn sockets(&self, key: &str, written: &[String]) -> Checked<Vec<SocketAddr>> {
        let parse = |(index, text): (usize, &String)| {
            let with_port = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53)));
            with_port.ok_or_else(|| {
                let needed = "an IP address, with a port unless it is 53";
                self.places.problem(
                    &format!("{key}[{index}]"),
                    format!("`{text}`"),
                    needed,
                    "write it as \"192.0.2.53\" or \"192.0.2.53:5353\"",
                )
            })
        };
        written.iter().enumerate().map(parse).collect()
    }

    /// Keys that mean nothing here are refused: a user who wrote them expects them to matter.
    fn only(&self, key: &str, used: &[&str], written: &[(&str, bool)]) -> Checked<()> {
        let Some((name, _)) = written.iter().find(|(name, given)| *given && !used.contains(name)) else { return Ok(()) };
        let needed =
            if used.is_empty() { "no further key with this shape".to_owned() } else { format!("only `{}`", used.join("`, `")) };
        Err(self.places.problem(
            &format!("{key}.{name}"),
            format!("`{name}`"),
            needed,
            format!("remove `{name}`, or choose another shape"),
        ))
    }

    fn given(&self, key: &str, time: Option<words::Time>) -> Checked<Duration> {
        let name = key.rsplit('.').next().unwrap_or(key);
        let time = time.ok_or_else(|| self.places.problem(key, "nothing", "a time", format!("add {name} = \"10s\"")))?;
        self.time(key, time, Duration::from_micros(1), HOUR)
    }

    /// The spread of a log-normal shape; an absent one is no number, which is refused like any other.
    fn sigma(&self, key: &str, found: Option<f64>) -> Checked<f64> {
        self.number(&format!("{key}.sigma"), found.unwrap_or(f64::NAN), 0.01, 5.0)
    }

    /// A tally keeps one hour of seconds, from the opening of the doors; five minutes of it are for what comes after the close.
    fn fits_the_tally(&self, audience: &Audience, questions: &[Question]) -> Checked<()> {
        let most = HOUR - Duration::from_secs(300);
        let close =
            questions.iter().map(|question| question.opens_at + question.window + question.grace).max().unwrap_or_default();
        let found = audience.doors_open + close;
        if found <= most {
            return Ok(());
        }
        let text = |time| humantime::format_duration(time).to_string();
        let found = format!("{} from the opening of the doors to the last close", text(found));
        let fix = "rehearse a long show in parts, a scenario for each";
        Err(self.places.problem("questions", found, format!("at most {}", text(most)), fix))
    }

    /// DNS counts TTLs in whole seconds; half of one would silently become another experiment.
    fn whole_seconds(&self, key: &str, time: Duration) -> Checked<u32> {
        if time.subsec_nanos() == 0 {
            return Ok(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
        }
        let found = humantime::format_duration(time).to_string();
        Err(self.places.problem(
            key,
            found,
            "whole seconds, as DNS counts TTLs",
            format!("the nearest is \"{}s\"", time.as_secs_f64().round()),
        ))
    }

    /// A phone chooses HTTP/2 in the TLS handshake: without one, full phones would be lean ones under another name.
    fn clients_can_choose(&self, audience: &Audience, target: &Target) -> Checked<()> {
        let full = audience.phones.iter().position(|phone| phone.client == Client::Full);
        match (target.scheme, full) {
            (Scheme::Http, Some(phone)) => Err(self.places.problem(
                &format!("audience.phones[{phone}].client"),
                "`full` for a plain http target",
                "https: HTTP/2 is agreed on in the TLS handshake (ALPN)",
                "write https:// in target.url, which a stage speaks too, or leave `client` out",
            )),
            _ => Ok(()),
        }
    }

    fn whole_makes_sense(&self, words: &words::Words, target: &Target) -> Checked<()> {
        let servers = [&words.dns.authoritative, &words.dns.recursive].into_iter().filter(|list| !list.is_empty()).count();
        let own_carriers = words.carriers.resolvers.is_none();
        match (&words.stage, servers) {
            (Some(_), 1..) => {
                let fix = "remove [stage] for a live rehearsal, or the servers for one on the stage";
                return Err(self.places.problem(
                    "dns",
                    "DNS servers beside a [stage]",
                    "one of them: the stage serves its own zone",
                    fix,
                ));
            }
            (Some(_), _) if !own_carriers => {
                let fix = "remove `resolvers`, or [stage]";
                return Err(self.places.problem(
                    "carriers.resolvers",
                    "real resolvers beside a [stage]",
                    "one of them: a stage's name exists on the stage only",
                    fix,
                ));
            }
            (None, 0) if own_carriers => {
                let fix =
                    "add dns.authoritative = [\"…\"] (the name's own servers: `dig NS`), dns.recursive, or carriers.resolvers";
                return Err(self.places.problem("dns", "neither a [stage] nor DNS servers", "somebody who knows the name", fix));
            }
            (None, 2) => {
                return Err(self.places.problem(
                    "dns",
                    "both authoritative and recursive servers",
                    "one of them",
                    "remove one of the two lists",
                ));
            }
            _ => {}
        }
        if target.retry.attempts > 1 && !target.request.names_ballot() {
            let fix = "put {ballot} into body, url or a header; or set target.retry.attempts = 1";
            return Err(self.places.problem("target", "retries of a vote without {ballot}", "the ballot id in the vote", fix));
        }
        Ok(())
    }
}
