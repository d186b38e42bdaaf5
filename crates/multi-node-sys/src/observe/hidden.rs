//! Why a process cannot be looked at.

use std::{fmt, fs, io};

/// The reason (ptrace(2), "Ptrace access mode checking"; proc(5), `hidepid`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// It runs as another user, and we may not look at processes of others (CAP_SYS_PTRACE).
    User { pid: u32, user: u32, ours: u32 },
    /// /proc does not show it, or is not there.
    Proc { pid: u32 },
    /// The Yama security module forbids the inspection, for all or for processes without privileges.
    Yama { pid: u32, scope: u32 },
    /// It has made itself unreadable, as programs with privileges are.
    Itself { pid: u32 },
}

impl Hidden {
    /// `None`: it was not hidden, but has ended.
    pub(super) fn by(pid: u32, error: &io::Error) -> Option<Hidden> {
        if !crate::process::exists(pid) {
            return None;
        }
        match error.kind() {
            io::ErrorKind::PermissionDenied => {}
            io::ErrorKind::NotFound => return Some(Hidden::Proc { pid }),
            _ => return None,
        }
        let (user, ours) = (crate::process::user_of(pid), crate::process::user());
        let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
        let scope = yama.and_then(|scope| scope.trim().parse().ok()).unwrap_or(0);
        Some(match user {
            None => Hidden::Proc { pid },
            Some(user) if user != ours => Hidden::User { pid, user, ours },
            // 1 lets a process look at those that it has started.
            Some(_) if scope > 0 => Hidden::Yama { pid, scope },
            Some(_) => Hidden::Itself { pid },
        })
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hidden::User { pid, user, ours } => {
                write!(
                    f,
                    "process {pid} runs as user {user}, and user {ours} may not look at it without CAP_SYS_PTRACE"
                )
            }
            Hidden::Proc { pid } => write!(f, "/proc does not show process {pid} (its mount option hidepid)"),
            Hidden::Yama { pid, scope } => write!(
                f,
                "process {pid} may not be looked at while the kernel's setting kernel.yama.ptrace_scope is {scope}"
            ),
            Hidden::Itself { pid } => {
                write!(f, "process {pid} is protected against being looked at (prctl PR_SET_DUMPABLE)")
            }
        }
    }
}
