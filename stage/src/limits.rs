//! How many worker processes a stage needs, given how many files one process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::StageError;

/// Descriptors of a worker that are no connections: standard streams, runtime, ballots file, and some to spare.
const SPARE: u64 = 64;
/// One connection in sixteen more than there are viewers: a viewer who gave up and came back holds two until the
/// proxy has worked off the vote on the first.
const OVERLAP: u64 = 16;

/// Raises this process's soft limit of open files to the hard one, which its children inherit, and returns it.
///
/// `u64::MAX` stands for no limit. A system that refuses leaves the limit as it was: then that one counts.
pub(crate) fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

/// How many proxies one worker may hold, so that it never lacks descriptors.
///
/// Made for the case of single-A answers: *all* viewers may come to any one proxy, hence to any one worker.
///
/// # Errors
/// [`StageError::OpenFiles`] if not even one proxy fits.
pub(crate) fn proxies_per_worker(proxies: u16, connection_limit: u32, viewers: u32, open_files: u64) -> Result<u16, StageError> {
    let viewers = u64::from(viewers);
    let come = viewers + viewers.div_ceil(OVERLAP);
    let need = |proxies: u16| come.min(u64::from(proxies) * u64::from(connection_limit)) + u64::from(proxies) + SPARE;
    (1..=proxies.max(1)).rev().find(|&proxies| need(proxies) <= open_files).ok_or_else(|| StageError::OpenFiles {
        limit: open_files,
        fits: open_files.saturating_sub(SPARE + 1) * OVERLAP / (OVERLAP + 1),
        viewers,
        needed: need(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_share_a_worker_as_long_as_all_viewers_fit_into_it() {
        for (proxies, connection_limit, viewers, open_files, wanted, why) in [
            (4, 65_000, 10_000, 20_000, Some(4), "all viewers fit, wherever they go"),
            (4, 65_000, 18_700, 20_000, Some(4), "19,869 + 4 + 64 just fit"),
            (4, 65_000, 18_762, 20_000, Some(1), "19,935 fit beside one listener, not beside two"),
            (4, 65_000, 20_000, 20_000, None, "not even one proxy fits"),
            (15, 4_000, 300_000, 20_000, Some(4), "the connection limit bounds what comes"),
            (15, 19_936, 300_000, 20_000, None, "one descriptor short"),
            (15, 19_935, 300_000, 20_000, Some(1), "and just enough"),
            (3, 10, 0, u64::MAX, Some(3), "no limit, nobody"),
            (1, 10, 10, 0, None, "no files at all"),
        ] {
            let found = proxies_per_worker(proxies, connection_limit, viewers, open_files).ok();
            assert_eq!(found, wanted, "{why}");
        }
    }

    #[test]
    fn the_refusal_says_how_many_fit_and_that_many_do_fit() {
        let error = proxies_per_worker(4, 65_000, 300_000, 20_000).unwrap_err();
        let StageError::OpenFiles { fits, needed, .. } = error else { panic!("{error}") };
        assert!(proxies_per_worker(1, 65_000, u32::try_from(fits).unwrap(), 20_000).is_ok(), "{fits} fit");
        assert!(proxies_per_worker(1, 65_000, 300_000, needed).is_ok(), "{needed} is enough");
        assert!(proxies_per_worker(1, 65_000, 300_000, needed - 1).is_err(), "{needed} is needed");
        let text = error.to_string();
        assert!(text.contains(&fits.to_string()) && text.contains(&format!("ulimit -Hn {needed}")), "{text}");
    }
}
