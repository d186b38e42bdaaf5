//! What is known of other programs, as it travels to the next master.

use std::io;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use super::Attendance;
use super::attendance::{Ear, Signs};
use super::notify::NotifySocket;
use crate::id::{Generation, NodeId};
use crate::program::Program;
use crate::status::ProgramStatus;
use crate::supervisor::upgrade::{Arrived, Luggage, Passed};

/// What nodes are of a program that does not link this crate.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::supervisor) struct ForeignState {
    /// What each generation runs.
    pub(in crate::supervisor) programs: Vec<(Generation, Program)>,
    /// Whether what nodes write is collected.
    pub(in crate::supervisor) collects: bool,
}

/// What is watched of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::supervisor) struct AttendanceState {
    id: NodeId,
    seen: ProgramStatus,
    main: Option<Passed>,
    draining: bool,
    begun: bool,
    signs: Signs,
    /// The name of its notification socket, and the socket.
    notify: Option<(String, Passed)>,
    pipe: Option<Passed>,
}

impl Attendance {
    /// It has to rest.
    pub(in crate::supervisor) fn pack<'a>(&'a self, luggage: &mut Luggage<'a>) -> AttendanceState {
        let mut state = AttendanceState {
            id: self.id,
            seen: self.seen.clone(),
            main: self.main.as_ref().map(|main| luggage.add(main.as_fd())),
            draining: self.draining,
            begun: self.begun,
            signs: self.signs.clone(),
            notify: None,
            pipe: None,
        };
        for ear in &self.ears {
            match ear {
                Ear::Socket(socket) => state.notify = Some((socket.name().to_owned(), luggage.add(socket.as_fd()))),
                Ear::Pipe(pipe) => state.pipe = Some(luggage.add(pipe.as_fd())),
                // Nodes with a channel keep their master.
                Ear::Channel(..) => {}
            }
        }
        state
    }

    pub(in crate::supervisor) fn unpack(state: AttendanceState, arrived: &mut Arrived) -> io::Result<Attendance> {
        let mut ears = Vec::new();
        if let Some((name, socket)) = state.notify {
            ears.push(Ear::Socket(NotifySocket::adopt(name, arrived.take(socket)?)?));
        }
        if let Some(pipe) = state.pipe {
            ears.push(Ear::Pipe(arrived.take(pipe)?));
        }
        let mut attendance = Attendance::new(state.id, state.signs, ears);
        attendance.main = state.main.map(|main| arrived.take(main)).transpose()?;
        (attendance.seen, attendance.draining, attendance.begun) = (state.seen, state.draining, state.begun);
        Ok(attendance)
    }
}
