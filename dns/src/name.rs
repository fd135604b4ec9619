//! Names as scenarios write them.

use hickory_proto::rr::Name;

/// A name that cannot be asked for or served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no DNS name: {why}; needed labels of 1 to 63 characters with dots between them, 255 in all")]
pub struct NotAName {
    /// What was given.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// The name as an absolute one, with or without its last dot.
pub(crate) fn absolute(name: &str) -> Result<Name, NotAName> {
    let refuse = |why: String| NotAName { name: name.into(), why };
    let mut parsed = Name::from_ascii(name).map_err(|error| refuse(error.to_string()))?;
    if parsed.is_root() || parsed.num_labels() == 0 {
        return Err(refuse("it has no label".into()));
    }
    parsed.set_fqdn(true);
    Ok(parsed)
}
