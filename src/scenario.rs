//! Reading a scenario file with the command line's overrides.

use std::fs;
use std::path::Path;

use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::{Draft, Scenario};
use voteburst_burst::zone::ZonePolicy;

use crate::problem::Problem;

/// A scenario file is text that people write; anything larger is a mistake.
const MOST_BYTES: u64 = 4 << 20;

/// What the command line says in place of the scenario.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) viewers: Option<u32>,
    pub(crate) seed: Option<u32>,
    pub(crate) zone: Option<ZonePolicy>,
}

/// A scenario as written, ready to become plans.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) text: String,
    draft: Draft,
    folder: std::path::PathBuf,
}

impl Source {
    pub(crate) fn read(file: &Path) -> Result<Self, Problem> {
        let refuse = |why: String| {
            Problem::usage(format!(
                "{}: {why}\n  needed: a scenario file\n  fix:    give the path of one, such as scenarios/show.toml",
                file.display()
            ))
        };
        let size = fs::metadata(file).map_err(|error| refuse(error.to_string()))?.len();
        if size > MOST_BYTES {
            return Err(refuse(format!("{size} bytes, more than {MOST_BYTES}")));
        }
        let bytes = fs::read(file).map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| refuse(format!("no UTF-8 text from byte {}", error.utf8_error().valid_up_to())))?;
        let draft = Draft::read(&text, &file.display().to_string()).map_err(|problem| Problem::of_scenario(&problem))?;
        let folder = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
        Ok(Self { text, draft, folder })
    }

    pub(crate) fn plan(&self, overrides: Overrides) -> Result<Plan, Problem> {
        let mut draft = self.draft.clone();
        if let Some(viewers) = overrides.viewers {
            draft = draft.with_viewers(viewers);
        }
        if let Some(seed) = overrides.seed {
            draft = draft.with_seed(seed);
        }
        if let Some(zone) = overrides.zone {
            draft = draft.with_zone(zone);
        }
        let scenario = self.resolve(draft)?;
        if overrides.zone.is_some() && scenario.stage.is_none() {
            return Err(Problem::usage(
                "--zone: found a scenario without [stage]\n  needed: a stage, whose zone can be chosen\n  fix:    leave --zone out: a live name answers as it does",
            ));
        }
        Ok(Plan::new(scenario))
    }

    /// The words as written, for overrides of one command alone.
    pub(crate) fn draft(&self) -> Draft {
        self.draft.clone()
    }

    /// Gives a draft of this scenario its meaning; other files are looked for beside it.
    pub(crate) fn resolve(&self, draft: Draft) -> Result<Scenario, Problem> {
        draft.resolve(&|path| fs::read_to_string(self.folder.join(path))).map_err(|problem| Problem::of_scenario(&problem))
    }
}
