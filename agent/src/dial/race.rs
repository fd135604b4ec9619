//! Several addresses of one name: one after the other, or each some time after the one before (RFC 8305, section 5).
//!
//! Sockets are really opened: an attempt that loses is one more connection that its proxy sees come and go.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::timeout;
use voteburst_burst::outcome::Failure;
use voteburst_burst::phone::Racing;

use super::{DialError, Dialler, Others};

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) address: IpAddr,
    pub(super) class: Failure,
    pub(super) what: String,
}

impl Attempt {
    /// The error of a phone that tried these others before.
    pub(super) fn after(self, others: Others) -> DialError {
        let Self { address, class, what } = self;
        DialError { address, class, what, others }
    }

    /// Whether a packet left, so that the proxy may have seen it.
    fn left(&self) -> bool {
        !matches!(self.class, Failure::NotAllowed | Failure::LocalLimit)
    }
}

type Connected = (IpAddr, TcpStream);

/// The first address that connected.
pub(super) struct Won {
    pub(super) stream: TcpStream,
    pub(super) address: IpAddr,
    pub(super) others: Others,
}

/// What has happened so far.
#[derive(Default)]
struct Field {
    begun: RefCell<Vec<IpAddr>>,
    failed: RefCell<Vec<Attempt>>,
}

impl Field {
    /// What became of all others when this address has won.
    fn others_than(self, winner: IpAddr) -> Others {
        let failed = self.failed.into_inner();
        let mut seen = self.begun.into_inner();
        seen.retain(|begun| *begun != winner && failed.iter().all(|attempt| attempt.address != *begun || attempt.left()));
        Others { failed: failed.into_iter().map(|attempt| attempt.address).collect(), seen }
    }
}

impl Dialler {
    pub(super) async fn race(&self, viewer: u32, racing: Racing, addresses: &[IpAddr]) -> Result<Won, DialError> {
        let field = Field::default();
        let won = match racing {
            Racing::Sequential => self.one_by_one(viewer, addresses, &field).await,
            Racing::Every(delay) => beside(addresses.iter().map(|address| self.attempt(viewer, *address, &field)), delay).await,
            Racing::Families(delay) => {
                let first = addresses.iter().take_while(|address| address.is_ipv4() == addresses[0].is_ipv4()).count();
                let (first, second) = addresses.split_at(first);
                let families = [first, second].into_iter().filter(|family| !family.is_empty());
                beside(families.map(|family| self.one_by_one(viewer, family, &field)), delay).await
            }
        };
        let Some((address, stream)) = won else { return Err(all_failed(field.failed.into_inner())) };
        Ok(Won { stream, address, others: field.others_than(address) })
    }

    /// One attempt; a failure is kept in the field.
    async fn attempt(&self, viewer: u32, address: IpAddr, field: &Field) -> Option<Connected> {
        field.begun.borrow_mut().push(address);
        let outcome = match self.permitted(address) {
            Err(refused) => Err(refused),
            Ok(target) => match timeout(self.connect_timeout, self.stream(viewer, target)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err((class, error))) => Err(Attempt { address, class, what: error.to_string() }),
                Err(_) => Err(self.timed_out(address)),
            },
        };
        outcome.map(|stream| (address, stream)).map_err(|failed| field.failed.borrow_mut().push(failed)).ok()
    }

    async fn one_by_one(&self, viewer: u32, addresses: &[IpAddr], field: &Field) -> Option<Connected> {
        for address in addresses {
            let connected = self.attempt(viewer, *address, field).await;
            if connected.is_some() {
                return connected;
            }
        }
        None
    }
}

/// Begins the next attempt when the delay is over, or at once when a failure leaves none under way (OkHttp's
/// `FastFallbackExchangeFinder`); those that have begun go on until one connects.
async fn beside<T, F: Future<Output = Option<T>>>(attempts: impl Iterator<Item = F>, delay: Duration) -> Option<T> {
    let mut under_way = FuturesUnordered::new();
    for attempt in attempts {
        under_way.push(attempt);
        if let Ok(Some(connected)) = timeout(delay, first(&mut under_way)).await {
            return Some(connected);
        }
    }
    first(&mut under_way).await
}

/// The first that connects; `None` when all have failed.
async fn first<T, F: Future<Output = Option<T>>>(under_way: &mut FuturesUnordered<F>) -> Option<T> {
    while let Some(ended) = under_way.next().await {
        if ended.is_some() {
            return ended;
        }
    }
    None
}

/// The error of a phone all of whose addresses failed.
fn all_failed(mut failed: Vec<Attempt>) -> DialError {
    let head = failed.iter().position(|attempt| attempt.class == Failure::NotAllowed).unwrap_or(0);
    let mut head = failed.remove(head);
    if !failed.is_empty() {
        let rest = failed.iter().map(|other| format!("{} {} ({})", other.address, other.class, other.what));
        head.what = format!("{}; and also {}", head.what, rest.collect::<Vec<_>>().join(", "));
    }
    let seen = failed.iter().filter(|other| other.left()).map(|other| other.address).collect();
    head.after(Others { failed: failed.into_iter().map(|other| other.address).collect(), seen })
}

#[cfg(test)]
mod tests;
