//! The disk that the run directory is on.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use super::Check;
use super::line::{line, size};

/// Room that a run needs on disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskNeeds {
    /// Without this the votes cannot be held against the ballot box.
    pub ballots: u64,
    /// Scenario, tallies of agents, reports: an estimate.
    pub others: u64,
}

/// Whether what a run leaves fits where it is kept. Of a directory that is not there yet, the nearest above it counts.
#[must_use]
pub fn disk(dir: &Path, needs: DiskNeeds) -> Check {
    let place = nearest(dir);
    let free = access(&place, Access::WRITE_OK | Access::EXEC_OK)
        .and_then(|()| statvfs(&place))
        .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
        .map_err(io::Error::from);
    judge(&place, free, needs)
}

fn nearest(dir: &Path) -> PathBuf {
    let above = dir.ancestors().find(|above| above.is_dir());
    above.filter(|above| !above.as_os_str().is_empty()).map_or_else(|| ".".into(), Path::to_owned)
}

fn judge(place: &Path, free: io::Result<u64>, needs: DiskNeeds) -> Check {
    let (what, all) = ("disk of the run", needs.ballots + needs.others);
    let needed = format!("{} ({} of them ballots)", size(all), size(needs.ballots));
    let fix = "make room there, or keep the run elsewhere (--out)";
    match free {
        Err(error) => line(what, format!("{}: {error}", place.display()), needed).bad(fix, "nothing can be kept of the run"),
        Ok(free) => {
            let line = line(what, format!("{} free in {}", size(free), place.display()), needed);
            if free < needs.ballots {
                line.bad(fix, "the ballots are lost, and without them the run proves nothing")
            } else if free < all {
                line.warning(fix, "a tally or the report may not fit, and then the run cannot be looked at later")
            } else {
                line.good()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use voteburst_proto::message::CheckStatus::{Bad, Good, Warning};

    use super::*;

    #[test]
    fn a_disk_is_judged_by_the_ballots_first() {
        let needs = DiskNeeds { ballots: 8_000_000, others: 1_000_000 };
        for (free, status) in [(0, Bad), (7_999_999, Bad), (8_000_000, Warning), (8_999_999, Warning), (9_000_000, Good)] {
            assert_eq!(judge(Path::new("/runs"), Ok(free), needs).status, status, "{free}");
        }
        let check = judge(Path::new("/runs"), Ok(1 << 20), needs);
        assert_eq!((check.found.as_str(), check.needed.as_str()), ("1 MiB free in /runs", "9 MiB (8 MiB of them ballots)"));
        assert!(check.fix.contains("--out") && check.effect.contains("ballots are lost"), "{check:?}");
        let check = judge(Path::new("/runs"), Err(io::ErrorKind::PermissionDenied.into()), needs);
        assert!(check.status == Bad && check.found == "/runs: permission denied", "{check:?}");
    }

    #[test]
    fn of_a_directory_that_is_not_there_the_nearest_above_counts() {
        assert_eq!(nearest(Path::new("/proc/none/of/this")), Path::new("/proc"));
        assert_eq!(nearest(Path::new("none/of/this")), Path::new("."));
        let check = disk(Path::new("/proc/none"), DiskNeeds { ballots: 1, others: 0 });
        assert_eq!(check.status, Bad, "no file can be made in /proc: {check:?}");
    }
}
