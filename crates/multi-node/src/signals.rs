//! Signals become orders here, and nowhere else are handlers installed.

use std::fmt;
use std::io;

use crate::order::Order;

/// What a signal to the master asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MasterSignal {
    /// The first SIGTERM or SIGINT.
    Shutdown,
    /// A second one, or SIGQUIT.
    ShutdownNow,
    /// SIGHUP.
    Reload,
    /// SIGHUP, where standard input is a terminal: it was closed.
    TerminalClosed,
}

impl MasterSignal {
    pub(crate) fn order(self) -> Order {
        match self {
            MasterSignal::Shutdown | MasterSignal::TerminalClosed => Order::Shutdown { now: false },
            MasterSignal::ShutdownNow => Order::Shutdown { now: true },
            MasterSignal::Reload => Order::Reload,
        }
    }
}

impl fmt::Display for MasterSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MasterSignal::Shutdown => "the signal to shut down",
            MasterSignal::ShutdownNow => "the signal to shut down at once",
            MasterSignal::Reload => "the signal to reload",
            MasterSignal::TerminalClosed => "the end of the terminal, and shuts down",
        })
    }
}

/// Turns the repetition of a request to end into urgency.
#[derive(Debug, Default)]
struct Escalation {
    asked: bool,
}

impl Escalation {
    fn shutdown(&mut self) -> MasterSignal {
        if std::mem::replace(&mut self.asked, true) { MasterSignal::ShutdownNow } else { MasterSignal::Shutdown }
    }
}

#[cfg(unix)]
mod unix {
    use std::io::IsTerminal;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Escalation, MasterSignal, io};

    /// The signals of a master, or of a process that serves alone.
    #[derive(Debug)]
    pub(crate) struct MasterSignals(Option<Handlers>);

    #[derive(Debug)]
    struct Handlers {
        terminate: Signal,
        interrupt: Signal,
        quit: Signal,
        hang_up: Signal,
        escalation: Escalation,
    }

    impl MasterSignals {
        /// Installs the handlers; not `enabled`, no signal ever comes.
        pub(crate) fn install(enabled: bool) -> io::Result<MasterSignals> {
            let install = || {
                io::Result::Ok(Handlers {
                    terminate: signal(SignalKind::terminate())?,
                    interrupt: signal(SignalKind::interrupt())?,
                    quit: signal(SignalKind::quit())?,
                    hang_up: signal(SignalKind::hangup())?,
                    escalation: Escalation::default(),
                })
            };
            Ok(MasterSignals(if enabled { Some(install()?) } else { None }))
        }

        /// The next signal. Cancel-safe.
        pub(crate) async fn next(&mut self) -> MasterSignal {
            let Some(handlers) = &mut self.0 else { return std::future::pending().await };
            tokio::select! {
                _ = handlers.terminate.recv() => handlers.escalation.shutdown(),
                _ = handlers.interrupt.recv() => handlers.escalation.shutdown(),
                _ = handlers.quit.recv() => MasterSignal::ShutdownNow,
                _ = handlers.hang_up.recv() => {
                    if io::stdin().is_terminal() { MasterSignal::TerminalClosed } else { MasterSignal::Reload }
                }
            }
        }
    }

    /// The signals of a node: SIGTERM and SIGINT make it drain, SIGHUP is its master's alone to act on.
    #[derive(Debug)]
    pub(crate) struct NodeSignals(Option<[Signal; 3]>);

    impl NodeSignals {
        pub(crate) fn install(enabled: bool) -> io::Result<NodeSignals> {
            let install = || {
                let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
                let [terminate, interrupt, hang_up] = kinds.map(signal);
                io::Result::Ok([terminate?, interrupt?, hang_up?])
            };
            Ok(NodeSignals(if enabled { Some(install()?) } else { None }))
        }

        /// Resolves when the node is told to leave. Cancel-safe.
        pub(crate) async fn leave(&mut self) {
            let Some([terminate, interrupt, _]) = &mut self.0 else { return std::future::pending().await };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    }

    /// Resolves whenever a child of this process has ended; several may count as one. Cancel-safe.
    #[derive(Debug)]
    pub(crate) struct ChildSignal(Signal);

    impl ChildSignal {
        pub(crate) fn install() -> io::Result<ChildSignal> {
            signal(SignalKind::child()).map(ChildSignal)
        }

        pub(crate) async fn next(&mut self) {
            self.0.recv().await;
        }
    }
}

#[cfg(not(unix))]
mod other {
    use super::{Escalation, MasterSignal, io};

    /// Ctrl-C, where there are no Unix signals.
    #[derive(Debug)]
    pub(crate) struct MasterSignals(Option<Escalation>);

    impl MasterSignals {
        pub(crate) fn install(enabled: bool) -> io::Result<MasterSignals> {
            Ok(MasterSignals(enabled.then(Escalation::default)))
        }

        pub(crate) async fn next(&mut self) -> MasterSignal {
            match &mut self.0 {
                Some(escalation) if tokio::signal::ctrl_c().await.is_ok() => escalation.shutdown(),
                _ => std::future::pending().await,
            }
        }
    }
}

#[cfg(not(unix))]
pub(crate) use other::MasterSignals;
#[cfg(unix)]
pub(crate) use unix::{ChildSignal, MasterSignals, NodeSignals};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_request_to_end_is_urgent() {
        let mut escalation = Escalation::default();
        assert_eq!(escalation.shutdown(), MasterSignal::Shutdown);
        assert_eq!(escalation.shutdown(), MasterSignal::ShutdownNow);
        assert_eq!(escalation.shutdown(), MasterSignal::ShutdownNow);
    }
}
