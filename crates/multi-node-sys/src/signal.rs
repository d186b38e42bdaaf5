//! Signals by their names.

use rustix::process::Signal;

/// The number of SIGTERM.
pub const TERM: i32 = Signal::TERM.as_raw();

/// The number of SIGCONT.
pub const CONT: i32 = Signal::CONT.as_raw();

/// The signals that a user may want to send to a node.
const NAMED: [(&str, Signal); 17] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ABRT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("WINCH", Signal::WINCH),
];

/// The number of a signal, by its name with or without `SIG`, in any case, or by its number.
pub fn number(name: &str) -> Option<i32> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let known = NAMED.iter().map(|(known, signal)| (*known, signal.as_raw()));
    known.into_iter().find(|(known, number)| *known == name || number.to_string() == name).map(|(_, number)| number)
}

/// All names that [`number`] knows.
pub fn names() -> String {
    NAMED.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names() {
        assert_eq!(
            (number("SIGTERM"), number("usr1"), number("Kill"), number("9")),
            (Some(15), Some(10), Some(9), Some(9))
        );
        assert_eq!((number("SIG"), number(""), number("99"), number("RTMIN")), (None, None, None, None));
    }
}
