//! Response times by second: cells in order, each told as its distance from the one before.

use voteburst_burst::tally::{MOST_SECONDS, RESPONSE_PLACES, ResponseSeconds};

use super::{WireProblem, at_most, malformed};
use crate::wire;

/// Cells of a second on the wire.
const ROW: u64 = 256;

pub(super) fn to_wire(response: &ResponseSeconds) -> Option<wire::ResponseSeconds> {
    let (mut message, mut last) = (wire::ResponseSeconds::default(), 0);
    for (second, place, count) in response.cells() {
        // The last cell there may be is number 3,600 × 256, and its place below 256.
        let cell = second * ROW as u32 + place as u32;
        message.step.push(cell - last);
        message.count.push(count);
        last = cell;
    }
    (!message.step.is_empty()).then_some(message)
}

/// Reads response times through, keeps nothing, and tells how many votes they are of.
pub(super) fn judge(message: Option<&wire::ResponseSeconds>) -> Result<u64, WireProblem> {
    let Some(message) = message else { return Ok(0) };
    if message.step.len() != message.count.len() {
        let [found, needed] = [message.count.len(), message.step.len()].map(|length| length as u64);
        return Err(WireProblem::Uneven { what: "cells of response times", found, needed });
    }
    let (mut cell, mut votes) = (0, 0);
    for (number, (step, count)) in message.step.iter().zip(&message.count).enumerate() {
        if *step == 0 && number > 0 {
            return Err(malformed("a cell of response times", "the one before", "cells in order, each of them once"));
        }
        if *count == 0 {
            // Empty cells would take room and hold nothing that a bound on votes could bound.
            return Err(malformed("a cell of response times", "empty", "cells with a vote in them"));
        }
        cell += u64::from(*step);
        at_most("second of a response time", (cell / ROW) as usize, MOST_SECONDS as usize - 1)?;
        at_most("place of a response time", (cell % ROW) as usize, RESPONSE_PLACES - 1)?;
        votes += u64::from(*count);
    }
    Ok(votes)
}

/// Tells every second, place and count that came over the wire; nothing when they are refused.
pub(super) fn cells(message: Option<&wire::ResponseSeconds>, mut add: impl FnMut(u32, usize, u32)) -> Result<(), WireProblem> {
    judge(message)?;
    let Some(message) = message else { return Ok(()) };
    let mut cell = 0;
    for (step, count) in message.step.iter().zip(&message.count) {
        cell += u64::from(*step);
        // Both fit, for they were judged.
        add((cell / ROW) as u32, (cell % ROW) as usize, *count);
    }
    Ok(())
}
