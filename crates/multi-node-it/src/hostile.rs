//! Nodes that were broken into: what they write to their control socket is nothing that the library would.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::plan::Fault;

/// Does what is laid, if anything is.
pub fn misbehave(faults: &Path) -> io::Result<()> {
    let way = [Fault::Garbage, Fault::Oversize, Fault::Descriptors, Fault::Flood, Fault::HangUp];
    let Some(fault) = way.into_iter().find(|fault| fault.is_laid(faults)) else { return Ok(()) };
    let result = speak(fault);
    // The master may have closed the socket already, as it should.
    eprintln!("hostile by {fault:?}: {result:?}");
    loop {
        std::thread::park();
    }
}

fn speak(fault: Fault) -> io::Result<()> {
    let mut master = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // It is made for a runtime.
    master.set_nonblocking(false)?;
    match fault {
        Fault::Garbage => master.write_all(&noise(64 * 1024)),
        Fault::Oversize => master.write_all(&[0xff, 0xff, 0xff, 0xff, 0]),
        Fault::Descriptors => descriptors(&master),
        Fault::Flood => flood(master),
        Fault::HangUp => Ok(rustix::stdio::dup2_stdin(File::open("/dev/null")?)?),
        _ => Ok(()),
    }
}

/// Bytes without sense, the same in each run; as a length they are within what is allowed.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    [0, 0, 1, 0, 0].into_iter().chain(std::iter::repeat_with(&mut byte)).take(length).collect()
}

/// A header that is never completed, and with each of its bytes as many descriptors as fit.
fn descriptors(master: &UnixStream) -> io::Result<()> {
    const MOST: usize = 253;
    let null = File::open("/dev/null")?;
    let fds = [null.as_fd(); MOST];
    for _ in 0..4 {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(master, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty())?;
    }
    Ok(())
}

/// `beat`, as a frame, again and again.
fn flood(mut master: UnixStream) -> io::Result<()> {
    let beats = b"\0\0\0\x05\0\xa4beat".repeat(1000);
    loop {
        master.write_all(&beats)?;
    }
}
