//! What the program tells of itself, beside results and progress: lines of `tracing` on standard error.

use std::io;

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;

use crate::cli::{LogFormat, Logging};
use crate::say;

/// The variable that names what is logged, where no `-v` does.
const FILTER: &str = "VOTEBURST_LOG";

/// Starts logging for the rest of the process.
pub(crate) fn start(logging: Logging) {
    let asked = match logging.verbose {
        0 => EnvFilter::try_from_env(FILTER).ok(),
        level => Some(level_of(level).into()),
    };
    let builder = tracing_subscriber::fmt()
        .with_writer(|| say::Log)
        .with_ansi(coloured())
        .with_env_filter(asked.unwrap_or_else(|| level_of(0).into()));
    match logging.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().with_ansi(false).init(),
    }
}

fn level_of(verbose: u8) -> &'static str {
    match verbose {
        0 => "error",
        1 => "info",
        2 => "debug",
        _ => "trace",
    }
}

/// Whether standard error takes colours, by the rules that help and usage errors follow too: `NO_COLOR`, `CLICOLOR_FORCE`,
/// `CLICOLOR` (<https://no-color.org>, <https://bixense.com/clicolors>), and then whether it is a terminal.
pub(crate) fn coloured() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// The words with which an agent that is started here logs as this process does.
pub(crate) fn words(logging: Logging) -> Vec<String> {
    let levels = (0..logging.verbose).map(|_| "-v".to_owned());
    let format = match logging.log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    levels.chain([format!("--log-format={format}")]).collect()
}
