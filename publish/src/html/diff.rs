//! What `voteburst diff --html` writes: two runs from anywhere, side by side on the same scales, and what differs for sure first.

use std::path::Path;

use voteburst_burst::verdict::Outcome;
use voteburst_coordinator::report::Report;
use voteburst_coordinator::report::diff::{Change, Diff, RunName, Says};

use super::head::{self, Heading};
use super::words::{push, table, text};
use super::{Detail, Shown, page};

/// In which order differences are told.
const ORDER: [Says; 5] = [Says::Worse, Says::Better, Says::Different, Says::WithinSpread, Says::Unknown];

/// The page of a difference. `runs` are its two runs, in its order.
#[must_use]
pub fn of_diff(diff: &Diff, runs: [(&Report, &Detail); 2]) -> String {
    let names = [short("A", &diff.a), short("B", &diff.b)];
    let shown: Vec<_> = runs.iter().zip(&names).map(|((report, detail), name)| Shown { report, detail, name }).collect();
    page(&format!("{} against {}", names[0], names[1]), &top(diff, &shown), &shown, "<code>voteburst diff --format json</code>")
}

/// A letter and the directory's own name: whole paths do not fit above a picture.
fn short(letter: &str, run: &RunName) -> String {
    let name = Path::new(&run.dir).file_name().map_or_else(|| run.dir.clone(), |name| name.to_string_lossy().into_owned());
    format!("{letter}: {name}")
}

fn top(diff: &Diff, runs: &[Shown<'_>]) -> String {
    let (worse, better) = (diff.count(Says::Worse), diff.count(Says::Better));
    let outcome = match (worse, better) {
        (0, 0) => Outcome::Unknown,
        (0, _) => Outcome::Pass,
        _ => Outcome::Fail,
    };
    let headline = match (worse, better) {
        (0, 0) => "No figure differs by more than its spread, for better or worse".to_owned(),
        _ => format!("B is worse in {worse} and better in {better} figures by more than their spread"),
    };
    let mut out = head::open(outcome, &format!("<h1>{headline}</h1>\n"));
    for (letter, run) in [("A", &diff.a), ("B", &diff.b)] {
        let plan: String = run.plan.chars().take(12).collect();
        push(
            &mut out,
            format_args!(
                "<p class=\"what\"><b>{letter}</b>: {}, {}, {}, {}, plan {}…</p>\n",
                text(&run.dir),
                text(&run.name),
                text(&run.zone),
                text(&run.started),
                text(&plan)
            ),
        );
    }
    out.push_str("</header>\n<main>\n");
    changes(&mut out, diff);
    out.push_str("<div class=\"zones\" style=\"--zones:2\">\n");
    for run in runs {
        head::card(&mut out, run.report, Heading::Run(run.name));
    }
    out.push_str("</div>\n");
    out
}

/// What differs by more than chance, then why to be careful with it, then what does not.
fn changes(out: &mut String, diff: &Diff) {
    out.push_str("<section class=\"card\" id=\"changes\">\n<h2>What differs by more than its spread</h2>\n");
    let rank = |change: &Change| ORDER.iter().position(|says| *says == change.says);
    let mut figures: Vec<_> = diff.figures.iter().collect();
    figures.sort_by_key(|change| rank(change));
    let (sure, rest): (Vec<_>, Vec<_>) =
        figures.into_iter().partition(|change| !matches!(change.says, Says::WithinSpread | Says::Unknown));
    if sure.is_empty() {
        out.push_str("<p class=\"none\">Nothing: chance alone can make all differences between these two runs.</p>\n");
    } else {
        out.push_str(&rows("Differences larger than their spread", &sure));
    }
    if !diff.warnings.is_empty() {
        out.push_str("<ul class=\"reasons\">\n");
        diff.warnings.iter().for_each(|warning| push(out, format_args!("<li class=\"unknown\">{}</li>\n", text(warning))));
        out.push_str("</ul>\n");
    }
    out.push_str(
        "<p class=\"note\">The spread is that of counts, and for skew that of DNS alone. Votes in one queue are not independent, and a run differs \
         from the next by more than chance: for a small change to count, let it appear again in other runs.</p>\n",
    );
    if !rest.is_empty() {
        push(
            out,
            format_args!(
                "<details><summary>{} figures that do not differ by more, or of which too little is known</summary>\n",
                rest.len()
            ),
        );
        out.push_str(&rows("Differences that chance alone can make", &rest));
        out.push_str("</details>\n");
    }
    out.push_str("</section>\n");
}

fn rows(caption: &str, changes: &[&Change]) -> String {
    let row = |change: &&Change| {
        let [name, a, b, change, range, says] = change.told();
        vec![name, says, a, b, change, range]
    };
    table(caption, &["figure", "<B is", "A", "B", "change", "<change, chance taken into account"], changes.iter().map(row))
}
