//! Who conducts: the coordinator gathers agents, commits T0, merges snapshots and reports.
