//! Tests of the whole: the real command and real processes over loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]

mod agents;
mod baseline;
mod calibrate;
mod ci;
mod clients;
mod dns_in_runs;
mod fixture;
mod forecast;
mod formats;
mod https;
mod interrupts;
mod kit;
mod limits;
mod machine;
mod metrics;
mod names;
mod otlp;
mod precedence;
mod preflight;
mod reading;
mod real_haproxy;
mod real_limits;
mod refusals;
mod rehearsal;
mod resolvers;
mod scenario;
mod services;
mod targets;
mod tidy;
mod view;
