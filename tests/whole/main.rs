//! Tests of the whole: the real command and real processes over loopback.

mod fixture;
mod refusals;
mod scenario;
