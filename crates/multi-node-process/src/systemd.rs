//! Talks to systemd if it has started this process: the sockets that systemd has opened (sd_listen_fds(3)), and notifications
//! about the program (sd_notify(3)).

use std::future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior};

use crate::serve::Socket;
use crate::status::{State, Status};
use crate::sys;

/// How many signs of life are sent in the time after which the watchdog bites.
const SIGNS: u32 = 3;

/// The listening sockets that systemd has opened for this process.
///
/// They are duplicates: the numbers that systemd has given them stay taken, and are closed on exec.
pub fn sockets() -> io::Result<Vec<Socket>> {
    let numbers: Vec<_> = sd_notify::listen_fds()?.collect();
    numbers.into_iter().map(|number| socket(sys::process::own_descriptor(number.unsigned_abs())?)).collect()
}

/// Keeps those sockets to this process, where there are any.
pub fn keep_sockets() -> io::Result<()> {
    // This also marks them close-on-exec.
    sd_notify::listen_fds().map(drop)
}

fn socket(file: OwnedFd) -> io::Result<Socket> {
    if !sys::socket::is_listener(&file) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a descriptor of LISTEN_FDS is no listening socket"));
    }
    let unix = sys::socket::is_unix(file.as_fd());
    let socket = if unix { Socket::Unix(file.into()) } else { Socket::Tcp(file.into()) };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What the program as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does what it is there for, or is coming up.
    Running,
    /// Its nodes are being replaced.
    Reloading,
    Stopping,
}

/// Notifies systemd of changes, and that the master is alive. Without systemd it does nothing.
#[derive(Debug)]
pub struct Notifier {
    ready: bool,
    phase: Phase,
    status: String,
    watchdog: Option<Interval>,
}

impl Notifier {
    /// For a program that starts, or one that continues from another in an upgrade.
    pub fn new(phase: Phase) -> Notifier {
        let watchdog = sd_notify::watchdog_enabled().map(|time| {
            let mut interval = tokio::time::interval((time / SIGNS).max(Duration::from_millis(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Notifier { ready: phase == Phase::Reloading, phase, status: String::new(), watchdog }
    }

    /// Notifies systemd of changes.
    pub fn tell(&mut self, phase: Phase, status: &Status) {
        let before = std::mem::replace(&mut self.phase, phase);
        let text = words(phase, status);
        let mut news = Vec::new();
        match (before, phase) {
            (Phase::Reloading, Phase::Running) if self.ready => news.push(NotifyState::Ready),
            (Phase::Running, Phase::Reloading) if self.ready => {
                news.push(NotifyState::Reloading);
                // It fails nowhere on Linux.
                news.extend(NotifyState::monotonic_usec_now());
            }
            (Phase::Running | Phase::Reloading, Phase::Stopping) => news.push(NotifyState::Stopping),
            _ => {}
        }
        if !self.ready && phase == Phase::Running && status.is_ready() {
            self.ready = true;
            news.push(NotifyState::Ready);
        }
        if self.status != text {
            news.push(NotifyState::Status(&text));
        }
        send(&news);
        self.status = text;
    }

    /// Resolves when a sign of life is due. Cancel-safe.
    pub async fn due(&mut self) {
        match &mut self.watchdog {
            Some(interval) => drop(interval.tick().await),
            None => future::pending().await,
        }
    }

    /// The loop turns.
    pub fn is_alive(&self) {
        send(&[NotifyState::Watchdog]);
    }
}

fn words(phase: Phase, status: &Status) -> String {
    let serving = status.slots.iter().filter(|slot| slot.state == State::Serving).count();
    match phase {
        Phase::Running => format!("{serving} of {} nodes serve", status.wanted),
        Phase::Reloading => format!("Nodes are being replaced; {serving} serve"),
        Phase::Stopping => format!("Shutting down; {} nodes are left", status.slots.iter().flat_map(|s| s.pid).count()),
    }
}

fn send(news: &[NotifyState<'_>]) {
    if news.is_empty() {
        return;
    }
    if let Err(error) = sd_notify::notify(news) {
        crate::log::debug!(%error, "cannot tell systemd");
    }
}
