//! Random bytes, by getrandom(2).

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Unpredictable bytes. Waits until the kernel has gathered enough entropy.
pub fn bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    let mut filled = 0;
    while filled < COUNT {
        filled += match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Err(rustix::io::Errno::INTR) => 0,
            got => got?,
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn they_differ() {
        let two = (super::bytes::<64>().expect("random"), super::bytes::<64>().expect("random"));
        assert_ne!(two.0, two.1);
    }
}
