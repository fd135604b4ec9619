//! x
use serde::*;
/// x
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum ZonePolicy {
    /// x
    SingleAWeighted,
    /// x
    SingleAWindow,
    /// x
    Multivalue,
    /// x
    Simple,
    /// x
    LbAlias,
}
