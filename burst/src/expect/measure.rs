//! What can be expected of a burst: each measure with its word, its unit and the scopes at which it is really counted.

use std::fmt;

use super::Scope;
use crate::outcome::Failure;
use crate::skew::EVENTS_PER_PROXY;
use crate::verdict::Unit;

/// One of the three latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timing {
    /// Planned instant to accepted answer. In total it is held against all planned votes, those never accepted counting as
    /// beyond every bound; at a proxy it is that of the votes it accepted, for the others belong to none.
    Response,
    /// First byte sent to last byte of the answer.
    Service,
    /// Planned instant to the moment the viewer began to act: the generator's own error.
    Lateness,
}

/// A quantile in thousandths of a percent; 100,000 is the greatest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantile(u32);

impl Quantile {
    const WHOLE: u32 = 100_000;
    /// The greatest value.
    pub const MAX: Self = Self(Self::WHOLE);

    /// `p50`, `p99.9` or `max`; at most three decimals, more than nothing and less than 100.
    pub(super) fn parse(word: &str) -> Option<Self> {
        if word == "max" {
            return Some(Self::MAX);
        }
        let (whole, decimals) = word.strip_prefix('p')?.split_once('.').unwrap_or((word.strip_prefix('p')?, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let well_formed = (1..=2).contains(&whole.len()) && digits(whole) && digits(decimals) && !word.ends_with('.');
        if !well_formed || decimals.len() > 3 {
            return None;
        }
        let thousandths = format!("{whole}{decimals:0<3}").parse().ok()?;
        (thousandths > 0).then_some(Self(thousandths))
    }

    /// In [0, 1].
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MAX => f.write_str("max"),
            Self(thousandths) => write!(f, "p{}", f64::from(thousandths) / 1_000.0),
        }
    }
}

/// What is spread over the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spread {
    /// Votes of the burst.
    Votes,
    /// New connections, doors included.
    Connections,
}

/// Over how long a skew is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// All of it.
    Total,
    /// The worst second.
    Peak1s,
    /// The worst five seconds.
    Peak5s,
}

/// A count of the ledger, under its key there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the field of that name in `Ledger`")]
pub enum Entry {
    Lost,
    Duplicated,
    Phantom,
    Miscounted,
    Late,
    Early,
    RefusedButCounted,
    Recovered,
    Repeated,
    Refused,
    Unknown,
    NeverSent,
}

impl Entry {
    /// Each of them.
    pub(super) const ALL: [Self; 12] = [
        Self::Lost,
        Self::Duplicated,
        Self::Phantom,
        Self::Miscounted,
        Self::Late,
        Self::Early,
        Self::RefusedButCounted,
        Self::Recovered,
        Self::Repeated,
        Self::Refused,
        Self::Unknown,
        Self::NeverSent,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Phantom => "phantom",
            Self::Miscounted => "miscounted",
            Self::Late => "late",
            Self::Early => "early",
            Self::RefusedButCounted => "refused_but_counted",
            Self::Recovered => "recovered",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::NeverSent => "never_sent",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// A latency's quantile, in milliseconds.
    Timing(Timing, Quantile),
    /// The share of planned votes that were accepted.
    Accepted,
    /// The share of voters with a vote that was not counted in time; of a question, those with that vote.
    Complaints,
    /// The share of viewers connected at T0.
    Connected,
    /// The share of attempts that failed, of those that ended; of one class where it is named.
    Failures(Option<Failure>),
    /// The most connections open at the end of any second.
    PeakOpen,
    /// What the busiest proxy got over its even share.
    Skew(Spread, Window),
    /// A count of the ledger.
    Ledger(Entry),
}

impl Measure {
    /// Every word that can stand for a measure, for messages; `pN` stands for any quantile, `CLASS` for any class of failures.
    pub const WORDS: &str = "response.pN, service.pN, lateness.pN (N such as 50 or 99.9, or max in place of pN), accepted, complaints, connected, failures, \
         failures.CLASS, peak_open, skew.total, skew.peak_1s, skew.peak_5s, skew_connections.total, skew_connections.peak_1s, \
         skew_connections.peak_5s, ledger.ENTRY";

    /// The unit of its figures.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Self::Timing(..) => Unit::Ms,
            Self::Accepted | Self::Complaints | Self::Connected | Self::Failures(_) => Unit::Share,
            Self::PeakOpen => Unit::Connections,
            Self::Skew(..) => Unit::MaxOverMean,
            Self::Ledger(_) => Unit::Votes,
        }
    }

    /// Where it is counted.
    #[must_use]
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Timing(..) | Self::Failures(_) => &[Scope::Total, Scope::Proxy],
            Self::Accepted | Self::Complaints => &[Scope::Total, Scope::Question, Scope::Phone],
            Self::Skew(Spread::Connections, _) => &[Scope::Total, Scope::Phone],
            Self::Connected | Self::Skew(Spread::Votes, _) | Self::Ledger(_) => &[Scope::Total],
            Self::PeakOpen => &[Scope::Proxy],
        }
    }

    /// How many events a sample must hold before a burst may be stopped for it: 100, and of a quantile as many as let ten of
    /// them lie beyond it, so 1,000 for p99. A skew has its own rule (at least [`EVENTS_PER_PROXY`] for each proxy in a window),
    /// and what is a share of the whole plan, or a level, needs none: it only gets worse.
    #[must_use]
    pub fn enough(self) -> u64 {
        match self {
            Self::Timing(_, quantile) => {
                let beyond = u64::from(Quantile::WHOLE - quantile.0);
                if beyond == 0 { 100 } else { (10 * u64::from(Quantile::WHOLE)).div_ceil(beyond).max(100) }
            }
            Self::Failures(_) => 100,
            Self::Skew(_, Window::Total) => EVENTS_PER_PROXY,
            Self::Accepted | Self::Complaints | Self::Connected | Self::PeakOpen | Self::Skew(..) | Self::Ledger(_) => 0,
        }
    }

    /// The measure that a word names; `Err` holds the words that can stand there, as far as that can be told.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        let (name, part) = word.split_once('.').map_or((word, None), |(name, part)| (name, Some(part)));
        let timing = |timing, what: &str| {
            let quantile = part.and_then(Quantile::parse).ok_or_else(|| format!("{what}.p50, {what}.p99.9, {what}.max or alike"));
            quantile.map(|quantile| Self::Timing(timing, quantile))
        };
        let window = |spread, what: &str| match part {
            Some("total") => Ok(Self::Skew(spread, Window::Total)),
            Some("peak_1s") => Ok(Self::Skew(spread, Window::Peak1s)),
            Some("peak_5s") => Ok(Self::Skew(spread, Window::Peak5s)),
            _ => Err(format!("{what}.total, {what}.peak_1s or {what}.peak_5s")),
        };
        match (name, part) {
            ("response", _) => timing(Timing::Response, name),
            ("service", _) => timing(Timing::Service, name),
            ("lateness", _) => timing(Timing::Lateness, name),
            ("accepted", None) => Ok(Self::Accepted),
            ("complaints", None) => Ok(Self::Complaints),
            ("connected", None) => Ok(Self::Connected),
            ("peak_open", None) => Ok(Self::PeakOpen),
            ("failures", None) => Ok(Self::Failures(None)),
            ("failures", Some(class)) => {
                let known = Failure::ALL.into_iter().find(|failure| failure.name() == class);
                known
                    .map(|failure| Self::Failures(Some(failure)))
                    .ok_or_else(|| listed("failures", Failure::ALL.map(Failure::name)))
            }
            ("skew", _) => window(Spread::Votes, name),
            ("skew_connections", _) => window(Spread::Connections, name),
            ("ledger", _) => {
                let known = part.and_then(|part| Entry::ALL.into_iter().find(|entry| entry.word() == part));
                known.map(Self::Ledger).ok_or_else(|| listed("ledger", Entry::ALL.map(Entry::word)))
            }
            _ => Err(Self::WORDS.to_owned()),
        }
    }
}

fn listed<const N: usize>(name: &str, words: [&str; N]) -> String {
    format!("{name}. with one of {}", words.join(", "))
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timing(Timing::Response, quantile) => write!(f, "response.{quantile}"),
            Self::Timing(Timing::Service, quantile) => write!(f, "service.{quantile}"),
            Self::Timing(Timing::Lateness, quantile) => write!(f, "lateness.{quantile}"),
            Self::Accepted => f.write_str("accepted"),
            Self::Complaints => f.write_str("complaints"),
            Self::Connected => f.write_str("connected"),
            Self::PeakOpen => f.write_str("peak_open"),
            Self::Failures(None) => f.write_str("failures"),
            Self::Failures(Some(class)) => write!(f, "failures.{class}"),
            Self::Skew(spread, window) => {
                let spread = if *spread == Spread::Votes { "skew" } else { "skew_connections" };
                let window = match window {
                    Window::Total => "total",
                    Window::Peak1s => "peak_1s",
                    Window::Peak5s => "peak_5s",
                };
                write!(f, "{spread}.{window}")
            }
            Self::Ledger(entry) => write!(f, "ledger.{}", entry.word()),
        }
    }
}
