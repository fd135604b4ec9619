//! What several worker processes of one proxy share: a fixed number of tokens in a named pipe.
//!
//! A limit of a proxy is one limit, however many processes the file limit makes it take. Whoever takes a token out of the
//! pipe may use what it stands for, and puts it back afterwards. The kernel hands out tokens first in, first out, and
//! each to one reader only (pipe(7): reads and writes of up to PIPE_BUF bytes are atomic), so no process has to lead.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio::net::unix::pipe;

/// Bytes of a token: the number of what it stands for, little-endian.
const TOKEN: usize = 2;
/// A page. A pipe is a ring of pages: one that is partly read takes no more bytes, so tokens that go round may lie on a page
/// at each end beside those they fill.
const PAGE: usize = 4_096;
/// The most tokens that fit into a pipe without privileges (pipe(7), `/proc/sys/fs/pipe-max-size`: 1 MiB by default).
pub(crate) const MOST: u32 = ((1 << 20) - 2 * PAGE as u32) / TOKEN as u32;

/// Tokens that processes share.
#[derive(Debug)]
pub(crate) struct Tokens {
    path: PathBuf,
    pipe: OwnedFd,
    total: u32,
}

/// Makes a pipe at `path` that holds these tokens.
///
/// The pipe lasts, with what is in it, as long as somebody has it open: keep what is returned until the last process is gone.
///
/// # Errors
/// What the system said; more than [`MOST`] tokens do not fit.
pub(crate) fn make(path: &Path, tokens: impl ExactSizeIterator<Item = u16>) -> io::Result<OwnedFd> {
    let bytes: Vec<u8> = tokens.flat_map(u16::to_le_bytes).collect();
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let pipe = open(path)?;
    rustix::pipe::fcntl_setpipe_size(&pipe, bytes.len() + 2 * PAGE)?;
    if rustix::io::write(&pipe, &bytes)? < bytes.len() {
        return Err(io::Error::other(format!("a pipe took less than {} bytes", bytes.len())));
    }
    Ok(pipe)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    // For reading and writing: so nobody waits for anybody else to open it (fifo(7), Linux), and it never ends.
    Ok(rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

impl Tokens {
    /// Joins those who share the `total` tokens at `path`.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn join(path: &Path, total: u32) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), pipe: open(path)?, total })
    }

    /// Takes a token if one is there.
    pub(crate) fn try_take(&self) -> Option<u16> {
        let mut token = [0; TOKEN];
        // The only failures are an empty pipe and a signal: no token either way.
        (rustix::io::read(&self.pipe, &mut token) == Ok(TOKEN)).then(|| u16::from_le_bytes(token))
    }

    /// Takes a token, waiting for one if need be. Nothing is lost when this is dropped early.
    ///
    /// # Errors
    /// What the system said, such as that no further file may be opened.
    pub(crate) async fn take(&self) -> io::Result<u16> {
        if let Some(token) = self.try_take() {
            return Ok(token);
        }
        // Opened for as long as somebody waits: it would wake this process for every token that anybody puts back.
        let waiting = pipe::OpenOptions::new().read_write(true).open_receiver(&self.path)?;
        loop {
            waiting.readable().await?;
            let mut token = [0; TOKEN];
            match waiting.try_read(&mut token) {
                Ok(_) => return Ok(u16::from_le_bytes(token)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a token back.
    pub(crate) fn put(&self, token: u16) {
        while let Err(error) = rustix::io::write(&self.pipe, &token.to_le_bytes()) {
            if error != Errno::INTR {
                // The pipe has room for all tokens, so this tells of one that was put back twice.
                tracing::error!(%error, token, "a token of the stage is lost: its limits are lower from now on");
                return;
            }
        }
    }

    /// How many tokens are taken now, by whomever.
    pub(crate) fn taken(&self) -> u32 {
        let bytes = rustix::io::ioctl_fionread(&self.pipe).unwrap_or_default();
        self.total.saturating_sub(u32::try_from(bytes / TOKEN as u64).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn pair(tokens: std::ops::Range<u16>) -> (tempfile::TempDir, OwnedFd, [Tokens; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let total = tokens.len() as u32;
        let kept = make(&path, tokens).unwrap();
        let join = || Tokens::join(&path, total).unwrap();
        (dir, kept, [join(), join()])
    }

    #[test]
    fn a_token_is_taken_by_one_of_those_who_share_it_and_comes_back_to_all() {
        let (_dir, _kept, [one, other]) = pair(7..9);
        assert_eq!((one.try_take(), other.try_take(), one.try_take()), (Some(7), Some(8), None));
        assert_eq!((one.taken(), other.taken()), (2, 2));
        one.put(7);
        assert_eq!((other.try_take(), other.taken()), (Some(7), 2));
    }

    #[tokio::test]
    async fn who_waits_gets_what_another_puts_back_and_nothing_is_lost_when_waiting_is_given_up() {
        let (_dir, _kept, [one, other]) = pair(1..2);
        assert_eq!(one.take().await.unwrap(), 1);
        assert!(other.take().now_or_never().is_none(), "none is left");
        let waiting = tokio::spawn(async move { other.take().await });
        tokio::task::yield_now().await;
        one.put(1);
        assert_eq!(waiting.await.unwrap().unwrap(), 1);
        assert_eq!(one.taken(), 1);
    }

    #[test]
    fn tokens_may_go_round_for_ever() {
        for count in [2_u16, 2_047, 2_048, 2_049, 6_000] {
            let (_dir, _kept, [one, other]) = pair(0..count);
            for turn in 0..20_000_u32 {
                let expected = turn % u32::from(count);
                let token = one.try_take().unwrap();
                assert_eq!(u32::from(token), expected, "turn {turn} of {count}");
                other.put(token);
            }
            assert_eq!(one.taken(), 0, "none of {count} is lost");
        }
    }

    #[test]
    fn as_many_tokens_as_promised_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let _kept = make(&path, vec![0; MOST as usize].into_iter()).unwrap();
        let tokens = Tokens::join(&path, MOST).unwrap();
        assert_eq!((tokens.taken(), tokens.try_take(), tokens.taken()), (0, Some(0), 1));
    }
}
