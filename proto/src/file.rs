//! A word of an agent as the bytes of a file: what came over the wire is what is kept.

use prost::Message as _;

use crate::{FromAgent, WireProblem, wire};

/// The bytes of a word.
#[must_use]
pub fn to_bytes(message: FromAgent) -> Vec<u8> {
    wire::AgentMessage::from(message).encode_to_vec()
}

/// The word in these bytes.
///
/// # Errors
/// When the bytes are none, or when the word would be refused on the wire as well.
pub fn from_bytes(bytes: &[u8]) -> Result<FromAgent, WireProblem> {
    wire::AgentMessage::decode(bytes).map_err(|error| WireProblem::Undecodable(error.to_string()))?.try_into()
}
