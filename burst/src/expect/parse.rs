//! From a line to an expectation, or the one thing that is wrong with it.

use super::{Expectation, Measure, Scope, Suffix};
use crate::scenario::nearest;
use crate::verdict::{Bound, Unit};

/// Words that measures begin with, for those who mistyped one.
const NAMES: [&str; 11] = [
    "response",
    "service",
    "lateness",
    "accepted",
    "complaints",
    "connected",
    "failures",
    "peak_open",
    "skew",
    "skew_connections",
    "ledger",
];

/// The longest time that any expectation may name, in milliseconds: what histograms hold.
const LONGEST_MS: f64 = crate::tally::HIGHEST_US as f64 / 1_000.0;

/// Why a line is no expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}: needed {needed}; {fix}")]
pub struct ExpectProblem {
    /// What stands there.
    pub found: String,
    /// What has to stand there.
    pub needed: String,
    /// What to do about it.
    pub fix: String,
}

fn problem(found: impl Into<String>, needed: impl Into<String>, fix: impl Into<String>) -> ExpectProblem {
    ExpectProblem { found: found.into(), needed: needed.into(), fix: fix.into() }
}

impl Expectation {
    /// Reads a line such as `response.p99 < 400ms per proxy`.
    ///
    /// # Errors
    /// The first thing in it that makes no sense, from left to right.
    pub fn parse(line: &str) -> Result<Self, ExpectProblem> {
        let (word, rest) = line.split_at(line.find(['<', '>', '=', '!', '≤', '≥']).unwrap_or(line.len()));
        let measure = measure(word.trim())?;
        let digits = |c: char| c.is_ascii_digit() || c == '.' || c == '-' || c.is_whitespace() || c.is_alphabetic();
        let (operator, rest) = rest.split_at(rest.find(digits).unwrap_or(rest.len()));
        let bound = bound(operator)?;
        let (quantity, scope) = rest.split_once(" per ").map_or((rest, None), |(quantity, scope)| (quantity, Some(scope)));
        let (number, suffix) = quantity_of(measure, quantity.trim())?;
        let scope = scope_of(measure, scope)?;
        let expectation = Self { measure, bound, number, suffix, scope };
        expectation.makes_sense()?;
        Ok(expectation)
    }

    /// Refuses what nothing could ever break or keep: who wrote it meant something else.
    pub(super) fn makes_sense(&self) -> Result<(), ExpectProblem> {
        let (least, most) = match self.measure.unit() {
            Unit::Ms => (0.0, LONGEST_MS),
            Unit::Share => (0.0, 1.0),
            Unit::MaxOverMean => (1.0, f64::INFINITY),
            Unit::Connections | Unit::Votes => (0.0, f64::INFINITY),
        };
        let (limit, found) = (self.limit(), format!("`{self}`"));
        if limit < least || limit > most {
            let needed = match self.measure.unit() {
                Unit::Ms => "a time of at most 600s".to_owned(),
                Unit::Share => "a share from 0 % to 100 %".to_owned(),
                Unit::MaxOverMean => "a number of 1 or more: the busiest proxy over an even share".to_owned(),
                Unit::Connections | Unit::Votes => "a count of 0 or more".to_owned(),
            };
            return Err(problem(found, needed, "correct the number"));
        }
        let (never, always) = match self.bound {
            Bound::Below => (limit <= least, false),
            Bound::AtMost => (false, limit >= most),
            Bound::Above => (limit >= most, false),
            Bound::AtLeast => (false, limit <= least),
        };
        if never {
            let fix = format!("`{}` allows the very edge", if self.bound == Bound::Below { "<=" } else { ">=" });
            return Err(problem(format!("{found}, which no run can keep"), "an expectation that a run can keep", fix));
        }
        if always {
            let fix = "correct the number or the operator, or remove the line";
            return Err(problem(format!("{found}, which no run can break"), "an expectation that a run can break", fix));
        }
        Ok(())
    }
}

fn measure(word: &str) -> Result<Measure, ExpectProblem> {
    Measure::parse(word).map_err(|needed| {
        let name = word.split('.').next().unwrap_or(word);
        let fix = match nearest(name, &NAMES) {
            Some(near) if near != name => format!("did you mean `{near}`?"),
            _ => "an expectation begins with what is measured, such as `response.p99 < 250ms`".to_owned(),
        };
        let found = if word.is_empty() { "nothing to measure".to_owned() } else { format!("`{word}`, which is not measured") };
        problem(found, needed, fix)
    })
}

fn bound(operator: &str) -> Result<Bound, ExpectProblem> {
    let known = [Bound::Below, Bound::AtMost, Bound::Above, Bound::AtLeast];
    known.into_iter().find(|bound| bound.to_string() == operator.trim()).ok_or_else(|| {
        let found = if operator.is_empty() { "no operator".to_owned() } else { format!("the operator `{operator}`") };
        problem(found, "one of `<`, `<=`, `>`, `>=`", "to ask for none at all write `<= 0`")
    })
}

fn quantity_of(measure: Measure, text: &str) -> Result<(f64, Suffix), ExpectProblem> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (digits, suffix) = (text[..end].replace('_', ""), text[end..].trim());
    let (needed, example) = match measure.unit() {
        Unit::Ms => ("a time in `us`, `ms` or `s`", "250ms"),
        Unit::Share => ("a share in `%`", "0.5 %"),
        Unit::Connections => ("a number of connections", "2000"),
        Unit::Votes => ("a number of votes", "0"),
        Unit::MaxOverMean => ("a number: how many times its even share the busiest proxy may get", "1.5"),
    };
    let fix = || format!("write it as in `{measure} <= {example}`");
    let Some(number) = digits.parse::<f64>().ok().filter(|number| number.is_finite()) else {
        let found = if text.is_empty() { "no number".to_owned() } else { format!("`{text}`") };
        return Err(problem(found, needed, fix()));
    };
    let known = Suffix::ALL.into_iter().find(|known| known.word().trim() == suffix);
    match known.filter(|known| known.fits(measure.unit())) {
        Some(suffix) => Ok((number, suffix)),
        None => Err(problem(format!("`{text}` for {measure}"), needed, fix())),
    }
}

fn scope_of(measure: Measure, written: Option<&str>) -> Result<Scope, ExpectProblem> {
    let possible = measure.scopes().iter().map(|scope| match scope {
        Scope::Total => "in total (without `per`)".to_owned(),
        scope => format!("`per {}`", scope.word()),
    });
    let needed = || format!("{measure} {}", possible.clone().collect::<Vec<_>>().join(" or "));
    let Some(word) = written.map(str::trim) else {
        let total = measure.scopes().contains(&Scope::Total);
        return if total {
            Ok(Scope::Total)
        } else {
            Err(problem(format!("{measure} in total"), needed(), "add where it is measured"))
        };
    };
    let known = Scope::ALL.into_iter().find(|scope| *scope != Scope::Total && scope.word() == word);
    let Some(scope) = known else {
        let words: Vec<_> = Scope::ALL[1..].iter().map(|scope| scope.word()).collect();
        let fix = nearest(word, &words)
            .map_or_else(|| "leave `per` out to have it in total".to_owned(), |near| format!("did you mean `per {near}`?"));
        return Err(problem(format!("`per {word}`"), needed(), fix));
    };
    if measure.scopes().contains(&scope) {
        return Ok(scope);
    }
    let fix = "choose one of these; nothing else is counted there";
    Err(problem(format!("{measure} `per {word}`"), needed(), fix))
}
