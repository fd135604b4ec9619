//! How many worker processes a stage needs, given how many files one process may have open.
//!
//! Either a worker holds several proxies, or, where the viewers of one proxy do not fit into a process, all workers share all
//! proxies and the kernel spreads their connections over them (SO_REUSEPORT, socket(7)). Then there are as many workers as
//! viewers need, wherever these go: each process more is one more that every vote may have to wake.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::StageError;

/// Descriptors of a worker that are no connections: standard streams, runtime, ballots file, and some to spare.
const SPARE: u64 = 64;
/// Descriptors of a worker for each proxy that it shares: the listener, a client it may not admit yet, and the two pipes of
/// tokens, each of which is opened once more while somebody waits for it.
const PER_SHARED_PROXY: u64 = 6;
/// One connection in sixteen more than there are viewers: a viewer who gave up and came back holds two until the
/// proxy has worked off the vote on the first.
const OVERLAP: u64 = 16;
/// The most worker processes of one stage.
pub(crate) const MOST_WORKERS: u64 = 400;

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

/// How proxies and worker processes go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crewing {
    /// Each worker holds so many proxies alone.
    Apart(u16),
    /// So many workers share all proxies.
    Shared(u16),
}

/// How many proxies one worker holds or how many workers share them all, so that none ever lacks descriptors.
///
/// Made for the case of single-A answers: *all* viewers may come to any one proxy.
///
/// # Errors
/// [`StageError::OpenFiles`] if more than [`MOST_WORKERS`] processes would be needed.
pub(crate) fn crewing(proxies: u16, connection_limit: u32, viewers: u32, open_files: u64) -> Result<Crewing, StageError> {
    let proxies = proxies.max(1);
    let held = |proxies: u16, viewers: u32| come(viewers).min(u64::from(proxies) * u64::from(connection_limit));
    let need = |proxies: u16| held(proxies, viewers) + u64::from(proxies) + SPARE;
    if let Some(apart) = (1..=proxies).rev().find(|&each| need(each) <= open_files) {
        return Ok(Crewing::Apart(apart));
    }
    let part = |viewers: u32, workers: u64| part(held(proxies, viewers), workers) + u64::from(proxies) * PER_SHARED_PROXY + SPARE;
    let workers = (2..=MOST_WORKERS).find(|&workers| part(viewers, workers) <= open_files);
    workers.and_then(|workers| u16::try_from(workers).ok()).map(Crewing::Shared).ok_or_else(|| StageError::OpenFiles {
        limit: open_files,
        fits: most_that_fit(viewers, |viewers| part(viewers, MOST_WORKERS) <= open_files),
        viewers: u64::from(viewers),
        needed: part(viewers, MOST_WORKERS),
        workers: MOST_WORKERS,
    })
}

/// The largest number below `limit` for which `fits` holds, which holds for all that are smaller.
fn most_that_fit(limit: u32, fits: impl Fn(u32) -> bool) -> u64 {
    let (mut low, mut high) = (0, limit);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    u64::from(low)
}

/// Connections that so many viewers have at once at most.
pub(crate) fn come(viewers: u32) -> u64 {
    u64::from(viewers) + u64::from(viewers).div_ceil(OVERLAP)
}

/// Connections that one of several workers holds at most.
///
/// The kernel chooses among the workers by a hash: an even share, and five standard deviations of the binomial
/// distribution beside it, so that of a million stages not one lacks a descriptor.
fn part(connections: u64, workers: u64) -> u64 {
    let even = connections.div_ceil(workers);
    (even + 5 * (even.isqrt() + 1)).min(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_share_a_worker_as_long_as_all_viewers_fit_and_workers_share_a_proxy_where_they_do_not() {
        for (proxies, connection_limit, viewers, open_files, wanted, why) in [
            (4, 65_000, 10_000, 20_000, Some(Crewing::Apart(4)), "all viewers fit, wherever they go"),
            (4, 65_000, 18_700, 20_000, Some(Crewing::Apart(4)), "19,869 + 4 + 64 just fit"),
            (4, 65_000, 18_762, 20_000, Some(Crewing::Apart(1)), "19,935 fit beside one listener, not beside two"),
            (4, 65_000, 20_000, 20_000, Some(Crewing::Shared(2)), "two processes hold what may come to one proxy"),
            (15, 4_000, 300_000, 20_000, Some(Crewing::Apart(4)), "the connection limit bounds what comes"),
            (15, 19_935, 300_000, 20_000, Some(Crewing::Apart(1)), "and just enough"),
            (15, 19_936, 300_000, 20_000, Some(Crewing::Shared(16)), "one descriptor short: 18,690 each, and 685 by chance"),
            (15, 65_000, 300_000, 20_000, Some(Crewing::Shared(17)), "18,750 each, and 685 by chance"),
            (3, 10, 0, u64::MAX, Some(Crewing::Apart(3)), "no limit, nobody"),
            (1, 10, 10, 0, None, "no files at all"),
            (100, 300_000, 300_000, 1_000, None, "of 600 descriptors for shared proxies alone"),
        ] {
            let found = crewing(proxies, connection_limit, viewers, open_files).ok();
            assert_eq!(found, wanted, "{why}");
        }
    }

    #[test]
    fn the_refusal_says_how_many_fit_and_that_many_do_fit() {
        let error = crewing(100, 300_000, 300_000, 1_000).unwrap_err();
        let StageError::OpenFiles { fits, needed, .. } = error else { panic!("{error}") };
        assert!(crewing(100, 300_000, u32::try_from(fits).unwrap(), 1_000).is_ok(), "{fits} fit");
        assert!(crewing(100, 300_000, 300_000, needed).is_ok(), "{needed} is enough");
        assert!(crewing(100, 300_000, 300_000, needed - 1).is_err(), "{needed} is needed");
        let text = error.to_string();
        assert!(text.contains(&fits.to_string()) && text.contains(&format!("ulimit -Hn {needed}")), "{text}");
    }
}
