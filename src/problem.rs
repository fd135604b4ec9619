//! What ends the command without a result.

use std::fmt;
use std::process::ExitCode;

use voteburst_burst::scenario::ScenarioProblem;

use crate::annotate::Spot;

/// One clear message for the user: what was found, what is needed, how to fix it.
#[derive(Debug)]
pub(crate) struct Problem {
    message: String,
    code: u8,
    spot: Option<Spot>,
}

impl Problem {
    /// The command line, the scenario or this machine does not allow what was asked for; nothing was started.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2, spot: None }
    }

    /// A scenario that cannot be played.
    pub(crate) fn of_scenario(problem: &ScenarioProblem) -> Self {
        let spot = Spot { file: problem.file.clone(), line: problem.line, column: problem.column };
        Self { spot: Some(spot), ..Self::usage(problem) }
    }

    /// Where in a file it stands, for those that do.
    pub(crate) fn spot(&self) -> Option<&Spot> {
        self.spot.as_ref()
    }

    /// Something broke on the way: what there is proves nothing.
    pub(crate) fn unknown(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 3, spot: None }
    }

    /// Whether nothing was started.
    pub(crate) fn is_usage(&self) -> bool {
        self.code == 2
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
