//! Agents, thresholds and the stage.

use super::*;
use crate::expect::{ExpectProblem, Expectation, Expected};
use crate::scenario::sources::{self, MOST_SOURCES, SourceProblem};
use crate::scenario::stage::ZoneChange;

/// The most entries of `[[thresholds.limits]]`: each is looked at every second of a burst that it may stop.
const MOST_LIMITS: usize = 100;

/// How much worse than a baseline's a figure may be unless the scenario says otherwise: a tenth.
const WORSE_MAX: f64 = 0.1;

/// The longest chain of aliases (unbound follows 11 links by default, `max-query-restarts`).
const MOST_ALIASES: usize = 8;

impl Check<'_> {
    pub(super) fn agents(&self, words: &words::Agents) -> Checked<Agents> {
        Ok(Agents {
            max_viewers: self.whole("agents.max_viewers", words.max_viewers, 1, 1_000_000)?,
            sources: self.sources(&words.sources)?,
            gather_timeout: self.time("agents.gather_timeout", words.gather_timeout, Duration::from_secs(1), HOUR)?,
            arm_timeout: self.time(
                "agents.arm_timeout",
                words.arm_timeout,
                Duration::from_millis(500),
                Duration::from_secs(60),
            )?,
        })
    }

    fn sources(&self, written: &[String]) -> Checked<Vec<IpAddr>> {
        let mut all = Vec::new();
        for (index, text) in written.iter().enumerate() {
            let key = format!("agents.sources[{index}]");
            let found = sources::addresses(text).map_err(|problem| match problem {
                SourceProblem::Malformed => self.places.problem(
                    &key,
                    format!("`{text}`"),
                    "an IP address of the agents' machine, or a network such as \"10.0.8.0/28\" for all of its addresses",
                    "leave `sources` out to let voteburst choose",
                ),
                SourceProblem::TooMany(count) => self.places.problem(
                    &key,
                    format!("`{text}`, a network of {count} addresses"),
                    format!("at most {MOST_SOURCES} addresses"),
                    "name a part of it, such as the /22 or the /28 that the agents' machine has",
                ),
            })?;
            all.extend(found);
            if all.len() > MOST_SOURCES {
                let (found, needed) =
                    (format!("more than {MOST_SOURCES} addresses with `{text}`"), format!("at most {MOST_SOURCES} in all"));
                return Err(self.places.problem(
                    &key,
                    found,
                    needed,
                    "name fewer: an agent uses two or three for 20,000 viewers",
                ));
            }
        }
        Ok(all)
    }

    pub(super) fn thresholds(&self, words: &words::Thresholds) -> Checked<Thresholds> {
        let share = |name: &str, found: f64| self.number(&format!("thresholds.{name}"), found, 0.0, 1.0);
        let time =
            |name: &str, found: words::Time| self.time(&format!("thresholds.{name}"), found, Duration::from_micros(1), HOUR);
        let peak = words.peak_open_max.map(|most| self.whole("thresholds.peak_open_max", most, 1, MOST_VIEWERS));
        Ok(Thresholds {
            accepted_min: share("accepted_min", words.accepted_min)?,
            complaints_max: share("complaints_max", words.complaints_max)?,
            connected_min: share("connected_min", words.connected_min)?,
            response_p99_max: words.response_p99_max.map(|most| time("response_p99_max", most)).transpose()?,
            busiest_share_max: words.busiest_share_max.map(|most| share("busiest_share_max", most)).transpose()?,
            peak_open_max: peak.transpose()?,
            lateness_p99_max: time("lateness_p99_max", words.lateness_p99_max)?,
            stall_max: time("stall_max", words.stall_max)?,
            start_spread_max: time("start_spread_max", words.start_spread_max)?,
            worse_max: self.number("thresholds.worse_max", words.worse_max.unwrap_or(WORSE_MAX), 0.0, 10.0)?,
            limits: self.limits(&words.limits)?,
        })
    }

    fn limits(&self, written: &[words::Expect]) -> Checked<Vec<Expected>> {
        if written.len() > MOST_LIMITS {
            let (found, needed) = (format!("{} entries", written.len()), format!("at most {MOST_LIMITS}"));
            return Err(self.places.problem("thresholds.limits", found, needed, "say the same with fewer, such as `per proxy`"));
        }
        let mut all: Vec<Expected> = Vec::new();
        for (index, words::Expect { expect, abort }) in written.iter().enumerate() {
            let key = format!("thresholds.limits[{index}]");
            let refused = |key: &str, problem: ExpectProblem| {
                self.places.problem(&format!("{key}.expect"), problem.found, problem.needed, problem.fix)
            };
            let expectation = Expectation::parse(expect).map_err(|problem| refused(&key, problem))?;
            if all.iter().any(|known| known.expectation == expectation) {
                let found = format!("`{expectation}` twice");
                return Err(self.places.problem(&format!("{key}.expect"), found, "each limit once", "remove one of them"));
            }
            if *abort && !expectation.known_in_burst() {
                let found = format!("true for `{expectation}`");
                let needed = "a measure that is known while the burst is on: agents tell what became of each vote when it is over, \
                              and the ballot box is held against that afterwards";
                let fix = "remove `abort`, or abort on `complaints`, `accepted` or `failures` in total";
                return Err(self.places.problem(&format!("{key}.abort"), found, needed, fix));
            }
            all.push(Expected { expectation, abort: *abort });
        }
        Ok(all)
    }

    pub(super) fn stage(&self, words: &words::Stage) -> Checked<Stage> {
        let whole = |name: &str, found: i64, most: u32| self.whole(&format!("stage.{name}"), found, 1, most);
        let proxies = whole("proxies", words.proxies, 100)? as u16;
        let weights = words.weights.as_deref().unwrap_or_default().iter().enumerate();
        let weights: Vec<u8> = weights
            .map(|(index, weight)| Ok(self.whole(&format!("stage.weights[{index}]"), *weight, 0, 255)? as u8))
            .collect::<Checked<_>>()?;
        if !weights.is_empty() && weights.len() != usize::from(proxies) {
            let found = format!("{} weights for {proxies} proxies", weights.len());
            return Err(self.places.problem(
                "stage.weights",
                found,
                "one weight for each proxy",
                "leave `weights` out to make them all equal",
            ));
        }
        let time = |name: &str, found: words::Time| self.time(&format!("stage.{name}"), found, Duration::from_millis(10), HOUR);
        let ttl = self.time("stage.ttl", words.ttl, Duration::ZERO, Duration::from_secs(172_800))?;
        Ok(Stage {
            zone: words.zone,
            ttl_s: self.whole_seconds("stage.ttl", ttl)?,
            window: time("window", words.window)?,
            weights,
            proxies,
            lb_nodes: whole("lb_nodes", words.lb_nodes, 100)? as u16,
            connection_limit: whole("connection_limit", words.connection_limit, 1_000_000)?,
            web_servers: whole("web_servers", words.web_servers, 1_000)? as u16,
            web_server_coefficient: whole("web_server_coefficient", words.web_server_coefficient, 1_000_000)?,
            queue_timeout: time("queue_timeout", words.queue_timeout)?,
            keep_alive_timeout: time("keep_alive_timeout", words.keep_alive_timeout)?,
            service_time: self.service("stage.service_time", &words.service_time)?,
            ballot_box: words.ballot_box,
            aliases: self.aliases(&words.aliases)?,
            changes: self.changes(&words.changes, proxies)?,
            precedence: words.precedence,
        })
    }

    fn aliases(&self, written: &[String]) -> Checked<Vec<String>> {
        if written.len() > MOST_ALIASES {
            let found = format!("a chain of {} aliases", written.len());
            let needed = format!("at most {MOST_ALIASES}, as many as resolvers follow");
            return Err(self.places.problem("stage.aliases", found, needed, "shorten the chain"));
        }
        let alias = |(index, name): (usize, &String)| self.host_name(&format!("stage.aliases[{index}]"), name);
        written.iter().enumerate().map(alias).collect()
    }

    fn changes(&self, written: &[words::ZoneChange], proxies: u16) -> Checked<Vec<ZoneChange>> {
        let change = |(index, change): (usize, &words::ZoneChange)| {
            let key = format!("stage.changes[{index}]");
            Ok(ZoneChange {
                at: self.time(&format!("{key}.at"), change.at, Duration::ZERO, HOUR)?,
                proxy: self.whole(&format!("{key}.proxy"), change.proxy, 1, proxies.into())? as u16 - 1,
                becomes: change.becomes,
            })
        };
        written.iter().enumerate().map(change).collect()
    }

    pub(super) fn service(&self, key: &str, words: &words::Service) -> Checked<ServiceTime> {
        let used: &[&str] = if words.distribution == words::Distribution::LogNormal { &["median", "sigma"] } else { &["mean"] };
        self.only(
            key,
            used,
            &[("mean", words.mean.is_some()), ("median", words.median.is_some()), ("sigma", words.sigma.is_some())],
        )?;
        let mean = || self.given(&format!("{key}.mean"), words.mean);
        Ok(match words.distribution {
            words::Distribution::Constant => ServiceTime::Constant { mean: mean()? },
            words::Distribution::Exponential => ServiceTime::Exponential { mean: mean()? },
            words::Distribution::LogNormal => ServiceTime::LogNormal {
                median: self.given(&format!("{key}.median"), words.median)?,
                sigma: self.sigma(key, words.sigma)?,
            },
        })
    }
}
