//! A scenario as it is written: the TOML words, nothing decided yet. Times are text such as `"1m 30s"`, numbers are
//! wide enough to hold nonsense, so that the next step can say what is wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::stage::BallotRule;
use crate::cache::CacheOrder;
use crate::outcome::Failure;
use crate::phone::PhoneKind;
use crate::zone::ZonePolicy;

/// A duration written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl Time {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(super) const fn millis(millis: u64) -> Self {
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
pub(super) struct Words {
    pub(super) name: String,
    pub(super) seed: i64,
    pub(super) audience: Audience,
    #[serde(default)]
    pub(super) carriers: Carriers,
    #[serde(default)]
    pub(super) dns: Dns,
    pub(super) target: Target,
    pub(super) questions: Vec<Question>,
    #[serde(default)]
    pub(super) agents: Agents,
    #[serde(default)]
    pub(super) thresholds: Thresholds,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<Stage>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audience {
    pub(super) viewers: i64,
    #[serde(default = "ten_seconds")]
    pub(super) doors_open: Time,
    #[serde(default = "caching_phones")]
    pub(super) phones: Vec<Phone>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Phone {
    pub(super) kind: PhoneKind,
    pub(super) share: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sizes {
    Zipf,
    Equal,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Carriers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<i64>,
    pub(super) sizes: Sizes,
    pub(super) zipf_exponent: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shares: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resolvers: Option<Vec<String>>,
    pub(super) ttl_min: Time,
    pub(super) ttl_max: Time,
    pub(super) order: CacheOrder,
}

impl Default for Carriers {
    fn default() -> Self {
        Self {
            count: None,
            sizes: Sizes::Zipf,
            zipf_exponent: 1.0,
            shares: None,
            resolvers: None,
            ttl_min: Time::seconds(0),
            ttl_max: Time::seconds(86_400),
            order: CacheOrder::Rotate,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dns {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) authoritative: Vec<String>,
    pub(super) recursive: Vec<String>,
    pub(super) timeout: Time,
    pub(super) attempts: i64,
}

impl Default for Dns {
    fn default() -> Self {
        Self { name: None, authoritative: Vec::new(), recursive: Vec::new(), timeout: Time::seconds(2), attempts: 3 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    pub(super) url: String,
    #[serde(default = "post")]
    pub(super) method: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default = "ok")]
    pub(super) accepted: Vec<i64>,
    #[serde(default = "ten_seconds")]
    pub(super) connect_timeout: Time,
    #[serde(default = "ten_seconds")]
    pub(super) response_timeout: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<String>,
    #[serde(default)]
    pub(super) retry: Retry,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    pub(super) attempts: i64,
    pub(super) backoff: Time,
    pub(super) backoff_factor: f64,
    pub(super) on: Vec<Failure>,
}

impl Default for Retry {
    fn default() -> Self {
        let on = vec![Failure::Dns, Failure::Refused, Failure::ConnectTimeout, Failure::Reset, Failure::StaleKeepAlive];
        Self { attempts: 2, backoff: Time::millis(500), backoff_factor: 2.0, on }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opens_at: Option<Time>,
    pub(super) window: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) grace: Option<Time>,
    pub(super) arrivals: Arrivals,
    #[serde(default = "one")]
    pub(super) turnout: f64,
    pub(super) choices: BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ShapeName {
    AllAtOnce,
    Uniform,
    ExponentialDecay,
    LogNormal,
    Trace,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arrivals {
    pub(super) shape: ShapeName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mean: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) median: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sigma: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offsets_us: Option<Vec<u64>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Agents {
    pub(super) max_viewers: i64,
    pub(super) sources: Vec<String>,
    pub(super) gather_timeout: Time,
    pub(super) arm_timeout: Time,
}

impl Default for Agents {
    fn default() -> Self {
        Self { max_viewers: 15_000, sources: Vec::new(), gather_timeout: Time::seconds(60), arm_timeout: Time::seconds(5) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Thresholds {
    pub(super) accepted_min: f64,
    pub(super) complaints_max: f64,
    pub(super) connected_min: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_p99_max: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) busiest_share_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_open_max: Option<i64>,
    pub(super) lateness_p99_max: Time,
    pub(super) start_spread_max: Time,
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
            start_spread_max: Time::millis(100),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Distribution {
    Constant,
    Exponential,
    LogNormal,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) distribution: Distribution,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mean: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) median: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sigma: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stage {
    pub(super) zone: ZonePolicy,
    #[serde(default = "five_seconds")]
    pub(super) ttl: Time,
    #[serde(default = "five_seconds")]
    pub(super) window: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) weights: Option<Vec<i64>>,
    pub(super) proxies: i64,
    #[serde(default = "three")]
    pub(super) lb_nodes: i64,
    pub(super) connection_limit: i64,
    pub(super) web_servers: i64,
    pub(super) web_server_coefficient: i64,
    #[serde(default = "five_seconds")]
    pub(super) queue_timeout: Time,
    #[serde(default = "minute")]
    pub(super) keep_alive_timeout: Time,
    pub(super) service_time: Service,
    #[serde(default)]
    pub(super) ballot_box: BallotRule,
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

fn caching_phones() -> Vec<Phone> {
    vec![Phone { kind: PhoneKind::Caching, share: 1.0 }]
}
