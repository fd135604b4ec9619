//! How a rehearsal is said between coordinator and agents: the wire messages and their conversion.
