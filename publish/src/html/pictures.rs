//! The pictures: what each shows and how to read it. `publish/assets/pictures.js` draws them from [`super::data`].

use super::Shown;
use super::words::{push, text};

/// One picture, drawn for each run, or once for all runs together.
struct Picture {
    /// Its name, for links and for the script.
    id: &'static str,
    title: &'static str,
    /// How to read it, for somebody who never saw one.
    lead: &'static str,
    /// Whether a run has anything to draw.
    has: fn(&Shown<'_>) -> bool,
    /// What stands in its place otherwise.
    without: &'static str,
    /// All runs in one picture.
    together: bool,
    /// Whether the script makes a table of it, second by second; the other tables are part of the page.
    by_second: bool,
}

const PICTURES: [Picture; 13] = [
    Picture {
        id: "open",
        title: "Open connections at each proxy",
        lead: "A line per proxy. Lines that stay together are an audience spread evenly; a line that climbs alone, towards or \
               beyond the limit, is a proxy that everybody was sent to. T0 is when the question opens.",
        has: has_timeline,
        without: "No connection was opened.",
        together: false,
        by_second: true,
    },
    Picture {
        id: "share",
        title: "Who got the new connections",
        lead: "Each second's new connections by proxy. A column of one colour is a second in which everybody was sent to one proxy. \
               Seconds with fewer than 20 new connections for each proxy are left out, for in those chance alone looks uneven.",
        has: has_timeline,
        without: "No connection was opened.",
        together: false,
        by_second: true,
    },
    Picture {
        id: "votes",
        title: "Votes planned, sent and accepted",
        lead: "The whole audience, per second. Where the accepted line leaves the planned area, voters wait or give up.",
        has: has_timeline,
        without: "No vote was sent.",
        together: false,
        by_second: true,
    },
    Picture {
        id: "accepted",
        title: "Votes accepted by each proxy",
        lead: "Per second. The total above can look fine while one proxy works at its limit and the others idle.",
        has: has_timeline,
        without: "No vote was accepted.",
        together: false,
        by_second: true,
    },
    Picture {
        id: "in_flight",
        title: "Votes waiting at each proxy",
        lead: "Sent and not yet answered, at the end of each second. What lies above the limit waits for a free web server.",
        has: has_timeline,
        without: "No vote was sent.",
        together: false,
        by_second: true,
    },
    Picture {
        id: "over_time",
        title: "Response times over time",
        lead: "By the second that votes were planned for, from that instant to the accepted answer: who wanted to vote then waited this long. Half of the \
               votes were answered below the thin line, 90 % below the dashed one, 99 % below the thick one. Press proxies above to see theirs instead.",
        has: has_response,
        without: "No vote was accepted.",
        together: false,
        by_second: true,
    },
    Picture {
        id: "heat",
        title: "How many waited how long",
        lead: "Every accepted vote, by the second it was planned for and how long it took: the stronger the colour, the more votes. A band that \
               splits in two is an audience of which some are served well and others not. Press proxies above to see theirs alone.",
        has: |shown| shown.detail.heat.iter().any(|heat| !heat.seconds.is_empty()),
        without: "No response was measured.",
        together: false,
        by_second: true,
    },
    Picture {
        id: "response",
        title: "Response times by proxy",
        lead: "From the planned instant to the accepted answer, retries included. ● half of the votes, ■ 90 %, ▲ 99 %, ◆ the slowest.",
        has: |shown| shown.report.latency_ms.response.count > 0,
        without: "No vote was accepted.",
        together: false,
        by_second: false,
    },
    Picture {
        id: "curve",
        title: "Response times of all accepted votes",
        lead: "How long the slowest share of voters waited: at 99 %, one vote in a hundred took longer. Votes that were never accepted \
               are not in it. The thin dotted line is the generator's own lateness.",
        has: |shown| !shown.detail.response.is_empty(),
        without: "No response was measured.",
        together: true,
        by_second: false,
    },
    Picture {
        id: "failures",
        title: "Failed attempts by class",
        lead: "What went wrong, and at which proxy. An attempt that failed may have been repeated with success.",
        has: |shown| !shown.report.votes.failures.is_empty(),
        without: "No attempt failed.",
        together: false,
        by_second: false,
    },
    Picture {
        id: "forecast",
        title: "Forecast and measured",
        lead: "What DNS alone makes of this burst, played often in virtual time: how many times its even share the busiest proxy gets. The bar holds \
               98 % of the trials, the line in it is the middle one, ◆ is what was measured.",
        has: |shown| shown.report.forecast.is_some(),
        without: "The zone is not known well enough for a forecast.",
        together: false,
        by_second: false,
    },
    Picture {
        id: "carriers",
        title: "DNS answers by carrier",
        lead: "Which proxy each carrier's answers named first, over the whole run. All phones behind a carrier share what its cache holds.",
        has: |shown| {
            let answered = shown.report.dns.carriers.iter().any(|carrier| !carrier.lookups.answers.is_empty());
            answered && !shown.report.proxies.is_empty()
        },
        without: "No lookup was answered.",
        together: false,
        by_second: false,
    },
    Picture {
        id: "lateness",
        title: "Was the generator itself late?",
        lead: "How late votes left, per second, 99 % of them at most. Above the limit this run says more about the load generator than about the target.",
        has: |shown| shown.report.timeline.iter().any(|second| second.lateness_p99_ms.is_some()),
        without: "No vote was sent.",
        together: false,
        by_second: true,
    },
];

fn has_timeline(shown: &Shown<'_>) -> bool {
    !shown.report.timeline.is_empty() && !shown.report.proxies.is_empty()
}

fn has_response(shown: &Shown<'_>) -> bool {
    shown.report.timeline.iter().any(|second| second.response_ms.is_some())
}

/// All pictures, with the key of the proxies before them.
pub(super) fn of(runs: &[Shown<'_>]) -> String {
    let mut out = String::from(
        "<noscript><p>The pictures need JavaScript, which this page brings along. The same figures stand in the tables below and in report.json.</p></noscript>\n",
    );
    out.push_str(
        "<div id=\"proxies-key\" role=\"group\" aria-label=\"Proxies: press one to make it stand out in every picture\"></div>\n",
    );
    for picture in &PICTURES {
        section(&mut out, picture, runs);
    }
    out
}

fn section(out: &mut String, picture: &Picture, runs: &[Shown<'_>]) {
    let Picture { id, title, lead, .. } = picture;
    push(
        out,
        format_args!(
            "<section class=\"picture\" id=\"{id}\">\n<h2>{title}</h2>\n<p class=\"lead\" id=\"{id}-lead\">{lead}</p>\n"
        ),
    );
    if picture.together {
        if runs.iter().any(picture.has) {
            chart(out, picture, None, title);
        } else {
            push(out, format_args!("<p class=\"none\">{}</p>\n", picture.without));
        }
    } else {
        push(out, format_args!("<div class=\"zones\" style=\"--zones:{}\">\n", runs.len().max(1)));
        for (place, shown) in runs.iter().enumerate() {
            out.push_str("<figure>\n");
            if runs.len() > 1 {
                push(out, format_args!("<figcaption><h3>{}</h3></figcaption>\n", text(shown.name)));
            }
            if (picture.has)(shown) {
                chart(out, picture, Some(place), &format!("{title}, {}", shown.name));
            } else {
                push(out, format_args!("<p class=\"none\">{}</p>\n", picture.without));
            }
            out.push_str("</figure>\n");
        }
        out.push_str("</div>\n");
    }
    if picture.by_second && runs.iter().any(picture.has) {
        push(out, format_args!("<details data-table=\"{id}\"><summary>Second by second as a table</summary></details>\n"));
    }
    out.push_str("</section>\n");
}

/// The place of a picture. Arrow keys walk through it, and what they find is read out.
fn chart(out: &mut String, picture: &Picture, run: Option<usize>, label: &str) {
    let run = run.map_or_else(String::new, |run| format!(" data-run=\"{run}\""));
    push(
        out,
        format_args!(
            "<div class=\"chart\" data-picture=\"{0}\"{run} tabindex=\"0\" role=\"application\" aria-roledescription=\"chart\" aria-label=\"{1}. Arrow keys read it.\" aria-describedby=\"{0}-lead\"></div>\n",
            picture.id,
            text(label)
        ),
    );
}
