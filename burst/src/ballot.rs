//! The id a vote carries: the same for every attempt, so that a backend can count it once.

use std::fmt;
use std::str::FromStr;

/// Identifies one vote of one run: 128 bits, of which the first half names the run and the second the ticket.
///
/// The run is part of it so that rehearsing twice against the same backend never looks like voting twice.
/// Written as 16 hexadecimal digits, a dash and 16 more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BallotId {
    /// The run that cast it.
    pub run: u64,
    /// The number of the ticket within the plan.
    pub ticket: u64,
}

/// What was found in place of a ballot id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no ballot id: needed 16 hexadecimal digits, a dash and 16 more")]
pub struct NotABallot(pub String);

impl fmt::Display for BallotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.run, self.ticket)
    }
}

impl FromStr for BallotId {
    type Err = NotABallot;

    fn from_str(text: &str) -> Result<Self, NotABallot> {
        let refuse = || NotABallot(text.chars().take(64).collect());
        let half = |digits: &str| {
            let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        let (run, ticket) = text.split_once('-').ok_or_else(refuse)?;
        match (half(run), half(ticket)) {
            (Some(run), Some(ticket)) => Ok(Self { run, ticket }),
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_being_written_and_read() {
        for id in [BallotId { run: 0, ticket: 0 }, BallotId { run: u64::MAX, ticket: 7 }] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "-", "0-0", "0000000000000000", "+000000000000001-0000000000000002", "é000000000000000-0000000000000000"]
        {
            assert!(text.parse::<BallotId>().is_err(), "{text}");
        }
    }
}
