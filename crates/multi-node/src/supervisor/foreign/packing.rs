//! What is known of other programs, as it travels to the next master.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::attendance::{Ear, Signs};
use super::notify::NotifySocket;
use super::{Attendance, Choice, Foreign};
use crate::id::{Generation, NodeId};
use crate::program::Program;
use crate::status::ProgramStatus;
use crate::supervisor::upgrade::{Arrived, Luggage, Passed};

/// What nodes are of a program that does not link this crate.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::supervisor) struct ForeignState {
    /// What each generation runs.
    programs: Vec<ChoiceState>,
    /// Whether what nodes write is collected.
    pub(in crate::supervisor) collects: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct ChoiceState {
    generation: Generation,
    program: Program,
    file: Option<(PathBuf, Passed)>,
}

impl Foreign {
    pub(in crate::supervisor) fn pack<'a>(&'a self, collects: bool, luggage: &mut Luggage<'a>) -> ForeignState {
        let pack = |(generation, choice): (&Generation, &'a Choice)| ChoiceState {
            generation: *generation,
            program: choice.program.clone(),
            file: choice.file.as_ref().map(|(path, file)| (path.clone(), luggage.add(file.as_fd()))),
        };
        ForeignState { programs: self.programs.iter().map(pack).collect(), collects }
    }
}

impl ForeignState {
    pub(in crate::supervisor) fn unpack(self, arrived: &mut Arrived) -> io::Result<BTreeMap<Generation, Choice>> {
        let mut unpack = |ChoiceState { generation, program, file }| {
            let file = match file {
                Some((path, file)) => Some((path, arrived.take(file)?)),
                None => None,
            };
            Ok((generation, Choice { program, file }))
        };
        self.programs.into_iter().map(&mut unpack).collect()
    }
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
