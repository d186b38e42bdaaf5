//! The process that becomes the program.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::control::{self, Blocking, Exec, Fd, ToMaster, ToNode, VERSIONS};
use crate::environment::{self, ParentInfo};
use crate::error::describe;
use crate::{Error, family, sys};
use multi_node::Role;

/// A master that lives answers at once.
const ANSWER: Duration = Duration::from_secs(60);

/// Joins the master that started this process, and executes its program in this process.
///
/// Returns only when that fails. The reason goes to the master too: [`Error::MasterGone`]; [`Error::Program`] if the program
/// cannot be executed; [`Error::Control`] if this process is no node.
///
/// The master starts one more process this way: the guard of all nodes. It returns when its master, and all that the master
/// has left, have ended.
///
/// Call this first in `main`, before anything opens descriptors or starts threads.
pub fn exec_shim() -> Error {
    match join() {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn join() -> Result<Infallible, Error> {
    let guarded = environment::guarded().filter(|_| sys::family::stdin_is_pipe());
    if let Some(run) = guarded.and_then(|run| family::Run::parse(&run)) {
        return Err(family::guard(&run));
    }
    let parent_info = environment::parent_info().filter(|_| multi_node::role() == Role::Node);
    let parent_info =
        parent_info.ok_or_else(|| broken("an exec shim is started by `multi-node run`, and does nothing by itself"))?;
    end_with_master(parent_info)?;
    let socket = sys::socket::take_stdin().map_err(Error::io("take over the control socket"))?;
    let mut master = Blocking::new(socket, ANSWER).map_err(Error::io("use the control socket"))?;
    let hello = ToMaster::Hello { versions: VERSIONS, addresses: Vec::new(), capabilities: control::capabilities() };
    master.send(&hello).map_err(|error| control::broken(&error))?;
    match master.receive().map_err(|error| control::broken(&error))? {
        Some(ToNode::Exec(exec)) => become_program(*exec, master),
        Some(ToNode::Refused { why }) => Err(broken(&why)),
        Some(_) => Err(broken("the master's first message is no answer to hello")),
        None => Err(Error::MasterGone),
    }
}

/// Makes the kernel end the program with its master, since nothing else watches the master for it. This stays in force
/// through the exec. A master that ended just before that causes no signal.
fn end_with_master(parent_info: ParentInfo) -> Result<(), Error> {
    sys::process::end_with_parent().map_err(Error::io("ask to end with the master"))?;
    if std::os::unix::process::parent_id() == parent_info.master { Ok(()) } else { Err(Error::MasterGone) }
}

fn become_program(exec: Exec, mut master: Blocking) -> Result<Infallible, Error> {
    let Exec { program, args, env, fds, parent_info, found, stop_signal, open_files } = exec;
    let (mut numbers, fds): (Vec<u32>, Vec<Fd>) = fds.into_iter().unzip();
    let fds: io::Result<Vec<OwnedFd>> = fds.into_iter().map(Fd::into_owned).collect();
    let mut fds = fds.map_err(|error| control::broken(&error))?;
    if let Some(number) = parent_info {
        numbers.push(number);
        fds.push(master.socket().map_err(Error::io("keep the control socket"))?);
    }
    // What is reported on must not lie where the program's descriptors go.
    let above = numbers.iter().max().map_or(0, |most| most + 1);
    master.move_above(above).map_err(Error::io("make room for the sockets"))?;
    let found = found.map(|(path, file)| Ok((path, sys::place::above(file.into_owned()?.as_fd(), above)?))).transpose();
    let found = found.map_err(Error::io("make room for the sockets"))?;
    sys::place::at_numbers(fds, &numbers, above).map_err(Error::io("put the sockets in their places"))?;
    // From here on the kernel no longer kills this process when the master is gone: the guard tells the program to finish, and
    // ends it if it does not.
    if let Some(signal) = stop_signal {
        sys::process::stop_with_parent(signal).map_err(Error::io("ask to end with the master"))?;
    }
    // A program that waits by select(2) cannot use high numbers, so it gets what it would have without a master.
    open_files.map_or(Ok(()), sys::process::set_file_limit).map_err(Error::io("set the limit of open files"))?;
    master.send(&ToMaster::Exec).map_err(|error| control::broken(&error))?;
    // By its path a program shows its name; by a descriptor, which has to stay open until then, only its number.
    let file = found.and_then(|(path, file)| (!sys::process::is_at(&file, &path)).then_some(file));
    let mut command = Command::new(file.as_ref().map_or(PathBuf::from(&program), sys::process::held));
    command.arg0(&program).args(args).env_remove(environment::PARENT);
    for (name, value) in env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let source = command.exec();
    let program = program.to_string_lossy().into_owned();
    // A master that is gone needs no report.
    let _ = master.send(&ToMaster::Failed { why: format!("cannot execute {program}: {}", describe(&source)) });
    Err(Error::Program { program, source })
}

fn broken(cause: &str) -> Error {
    Error::Control { cause: cause.to_owned() }
}
