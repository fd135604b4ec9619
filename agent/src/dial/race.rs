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

use super::{DialError, Dialler};

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) address: IpAddr,
    pub(super) class: Failure,
    pub(super) what: String,
}

impl Attempt {
    /// The error of a phone that tried nothing else.
    pub(super) fn alone(self) -> DialError {
        let Self { address, class, what } = self;
        DialError { address, class, what, others: Vec::new() }
    }
}

/// The first address that connected.
pub(super) struct Won {
    pub(super) stream: TcpStream,
    pub(super) address: IpAddr,
    pub(super) failed: Vec<IpAddr>,
    pub(super) lost: Vec<IpAddr>,
}

/// What has happened so far.
#[derive(Default)]
struct Field {
    begun: RefCell<Vec<IpAddr>>,
    failed: RefCell<Vec<Attempt>>,
}

impl Dialler {
    pub(super) async fn race(&self, viewer: u32, racing: Racing, addresses: &[IpAddr]) -> Result<Won, DialError> {
        let field = Field::default();
        let won = match racing {
            Racing::Sequential => self.one_by_one(viewer, addresses, &field).await,
            Racing::Every(delay) => self.staggered(viewer, addresses, delay, &field).await,
            Racing::Families(delay) => {
                let first = addresses.iter().take_while(|address| address.is_ipv4() == addresses[0].is_ipv4()).count();
                let (first, second) = addresses.split_at(first);
                self.by_family(viewer, first, second, delay, &field).await
            }
        };
        let failed = field.failed.into_inner();
        let Some((address, stream)) = won else { return Err(all_failed(failed)) };
        let failed: Vec<IpAddr> = failed.into_iter().map(|attempt| attempt.address).collect();
        let mut lost = field.begun.into_inner();
        lost.retain(|begun| *begun != address && !failed.contains(begun));
        Ok(Won { stream, address, failed, lost })
    }

    /// One attempt; a failure is kept in the field.
    async fn attempt(&self, viewer: u32, address: IpAddr, field: &Field) -> Option<(IpAddr, TcpStream)> {
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

    async fn one_by_one(&self, viewer: u32, addresses: &[IpAddr], field: &Field) -> Option<(IpAddr, TcpStream)> {
        for address in addresses {
            let connected = self.attempt(viewer, *address, field).await;
            if connected.is_some() {
                return connected;
            }
        }
        None
    }

    /// The next attempt begins when the delay is over, or at once when one has failed; the others go on.
    async fn staggered(&self, viewer: u32, addresses: &[IpAddr], delay: Duration, field: &Field) -> Option<(IpAddr, TcpStream)> {
        let mut under_way = FuturesUnordered::new();
        for address in addresses {
            under_way.push(self.attempt(viewer, *address, field));
            if let Ok(Some(Some(connected))) = timeout(delay, under_way.next()).await {
                return Some(connected);
            }
        }
        while let Some(ended) = under_way.next().await {
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    /// The second family begins when the delay is over, or when all of the first has failed.
    async fn by_family(
        &self,
        viewer: u32,
        first: &[IpAddr],
        second: &[IpAddr],
        delay: Duration,
        field: &Field,
    ) -> Option<(IpAddr, TcpStream)> {
        let mut under_way = FuturesUnordered::new();
        for family in [first, second] {
            if family.is_empty() {
                continue;
            }
            under_way.push(self.one_by_one(viewer, family, field));
            if let Ok(Some(Some(connected))) = timeout(delay, under_way.next()).await {
                return Some(connected);
            }
        }
        while let Some(ended) = under_way.next().await {
            if ended.is_some() {
                return ended;
            }
        }
        None
    }
}

/// The error of a phone all of whose addresses failed.
fn all_failed(mut failed: Vec<Attempt>) -> DialError {
    let head = failed.iter().position(|attempt| attempt.class == Failure::NotAllowed).unwrap_or(0);
    let Attempt { address, class, what } = failed.remove(head);
    let rest: Vec<_> = failed.iter().map(|other| format!("{} {} ({})", other.address, other.class, other.what)).collect();
    let what = if rest.is_empty() { what } else { format!("{what}; and also {}", rest.join(", ")) };
    DialError { address, class, what, others: failed.into_iter().map(|other| other.address).collect() }
}
