//! The words of DNS: who asks, through whose cache, for which name.

use serde::{Deserialize, Serialize};

use super::{Time, ten_seconds};
use crate::cache::CacheOrder;
use crate::phone::{CacheScope, Families, PhoneKind, PickOrder};
use crate::scenario::{Client, Phase};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Audience {
    pub(in crate::scenario) viewers: i64,
    #[serde(default = "ten_seconds")]
    pub(in crate::scenario) doors_open: Time,
    #[serde(default = "smartphones")]
    pub(in crate::scenario) phones: Vec<Phone>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Phone {
    pub(in crate::scenario) kind: PhoneKind,
    pub(in crate::scenario) share: f64,
    #[serde(default, skip_serializing_if = "Client::is_lean")]
    pub(in crate::scenario) client: Client,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) custom: Option<Custom>,
}

/// Keys of a phone that the scenario describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct Custom {
    pub(in crate::scenario) name: String,
    pub(in crate::scenario) scope: CacheScope,
    pub(in crate::scenario) ttl_rule: TtlName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) ttl: Option<Time>,
    pub(in crate::scenario) app_cache: Time,
    pub(in crate::scenario) failures: Time,
    pub(in crate::scenario) order: PickOrder,
    pub(in crate::scenario) racing: RacingName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) delay: Option<Time>,
    pub(in crate::scenario) families: Families,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) resolution_delay: Option<Time>,
    pub(in crate::scenario) postpones: bool,
}

impl Default for Custom {
    fn default() -> Self {
        Self {
            name: "custom".into(),
            scope: CacheScope::Device,
            ttl_rule: TtlName::Answer,
            ttl: None,
            app_cache: Time::seconds(0),
            failures: Time::seconds(0),
            order: PickOrder::AsAnswered,
            racing: RacingName::Sequential,
            delay: None,
            families: Families::Ipv6First,
            resolution_delay: None,
            postpones: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::scenario) enum TtlName {
    Answer,
    AtLeast,
    Fixed,
    Apple,
    Forever,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::scenario) enum RacingName {
    Sequential,
    Every,
    Families,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::scenario) enum Sizes {
    Zipf,
    Equal,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct Carriers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) sizes: Option<Sizes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) zipf_exponent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) top_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) shares: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) resolvers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) caches: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) ttl_min: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) ttl_max: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) order: Option<CacheOrder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) prefetch: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) serve_stale: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) negative_ttl_max: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) stretch: Option<Stretch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) upstream_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) upstream_attempts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) client_subnets: Option<Vec<String>>,
}

/// Carriers that keep answers longer than they may.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct Stretch {
    pub(in crate::scenario) share: f64,
    pub(in crate::scenario) to: Time,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct Dns {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) name: Option<String>,
    pub(in crate::scenario) authoritative: Vec<String>,
    pub(in crate::scenario) recursive: Vec<String>,
    pub(in crate::scenario) timeout: Time,
    pub(in crate::scenario) attempts: i64,
    pub(in crate::scenario) ipv6: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::scenario) production_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::scenario) production_servers: Vec<String>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            name: None,
            authoritative: Vec::new(),
            recursive: Vec::new(),
            timeout: Time::seconds(2),
            attempts: 3,
            ipv6: false,
            production_name: None,
            production_servers: Vec::new(),
        }
    }
}

/// About the share of the two systems among the smartphones of Europe; what a show's own app statistics say is better.
fn smartphones() -> Vec<Phone> {
    let phone = |kind, share| Phone { kind, share, client: Client::Lean, custom: None };
    vec![phone(PhoneKind::AndroidOkhttp, 0.6), phone(PhoneKind::IosUrlsession, 0.4)]
}
