//! Who votes: an agent holds its viewers' connections and fires their tickets.

mod allow;
pub mod clock;
mod dial;
mod pace;
pub mod preflight;
mod response;
pub mod sources;
mod votelog;

pub use allow::{AllowList, Network, NotANetwork};
pub use dial::TrustError;
