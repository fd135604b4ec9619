//! A rehearsal while it goes on, over HTTP: `/` is a page for people, `/events` what it is fed with, `/metrics` for Prometheus; and pushed to
//! StatsD and as OTLP.
//!
//! Read [`hub`] (what is kept of the runs), then [`metrics`] (names and values), [`text`] (how Prometheus reads them) and
//! [`server`]. Nobody who reads holds a rehearsal back: the hub takes the newest value of a watch channel, each reader asks the
//! hub for what it has not seen, and a reader that is slow gets the newest value later.

pub mod hub;
pub mod metrics;
pub mod otlp;
pub mod server;
pub mod statsd;
pub mod text;

pub use hub::Hub;
pub use otlp::{Otlp, OtlpProblem, Receiver, RunTrace};
pub use server::{Access, Served, WebProblem};
pub use statsd::{Statsd, Tags};
