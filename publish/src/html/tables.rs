//! The same as the pictures, and what no picture shows, as tables.

use voteburst_burst::verdict::Unit;
use voteburst_coordinator::report::terminal::thousands;
use voteburst_coordinator::report::{LookupPart, Report, ThresholdPart};

use super::Shown;
use super::words::{NOTHING, millis, part, percent, push, table, text};

/// Makes the table of a run.
type Made = fn(&Report) -> String;

/// All tables: a part for each kind of thing, and in it a table for each run. `files` names those with the same figures, as HTML.
pub(super) fn of(runs: &[Shown<'_>], files: &str) -> String {
    let mut out = String::from("<section id=\"tables\">\n<h2>All figures as tables</h2>\n");
    let parts: [(&str, Made); 9] = [
        ("Limits and how far they were", limits),
        ("Votes and the ballot box", votes),
        ("Proxies", proxies),
        ("Response times by proxy, ms", responses),
        ("Failed attempts", failures),
        ("Forecast and measured", forecast),
        ("DNS by carrier", carriers),
        ("DNS by kind of phone", phones),
        ("Agents: clocks, lateness, stalls", agents),
    ];
    for (name, made) in parts {
        details(&mut out, name, runs, |shown| made(shown.report));
    }
    details(&mut out, "Plan and scenario", runs, plan);
    out.push_str("</section>\n");
    push(&mut out, format_args!("<p class=\"files\">The same for programs: {files}</p>\n"));
    out
}

fn details(out: &mut String, name: &str, runs: &[Shown<'_>], made: impl Fn(&Shown<'_>) -> String) {
    push(out, format_args!("<details><summary>{name}</summary>\n"));
    for shown in runs {
        if runs.len() > 1 {
            push(out, format_args!("<h3>{}</h3>\n", text(shown.name)));
        }
        let made = made(shown);
        out.push_str(if made.is_empty() { "<p class=\"none\">Nothing.</p>\n" } else { &made });
    }
    out.push_str("</details>\n");
}

fn limits(report: &Report) -> String {
    let row = |threshold: &ThresholdPart| {
        let holds = threshold.holds.map_or("not known", |holds| if holds { "✓ holds" } else { "✗ broken" });
        let figure = |figure: Option<f64>| figure.map_or_else(|| NOTHING.into(), |figure| in_unit(figure, threshold.unit));
        let at = threshold.at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
        vec![
            threshold.name.clone(),
            holds.into(),
            figure(threshold.measured) + &at,
            figure(Some(threshold.limit)),
            figure(threshold.margin),
        ]
    };
    filled("Limits of the scenario", &["limit", "<holds", "measured", "limit", "margin"], report.thresholds.iter().map(row))
}

fn in_unit(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{:.3} %", figure * 100.0),
        Unit::Ms => format!("{} ms", millis(Some(figure))),
        Unit::Connections | Unit::Votes => format!("{figure:.0}"),
        Unit::MaxOverMean => format!("{figure:.2} ×"),
    }
}

fn votes(report: &Report) -> String {
    let (votes, ledger) = (&report.votes, &report.ledger);
    let known = |figure: Option<u64>| figure.map_or_else(|| NOTHING.into(), thousands);
    let rows = [
        ("planned", thousands(votes.planned)),
        ("accepted", thousands(votes.accepted)),
        ("failed: refused or never sent", thousands(votes.failed)),
        ("unknown: nobody can say", thousands(votes.unknown)),
        ("voters who could not vote in time", format!("{} of {}", thousands(votes.complaints), thousands(votes.voters))),
        ("attempts, retries included", thousands(votes.attempts)),
        ("lost: accepted, but not in the ballot box", known(ledger.lost)),
        ("counted twice", known(ledger.duplicated)),
        ("counted, but never cast", known(ledger.phantom)),
        ("counted late", known(ledger.late)),
        ("counted, though the viewer was told otherwise", known(ledger.refused_but_counted)),
        ("counted, though the viewer never heard", known(ledger.recovered)),
    ];
    table("What became of the votes", &["votes", "figure"], rows.map(|(name, figure)| vec![name.into(), figure]))
}

fn proxies(report: &Report) -> String {
    let sent: u64 = report.proxies.iter().map(|proxy| proxy.sent).sum();
    let columns = [
        "proxy",
        "address",
        "DNS first",
        "opened",
        "peak open",
        "sent",
        "share",
        "accepted",
        "failed",
        "peak waiting",
        "own count of connections",
    ];
    let rows = report.proxies.iter().enumerate().map(|(place, proxy)| {
        vec![
            (place + 1).to_string(),
            proxy.address.clone(),
            thousands(proxy.dns_answers),
            thousands(proxy.opened),
            thousands(proxy.peak_open.unsigned_abs()),
            thousands(proxy.sent),
            part(proxy.sent, sent),
            thousands(proxy.accepted),
            thousands(proxy.failed),
            thousands(proxy.peak_in_flight.unsigned_abs()),
            proxy.stage.map_or_else(|| NOTHING.into(), |stage| thousands(stage.conn_tot)),
        ]
    });
    filled("Proxies", &columns, rows)
}

fn responses(report: &Report) -> String {
    let all = [("all".to_owned(), report.latency_ms.response)];
    let each = report.proxies.iter().map(|proxy| (proxy.address.clone(), proxy.latency_ms.response));
    let rows = each.chain(all).map(|(name, quantiles)| {
        let figures = [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p999, quantiles.max].map(millis);
        [name, thousands(quantiles.count)].into_iter().chain(figures).collect()
    });
    filled("Planned instant to accepted answer", &["proxy", "votes", "p50", "p90", "p99", "p99.9", "slowest"], rows)
}

fn failures(report: &Report) -> String {
    let rows = report.votes.failures.iter().map(|(class, all)| {
        let worst = report.proxies.iter().max_by_key(|proxy| proxy.failures.get(class));
        let worst = worst.and_then(|proxy| Some((&proxy.address, proxy.failures.get(class)?)));
        let worst = worst.map_or_else(|| NOTHING.into(), |(address, count)| format!("{address}: {}", thousands(*count)));
        vec![class.clone(), thousands(*all), worst]
    });
    filled("Failed attempts by class", &["class", "attempts", "most at"], rows)
}

fn forecast(report: &Report) -> String {
    let figures = report.forecast.iter().flat_map(|forecast| &forecast.figures);
    let rows = figures.map(|figure| {
        let told = |value: f64| if value >= 100.0 { thousands(value.round() as u64) } else { format!("{value:.2}") };
        let agrees = figure.agrees.map_or("not known", |agrees| if agrees { "as forecast" } else { "otherwise" });
        let measured = figure.measured.map_or_else(|| NOTHING.into(), told);
        vec![figure.name.clone(), measured, told(figure.p50), told(figure.p1), told(figure.p99), agrees.into()]
    });
    filled(
        "What DNS alone makes of this burst",
        &["figure", "measured", "middle trial", "1 % below", "99 % below", "<agrees"],
        rows,
    )
}

fn carriers(report: &Report) -> String {
    let rows = report.dns.carriers.iter().map(|carrier| {
        let cache = carrier.cache.map_or_else(|| NOTHING.into(), |cache| part(cache.hits, cache.queries));
        let asked = carrier.cache.map_or_else(|| NOTHING.into(), |cache| thousands(cache.asked));
        [carrier.carrier.to_string(), percent(carrier.share)]
            .into_iter()
            .chain(lookups(&carrier.lookups))
            .chain([cache, asked])
            .collect()
    });
    filled(
        "Carriers",
        &[
            "carrier",
            "of audience",
            "lookups",
            "failed",
            "addresses named first",
            "<named most",
            "cache had it",
            "asked the zone",
        ],
        rows,
    )
}

fn phones(report: &Report) -> String {
    let rows = report.dns.phones.iter().map(|phone| {
        let told = |figure: Option<f64>| figure.map_or_else(|| NOTHING.into(), |figure| format!("{figure:.2} ×"));
        let skew = phone.skew_connections;
        let skew = [told(skew.map(|skew| skew.total)), told(skew.and_then(|skew| skew.peak_1s))];
        [phone.phone.clone(), percent(phone.share)].into_iter().chain(lookups(&phone.lookups)).chain(skew).collect()
    });
    filled(
        "Kinds of phones",
        &[
            "phone",
            "of audience",
            "lookups",
            "failed",
            "addresses named first",
            "<named most",
            "busiest over even",
            "worst second",
        ],
        rows,
    )
}

fn lookups(lookups: &LookupPart) -> [String; 4] {
    let all: u64 = lookups.answers.values().sum();
    let most = lookups.answers.iter().max_by_key(|(_, count)| **count);
    let most = most.map_or_else(|| NOTHING.into(), |(address, count)| format!("{address} {}", part(*count, all)));
    [thousands(lookups.asked + lookups.remembered), thousands(lookups.failed), lookups.answers.len().to_string(), most]
}

fn agents(report: &Report) -> String {
    let rows = report.agents.iter().map(|agent| {
        let state = agent.lost.as_ref().map_or_else(
            || if agent.is_final { "complete".into() } else { "no last snapshot".into() },
            |why| format!("lost: {why}"),
        );
        let state = agent.warnings.iter().fold(state, |state, warning| format!("{state}; {warning}"));
        let stalls = agent.generator.as_ref().map(|generator| generator.stalls);
        vec![
            agent.id.clone(),
            agent.host.clone(),
            thousands(agent.viewers.into()),
            format!("{} ± {}", millis(agent.offset_ms), millis(agent.bound_ms)),
            millis(agent.first_send_lateness_ms),
            stalls.map_or_else(|| NOTHING.into(), |stalls| thousands(stalls.count)),
            millis(stalls.and_then(|stalls| stalls.longest_ms)),
            agent.generator.as_ref().and_then(|generator| generator.usage.stolen).map_or_else(|| NOTHING.into(), percent),
            state,
        ]
    });
    filled(
        "Agents",
        &[
            "agent",
            "<machine",
            "viewers",
            "clock offset, ms",
            "first vote late, ms",
            "stalls",
            "longest stall, ms",
            "stolen time",
            "<state",
        ],
        rows,
    )
}

fn plan(shown: &Shown<'_>) -> String {
    let (plan, detail) = (&shown.report.plan, shown.detail);
    let mut rows = vec![
        vec!["plan".to_owned(), plan.hash.clone()],
        vec!["votes alone".to_owned(), plan.tickets_hash.clone()],
        vec!["seed".to_owned(), plan.seed.to_string()],
    ];
    for (question, choices) in &plan.choices {
        for (choice, votes) in choices {
            rows.push(vec![format!("votes planned, {question}: {choice}"), thousands((*votes).into())]);
        }
    }
    let mut out = table("Plan: equal hashes are equal plans", &["plan", "<value"], rows);
    if !detail.scenario.is_empty() {
        push(&mut out, format_args!("<pre tabindex=\"0\"><code>{}</code></pre>\n", text(&detail.scenario)));
    }
    out
}

/// A table, or nothing when it has no rows.
fn filled(caption: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() { String::new() } else { table(caption, columns, rows) }
}
