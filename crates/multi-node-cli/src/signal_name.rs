//! Signals as people write them.

/// The number of `SIGTERM`, `term` or `15` (signal(7)).
pub(crate) fn parse(text: &str) -> Result<i32, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES.iter().find(|(known, number)| *known == name || number.to_string() == name);
    known.map(|(_, number)| *number).ok_or_else(|| {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| format!("SIG{name}")).collect();
        format!("no such signal; expected one of {}", names.join(", "))
    })
}

/// `SIGTERM`, or the number where it has no name here.
pub(crate) fn of(signal: i32) -> String {
    let name = NAMES.iter().find(|(_, number)| *number == signal);
    name.map_or_else(|| signal.to_string(), |(name, _)| format!("SIG{name}"))
}

/// Those whose numbers are the same on every Linux architecture.
const NAMES: [(&str, i32); 9] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("USR1", 10),
    ("USR2", 12),
    ("TERM", 15),
    ("KILL", 9),
    ("WINCH", 28),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_in_every_common_form() {
        for text in ["SIGTERM", "TERM", "sigterm", "15"] {
            assert_eq!(parse(text), Ok(15), "{text}");
        }
        assert_eq!(parse("WINCH"), Ok(28));
        for text in ["", "SIG", "SIGFOO", "99", "-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
