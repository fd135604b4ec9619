//! Stands in for `voteburst_burst::scenario` until it is wired.
use serde::{Deserialize, Serialize};
use std::time::Duration;
/// As burst's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceTime {
    /// Always the same.
    Constant {
        /// That time.
        mean: Duration,
    },
}
impl ServiceTime {
    /// Sample.
    #[must_use]
    pub fn sample(&self, _draw: u64) -> Duration {
        let Self::Constant { mean } = *self;
        mean
    }
}
/// As burst's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BallotRule {
    /// Once.
    #[default]
    OncePerBallot,
    /// Each.
    EveryRequest,
}
