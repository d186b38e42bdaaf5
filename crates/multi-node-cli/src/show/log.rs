//! Lines of the log.

use std::borrow::Cow;

use multi_node::admin::{LogLine, Logged, Source};

use super::{Colour, Paint};

/// Lines as they are printed, each with who said it; and how many are missing before them. With `escape` no character of
/// theirs can change what a terminal shows besides.
pub(crate) fn lines(logged: &Logged, paint: Paint, escape: bool) -> String {
    let missed = (logged.missed > 0).then(|| {
        let text = format!("… {} lines were dropped before they could be read", logged.missed);
        paint.text(Colour::Bad, &text)
    });
    let lines = logged.lines.iter().map(|line| one(line, paint, escape));
    missed.into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

fn one(line: &LogLine, paint: Paint, escape: bool) -> String {
    let (colour, who) = match (line.source, line.level.as_deref()) {
        (Source::Master, Some("error")) => (Colour::Bad, "master"),
        (Source::Master, Some("warn")) => (Colour::Passing, "master"),
        (Source::Stderr, _) => (Colour::Passing, "err"),
        (Source::Stdout, _) => (Colour::Dim, "out"),
        _ => (Colour::Dim, "master"),
    };
    let place = match (&line.slot, &line.id) {
        (Some(slot), Some(id)) => format!("{slot} {id} {who}"),
        // The primary process of Node.js programs.
        (None, Some(id)) if line.source != Source::Master => format!("{id} {who}"),
        _ => who.to_owned(),
    };
    let text = if escape { escaped(&line.text) } else { Cow::Borrowed(line.text.as_str()) };
    format!("{} {} {text}", clock(line.at_ms), paint.text(colour, &format!("{place} │")))
}

/// The text with `\x1b` for an escape, and so on; a tab is harmless.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_active = |c: char| c != '\t' && (c.is_control() || turns_text_around(c));
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_active(c) => escaped.push(c),
            c if u32::from(c) < 0x100 => escaped.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => escaped.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

/// Marks that have the text after them shown in another command (Unicode's annex 9).
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The time of day in UTC, as the log of the library has it.
fn clock(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000 % 86_400, unix_ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_say_when_and_who() {
        let line = |source: &str, slot, id, text: &str| json!({ "at_ms": 1_732_468_205_007_u64, "source": source, "slot": slot, "id": id, "level": null, "text": text });
        let lines = [
            line("master", json!(1), json!("node-2"), "ready after 4 ms"),
            line("stdout", json!(0), json!("node-1"), "hello"),
            line("master", json!(null), json!(null), "scaled"),
        ];
        let logged: Logged = serde_json::from_value(json!({ "missed": 3, "lines": lines })).expect("lines");
        let expected = "\
… 3 lines were dropped before they could be read
17:10:05.007Z 1 node-2 master │ ready after 4 ms
17:10:05.007Z 0 node-1 out │ hello
17:10:05.007Z master │ scaled";
        assert_eq!(super::lines(&logged, Paint::Plain, true), expected);
    }

    #[test]
    fn what_could_change_a_terminal_is_escaped() {
        let cases = [
            ("plain\ttext é 日本", "plain\ttext é 日本"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", r"\x1b[2J\x1b]0;title\x07"),
            ("over\rwritten\u{8}\u{7f}", r"over\x0dwritten\x08\x7f"),
            ("\u{9b}31m", r"\x9b31m"),
            ("a\u{202e}b", r"a\u{202e}b"),
        ];
        for (text, expected) in cases {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }
}
