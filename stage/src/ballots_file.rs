//! The file in which a worker leaves its ballots for the parent.
//!
//! All numbers little-endian. Header of 32 bytes: the letters `VBBALLOT`, version u16 (1), record length u16 (28),
//! four bytes 0, run u64, number of records u64. Then the records, sorted by ticket:
//! ticket u64, question index u16, choice index u16, receipts u32, counted u32, first counted u64
//! (nanoseconds of `CLOCK_MONOTONIC`).

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::ballot::BallotRecord;

const MAGIC: &[u8; 8] = b"VBBALLOT";
const VERSION: u16 = 1;
const HEADER: usize = 32;
const RECORD: usize = 28;

/// Why a file of ballots could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BallotsFileError {
    /// The file system refused.
    #[error("{}: cannot {what} the stage's ballots: {source}; needed a readable and writable directory with {RECORD} bytes of room per ballot", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `write`.
        what: &'static str,
        /// What the file system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{}: {found}; needed a file of ballots of version {VERSION} from this run: run the rehearsal again", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
}

/// Writes the ballots of a run.
///
/// # Errors
/// [`BallotsFileError::Io`] if the file cannot be created or written in full.
pub fn write(path: &Path, run: u64, records: &[BallotRecord]) -> Result<(), BallotsFileError> {
    let put = || -> io::Result<()> {
        let mut file = BufWriter::new(fs::File::create(path)?);
        file.write_all(MAGIC)?;
        file.write_all(&VERSION.to_le_bytes())?;
        file.write_all(&(RECORD as u16).to_le_bytes())?;
        file.write_all(&[0; 4])?;
        file.write_all(&run.to_le_bytes())?;
        file.write_all(&(records.len() as u64).to_le_bytes())?;
        for record in records {
            file.write_all(&record.ticket.to_le_bytes())?;
            file.write_all(&record.question.to_le_bytes())?;
            file.write_all(&record.choice.to_le_bytes())?;
            file.write_all(&record.receipts.to_le_bytes())?;
            file.write_all(&record.counted.to_le_bytes())?;
            file.write_all(&record.first_counted_ns.to_le_bytes())?;
        }
        file.flush()
    };
    put().map_err(|source| BallotsFileError::Io { path: path.to_owned(), what: "write", source })
}

/// Reads the ballots of a run.
///
/// # Errors
/// [`BallotsFileError::Io`] if the file cannot be read, [`BallotsFileError::Content`] if it is no complete file of
/// ballots of this version and run.
pub fn read(path: &Path, run: u64) -> Result<Vec<BallotRecord>, BallotsFileError> {
    let bytes = fs::read(path).map_err(|source| BallotsFileError::Io { path: path.to_owned(), what: "read", source })?;
    let refuse = |found: String| BallotsFileError::Content { path: path.to_owned(), found };
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(refuse(format!("{} bytes are less than a header", bytes.len())));
    };
    if !header.starts_with(MAGIC) {
        return Err(refuse("no file of ballots".to_owned()));
    }
    let (version, length) = (number(&header[8..10]), number(&header[10..12]));
    if (version, length) != (u64::from(VERSION), RECORD as u64) {
        return Err(refuse(format!("version {version} with records of {length} bytes")));
    }
    let (found_run, count) = (number(&header[16..24]), number(&header[24..32]));
    if found_run != run {
        return Err(refuse(format!("ballots of run {found_run:016x}, not of {run:016x}")));
    }
    if count.checked_mul(RECORD as u64) != Some(body.len() as u64) {
        return Err(refuse(format!("{count} ballots announced, {} bytes of them found", body.len())));
    }
    Ok(body.chunks_exact(RECORD).map(record).collect())
}

fn record(bytes: &[u8]) -> BallotRecord {
    BallotRecord {
        ticket: number(&bytes[..8]),
        question: number(&bytes[8..10]) as u16,
        choice: number(&bytes[10..12]) as u16,
        receipts: number(&bytes[12..16]) as u32,
        counted: number(&bytes[16..20]) as u32,
        first_counted_ns: number(&bytes[20..28]),
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<BallotRecord> {
        let extreme = BallotRecord {
            ticket: u64::MAX,
            question: u16::MAX,
            choice: 7,
            receipts: u32::MAX,
            counted: 1,
            first_counted_ns: u64::MAX - 1,
        };
        let plain = BallotRecord { ticket: 1, question: 0, choice: 2, receipts: 3, counted: 4, first_counted_ns: 5 };
        vec![plain, extreme]
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ballots");
        for ballots in [records(), Vec::new()] {
            write(&path, 9, &ballots).unwrap();
            assert_eq!(read(&path, 9).unwrap(), ballots);
        }
    }

    #[test]
    fn anything_but_a_whole_file_of_this_run_is_refused_with_what_was_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ballots");
        write(&path, 9, &records()).unwrap();
        let whole = fs::read(&path).unwrap();
        let other_version = [&whole[..8], &[2, 0], &whole[10..]].concat();
        let endless = [&whole[..24], &[0xff; 8], &whole[32..]].concat();
        for (bytes, run, found) in [
            (&whole[..31], 9, "31 bytes are less than a header"),
            (&whole[..whole.len() - 1], 9, "2 ballots announced, 55 bytes"),
            (&whole[..], 8, "ballots of run 0000000000000009"),
            (&other_version[..], 9, "version 2"),
            (&endless[..], 9, "18446744073709551615 ballots announced"),
            (&[b'x'; 64][..], 9, "no file of ballots"),
        ] {
            fs::write(&path, bytes).unwrap();
            let text = read(&path, run).unwrap_err().to_string();
            assert!(text.contains(found), "{text}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone").join("ballots");
        assert!(write(&path, 9, &[]).unwrap_err().to_string().contains("gone/ballots: cannot write"));
        assert!(read(&path, 9).unwrap_err().to_string().contains("cannot read"));
    }
}
