//! The shim that makes a process of Node.js look like the primary of `node:cluster`.

/// The file that the primary process ([`Program::primary`](super::Program::primary)) loads before its own code.
pub(crate) const PRIMARY_SHIM: &str = include_str!("primary.js");

#[cfg(test)]
mod tests {
    use super::PRIMARY_SHIM;

    #[test]
    fn the_file_stays_small() {
        assert!(PRIMARY_SHIM.lines().count() <= 250, "it is code that users have to trust");
    }
}
