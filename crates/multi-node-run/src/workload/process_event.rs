//! What is noticed of a program, and what its notifications say (sd_notify(3)).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::{from_message_pack, to_message_pack};
use crate::status::ReadyBy;

/// Something that the master takes note of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProcessEvent {
    Ready(ReadyBy),
    /// It was ready, and no longer serves; why.
    Unready(String),
    /// What is still missing for it to be ready.
    Lacks(String),
    /// It can never become ready with these arguments and settings; why.
    Hopeless(String),
    /// The status text that it has sent.
    Status(String),
    /// One more of its servers listens.
    Listens,
    /// It is alive.
    Beat,
    /// It has loaded the preload (`Ok`), or the preload does nothing; why.
    Preload(Result<(), String>),
    /// It reports itself as broken (`WATCHDOG=trigger`).
    Hangs,
    /// It ends on its own initiative.
    Stopping,
    /// A Node.js program has closed its channel: it serves no more.
    Disconnected,
    /// It asks for this much more time, from now on.
    Extend(Duration),
    /// Another process of it is the one to signal.
    MainPid(u32),
}

impl ProcessEvent {
    /// As it goes through the master's queue of events, and perhaps to the next master.
    pub(super) fn encode(&self) -> Vec<u8> {
        to_message_pack(self).expect("it has only what MessagePack knows").into()
    }

    /// `None` of a kind that a later release has noted.
    pub(super) fn decode(encoded: &[u8]) -> Option<ProcessEvent> {
        from_message_pack(encoded).ok()
    }
}

/// No status is kept longer, in characters.
const LONGEST_STATUS: usize = 512;

/// What is noted of a notification; lines that say nothing to us are passed over.
pub(super) fn notes(notification: &str) -> impl Iterator<Item = ProcessEvent> {
    notification.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        match (name, value) {
            ("READY", "1") => Some(ProcessEvent::Ready(ReadyBy::Notification)),
            ("STATUS", text) => Some(ProcessEvent::Status(text.chars().take(LONGEST_STATUS).collect())),
            ("WATCHDOG", "1") => Some(ProcessEvent::Beat),
            ("WATCHDOG", "trigger") => Some(ProcessEvent::Hangs),
            ("STOPPING", "1") => Some(ProcessEvent::Stopping),
            ("EXTEND_TIMEOUT_USEC", time) => time.parse().ok().map(Duration::from_micros).map(ProcessEvent::Extend),
            ("MAINPID", pid) => pid.parse().ok().map(ProcessEvent::MainPid),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_are_read_line_by_line() {
        let ready = ProcessEvent::Ready(ReadyBy::Notification);
        let cases: [(&str, &[ProcessEvent]); 9] = [
            ("READY=1", std::slice::from_ref(&ready)),
            ("READY=1\nSTATUS=serving = well\n", &[ready.clone(), ProcessEvent::Status("serving = well".into())]),
            ("WATCHDOG=1\nSTOPPING=1", &[ProcessEvent::Beat, ProcessEvent::Stopping]),
            ("WATCHDOG=trigger", &[ProcessEvent::Hangs]),
            ("EXTEND_TIMEOUT_USEC=1500000", &[ProcessEvent::Extend(Duration::from_millis(1500))]),
            ("MAINPID=42", &[ProcessEvent::MainPid(42)]),
            ("READY=0\nBARRIER=1\nX_OWN=1", &[]),
            ("EXTEND_TIMEOUT_USEC=-1\nMAINPID=x\nREADY", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(notes(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_long_status_is_cut() {
        let text = format!("STATUS={}", "é".repeat(10_000));
        let Some(ProcessEvent::Status(status)) = notes(&text).next() else { panic!("a status") };
        assert_eq!(status.chars().count(), LONGEST_STATUS);
    }
}
