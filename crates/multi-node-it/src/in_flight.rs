//! Descriptors that were sent and that nobody has received.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// As many in one message as the kernel takes (`SCM_MAX_FD`).
const AT_ONCE: usize = 253;

/// They are under way as long as this lives.
pub struct InFlight {
    _ends: (UnixStream, UnixStream),
}

impl InFlight {
    /// At least this number.
    pub fn new(count: usize) -> InFlight {
        let ends = UnixStream::pair().expect("a pair");
        let fds = vec![ends.0.as_fd(); AT_ONCE];
        for _ in 0..count.div_ceil(AT_ONCE) {
            let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)), "there is room for them");
            sendmsg(&ends.0, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("sent");
        }
        InFlight { _ends: ends }
    }
}
