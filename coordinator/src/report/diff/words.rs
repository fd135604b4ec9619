//! A difference in words.

use voteburst_burst::spread::Estimate;

use super::{Change, ChangeUnit, Diff, Says};
use crate::report::terminal::{block, line, millis, plain, thousands, word};

impl Diff {
    /// What it comes to first, then why to be careful, then the figures of the whole runs, and those proxies that differ.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        let (worse, better) = (self.count(Says::Worse), self.count(Says::Better));
        line(&mut out, &format!("{worse} figures are worse and {better} better by more than their spread."));
        for (letter, run) in [("A", &self.a), ("B", &self.b)] {
            let plan: String = run.plan.chars().take(12).collect();
            let text = format!("{}: {}, {}, {}, plan {plan}…", run.dir, run.name, run.zone, run.started);
            line(&mut out, &format!("  {letter}  {} {text}", word(run.outcome)));
        }
        for warning in &self.warnings {
            line(&mut out, &format!("  ! {warning}"));
        }
        let mut table = plain(&["", "A", "B", "change", "most by chance", ""]);
        let (runs, proxies): (Vec<_>, Vec<_>) = self.figures.iter().partition(|figure| figure.proxy.is_none());
        let even = |figure: &&&Change| matches!(figure.says, Says::WithinSpread | Says::Unknown);
        let same = proxies.iter().filter(even).count();
        for figure in runs.into_iter().chain(proxies.iter().filter(|figure| !even(figure)).copied()) {
            table.add_row(figure.told());
        }
        block(&mut out, &table);
        if same > 0 {
            line(&mut out, &format!("{same} figures of single proxies do not differ by more than their spread."));
        }
        line(
            &mut out,
            "\nThe spread is that of counts, and for skew that of DNS alone. Votes in one queue are not independent, and a run",
        );
        line(
            &mut out,
            "differs from the next by more than chance: for a small change to count, let it appear again in other runs.",
        );
        out
    }
}

impl Change {
    /// In words: what it is of, the first run, the second, the change, where it lies when chance is taken into account, and what it
    /// comes to.
    #[must_use]
    pub fn told(&self) -> [String; 6] {
        let name = self.proxy.as_ref().map_or_else(|| self.name.clone(), |proxy| format!("{} {proxy}", self.name));
        let value = |estimate: Option<Estimate>| estimate.map_or_else(|| "?".into(), |found| shown(found.value, self.unit));
        let signed = |number: f64| {
            let sign = if number < 0.0 { "-" } else { "+" };
            format!("{sign}{}", shown(number.abs(), self.unit))
        };
        let (change, range) = self.change.map_or_else(
            || ("?".to_owned(), "?".to_owned()),
            |change| (signed(change.value), format!("{} to {}", signed(change.low), signed(change.high))),
        );
        let says = match self.says {
            Says::Worse => "WORSE",
            Says::Better => "better",
            Says::Different => "different",
            Says::WithinSpread => "within spread",
            Says::Unknown => "too little to tell",
        };
        [name, value(self.a), value(self.b), change, range, says.to_owned()]
    }
}

fn shown(value: f64, unit: ChangeUnit) -> String {
    match unit {
        ChangeUnit::Share => format!("{:.3} %", value * 100.0),
        ChangeUnit::Ms => format!("{} ms", millis(Some(value))),
        ChangeUnit::MaxOverMean => format!("{value:.2}"),
        ChangeUnit::Connections => thousands(value.round() as u64),
    }
}
