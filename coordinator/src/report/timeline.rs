//! What happened second by second.

use std::net::IpAddr;

use voteburst_burst::tally::{LateSeconds, ProxyTally, ResponseSecond, ResponseSeconds, Second};

use super::{ProxySecond, SecondQuantiles, TimelineSecond, UnplacedSecond};

/// Failures that no proxy's row of the timeline can hold.
pub(super) fn unplaced(tally: &ProxyTally, t0_second: u32) -> Vec<UnplacedSecond> {
    let seconds = (0_i64..).zip(&tally.seconds);
    let second =
        |(second, counts): (i64, &Second)| UnplacedSecond { t_s: second - i64::from(t0_second), failed: counts.failed_total() };
    seconds.map(second).filter(|second| second.failed > 0).collect()
}

/// Every second since the doors opened, of all proxies.
pub(super) fn timeline(proxies: &[(IpAddr, ProxyTally)], late: &LateSeconds, t0_second: u32) -> Vec<TimelineSecond> {
    let length = proxies.iter().map(|(_, tally)| tally.seconds.len()).max().unwrap_or(0);
    let levels: Vec<_> = proxies.iter().map(|(_, tally)| (tally.open_by_second(), tally.in_flight_by_second())).collect();
    let mut response = ResponseSeconds::default();
    proxies.iter().for_each(|(_, tally)| response.merge(&tally.response_by_second));
    // A level stays what it was when a tally ends before the others.
    let at = |levels: &[i64], index: usize| levels.get(index).or_else(|| levels.last()).copied().unwrap_or(0);
    (0..length)
        .map(|index| {
            let cells = proxies.iter().zip(&levels).map(|((address, tally), (open, in_flight))| {
                let second = tally.seconds.get(index).copied().unwrap_or_default();
                let cell = ProxySecond {
                    open: at(open, index),
                    in_flight: at(in_flight, index),
                    accepted: second.accepted,
                    failed: second.failed_total(),
                    sent: second.sent,
                    opened: second.opened,
                    dns_answers: second.dns_answers,
                    response_ms: quantiles(&tally.response_by_second.at(index as u32)),
                };
                (address.to_string(), cell)
            });
            let opened =
                || proxies.iter().map(|(_, tally)| tally.seconds.get(index).map_or(0, |second| u64::from(second.opened)));
            let (all, most) = (opened().sum::<u64>(), opened().max().unwrap_or(0));
            TimelineSecond {
                t_s: index as i64 - i64::from(t0_second),
                lateness_p99_ms: late.at(index as u32).and_then(|second| second.quantile_ms(0.99)),
                response_ms: quantiles(&response.at(index as u32)),
                busiest_new_share: (all > 0).then(|| most as f64 / all as f64),
                proxies: cells.collect(),
            }
        })
        .collect()
}

fn quantiles(second: &ResponseSecond) -> Option<SecondQuantiles> {
    let at = |quantile| second.quantile_ms(quantile);
    Some(SecondQuantiles { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_second_are_those_of_all_its_votes_and_no_mean_of_proxies() {
        let mut quick = ProxyTally::default();
        let mut slow = quick.clone();
        for (tally, votes, ms) in [(&mut quick, 980, 1), (&mut slow, 20, 900)] {
            tally.second(2).accepted = votes;
            (0..votes).for_each(|_| tally.response_by_second.record_ns(2, ms * 1_000_000));
        }
        let proxies = [([127, 0, 0, 1].into(), quick), ([127, 0, 0, 2].into(), slow)];
        let seconds = timeline(&proxies, &LateSeconds::default(), 2);
        assert_eq!((seconds.len(), seconds[0].response_ms), (3, None));
        let all = seconds[2].response_ms.unwrap();
        assert_eq!([all.p50, all.p90, all.p99].map(|ms| ms < 1.2), [true, true, false]);
        let of = |proxy: &str| seconds[2].proxies[proxy].response_ms.unwrap().p50;
        assert!(of("127.0.0.1") < 1.2 && (900.0..1_012.5).contains(&of("127.0.0.2")));
    }
}
