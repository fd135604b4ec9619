//! x
use serde::*;
/// x
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum PhoneKind {
    /// x
    Caching,
    /// x
    PerConnection,
    /// x
    NaiveLoadtool,
}
