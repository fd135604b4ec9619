//! Tests of the whole: the real command and real processes over loopback.

mod fixture;
mod reading;
mod refusals;
mod rehearsal;
mod scenario;
