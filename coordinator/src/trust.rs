//! Who may take part: the join token, and where the coordinator may listen without one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The least length of a token: 128 bits, which nobody guesses over a network.
pub const LEAST_TOKEN_BYTES: usize = 16;
/// The greatest: a file that is longer is no token but a mistake.
const MOST_TOKEN_BYTES: usize = 4_096;

/// The secret that agents show when they join. Kept as its digest only.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    digest: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why agents cannot be trusted as things stand.
#[derive(Debug, thiserror::Error)]
pub enum TrustProblem {
    /// The file cannot be read.
    #[error("the token file {} cannot be read: {source}; needed a readable file with at least {LEAST_TOKEN_BYTES} bytes", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The token is too short or too long to be one.
    #[error(
        "the token holds {found} bytes: needed {LEAST_TOKEN_BYTES} to {MOST_TOKEN_BYTES}; make one with `head -c 32 /dev/urandom | base64`"
    )]
    Length {
        /// Its length, white space at the ends left out.
        found: usize,
    },
    /// Others than this machine could join without showing anything.
    #[error(
        "listening on {0} without a token would let anyone who reaches it command agents: give --token-file, or listen on 127.0.0.1"
    )]
    OpenListener(SocketAddr),
}

impl Token {
    /// A token from its text; white space at the ends does not count.
    ///
    /// # Errors
    /// When it is too short to be a secret or too long to be a token.
    pub fn new(text: &str) -> Result<Self, TrustProblem> {
        let text = text.trim();
        if !(LEAST_TOKEN_BYTES..=MOST_TOKEN_BYTES).contains(&text.len()) {
            return Err(TrustProblem::Length { found: text.len() });
        }
        Ok(Self { digest: digest(text) })
    }

    /// Reads a token file. Also tells whether others than its owner may read it, which deserves a warning.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token.
    pub fn read(file: &Path) -> Result<(Self, Exposed), TrustProblem> {
        let unreadable = |source| TrustProblem::Unreadable { file: file.to_owned(), source };
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).map_err(unreadable)?.permissions());
        Ok((Self::new(&text)?, Exposed(mode & 0o077 != 0)))
    }

    /// Whether an agent showed this token. Takes the same time wherever the first difference lies: what is compared
    /// are digests, and all of their bytes.
    #[must_use]
    pub fn matches(&self, shown: &str) -> bool {
        let difference = digest(shown.trim()).iter().zip(self.digest).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

/// Whether a token file can be read by others than its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposed(pub bool);

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Refuses to listen where others than this machine could join without a token.
///
/// # Errors
/// When the address is not a loopback one and there is no token.
pub fn check_listener(listen: SocketAddr, token: Option<&Token>) -> Result<(), TrustProblem> {
    if token.is_none() && !listen.ip().is_loopback() {
        return Err(TrustProblem::OpenListener(listen));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_same_token_matches_and_white_space_at_its_ends_does_not_count() {
        let token = Token::new("correct horse battery\n").unwrap();
        assert!(token.matches("correct horse battery"));
        for wrong in ["", "correct horse batter", "correct horse battery!", "Correct horse battery"] {
            assert!(!token.matches(wrong), "{wrong}");
        }
    }

    #[test]
    fn tokens_that_can_be_guessed_are_refused() {
        for (text, found) in [("", 0), ("fifteen bytes..", 15), ("   \n", 0)] {
            assert!(matches!(Token::new(text), Err(TrustProblem::Length { found: length }) if length == found), "{text:?}");
        }
    }

    #[test]
    fn a_token_never_shows_in_debug_output() {
        let token = Token::new("canary-canary-canary").unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_file_that_others_may_read_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        for (mode, exposed) in [(0o600, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Token::read(&file).unwrap().1, Exposed(exposed), "{mode:o}");
        }
        let missing = Token::read(&dir.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none") && missing.contains("needed a readable file"), "{missing}");
    }

    #[test]
    fn only_loopback_may_listen_without_a_token() {
        let token = Token::new("0123456789abcdef").unwrap();
        for (listen, open) in [
            ("127.0.0.1:0", true),
            ("127.9.9.9:1", true),
            ("[::1]:0", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("192.0.2.1:9", false),
        ] {
            let listen = listen.parse().unwrap();
            assert_eq!(check_listener(listen, None).is_ok(), open, "{listen}");
            assert!(check_listener(listen, Some(&token)).is_ok());
        }
    }
}
