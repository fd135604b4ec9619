//! What is kept of the runs of one command: the newest value of each, and its history in few numbers for pages that come late.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Serialize, Serializer};
use tokio::sync::watch;
use voteburst_coordinator::live::Live;

/// Moments kept of a run. When there are more every second one goes, so that a night of open doors stays one picture.
const MOST_POINTS: usize = 2_400;

/// A run at one moment, in the few numbers that its pictures need.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Counts all moments of the run, from 1.
    pub number: u64,
    /// Whole seconds since T0; `None` until T0 is fixed.
    pub second: Option<i64>,
    /// Votes due, attempts sent, votes accepted, attempts failed: cumulative.
    pub votes: [u64; 4],
    /// Connections open, by proxy; a proxy that appears later is 0 until then.
    pub open: Vec<u64>,
    /// Response times at p50 and p99 until then, in milliseconds; `None` when nothing was accepted.
    pub response_ms: Option<[f64; 2]>,
}

/// What is kept of one run.
#[derive(Clone, Debug)]
struct Kept {
    newest: Arc<Live>,
    points: Vec<Point>,
    /// Moments seen, kept or not.
    seen: u64,
}

/// News of one run for one reader.
#[derive(Clone, Debug, Serialize)]
pub struct News {
    /// Its place among the command's runs, from 0.
    pub run: usize,
    /// Its newest value.
    #[serde(serialize_with = "as_value")]
    pub live: Arc<Live>,
    /// The moments that this reader has not seen.
    pub points: Vec<Point>,
}

fn as_value<S: Serializer>(live: &Arc<Live>, to: S) -> Result<S::Ok, S::Error> {
    live.as_ref().serialize(to)
}

/// What a reader has seen: the moments of each run.
#[derive(Clone, Debug, Default)]
pub struct Seen(Vec<u64>);

/// Keeps the runs of one command. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    runs: Arc<Mutex<Vec<Kept>>>,
    /// Counts values, so that readers wake.
    count: Arc<watch::Sender<u64>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { runs: Arc::default(), count: Arc::new(watch::Sender::new(0)) }
    }
}

impl Hub {
    /// Takes a run's values until it is over. Runs come one after the other, in the order of their first values.
    pub async fn follow(&self, mut live: watch::Receiver<Arc<Live>>) {
        while live.changed().await.is_ok() {
            let newest = Arc::clone(&live.borrow_and_update());
            self.take(newest);
        }
    }

    /// Takes one value of a run.
    pub fn take(&self, live: Arc<Live>) {
        let mut runs = self.lock();
        if runs.last().is_none_or(|kept| kept.newest.run != live.run) {
            runs.push(Kept { newest: Arc::clone(&live), points: Vec::new(), seen: 0 });
        }
        if let Some(kept) = runs.last_mut() {
            kept.add(live);
        }
        drop(runs);
        self.count.send_modify(|count| *count += 1);
    }

    /// The newest value of each run, oldest run first.
    #[must_use]
    pub fn newest(&self) -> Vec<Arc<Live>> {
        self.lock().iter().map(|kept| Arc::clone(&kept.newest)).collect()
    }

    /// What a reader has not seen, of those runs that have any. From now on it has.
    pub fn news(&self, seen: &mut Seen) -> Vec<News> {
        let runs = self.lock();
        seen.0.resize(runs.len(), 0);
        let mut news = Vec::new();
        for ((run, kept), seen) in runs.iter().enumerate().zip(&mut seen.0) {
            if kept.seen > *seen {
                let points = kept.points.iter().filter(|point| point.number > *seen).cloned().collect();
                news.push(News { run, live: Arc::clone(&kept.newest), points });
                *seen = kept.seen;
            }
        }
        news
    }

    /// Wakes whenever there is a value.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        // Each change is complete before anything can panic.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, live: Arc<Live>) {
        self.seen += 1;
        self.points.push(Point {
            number: self.seen,
            second: live.second,
            votes: [live.planned, live.sent, live.accepted, live.failed],
            open: live.proxies.iter().map(|proxy| proxy.open).collect(),
            response_ms: (live.response.count > 0).then_some([live.response.p50_ms, live.response.p99_ms]),
        });
        if self.points.len() > MOST_POINTS {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.newest = live;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(run: &str, second: i64) -> Arc<Live> {
        Arc::new(Live { run: run.into(), second: Some(second), sent: second.unsigned_abs(), ..Live::default() })
    }

    #[test]
    fn a_reader_that_comes_late_sees_all_runs_and_then_only_what_is_new() {
        let (hub, mut seen) = (Hub::default(), Seen::default());
        for (run, second) in [("a", 1), ("a", 2), ("b", 1)] {
            hub.take(live(run, second));
        }
        let counts = |news: Vec<News>| news.iter().map(|news| (news.run, news.points.len())).collect::<Vec<_>>();
        assert_eq!(counts(hub.news(&mut seen)), [(0, 2), (1, 1)]);
        assert_eq!(counts(hub.news(&mut seen)), []);
        hub.take(live("b", 2));
        assert_eq!(counts(hub.news(&mut seen)), [(1, 1)]);
    }

    #[test]
    fn a_long_run_is_thinned_from_its_beginning_to_its_end() {
        let (hub, mut seen) = (Hub::default(), Seen::default());
        let last = 3 * MOST_POINTS as i64;
        (1..=last).for_each(|second| hub.take(live("a", second)));
        let points = hub.news(&mut seen).remove(0).points;
        assert!((MOST_POINTS / 2..=MOST_POINTS).contains(&points.len()), "{} are kept", points.len());
        assert_eq!(points[0].second, Some(1));
        assert!(last - points[points.len() - 1].second.unwrap() < 2);
    }

    #[tokio::test]
    async fn the_last_value_of_a_run_is_taken_though_its_sender_is_gone() {
        let hub = Hub::default();
        let (to, from) = watch::channel(Arc::new(Live::default()));
        to.send_replace(live("a", 7));
        drop(to);
        hub.follow(from).await;
        assert_eq!(hub.newest()[0].second, Some(7));
    }
}
