//! The stage of a scenario: how large a world to build on loopback, and which limits its proxies keep.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::draw::unit;
use crate::zone::{Member, MemberState, Zone, ZonePolicy, ZoneProblem};

/// A small world on loopback: authoritative DNS, proxies with limits, web servers, a ballot box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// How the zone answers.
    pub zone: ZonePolicy,
    /// TTL of the zone's answers, in seconds; 60 under [`ZonePolicy::LbAlias`] whatever stands here.
    pub ttl_s: u32,
    /// How long [`ZonePolicy::SingleAWindow`] stays with one address.
    pub window: Duration,
    /// Weight of each proxy under [`ZonePolicy::SingleAWeighted`], 0–255; empty: all equal.
    pub weights: Vec<u8>,
    /// Number of proxies.
    pub proxies: u16,
    /// Number of load balancer nodes that stand in the proxies' place under [`ZonePolicy::LbAlias`].
    pub lb_nodes: u16,
    /// Connections one proxy accepts; the next ones wait in the backlog.
    pub connection_limit: u32,
    /// Web servers behind the proxies.
    pub web_servers: u16,
    /// Requests that one web server can work on at once.
    pub web_server_coefficient: u32,
    /// How long a request waits for a web server before the proxy answers 503.
    pub queue_timeout: Duration,
    /// How long a proxy keeps an idle connection.
    pub keep_alive_timeout: Duration,
    /// How long a web server works on a vote.
    pub service_time: ServiceTime,
    /// How the ballot box counts.
    pub ballot_box: BallotRule,
    /// The names that lead from the scenario's name to the addresses, each an alias (CNAME) of the next; empty: none.
    pub aliases: Vec<String>,
    /// What becomes of proxies in the zone during the burst.
    pub changes: Vec<ZoneChange>,
    /// Whether both ends take precedence over the machine's other programs, where that is permitted. Never without a stage:
    /// a target on the same machine would be one of those others.
    pub precedence: bool,
}

/// A change of the zone on schedule. The proxy itself goes on: what changes is what DNS says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneChange {
    /// When, after T0.
    pub at: Duration,
    /// Which proxy, by position from 0.
    pub proxy: u16,
    /// What it becomes.
    pub becomes: Becomes,
}

/// What a proxy becomes in the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// Its health check passes.
    Healthy,
    /// Its health check fails.
    Unhealthy,
    /// The zone no longer holds it.
    Removed,
    /// The zone holds it from now on; when this is its first change, it did not before.
    Added,
}

impl Becomes {
    fn state(self) -> MemberState {
        match self {
            Self::Healthy | Self::Added => MemberState::Healthy,
            Self::Unhealthy => MemberState::Unhealthy,
            Self::Removed => MemberState::Absent,
        }
    }
}

impl Stage {
    /// How many addresses viewers can reach: the proxies, or the nodes of the load balancer.
    #[must_use]
    pub fn fronts(&self) -> u16 {
        if self.zone == ZonePolicy::LbAlias { self.lb_nodes } else { self.proxies }
    }

    /// The stage's zone over the addresses of its fronts.
    ///
    /// # Errors
    /// Whatever [`Zone::new`] refuses.
    pub fn zone(&self, addresses: &[IpAddr], seed: u64) -> Result<Zone, ZoneProblem> {
        let member = |(number, address): (usize, &IpAddr)| {
            let mut changes: Vec<_> = self.changes.iter().filter(|change| usize::from(change.proxy) == number).collect();
            changes.sort_by_key(|change| change.at);
            let comes_later = changes.first().is_some_and(|first| first.becomes == Becomes::Added);
            Member {
                weight: self.weights.get(number).copied().unwrap_or(1),
                state: if comes_later { MemberState::Absent } else { MemberState::Healthy },
                changes: changes.iter().map(|change| (change.at, change.becomes.state())).collect(),
                ..Member::new(format!("proxy-{}", number + 1), *address)
            }
        };
        Zone::new(self.zone, addresses.iter().enumerate().map(member).collect(), self.ttl_s, self.window, seed)
    }

    /// Requests one front may have at one web server: coefficient / number of fronts, rounded down, at least 1.
    ///
    /// This is the case's formula: right only as long as the load is spread. Rounding down costs capacity
    /// (40 / 15 gives 2, and 15 × 2 = 30 of 40); 0 would mean "no limit" to HAProxy, so 1 is the least.
    #[must_use]
    pub fn server_limit(&self) -> u32 {
        (self.web_server_coefficient / u32::from(self.fronts().max(1))).max(1)
    }

    /// How [`Self::server_limit`] came about, rounding included, such as `40 / 15 = 2.67, rounded down to 2`.
    #[must_use]
    pub fn limit_in_words(&self) -> String {
        let (coefficient, fronts, limit) = (self.web_server_coefficient, self.fronts().max(1), self.server_limit());
        let exact = f64::from(coefficient) / f64::from(fronts);
        if exact < 1.0 {
            return format!(
                "{coefficient} / {fronts} = {exact:.2}, raised to 1: together they ask more of a web server than it can take"
            );
        }
        match coefficient % u32::from(fronts) {
            0 => format!("{coefficient} / {fronts} = {limit}"),
            _ => format!("{coefficient} / {fronts} = {exact:.2}, rounded down to {limit}"),
        }
    }

    /// Votes per second that one front can carry: its requests at all web servers over the mean service time.
    #[must_use]
    pub fn votes_per_s(&self) -> f64 {
        f64::from(self.server_limit()) * f64::from(self.web_servers) / self.service_time.mean().as_secs_f64()
    }

    /// Connections one front accepts. A load balancer is elastic: its nodes together hold what the proxies do.
    #[must_use]
    pub fn connection_limit_per_front(&self) -> u32 {
        let all = u64::from(self.connection_limit) * u64::from(self.proxies);
        match self.zone {
            ZonePolicy::LbAlias => u32::try_from(all.div_ceil(u64::from(self.lb_nodes.max(1)))).unwrap_or(u32::MAX),
            _ => self.connection_limit,
        }
    }
}

/// The distribution of the time a web server works on a vote.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceTime {
    /// Always the same.
    Constant {
        /// That time.
        mean: Duration,
    },
    /// Exponential.
    Exponential {
        /// Its mean.
        mean: Duration,
    },
    /// Log-normal.
    LogNormal {
        /// Its median.
        median: Duration,
        /// Standard deviation of the logarithm, above 0.
        sigma: f64,
    },
}

impl ServiceTime {
    /// The time that belongs to a draw; at most one minute, so that no vote outlives its run.
    #[must_use]
    pub fn sample(&self, draw: u64) -> Duration {
        let most = Duration::from_secs(60);
        let part = unit(draw);
        match *self {
            Self::Constant { mean } => mean,
            Self::Exponential { mean } => mean.mul_f64(-libm::log1p(-part)).min(most),
            Self::LogNormal { median, sigma } => {
                let factor = libm::exp(sigma * Normal::standard().inverse_cdf(part));
                median.mul_f64(factor.min(most.as_secs_f64() / median.as_secs_f64().max(1e-9)))
            }
        }
    }

    /// The mean, for a forecast of the capacity.
    #[must_use]
    pub fn mean(&self) -> Duration {
        match *self {
            Self::Constant { mean } | Self::Exponential { mean } => mean,
            Self::LogNormal { median, sigma } => median.mul_f64(libm::exp(sigma * sigma / 2.0)),
        }
    }
}

/// How the stage's ballot box counts a ballot that comes twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BallotRule {
    /// A ballot id counts once, however often it is sent: what a voting backend should do.
    #[default]
    OncePerBallot,
    /// Every request counts: shows what retries do to a backend that ignores the ballot id.
    EveryRequest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Stream, draw};

    #[test]
    fn sampled_service_times_have_the_stated_mean() {
        let cases = [
            ServiceTime::Constant { mean: Duration::from_millis(50) },
            ServiceTime::Exponential { mean: Duration::from_millis(50) },
            ServiceTime::LogNormal { median: Duration::from_millis(40), sigma: 0.5 },
        ];
        for service in cases {
            let sum: f64 = (0..50_000).map(|n| service.sample(draw(5, Stream::ServiceTime, n)).as_secs_f64()).sum();
            let (seen, stated) = (sum / 50_000.0, service.mean().as_secs_f64());
            assert!((seen / stated - 1.0).abs() < 0.02, "{service:?}: {seen} against {stated}");
        }
    }
}
