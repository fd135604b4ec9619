//! Reading reports as other programs do: by their stable keys.

use serde_json::Value;

/// A report, asked by dotted paths such as `votes.accepted` or `agents.1.final`.
#[derive(Debug)]
pub(crate) struct Report(pub(crate) Value);

impl Report {
    /// What stands at this path; a key that is missing is a failure, `null` is not.
    #[track_caller]
    pub(crate) fn at(&self, path: &str) -> &Value {
        let pointer = format!("/{}", path.replace('.', "/"));
        self.0.pointer(&pointer).unwrap_or_else(|| panic!("no `{path}` in {:#}", self.0))
    }

    #[track_caller]
    pub(crate) fn count(&self, path: &str) -> u64 {
        self.at(path).as_u64().unwrap_or_else(|| panic!("`{path}` is {}, no count", self.at(path)))
    }

    #[track_caller]
    pub(crate) fn number(&self, path: &str) -> f64 {
        self.at(path).as_f64().unwrap_or_else(|| panic!("`{path}` is {}, no number", self.at(path)))
    }

    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or_else(|| panic!("`{path}` is {}, no text", self.at(path)))
    }

    #[track_caller]
    pub(crate) fn list(&self, path: &str) -> &[Value] {
        self.at(path).as_array().unwrap_or_else(|| panic!("`{path}` is {}, no list", self.at(path)))
    }

    /// The words of the reason with this code, if it is among the verdict's.
    pub(crate) fn reason(&self, code: &str) -> Option<&str> {
        let found = self.list("verdict.reasons").iter().find(|reason| reason["code"] == code);
        found.map(|reason| reason["text"].as_str().unwrap())
    }

    /// Failed attempts of this class, over all proxies.
    pub(crate) fn failures(&self, class: &str) -> u64 {
        self.list("proxies").iter().filter_map(|proxy| proxy["failures"][class].as_u64()).sum()
    }

    /// Asserts the verdict; on another one its reasons are shown.
    #[track_caller]
    pub(crate) fn is(&self, outcome: &str) -> &Self {
        assert_eq!(self.text("verdict.outcome"), outcome, "{:#}", self.at("verdict"));
        self
    }

    /// Asserts that every accepted vote was counted once and nothing else was.
    #[track_caller]
    pub(crate) fn balances(&self) -> &Self {
        let found = ["lost", "duplicated", "phantom", "miscounted"].map(|what| (what, self.count(&format!("ledger.{what}"))));
        assert!(found.iter().all(|(_, count)| *count == 0), "{found:?} in {:#}", self.at("ledger"));
        let fates = ["accepted", "refused", "unknown", "never_sent"].map(|fate| self.count(&format!("ledger.{fate}")));
        assert_eq!(fates.iter().sum::<u64>(), self.count("votes.planned"), "every vote has one fate: {:#}", self.at("ledger"));
        self
    }
}
