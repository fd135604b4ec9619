//! What became of a vote: failure classes with stable names, and the fate of a ticket.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why one attempt to cast a vote failed.
///
/// The names (`Display`, serde) are stable keys of reports, and the numbers travel in snapshots:
/// append, never rename or reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Failure {
    /// The name could not be resolved: no answer, an error code, or no address.
    Dns = 0,
    /// The proxy refused the connection.
    Refused = 1,
    /// No connection within the connect timeout.
    ConnectTimeout = 2,
    /// The TLS handshake failed or timed out.
    Tls = 3,
    /// The connection broke after bytes of the vote had left.
    Reset = 4,
    /// A kept-alive connection was closed by the proxy as the vote was written: end of stream with no byte
    /// of an answer. The vote was most likely not executed, but the viewer cannot know.
    StaleKeepAlive = 5,
    /// The vote left, no complete answer came within the response timeout.
    NoAnswer = 6,
    /// An answer with a status below 300 that the scenario does not accept.
    #[serde(rename = "status-2xx")]
    Status2xx = 7,
    /// A redirect.
    #[serde(rename = "status-3xx")]
    Status3xx = 8,
    /// A client error status.
    #[serde(rename = "status-4xx")]
    Status4xx = 9,
    /// A server error status, such as the 503 of a queue timeout.
    #[serde(rename = "status-5xx")]
    Status5xx = 10,
    /// Bytes came that are no HTTP/1.1 answer.
    BadResponse = 11,
    /// The voting window closed before the app could (again) send the vote.
    WindowClosed = 12,
    /// This machine ran out of descriptors, ports or memory: the generator's fault, never the target's.
    LocalLimit = 13,
    /// The name led to an address outside of the agent's allow-list: nothing was sent there.
    NotAllowed = 14,
}

impl Failure {
    /// How many classes there are.
    pub const COUNT: usize = 15;

    /// Every class, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Dns,
        Self::Refused,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Reset,
        Self::StaleKeepAlive,
        Self::NoAnswer,
        Self::Status2xx,
        Self::Status3xx,
        Self::Status4xx,
        Self::Status5xx,
        Self::BadResponse,
        Self::WindowClosed,
        Self::LocalLimit,
        Self::NotAllowed,
    ];

    /// The class of a status that the scenario does not accept. Statuses outside 100–599 are bad responses.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            100..=299 => Self::Status2xx,
            300..=399 => Self::Status3xx,
            400..=499 => Self::Status4xx,
            500..=599 => Self::Status5xx,
            _ => Self::BadResponse,
        }
    }

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect-timeout",
            Self::Tls => "tls",
            Self::Reset => "reset",
            Self::StaleKeepAlive => "stale-keep-alive",
            Self::NoAnswer => "no-answer",
            Self::Status2xx => "status-2xx",
            Self::Status3xx => "status-3xx",
            Self::Status4xx => "status-4xx",
            Self::Status5xx => "status-5xx",
            Self::BadResponse => "bad-response",
            Self::WindowClosed => "window-closed",
            Self::LocalLimit => "local-limit",
            Self::NotAllowed => "not-allowed",
        }
    }

    /// What one attempt that failed this way says of its vote.
    ///
    /// An answered vote was refused; one whose bytes left without an answer may have been counted
    /// (Jepsen calls such operations indeterminate); one that never left was never sent.
    #[must_use]
    pub fn fate(self) -> Fate {
        match self {
            Self::Dns
            | Self::Refused
            | Self::ConnectTimeout
            | Self::Tls
            | Self::WindowClosed
            | Self::LocalLimit
            | Self::NotAllowed => Fate::NeverSent,
            Self::Reset | Self::StaleKeepAlive | Self::NoAnswer | Self::BadResponse => Fate::Unknown,
            Self::Status2xx | Self::Status3xx | Self::Status4xx | Self::Status5xx => Fate::Refused,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a viewer knows of a vote in the end. Every ticket has exactly one fate, so that
/// planned = accepted + refused + unknown + never sent.
///
/// The order is that of dominance: over several attempts of one vote the greatest fate stands.
/// A vote that once got no answer and was then refused stays unknown, for the first attempt may have been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Fate {
    /// No byte of it left.
    #[default]
    NeverSent = 0,
    /// Answered, and not accepted.
    Refused = 1,
    /// Bytes left, and no answer told what became of it.
    Unknown = 2,
    /// Answered with a status that the scenario accepts.
    Accepted = 3,
}

impl Fate {
    /// The fate with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::NeverSent, Self::Refused, Self::Unknown, Self::Accepted].into_iter().find(|fate| *fate as u8 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_failures_agree_with_serde() {
        for (number, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, number);
            assert_eq!(serde_json::to_string(&failure).unwrap(), format!("\"{failure}\""));
        }
    }

    #[test]
    fn an_unknown_attempt_outweighs_a_later_refusal_and_acceptance_outweighs_all() {
        assert_eq!(Failure::NoAnswer.fate().max(Failure::Status5xx.fate()), Fate::Unknown);
        assert_eq!(Fate::Unknown.max(Fate::Accepted), Fate::Accepted);
        assert_eq!(Failure::Dns.fate().max(Failure::Status5xx.fate()), Fate::Refused);
    }

    #[test]
    fn fates_survive_their_numbers() {
        for number in 0..=3 {
            assert_eq!(Fate::from_number(number).unwrap() as u8, number);
        }
        assert_eq!(Fate::from_number(4), None);
    }
}
