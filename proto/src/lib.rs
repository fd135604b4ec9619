//! How a rehearsal is said: the messages between coordinator and agents, and their way over the wire.
//!
//! Reading order: [`message`] (what is said, in the words of the domain), `rehearsal.proto` (its wire form),
//! [`convert`] (from one to the other, with every check), [`wire`] (generated). What is kept on disk is the same bytes.
//!
//! Deliberately absent: who says what when. That is `coordinator/conductor.rs` and `agent/session.rs`.

pub mod convert;
pub mod message;

pub use convert::WireProblem;
pub use message::{FromAgent, FromCoordinator};

/// Generated from `rehearsal.proto`. Only [`convert`] looks inside these types; the service and the session name
/// the two outer messages and convert them on the spot.
#[expect(missing_docs, clippy::pedantic, clippy::nursery, reason = "generated code; message.rs documents each word")]
#[allow(unreachable_pub, unused_qualifications, elided_lifetimes_in_paths, reason = "generated code")]
pub mod wire {
    tonic::include_proto!("voteburst.v1");
}

/// The largest message an agent may send, in bytes. A fate is one byte per ticket and a proxy's tally at most some
/// 100 KB, so this holds millions of tickets. tonic's own limit of 4 MiB on the reader's side would cut a large
/// last snapshot off only after the burst, when nothing can be done about it any more.
pub const MOST_AGENT_BYTES: usize = 16 << 20;

/// The largest message a coordinator may send, in bytes: a scenario with its traces of arrivals written out.
pub const MOST_COORDINATOR_BYTES: usize = 64 << 20;
