//! A master's state as its successor finds it: it begins with fields by which another release decides whether it can read it.

use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use multi_node_it::{Fault, Plan, Program, procfs, within};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Where what was left is written to, for the transcripts of the library's tests: `RECORD_TRANSCRIPTS=FOLDER`.
const RECORD: &str = "RECORD_TRANSCRIPTS";

/// Reads the state that waits on a process's standard input, without taking it from there.
fn waiting(pid: u32) -> Vec<u8> {
    let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("it lives");
    let stdin = pidfd_getfd(process, 0, PidfdGetfdFlags::empty()).expect("a process of ours");
    let state = File::from(first_descriptor(&stdin));
    let length = state.metadata().expect("a file").len();
    let mut bytes = vec![0; usize::try_from(length).expect("it fits")];
    state.read_exact_at(&mut bytes, 0).expect("a file");
    bytes
}

fn first_descriptor(socket: &OwnedFd) -> OwnedFd {
    let (mut byte, mut space) = ([0], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))]);
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::PEEK | RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags).expect("a state waits");
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(arrived) => Some(arrived),
        _ => None,
    });
    descriptors.next().and_then(|mut arrived| arrived.next()).expect("the state's descriptor")
}

/// A map, whose first field is the form, and whose second one what the writer does.
fn assert_begins_with_its_form(name: &str, state: &[u8]) {
    let fields = match state[0] {
        0xde => &state[3..],
        few => {
            assert_eq!(few & 0xf0, 0x80, "a map");
            &state[1..]
        }
    };
    assert!(fields.starts_with(b"\xa4form\x03\xaccapabilities"), "{:?}", &state[..40]);
    if let Some(folder) = std::env::var_os(RECORD) {
        std::fs::write(Path::new(&folder).join(format!("{name}.state")), state).expect("a folder");
    }
}

#[tokio::test]
async fn a_state_begins_with_its_form_and_capabilities() {
    within(60, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        Fault::StuckInTrial.lay(&program.faults());
        let command = program.send("upgrade").await;
        let call = format!("{}:preflight", program.pid);
        let tried = || procfs::with_variable("MULTI_NODE_UPGRADE", &call);
        program.until(|| !tried().is_empty()).await;
        let child = tried()[0];
        // It holds still until the fault is lifted.
        program.until(|| procfs::state(child) == Some('S')).await;
        assert_begins_with_its_form("preflight", &waiting(child));

        Fault::StuckAsSuccessor.lay(&program.faults());
        Fault::StuckInTrial.lift(&program.faults());
        program.logged("the master follows").await;
        let nodes = program.answering(2).await;
        program
            .until(|| std::fs::read_link(format!("/proc/{}/fd/0", program.pid)).is_ok_and(|link| is_socket(&link)))
            .await;
        assert_begins_with_its_form("resume", &waiting(program.pid));
        Fault::StuckAsSuccessor.lift(&program.faults());
        program.succeeded(command).await.expect("the new program takes over");
        program.at_rest().await;
        assert_eq!(program.answering(2).await, nodes, "it was only looked at");
        program.stop().await;
    })
    .await;
}

fn is_socket(link: &Path) -> bool {
    link.to_string_lossy().starts_with("socket:")
}
