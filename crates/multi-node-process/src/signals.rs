//! Signals become commands here, and nowhere else are handlers installed.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::command::Command;

/// A second SIGTERM or SIGINT that comes sooner after the first is the same request: `timeout` and npm signal a process and then its
/// group, and Ctrl-C reaches both a wrapper, which passes it on, and the process itself.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// What a signal to the master asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterSignal {
    /// The first SIGTERM or SIGINT.
    Shutdown,
    /// Another one later, or SIGQUIT.
    ShutdownNow,
    /// SIGHUP.
    Reload,
    /// SIGUSR2.
    Upgrade,
    /// SIGHUP, where standard input is a terminal: it was closed.
    TerminalClosed,
}

impl MasterSignal {
    pub fn command(self) -> Command {
        match self {
            MasterSignal::Shutdown | MasterSignal::TerminalClosed => Command::Shutdown { now: false },
            MasterSignal::ShutdownNow => Command::Shutdown { now: true },
            MasterSignal::Reload => Command::Reload,
            MasterSignal::Upgrade => Command::Upgrade,
        }
    }
}

impl fmt::Display for MasterSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MasterSignal::Shutdown => "the signal to shut down",
            MasterSignal::ShutdownNow => "the signal to shut down at once",
            MasterSignal::Reload => "the signal to reload",
            MasterSignal::Upgrade => "the signal to upgrade",
            MasterSignal::TerminalClosed => "the end of the terminal, and shuts down",
        })
    }
}

/// Turns the repetition of a request to end into urgency. Pure.
#[derive(Debug, Default)]
struct Escalation {
    first: Option<Instant>,
}

impl Escalation {
    /// What a SIGTERM or SIGINT asks for; `None`: it is the first one once more.
    fn shutdown(&mut self, now: Instant) -> Option<MasterSignal> {
        match self.first {
            None => {
                self.first = Some(now);
                Some(MasterSignal::Shutdown)
            }
            Some(first) if now.saturating_duration_since(first) < SAME_REQUEST => None,
            Some(_) => Some(MasterSignal::ShutdownNow),
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::collections::VecDeque;
    use std::io::IsTerminal;
    use std::time::Instant;

    use serde::{Deserialize, Serialize};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Escalation, MasterSignal, io};

    /// A signal that a master acts on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Kind {
        Terminate,
        Interrupt,
        Quit,
        HangUp,
        User2,
    }

    const KINDS: [Kind; 5] = [Kind::Terminate, Kind::Interrupt, Kind::Quit, Kind::HangUp, Kind::User2];

    impl Kind {
        fn system(self) -> SignalKind {
            match self {
                Kind::Terminate => SignalKind::terminate(),
                Kind::Interrupt => SignalKind::interrupt(),
                Kind::Quit => SignalKind::quit(),
                Kind::HangUp => SignalKind::hangup(),
                Kind::User2 => SignalKind::user_defined2(),
            }
        }
    }

    /// The signals of a master, or of a process that serves alone.
    #[derive(Debug)]
    pub struct MasterSignals {
        handlers: Option<[Signal; KINDS.len()]>,
        escalation: Escalation,
        /// Those that have come already.
        early: VecDeque<Kind>,
    }

    impl MasterSignals {
        /// Installs the handlers; not `enabled`, no signal ever comes.
        pub fn install(enabled: bool) -> io::Result<MasterSignals> {
            let install = || {
                let [terminate, interrupt, quit, hang_up, user2] = KINDS.map(|kind| signal(kind.system()));
                io::Result::Ok([terminate?, interrupt?, quit?, hang_up?, user2?])
            };
            let handlers = if enabled { Some(install()?) } else { None };
            Ok(MasterSignals { handlers, escalation: Escalation::default(), early: VecDeque::new() })
        }

        /// The next signal. Cancel-safe.
        pub async fn next(&mut self) -> MasterSignal {
            loop {
                let kind = match self.early.pop_front() {
                    Some(kind) => kind,
                    None => self.arrival().await,
                };
                if let Some(signal) = self.meaning(kind, Instant::now()) {
                    return signal;
                }
            }
        }

        fn meaning(&mut self, kind: Kind, now: Instant) -> Option<MasterSignal> {
            Some(match kind {
                Kind::Terminate | Kind::Interrupt => return self.escalation.shutdown(now),
                Kind::Quit => MasterSignal::ShutdownNow,
                Kind::HangUp if io::stdin().is_terminal() => MasterSignal::TerminalClosed,
                Kind::HangUp => MasterSignal::Reload,
                Kind::User2 => MasterSignal::Upgrade,
            })
        }

        async fn arrival(&mut self) -> Kind {
            let Some([terminate, interrupt, quit, hang_up, user2]) = &mut self.handlers else {
                return std::future::pending().await;
            };
            tokio::select! {
                _ = terminate.recv() => Kind::Terminate,
                _ = interrupt.recv() => Kind::Interrupt,
                _ = quit.recv() => Kind::Quit,
                _ = hang_up.recv() => Kind::HangUp,
                _ = user2.recv() => Kind::User2,
            }
        }

        /// Those that have come and have not been asked for yet. They stay.
        #[cfg(multi_process)]
        pub async fn waiting(&mut self) -> Vec<Kind> {
            loop {
                let arrival = tokio::select! {
                    biased;
                    kind = self.arrival() => kind,
                    () = std::future::ready(()) => return self.early.iter().copied().collect(),
                };
                self.early.push_back(arrival);
            }
        }

        /// Takes over those that came to a program that had this process before.
        #[cfg(multi_process)]
        pub fn inherit(&mut self, kinds: impl IntoIterator<Item = Kind>) {
            for kind in kinds {
                // Two of a kind that wait are one, as they are to the system.
                if !self.early.contains(&kind) {
                    self.early.push_back(kind);
                }
            }
        }

        /// Keeps signals for the next program of this process from now on.
        #[cfg(multi_process)]
        pub fn relay(&self) -> io::Result<Relay> {
            let kinds = if self.handlers.is_some() { KINDS.as_slice() } else { &[] };
            let mut relay = Relay::default();
            for kind in kinds {
                relay.add(*kind)?;
            }
            Ok(relay)
        }
    }

    #[cfg(multi_process)]
    pub use relay::Relay;

    #[cfg(multi_process)]
    mod relay {
        use std::io::{self, Read};
        use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
        use std::os::unix::net::UnixStream;

        use signal_hook::SigId;
        use signal_hook::low_level::{pipe, unregister};

        use super::Kind;

        /// Sockets in which signals wait for the next program of this process, one for each kind: whichever thread has
        /// run the handler, and however late, what was written stays. Dropped, the handlers are gone.
        #[derive(Debug, Default)]
        pub struct Relay(Vec<(Kind, UnixStream, SigId)>);

        impl Relay {
            pub(super) fn add(&mut self, kind: Kind) -> io::Result<()> {
                let (read, write) = UnixStream::pair()?;
                read.set_nonblocking(true)?;
                let id = pipe::register(kind.system().as_raw_value(), write)?;
                self.0.push((kind, read, id));
                Ok(())
            }

            /// Whether no signal is handled at all.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// The ends that the next program reads.
            pub fn ends(&self) -> impl Iterator<Item = (Kind, BorrowedFd<'_>)> {
                self.0.iter().map(|(kind, read, _)| (*kind, read.as_fd()))
            }

            /// Whether a signal has come by this end.
            pub fn has_come(end: OwnedFd) -> bool {
                UnixStream::from(end).read(&mut [0]).is_ok_and(|count| count > 0)
            }
        }

        impl Drop for Relay {
            fn drop(&mut self) {
                for (.., id) in &self.0 {
                    unregister(*id);
                }
            }
        }
    }

    /// The signals of a node: SIGTERM and SIGINT make it drain, SIGHUP is its master's alone to act on.
    #[derive(Debug)]
    pub struct NodeSignals(Option<[Signal; 3]>);

    impl NodeSignals {
        pub fn install(enabled: bool) -> io::Result<NodeSignals> {
            let install = || {
                let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
                let [terminate, interrupt, hang_up] = kinds.map(signal);
                io::Result::Ok([terminate?, interrupt?, hang_up?])
            };
            Ok(NodeSignals(if enabled { Some(install()?) } else { None }))
        }

        /// Resolves when the node is asked to leave. Cancel-safe.
        pub async fn leave(&mut self) {
            let Some([terminate, interrupt, _]) = &mut self.0 else { return std::future::pending().await };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    }

    /// Resolves whenever a child of this process has ended; several may count as one. Cancel-safe.
    #[derive(Debug)]
    pub struct ChildSignal(Signal);

    impl ChildSignal {
        pub fn install() -> io::Result<ChildSignal> {
            signal(SignalKind::child()).map(ChildSignal)
        }

        pub async fn next(&mut self) {
            self.0.recv().await;
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::time::Instant;

    use super::{Escalation, MasterSignal, io};

    /// Ctrl-C, where there are no Unix signals.
    #[derive(Debug)]
    pub struct MasterSignals(Option<Escalation>);

    impl MasterSignals {
        pub fn install(enabled: bool) -> io::Result<MasterSignals> {
            Ok(MasterSignals(enabled.then(Escalation::default)))
        }

        pub async fn next(&mut self) -> MasterSignal {
            loop {
                match &mut self.0 {
                    Some(escalation) if tokio::signal::ctrl_c().await.is_ok() => {
                        if let Some(signal) = escalation.shutdown(Instant::now()) {
                            return signal;
                        }
                    }
                    _ => std::future::pending().await,
                }
            }
        }
    }
}

#[cfg(not(unix))]
pub use other::MasterSignals;
#[cfg(unix)]
pub use unix::{ChildSignal, MasterSignals, NodeSignals};
#[cfg(multi_process)]
pub use unix::{Kind, Relay};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_request_to_end_is_urgent_and_one_at_the_same_time_is_the_same() {
        let start = Instant::now();
        let mut escalation = Escalation::default();
        let mut after = |millis| escalation.shutdown(start + Duration::from_millis(millis));
        assert_eq!(after(0), Some(MasterSignal::Shutdown));
        assert_eq!([0, 1, 500, 999].map(&mut after), [None; 4], "counted from the first, whatever came since");
        assert_eq!([1000, 1001, 60_000].map(&mut after), [Some(MasterSignal::ShutdownNow); 3]);
    }
}
