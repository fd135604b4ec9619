//! Metrics pushed over UDP, as StatsD has them, with DogStatsD's tags or without any.
//!
//! Sources: <https://github.com/statsd/statsd/blob/master/docs/metric_types.md> and
//! <https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/>. Names are those of [`crate::metrics`] with a dot behind
//! `voteburst`. Counters go as what was added since they were last sent. There is no type for a histogram that was merged
//! elsewhere, so of those only the count goes.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use voteburst_coordinator::live::Live;

use crate::Hub;
use crate::metrics::{Value, families};

/// The most bytes of a datagram: what passes an Ethernet unbroken, as StatsD recommends.
const MOST_BYTES: usize = 1_432;

/// How labels are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `name:1|c|#zone:multivalue,proxy:192.0.2.1`, as Datadog, Telegraf and others read them.
    Datadog,
    /// As parts of the name, for StatsD itself: `voteburst.multivalue.192_0_2_1.name:1|c`.
    None,
}

/// Where the counters stood that have been sent.
#[derive(Debug, Default)]
struct Sent(HashMap<String, u64>);

/// A datagram, and where it leaves the counters in it.
#[derive(Debug, Default, PartialEq)]
struct Datagram {
    text: String,
    counters: Vec<(String, u64)>,
}

/// Pushes the values of a hub until it is closed.
#[derive(Debug)]
pub struct Statsd {
    closing: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Statsd {
    /// Begins to push whenever the hub has a value. `note` is told once when datagrams do not get there; what they would have
    /// added is then sent with the next ones.
    ///
    /// # Errors
    /// When no socket can be had towards this address.
    pub fn start(address: SocketAddr, tags: Tags, hub: Hub, note: impl Fn(&io::Error) + Send + 'static) -> io::Result<Self> {
        let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        let (closing, mut closed) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut news, mut sent, mut failed) = (hub.listen(), Sent::default(), false);
            loop {
                let goes_on = tokio::select! {
                    changed = news.changed() => changed.is_ok(),
                    _ = &mut closed => false,
                };
                for datagram in sent.datagrams(&hub.newest(), tags) {
                    match socket.send(datagram.text.as_bytes()) {
                        Ok(_) => sent.0.extend(datagram.counters),
                        Err(error) if !failed => {
                            failed = true;
                            note(&error);
                        }
                        Err(_) => {}
                    }
                }
                if !goes_on {
                    break;
                }
            }
        });
        Ok(Self { closing, task })
    }

    /// Pushes the last values, and ends.
    pub async fn close(self) {
        // Neither can fail but by a panic there, which has told itself.
        let _ = self.closing.send(());
        let _ = self.task.await;
    }
}

impl Sent {
    /// All levels, and the counters that have grown since they were sent.
    fn datagrams(&self, runs: &[Arc<Live>], tags: Tags) -> Vec<Datagram> {
        let mut all = vec![Datagram::default()];
        for family in families(runs) {
            for sample in family.samples {
                let (count, suffix) = match &sample.value {
                    Value::Level(level) => {
                        add(&mut all, &gauge(&name(family.name, "", &sample.labels, tags), *level, tags), None);
                        continue;
                    }
                    Value::Count(count) => (*count, ""),
                    Value::Buckets(buckets) => (buckets.count, ".count"),
                };
                let name = name(family.name, suffix, &sample.labels, tags);
                let key = format!("{}{}", name.0, name.1);
                let before = self.0.get(&key).copied().unwrap_or(0);
                // One that fell is another run's, and began anew.
                let more = count.checked_sub(before).unwrap_or(count);
                if more > 0 {
                    add(&mut all, &format!("{}:{more}|c{}", name.0, name.1), Some((key, count)));
                }
            }
        }
        all.retain(|datagram| !datagram.text.is_empty());
        all
    }
}

/// A level. Without tags a sign would change it by so much instead of setting it, so it is set to zero first.
fn gauge((name, tags): &(String, String), level: f64, kind: Tags) -> String {
    match kind {
        Tags::None if level < 0.0 => format!("{name}:0|g\n{name}:{level}|g"),
        _ => format!("{name}:{level}|g{tags}"),
    }
}

/// The name with what stands behind the type.
fn name(family: &str, suffix: &str, labels: &[(&'static str, String)], tags: Tags) -> (String, String) {
    let own = family.strip_prefix("voteburst_").unwrap_or(family);
    match tags {
        Tags::Datadog => {
            let tags: Vec<_> = labels.iter().map(|(label, value)| format!("{label}:{}", plain(value, "._-/"))).collect();
            (format!("voteburst.{own}{suffix}"), format!("|#{}", tags.join(",")))
        }
        Tags::None => {
            let path: String = labels.iter().map(|(_, value)| plain(value, "-") + ".").collect();
            (format!("voteburst.{path}{own}{suffix}"), String::new())
        }
    }
}

/// Of what others wrote, nothing that could end a name, a tag or a line.
fn plain(value: &str, also: &str) -> String {
    let kept = |character: char| character.is_alphanumeric() || also.contains(character);
    value.chars().map(|character| if kept(character) { character } else { '_' }).collect()
}

fn add(all: &mut Vec<Datagram>, line: &str, counter: Option<(String, u64)>) {
    if all.last().is_none_or(|last| last.text.len() + 1 + line.len() > MOST_BYTES) {
        all.push(Datagram::default());
    }
    if let Some(last) = all.last_mut() {
        if !last.text.is_empty() {
            last.text.push('\n');
        }
        last.text.push_str(line);
        last.counters.extend(counter);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use voteburst_coordinator::live::{LiveAgent, LiveProxy};

    use super::*;

    fn live(accepted: u64, proxies: u8) -> Arc<Live> {
        let proxy = |last: u8| LiveProxy { address: format!("192.0.2.{last}"), open: 7, accepted, ..LiveProxy::default() };
        Arc::new(Live {
            scenario: "a|b\n:c,#d".into(),
            zone: Some("multivalue".into()),
            outcomes: BTreeMap::from([("accepted", accepted)]),
            proxies: (0..proxies).map(proxy).collect(),
            agents: vec![LiveAgent { host: "here".into(), offset_ms: Some(-1.5), ..LiveAgent::default() }],
            ..Live::default()
        })
    }

    fn lines(datagrams: &[Datagram]) -> Vec<&str> {
        datagrams.iter().flat_map(|datagram| datagram.text.lines()).collect()
    }

    #[test]
    fn levels_and_growth_are_told_in_both_dialects_and_nothing_of_others_ends_a_line() {
        let (sent, runs) = (Sent::default(), [live(5, 1)]);
        let tagged = sent.datagrams(&runs, Tags::Datadog);
        let plain = sent.datagrams(&runs, Tags::None);
        for line in [
            "voteburst.attempts:5|c|#zone:multivalue,outcome:accepted",
            "voteburst.proxy_connections_open:7|g|#zone:multivalue,proxy:192.0.2.0",
            "voteburst.agent_clock_offset_seconds:-0.0015|g|#zone:multivalue,agent:0,host:here",
            "voteburst.run_info:1|g|#zone:multivalue,run:,scenario:a_b__c__d",
        ] {
            assert!(lines(&tagged).contains(&line), "{line} is not in {:#?}", lines(&tagged));
        }
        let plain = lines(&plain);
        assert!(plain.contains(&"voteburst.multivalue.accepted.attempts:5|c"), "{plain:#?}");
        let offset = plain.iter().position(|line| *line == "voteburst.multivalue.0.here.agent_clock_offset_seconds:-0.0015|g");
        assert_eq!(
            plain[offset.unwrap() - 1],
            "voteburst.multivalue.0.here.agent_clock_offset_seconds:0|g",
            "a sign alone subtracts"
        );
    }

    #[test]
    fn what_was_sent_is_not_sent_again_and_what_was_not_comes_with_the_next() {
        let mut sent = Sent::default();
        let grown = |sent: &Sent, accepted| {
            let datagrams = sent.datagrams(&[live(accepted, 1)], Tags::Datadog);
            let line = lines(&datagrams).into_iter().find(|line| line.starts_with("voteburst.attempts:")).map(ToOwned::to_owned);
            (line, datagrams)
        };
        let told = |more: u64| Some(format!("voteburst.attempts:{more}|c|#zone:multivalue,outcome:accepted"));
        let (first, lost) = grown(&sent, 5);
        assert_eq!(first, told(5));
        drop(lost);
        let (second, kept) = grown(&sent, 8);
        assert_eq!(second, told(8));
        kept.into_iter().for_each(|datagram| sent.0.extend(datagram.counters));
        assert_eq!((grown(&sent, 8).0, grown(&sent, 9).0, grown(&sent, 3).0), (None, told(1), told(3)));
    }

    #[test]
    fn forty_proxies_fit_into_datagrams_that_pass_an_ethernet() {
        let datagrams = Sent::default().datagrams(&[live(5, 40)], Tags::Datadog);
        assert!(datagrams.len() > 2 && datagrams.iter().all(|datagram| datagram.text.len() <= MOST_BYTES), "{}", datagrams.len());
        assert!(datagrams.iter().all(|datagram| !datagram.text.ends_with('\n') && !datagram.text.starts_with('\n')));
    }
}
