//! What others read: a rehearsal's report in the formats of spreadsheets, build servers and chat.
//!
//! Every format is one file here and a pure function of what a run directory holds, so that the same directory gives the same
//! bytes again: [`tables`] (CSV), [`junit`] (a test case per limit and check), [`histograms`] (HdrHistogram's logs),
//! [`summary`] (Markdown), [`html`] (a page for people). [`assets`] is what pages carry; [`schema`] says what `report.json` itself may hold.
//!
//! Deliberately absent: figures of its own. What is published here is in `report.json` too, under the same names.

pub mod assets;
mod document;
#[cfg(test)]
mod fixture;
pub mod histograms;
pub mod html;
pub mod junit;
pub mod schema;
pub mod summary;
pub mod tables;

pub use document::{Document, of_comparison, of_run};
