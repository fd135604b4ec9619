//! x
use serde::*;
/// x
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum CacheOrder {
    /// x
    Rotate,
    /// x
    Shuffle,
    /// x
    Fixed,
}
/// x
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheModel {
    /// x
    pub ttl_min_s: u32,
    /// x
    pub ttl_max_s: u32,
    /// x
    pub order: CacheOrder,
}
