//! The command `voteburst`.
fn main() {}
