//! A scenario as it is written: the TOML words, nothing decided yet. Times are text such as `"1m 30s"`, numbers are
//! wide enough to hold nonsense, so that the next step can say what is wrong with it.

mod dns;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(super) use self::dns::{Audience, Carriers, Custom, Dns, Phone, RacingName, Sizes, Stretch, TtlName};
use super::stage::{BallotRule, Becomes};
use crate::outcome::Failure;
use crate::zone::ZonePolicy;

/// A duration written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) struct Time(pub(in crate::scenario) Duration);

impl Time {
    pub(in crate::scenario) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(in crate::scenario) const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_str(TimeVisitor)
    }
}

/// Says what a time looks like also to those who wrote a bare number.
struct TimeVisitor;

impl de::Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time with its unit in quotes, such as \"250ms\", \"10s\" or \"1m 30s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        let expected: &dyn de::Expected = &self;
        humantime::parse_duration(text).map(Time).map_err(|_| E::custom(format!("`{text}`, expected {expected}")))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(&humantime::format_duration(self.0))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Words {
    pub(in crate::scenario) name: String,
    pub(in crate::scenario) seed: i64,
    pub(in crate::scenario) audience: Audience,
    #[serde(default)]
    pub(in crate::scenario) carriers: Carriers,
    #[serde(default)]
    pub(in crate::scenario) dns: Dns,
    pub(in crate::scenario) target: Target,
    pub(in crate::scenario) questions: Vec<Question>,
    #[serde(default)]
    pub(in crate::scenario) agents: Agents,
    #[serde(default)]
    pub(in crate::scenario) thresholds: Thresholds,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) stage: Option<Stage>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Target {
    pub(in crate::scenario) url: String,
    #[serde(default = "post")]
    pub(in crate::scenario) method: String,
    #[serde(default)]
    pub(in crate::scenario) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(in crate::scenario) body: String,
    #[serde(default = "ok")]
    pub(in crate::scenario) accepted: Vec<i64>,
    #[serde(default = "ten_seconds")]
    pub(in crate::scenario) connect_timeout: Time,
    #[serde(default = "ten_seconds")]
    pub(in crate::scenario) response_timeout: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) ca_file: Option<String>,
    #[serde(default)]
    pub(in crate::scenario) retry: Retry,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct Retry {
    pub(in crate::scenario) attempts: i64,
    pub(in crate::scenario) backoff: Time,
    pub(in crate::scenario) backoff_factor: f64,
    pub(in crate::scenario) on: Vec<Failure>,
}

impl Default for Retry {
    fn default() -> Self {
        let on = vec![Failure::Dns, Failure::Refused, Failure::ConnectTimeout, Failure::Reset, Failure::StaleKeepAlive];
        Self { attempts: 2, backoff: Time::millis(500), backoff_factor: 2.0, on }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Question {
    pub(in crate::scenario) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) opens_at: Option<Time>,
    pub(in crate::scenario) window: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) grace: Option<Time>,
    pub(in crate::scenario) arrivals: Arrivals,
    #[serde(default = "one")]
    pub(in crate::scenario) turnout: f64,
    pub(in crate::scenario) choices: BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::scenario) enum ShapeName {
    AllAtOnce,
    Uniform,
    ExponentialDecay,
    LogNormal,
    Trace,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Arrivals {
    pub(in crate::scenario) shape: ShapeName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) mean: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) median: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) sigma: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) offsets_us: Option<Vec<u64>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct Agents {
    pub(in crate::scenario) max_viewers: i64,
    pub(in crate::scenario) sources: Vec<String>,
    pub(in crate::scenario) gather_timeout: Time,
    pub(in crate::scenario) arm_timeout: Time,
}

impl Default for Agents {
    fn default() -> Self {
        Self { max_viewers: 15_000, sources: Vec::new(), gather_timeout: Time::seconds(60), arm_timeout: Time::seconds(5) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct Thresholds {
    pub(in crate::scenario) accepted_min: f64,
    pub(in crate::scenario) complaints_max: f64,
    pub(in crate::scenario) connected_min: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) response_p99_max: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) busiest_share_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) peak_open_max: Option<i64>,
    pub(in crate::scenario) lateness_p99_max: Time,
    pub(in crate::scenario) stall_max: Time,
    pub(in crate::scenario) start_spread_max: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) worse_max: Option<f64>,
    // Left out when empty, so that plans of scenarios without any keep their hash.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::scenario) limits: Vec<Expect>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Expect {
    pub(in crate::scenario) expect: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::scenario) abort: bool,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            accepted_min: 0.999,
            complaints_max: 0.001,
            connected_min: 0.999,
            response_p99_max: Some(Time::seconds(2)),
            busiest_share_max: None,
            peak_open_max: None,
            lateness_p99_max: Time::millis(100),
            stall_max: Time::millis(250),
            start_spread_max: Time::millis(100),
            worse_max: None,
            limits: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::scenario) enum Distribution {
    Constant,
    Exponential,
    LogNormal,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Service {
    pub(in crate::scenario) distribution: Distribution,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) mean: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) median: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) sigma: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Stage {
    pub(in crate::scenario) zone: ZonePolicy,
    #[serde(default = "five_seconds")]
    pub(in crate::scenario) ttl: Time,
    #[serde(default = "five_seconds")]
    pub(in crate::scenario) window: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) weights: Option<Vec<i64>>,
    pub(in crate::scenario) proxies: i64,
    #[serde(default = "three")]
    pub(in crate::scenario) lb_nodes: i64,
    pub(in crate::scenario) connection_limit: i64,
    pub(in crate::scenario) web_servers: i64,
    pub(in crate::scenario) web_server_coefficient: i64,
    #[serde(default = "five_seconds")]
    pub(in crate::scenario) queue_timeout: Time,
    #[serde(default = "minute")]
    pub(in crate::scenario) keep_alive_timeout: Time,
    pub(in crate::scenario) service_time: Service,
    #[serde(default)]
    pub(in crate::scenario) ballot_box: BallotRule,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::scenario) aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::scenario) changes: Vec<ZoneChange>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::scenario) precedence: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct ZoneChange {
    pub(in crate::scenario) at: Time,
    pub(in crate::scenario) proxy: i64,
    pub(in crate::scenario) becomes: Becomes,
}

const fn ten_seconds() -> Time {
    Time::seconds(10)
}

const fn five_seconds() -> Time {
    Time::seconds(5)
}

const fn minute() -> Time {
    Time::seconds(60)
}

const fn one() -> f64 {
    1.0
}

const fn three() -> i64 {
    3
}

fn post() -> String {
    "POST".into()
}

fn ok() -> Vec<i64> {
    vec![200]
}
