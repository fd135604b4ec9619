//! The file of ballots in a run directory: what the ballot box counted, for the ledger.
//!
//! All numbers little-endian. Header of 16 bytes: the letters `VBCOUNTS`, number of records u64. Then the records,
//! 28 bytes each: ticket u64, question u16, choice u16, receipts u32, counted u32, first counted i64 in nanoseconds
//! after T0. Binary, for a show has some hundred thousand of them.

use voteburst_burst::ledger::Ballot;

const MAGIC: &[u8; 8] = b"VBCOUNTS";
const HEADER_BYTES: usize = 16;
const RECORD_BYTES: usize = 28;

pub(super) fn to_bytes(ballots: &[Ballot]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + ballots.len() * RECORD_BYTES);
    bytes.extend(MAGIC);
    bytes.extend((ballots.len() as u64).to_le_bytes());
    for ballot in ballots {
        bytes.extend(ballot.ticket.to_le_bytes());
        bytes.extend(ballot.question.to_le_bytes());
        bytes.extend(ballot.choice.to_le_bytes());
        bytes.extend(ballot.receipts.to_le_bytes());
        bytes.extend(ballot.counted.to_le_bytes());
        bytes.extend(ballot.first_counted_ns.to_le_bytes());
    }
    bytes
}

/// What is wrong is told in words that continue "needed a file of ballots, found …".
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Vec<Ballot>, String> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(format!("{} bytes", bytes.len()));
    };
    if header[..8] != MAGIC[..] {
        return Err("another kind of file".to_owned());
    }
    let (records, torn) = rest.as_chunks::<RECORD_BYTES>();
    let promised = u64::from_le_bytes(part(header, 8));
    if !torn.is_empty() || records.len() as u64 != promised {
        return Err(format!("{} bytes of records where its header promises {promised} of {RECORD_BYTES} each", rest.len()));
    }
    Ok(records.iter().map(ballot).collect())
}

fn ballot(record: &[u8; RECORD_BYTES]) -> Ballot {
    Ballot {
        ticket: u64::from_le_bytes(part(record, 0)),
        question: u16::from_le_bytes(part(record, 8)),
        choice: u16::from_le_bytes(part(record, 10)),
        receipts: u32::from_le_bytes(part(record, 12)),
        counted: u32::from_le_bytes(part(record, 16)),
        first_counted_ns: i64::from_le_bytes(part(record, 20)),
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballots() -> Vec<Ballot> {
        let ballot =
            |ticket, first_counted_ns| Ballot { ticket, question: 1, choice: 2, receipts: 4, counted: 3, first_counted_ns };
        vec![ballot(0, -5), ballot(u64::MAX, i64::MAX)]
    }

    #[test]
    fn ballots_survive_being_written_and_read() {
        assert_eq!(from_bytes(&to_bytes(&ballots())), Ok(ballots()));
        assert_eq!(from_bytes(&to_bytes(&[])), Ok(Vec::new()));
    }

    #[test]
    fn a_file_cut_short_or_of_another_kind_is_refused() {
        let whole = to_bytes(&ballots());
        for length in 0..whole.len() {
            assert!(from_bytes(&whole[..length]).is_err(), "{length} bytes");
        }
        let mut other = whole;
        other[0] = b'X';
        assert_eq!(from_bytes(&other), Err("another kind of file".to_owned()));
    }
}
