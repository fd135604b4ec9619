//! What a vote burst is: pure rules, without I/O, async, clock reads or global randomness.
//!
//! In reading order, from what a user writes to what a rehearsal says:
//! [`scenario`] (the words and their meaning), [`schedule`] and [`draw`] (when, and by which chance), [`plan`] (what exactly
//! will happen), [`zone`], [`cache`] and [`phone`] (the three layers of DNS), [`clock`] (one clock for the fleet), [`ballot`],
//! [`outcome`] and [`tally`] (what happened), [`skew`], [`ledger`], [`generator`], [`expect`], [`verdict`] and [`spread`] (what it means).
//! Beside that way stands [`observe`]: what a name of the real world does.
//!
//! Deliberately absent: sockets, files, tasks, the time of day. Every function here gives the same answer for the same
//! arguments, which is what lets a fleet agree on a plan and a test play a minute in a millisecond.

pub mod ballot;
pub mod cache;
pub mod clock;
pub mod draw;
pub mod expect;
pub mod forecast;
pub mod generator;
pub mod ledger;
pub mod observe;
pub mod outcome;
pub mod phone;
pub mod plan;
pub mod scenario;
pub mod schedule;
pub mod skew;
pub mod spread;
pub mod tally;
pub mod verdict;
pub mod zone;
