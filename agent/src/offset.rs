//! How far the coordinator's clock is ahead of ours: pings on a channel of their own, so that a snapshot ahead of them on the
//! same connection cannot pass for a slow path.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tonic::transport::Channel;
use voteburst_burst::clock::{FleetTime, LocalTime, Offset, Ping};
use voteburst_proto::wire::PingRequest;
use voteburst_proto::wire::rehearsal_client::RehearsalClient;

use crate::clock::Clock;

/// Pings of one measurement. The smallest round trip of some tens is close to the path's least one.
const PINGS: usize = 32;
/// Pause between them, so that one disturbance does not touch them all.
const PAUSE: Duration = Duration::from_millis(5);
/// A measurement ends after this long with what it has: over a path of 100 ms, 20 pings. Well within the time to arm.
const LONGEST: Duration = Duration::from_secs(2);
/// A ping that takes longer says nothing that a quicker one would not say better.
const LONGEST_PING: Duration = Duration::from_secs(1);
/// Older pings are left out: two clocks drift apart by up to 30 µs per second (Geng and others, "Exploiting a natural network
/// effect for scalable, fine-grained clock synchronization", NSDI 2018).
const OLDEST: Duration = Duration::from_secs(10);

/// Pings of the last seconds.
#[derive(Debug, Default)]
struct Recent {
    pings: VecDeque<Ping>,
}

impl Recent {
    fn add(&mut self, ping: Ping) {
        while self.pings.front().is_some_and(|oldest| ping.returned.since(oldest.returned) > OLDEST) {
            self.pings.pop_front();
        }
        self.pings.push_back(ping);
    }

    fn offset(&self) -> Option<Offset> {
        Offset::estimate(&self.pings)
    }
}

/// Measures the offset all the time: at once when asked, and once a second.
#[derive(Debug)]
pub(crate) struct Pinger {
    recent: Arc<Mutex<Recent>>,
    measure: mpsc::Sender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Pinger {
    /// Begins to ping over a channel that carries nothing else.
    pub(crate) fn start(channel: Channel, clock: Clock) -> Self {
        let recent = Arc::new(Mutex::new(Recent::default()));
        let (measure, asked) = mpsc::channel(1);
        let task = tokio::spawn(Task { client: RehearsalClient::new(channel), clock, recent: Arc::clone(&recent) }.run(asked));
        Self { recent, measure, task }
    }

    /// Measures anew, for some three seconds at most, and tells the best offset of the last ten. `None` when no ping came back.
    pub(crate) fn measure(&self) -> impl Future<Output = Option<Offset>> + use<> {
        let (measure, recent) = (self.measure.clone(), Arc::clone(&self.recent));
        async move {
            let (done, wait) = oneshot::channel();
            // The task ends only with the pinger; should it panic, the last offset is what there is.
            if measure.send(done).await.is_ok() {
                let _ = wait.await;
            }
            best(&recent)
        }
    }

    /// The best offset of the last ten seconds in which pings came back.
    pub(crate) fn latest(&self) -> Option<Offset> {
        best(&self.recent)
    }
}

fn best(recent: &Mutex<Recent>) -> Option<Offset> {
    recent.lock().unwrap_or_else(PoisonError::into_inner).offset()
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    client: RehearsalClient<Channel>,
    clock: Clock,
    recent: Arc<Mutex<Recent>>,
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                asked = asked.recv() => {
                    let Some(done) = asked else { return };
                    self.measure().await;
                    // Who asked may have given up.
                    let _ = done.send(());
                }
                _ = tick.tick() => self.ping().await,
            }
        }
    }

    async fn measure(&mut self) {
        let until = self.clock.now().after(LONGEST);
        for _ in 0..PINGS {
            if self.clock.now() > until {
                return;
            }
            self.ping().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ping(&mut self) {
        let sent = self.clock.now();
        let answer = tokio::time::timeout(LONGEST_PING, self.client.ping(PingRequest {})).await;
        let returned = self.clock.now();
        match answer {
            Ok(Ok(reply)) => self.keep(sent, reply.get_ref().received_ns, reply.get_ref().replied_ns, returned),
            Ok(Err(status)) => tracing::debug!(%status, "a ping came to nothing"),
            Err(_) => tracing::debug!("a ping took longer than {LONGEST_PING:?}"),
        }
    }

    fn keep(&self, sent: LocalTime, received_ns: i64, replied_ns: i64, returned: LocalTime) {
        let ping = Ping { sent, received: FleetTime(received_ns), replied: FleetTime(replied_ns), returned };
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).add(ping);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ping of a millisecond each way at `at`, to a clock that is ahead by `offset`.
    fn ping(at: i64, offset: i64) -> Ping {
        let way = 1_000_000;
        Ping {
            sent: LocalTime(at),
            received: FleetTime(at + way + offset),
            replied: FleetTime(at + way + offset),
            returned: LocalTime(at + 2 * way),
        }
    }

    #[test]
    fn pings_older_than_ten_seconds_are_left_out_however_good_they_were() {
        let mut recent = Recent::default();
        recent.add(Ping { returned: LocalTime(10), received: FleetTime(505), replied: FleetTime(505), ..ping(0, 0) });
        recent.add(ping(9_000_000_000, 600));
        assert_eq!(recent.offset().map(|offset| offset.nanos), Some(500));
        recent.add(ping(10_000_000_000, 600));
        assert_eq!(recent.offset().map(|offset| offset.nanos), Some(600));
        assert_eq!(recent.pings.len(), 2);
    }

    #[test]
    fn without_pings_there_is_no_offset() {
        assert_eq!(Recent::default().offset(), None);
    }
}
