//! Names of machines and clusters.

/// The longest, in bytes.
pub(crate) const LONGEST_NAME: usize = 64;

/// Whether a machine or a cluster may have this name: it stands in logs and between `/` and `#`.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(allowed)
}
