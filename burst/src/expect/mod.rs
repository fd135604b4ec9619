//! Expectations: the limits that a scenario states in one line each, such as `response.p99 < 400ms per proxy`.
//!
//! `MEASURE OP NUMBER UNIT [per SCOPE]`. A measure has the word that `report.json` has for it; what it is worth is taken from the
//! same counts. Read in this order: the words here, [`Expectation::parse`], what was measured ([`Seen`]), and the limits that come
//! of it ([`limits`]). Deliberately absent: arithmetic, several measures in one line, and whatever is not counted at a scope.

mod measure;
mod parse;
mod seen;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use measure::{Entry, Measure, Quantile, Spread, Timing, Window};
pub use parse::ExpectProblem;
pub use seen::{Account, Accounts, Sample, Seen, Value, Votes, voters};

use crate::verdict::{Bound, Effect, Limit, Unit};

/// Where a measure is taken. With any but the first, an expectation holds when it holds for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Over all.
    Total,
    /// At each proxy.
    Proxy,
    /// Of each question.
    Question,
    /// Of each kind of phone.
    Phone,
}

impl Scope {
    const ALL: [Self; 4] = [Self::Total, Self::Proxy, Self::Question, Self::Phone];

    /// The word after `per`; none for [`Scope::Total`].
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Total => "",
            Self::Proxy => "proxy",
            Self::Question => "question",
            Self::Phone => "phone",
        }
    }
}

/// The unit a number was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// Hundredths.
    Percent,
    /// A bare number.
    None,
}

impl Suffix {
    const ALL: [Self; 5] = [Self::Us, Self::Ms, Self::S, Self::Percent, Self::None];

    fn word(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Ms => "ms",
            Self::S => "s",
            Self::Percent => " %",
            Self::None => "",
        }
    }

    /// What a written number is in the unit of its measure: milliseconds, a share in [0, 1], or itself.
    ///
    /// The decimal point is moved in the text, for 99.9 / 100 is not the number nearest to 0.999, and 999 of 1,000 must keep
    /// `>= 99.9 %`.
    fn value(self, number: f64) -> f64 {
        let exponent = match self {
            Self::Us => -3,
            Self::Ms | Self::None => 0,
            Self::S => 3,
            Self::Percent => -2,
        };
        // A finite number shows as digits and a point, which an exponent may follow.
        format!("{number}e{exponent}").parse().unwrap_or(number)
    }

    fn fits(self, unit: Unit) -> bool {
        match unit {
            Unit::Ms => matches!(self, Self::Us | Self::Ms | Self::S),
            Unit::Share => self == Self::Percent,
            Unit::Connections | Unit::Votes | Unit::MaxOverMean => self == Self::None,
        }
    }
}

/// One line of `[[thresholds.limits]]`, read and sound. Its `Display` is its canonical form, which reads as the same again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectation {
    measure: Measure,
    bound: Bound,
    number: f64,
    suffix: Suffix,
    scope: Scope,
}

impl Expectation {
    /// What is measured.
    #[must_use]
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// Where.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The limit, in the unit of the measure.
    #[must_use]
    pub fn limit(&self) -> f64 {
        self.suffix.value(self.number)
    }

    /// What breaking it does to a verdict: a late generator proves nothing, everything else is the target's.
    #[must_use]
    pub fn effect(&self) -> Effect {
        if matches!(self.measure, Measure::Timing(Timing::Lateness, _)) { Effect::Unknown } else { Effect::Fail }
    }

    /// Whether it can be held against a burst that is still on.
    ///
    /// What became of each vote agents tell with their last word, and ballots are reconciled after the run.
    #[must_use]
    pub fn known_in_burst(&self) -> bool {
        !matches!((self.measure, self.scope), (Measure::Ledger(_), _) | (_, Scope::Question))
            && !matches!((self.measure, self.scope), (Measure::Accepted | Measure::Complaints, Scope::Phone))
    }

    /// Held against what was seen, as a limit beside those that a scenario sets by a key of their own.
    #[must_use]
    pub fn held(&self, key: String, seen: &Seen<'_>) -> Limit {
        let limit = Limit {
            name: self.to_string(),
            key,
            code: CODE,
            effect: self.effect(),
            measured: None,
            at: None,
            bound: self.bound,
            limit: self.limit(),
            unit: self.measure.unit(),
            holds: None,
        };
        let Some(worst) = self.worst(seen) else { return limit };
        match worst.value {
            Value::Figure(figure) => Limit { at: worst.at, ..limit.held(Some(figure)) },
            // No figure at all is beyond every bound that a figure must stay below, and above every other one.
            Value::Beyond => Limit { at: worst.at, holds: Some(!self.bound.is_most()), ..limit },
        }
    }

    /// The sample that is nearest to breaking it, or furthest beyond; `None` when nothing was measured anywhere.
    fn worst(&self, seen: &Seen<'_>) -> Option<Sample> {
        let badness = |sample: &Sample| match sample.value {
            Value::Figure(figure) if self.bound.is_most() => figure,
            Value::Figure(figure) => -figure,
            Value::Beyond if self.bound.is_most() => f64::INFINITY,
            Value::Beyond => f64::NEG_INFINITY,
        };
        // The first of those that are equally bad.
        seen.samples(self).into_iter().rev().max_by(|a, b| badness(a).total_cmp(&badness(b)))
    }

    /// The worst sample that breaks it, among those that are large enough to say so while a burst goes on (see
    /// [`Measure::enough`]).
    #[must_use]
    pub fn broken_by(&self, seen: &Seen<'_>) -> Option<Sample> {
        let breaks = |sample: &Sample| match sample.value {
            Value::Figure(figure) => !self.bound.allows(figure, self.limit()),
            Value::Beyond => self.bound.is_most(),
        };
        let badness = |sample: &Sample| match sample.value {
            Value::Figure(figure) => (figure - self.limit()).abs(),
            Value::Beyond => f64::INFINITY,
        };
        let samples = seen.samples(self).into_iter().filter(|sample| sample.events >= self.measure.enough());
        samples.filter(breaks).rev().max_by(|a, b| badness(a).total_cmp(&badness(b)))
    }
}

/// The code of the reason that a broken expectation gives.
pub const CODE: &str = "expect";

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}{}", self.measure, self.bound, self.number, self.suffix.word())?;
        match self.scope {
            Scope::Total => Ok(()),
            scope => write!(f, " per {}", scope.word()),
        }
    }
}

/// An entry of `[[thresholds.limits]]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// What is expected.
    pub expectation: Expectation,
    /// Whether the burst is drained as soon as it is broken.
    pub abort: bool,
}

/// That a burst was stopped because an expectation was broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// The expectation in its canonical form.
    pub limit: String,
    /// What breaking it does to the verdict.
    pub effect: Effect,
    /// When, in seconds after T0.
    pub t_s: f64,
    /// What was measured then, in words.
    pub measured: String,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped {:.1} s after T0, for `{}` was broken: measured {}", self.t_s, self.limit, self.measured)
    }
}

/// Every expectation of a scenario held against what was seen, in the order they are written.
///
/// The one that stopped the burst is broken, whatever the figures of the whole run say later.
#[must_use]
pub fn limits(expected: &[Expected], seen: &Seen<'_>, stopped: Option<&Stopped>) -> Vec<Limit> {
    let held = |(index, expected): (usize, &Expected)| {
        let limit = expected.expectation.held(format!("limits[{index}].expect"), seen);
        let stopped_by = stopped.is_some_and(|stopped| stopped.limit == limit.name);
        if stopped_by { Limit { holds: Some(false), ..limit } } else { limit }
    };
    expected.iter().enumerate().map(held).collect()
}
