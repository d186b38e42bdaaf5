//! How the primary process is started: by an exec shim, as nodes are.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::running::Running;
use super::talk::Talk;
use crate::control::{self, Exec, ToMaster, ToNode};
use crate::id::{Generation, NodeId, Slot};
use crate::program::{FIRST, PRIMARY_SHIM};
use crate::supervisor::{Child, Launcher};
use crate::sys::signal::TERM;
use crate::workload::PrimaryProgram;
use crate::workload::programs::signal_without_master;
use crate::{environment, runtime_directory, sys};

/// An exec shim that lives becomes its program at once.
const BECOMES_WITHIN: Duration = Duration::from_secs(10);

/// The program to run.
#[derive(Debug)]
pub(in crate::workload) struct Plan {
    pub(super) program: PrimaryProgram,
    pub(super) launcher: Launcher,
    pub(super) generation: Generation,
}

impl Plan {
    pub(super) async fn start(self: &Arc<Plan>) -> io::Result<Running> {
        let mut launcher = self.launcher.alone(self.generation)?;
        let Child { pid, process, control } = launcher.spawn(NodeId::PRIMARY, Slot::from(0), self.generation)?;
        let becomes = async {
            let (ours, theirs) = sys::socket::pair()?;
            become_program(control, self.exec(pid, theirs)?).await?;
            Talk::new(ours)
        };
        let became = tokio::time::timeout(BECOMES_WITHIN, becomes).await.map_err(io::Error::from);
        match became.and_then(|talk| talk) {
            Ok(talk) => Ok(Running { pid, process, plan: Some(self.clone()), talk: Some(talk) }),
            Err(error) => {
                Running { pid, process, plan: None, talk: None }.kill(&*self.launcher.launch).await;
                Err(error)
            }
        }
    }

    fn exec(&self, pid: u32, channel: OwnedFd) -> io::Result<Exec> {
        let PrimaryProgram { program, file, env, open_files, for_others } = &self.program;
        let shim = runtime_directory::shared_script("primary", PRIMARY_SHIM, *for_others)?;
        let args = vec!["--require".into(), shim.into_os_string(), file.clone()];
        let removed = environment::OF_THIS_START.iter().chain([&environment::PRELOAD]);
        let mut variables: Vec<(OsString, Option<OsString>)> = removed.map(|name| ((*name).into(), None)).collect();
        variables.push(("NODE_CHANNEL_FD".into(), Some(FIRST.to_string().into())));
        variables.extend(env.iter().map(|(name, value)| (name.clone(), Some(value.clone()))));
        variables.push((environment::PRIMARY.into(), Some(pid.to_string().into())));
        Ok(Exec {
            program: program.clone(),
            args,
            env: variables,
            fds: vec![(FIRST, channel.into())],
            parent_info: None,
            found: None,
            stop_signal: Some(signal_without_master(pid, TERM)),
            open_files: *open_files,
        })
    }
}

/// Has an exec shim become the program.
async fn become_program(control: StdUnixStream, exec: Exec) -> io::Result<()> {
    let (mut reader, mut writer) = control::channel::<ToMaster, ToNode>(control)?;
    let mut exec = Some(exec);
    loop {
        match reader.next().await {
            Ok(Some(ToMaster::Hello { .. })) => {
                if let Some(exec) = exec.take() {
                    writer.send(ToNode::Exec(Box::new(exec))).await?;
                }
            }
            Ok(Some(ToMaster::Failed { why })) => return Err(io::Error::other(why)),
            Ok(Some(_)) => {}
            // The socket is closed as the exec shim becomes the program, and when it has ended.
            Ok(None) => return Ok(()),
            Err(error) if control::is_end(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
