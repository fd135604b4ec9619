//! Who conducts: the coordinator gathers agents, commits T0, collects what they count and keeps it.
//!
//! In reading order: [`conductor`] (a pure state machine that decides), [`conduct`] (the loop that feeds it and does what it
//! says), `service` (gRPC, translates only), [`roster`] and [`trust`] (who is who, and who may take part), [`collect`] (the
//! newest snapshot of each agent), [`record`] and [`journal`] (what is kept of a run), [`progress`] and
//! [`live`] (what is seen while it goes on).
//!
//! Deliberately absent: a way to change the plan during the burst. Agents need nothing from here between T0 and its end.

pub mod clock;
pub mod collect;
pub mod conduct;
pub mod conductor;
pub mod journal;
pub mod live;
pub mod progress;
pub mod record;
pub mod report;
pub mod roster;
mod service;
pub mod trust;

pub use conduct::{ConductProblem, Conducted, Setup, WorldInfo, conduct};
pub use service::{BindProblem, Bound, bind};
