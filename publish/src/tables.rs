//! CSV: the timeline in long form and one row per proxy.
//!
//! As RFC 4180 has it: comma, CRLF after every record, a header line, quotes where a field needs them. Numbers have a point and
//! no thousands separators; an empty field says what `null` says in `report.json`: there is nothing to tell.

use csv::{Terminator, WriterBuilder};
use voteburst_coordinator::report::{Report, SecondQuantiles};

/// `timeline.csv`: one row per second and proxy, seconds in order, then proxies by address.
///
/// `t_s` is the second's beginning after T0, negative before it. `open` and `in_flight` are levels at its end, all others are
/// counts of what happened in it, and the last columns response times, in milliseconds, of votes that were planned for it.
#[must_use]
pub fn timeline(report: &Report) -> String {
    let mut table = Table::new(TIMELINE_COLUMNS);
    for second in &report.timeline {
        for (proxy, cell) in &second.proxies {
            let response =
                |of: fn(&SecondQuantiles) -> f64| cell.response_ms.as_ref().map_or_else(String::new, |ms| of(ms).to_string());
            table.row([
                second.t_s.to_string(),
                proxy.clone(),
                cell.open.to_string(),
                cell.in_flight.to_string(),
                cell.accepted.to_string(),
                cell.failed.to_string(),
                cell.sent.to_string(),
                cell.opened.to_string(),
                cell.dns_answers.to_string(),
                response(|ms| ms.p50),
                response(|ms| ms.p90),
                response(|ms| ms.p99),
            ]);
        }
    }
    table.text()
}

/// `proxies.csv`: one row per proxy, by address, with the keys of `report.json`'s `proxies[]`.
///
/// Latencies are in milliseconds, quantiles of what was counted at this proxy, empty when nothing was.
#[must_use]
pub fn proxies(report: &Report) -> String {
    let mut table = Table::new(PROXY_COLUMNS);
    for proxy in &report.proxies {
        let counts = [proxy.opened, proxy.closed, proxy.closed_idle, proxy.also_rans];
        let levels = [proxy.peak_open, proxy.peak_in_flight];
        let attempts = [proxy.dns_answers, proxy.sent, proxy.accepted, proxy.failed];
        let latencies = [&proxy.latency_ms.response, &proxy.latency_ms.service, &proxy.latency_ms.lateness];
        let quantiles = latencies.iter().flat_map(|latency| [latency.p50, latency.p90, latency.p99, latency.p999, latency.max]);
        let mut fields = vec![proxy.address.clone()];
        fields.extend(counts.iter().map(u64::to_string));
        fields.extend(levels.iter().map(i64::to_string));
        fields.extend(attempts.iter().map(u64::to_string));
        fields.extend(quantiles.map(|value| value.map_or_else(String::new, |value| value.to_string())));
        table.row(fields);
    }
    table.text()
}

/// New ones come last, for readers may go by place.
const TIMELINE_COLUMNS: [&str; 12] = [
    "t_s",
    "proxy",
    "open",
    "in_flight",
    "accepted",
    "failed",
    "sent",
    "opened",
    "dns_answers",
    "response_p50_ms",
    "response_p90_ms",
    "response_p99_ms",
];

const PROXY_COLUMNS: [&str; 26] = [
    "proxy",
    "opened",
    "closed",
    "closed_idle",
    "also_rans",
    "peak_open",
    "peak_in_flight",
    "dns_answers",
    "sent",
    "accepted",
    "failed",
    "response_p50_ms",
    "response_p90_ms",
    "response_p99_ms",
    "response_p999_ms",
    "response_max_ms",
    "service_p50_ms",
    "service_p90_ms",
    "service_p99_ms",
    "service_p999_ms",
    "service_max_ms",
    "lateness_p50_ms",
    "lateness_p90_ms",
    "lateness_p99_ms",
    "lateness_p999_ms",
    "lateness_max_ms",
];

/// A table that is being written into memory.
struct Table {
    rows: csv::Writer<Vec<u8>>,
}

impl Table {
    fn new<const COLUMNS: usize>(names: [&str; COLUMNS]) -> Self {
        let mut table = Self { rows: WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new()) };
        table.row(names);
        table
    }

    fn row(&mut self, fields: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        // Memory takes every byte, and rows of another length than the header's would be a mistake here.
        if let Err(error) = self.rows.write_record(fields) {
            unreachable!("a row that memory does not take: {error}");
        }
    }

    fn text(self) -> String {
        let bytes = self.rows.into_inner().unwrap_or_else(|error| unreachable!("a table that memory does not take: {error}"));
        String::from_utf8(bytes).unwrap_or_else(|error| unreachable!("a table of text that is no text: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use voteburst_coordinator::report::{ProxySecond, TimelineSecond};

    use super::*;
    use crate::fixture;

    #[test]
    fn the_timeline_has_a_row_per_second_and_proxy() {
        insta::assert_snapshot!(timeline(&fixture::report()));
    }

    #[test]
    fn proxies_have_a_row_each_with_all_their_quantiles() {
        insta::assert_snapshot!(proxies(&fixture::report()));
    }

    #[test]
    fn a_run_without_proxies_is_a_header_alone() {
        assert_eq!(timeline(&fixture::empty()), TIMELINE_COLUMNS.join(",") + "\r\n");
        assert_eq!(proxies(&fixture::empty()).lines().count(), 1);
    }

    /// Every row of a CSV text without its header, by column.
    fn read(text: &str) -> Vec<std::collections::HashMap<String, String>> {
        csv::Reader::from_reader(text.as_bytes()).deserialize().collect::<Result<_, _>>().unwrap()
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_in_the_timeline_is_read_back_as_it_was(
            seconds in proptest::collection::vec(
                (proptest::prelude::any::<i64>(), "\\PC{0,20}|[,\"\r\n;a ]{0,8}", proptest::prelude::any::<(i64, u32, u64)>()), 0..20),
        ) {
            let mut report = fixture::report();
            report.timeline = seconds.iter().map(|(t_s, proxy, (open, accepted, failed))| {
                let cell = ProxySecond { open: *open, accepted: *accepted, failed: *failed, ..ProxySecond::default() };
                TimelineSecond { t_s: *t_s, busiest_new_share: None, lateness_p99_ms: None, response_ms: None, proxies: [(proxy.clone(), cell)].into() }
            }).collect();
            let found: Vec<_> = read(&timeline(&report)).iter().map(|row| {
                let cells = (row["open"].parse().unwrap(), row["accepted"].parse().unwrap(), row["failed"].parse().unwrap());
                (row["t_s"].parse().unwrap(), row["proxy"].clone(), cells)
            }).collect();
            proptest::prop_assert_eq!(found, seconds);
        }
    }

    #[test]
    fn what_is_unknown_is_an_empty_field_and_never_zero() {
        let mut report = fixture::report();
        report.proxies[0].latency_ms.response.p99 = None;
        let rows = read(&proxies(&report));
        assert_eq!((rows[0]["response_p99_ms"].as_str(), rows[0].len()), ("", PROXY_COLUMNS.len()));
        assert_eq!(rows[1]["response_p99_ms"], report.proxies[1].latency_ms.response.p99.unwrap().to_string());
    }
}
