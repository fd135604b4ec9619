//! Who votes: an agent holds its viewers' connections and fires their tickets.
//!
//! In reading order, the way of one vote: [`crew`] (what a session drives) starts `worker` (what all viewers share),
//! `viewers` (enter, hold, wait) open connections, as many at once as `opening` gives leave for, by `hold`, which asks
//! `resolve` for an address and `dial` for a socket; `pace` releases a ticket, `vote` sends it and reads its `response` as long as `patience` lasts; `record` and
//! `votelog` count what became of it, and `watch` what the agent itself did to it. Before all that [`preflight`] looks at
//! the machine and [`sources`] picks addresses.
//!
//! Phones that speak HTTP/2 ask by way of `full`, over the same connections.
//!
//! Deliberately absent: client behaviour that a scenario does not name (redirects, cookies, pipelining), shared
//! connections, and any correction of lateness: what was late is shown as late.

mod allow;
pub mod clock;
pub mod crew;
mod dial;
mod full;
mod hold;
mod offset;
mod opening;
mod pace;
mod patience;
pub mod preflight;
mod record;
mod resolve;
mod response;
pub mod session;
mod slice;
pub mod sources;
mod viewers;
mod vote;
mod votelog;
mod watch;
mod worker;

pub use allow::{AllowList, Network, NotANetwork};
pub use dial::{HANDSHAKE_CPU, TrustError};
