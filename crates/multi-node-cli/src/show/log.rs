//! Lines of the log.

use multi_node::admin::{LogLine, Logged, Source};

use super::{Colour, Paint};

/// Lines as they are printed, each with who said it; and how many are missing before them.
pub(crate) fn lines(logged: &Logged, paint: Paint) -> String {
    let missed = (logged.missed > 0).then(|| {
        let text = format!("… {} lines were dropped before they could be read", logged.missed);
        paint.text(Colour::Bad, &text)
    });
    let lines = logged.lines.iter().map(|line| one(line, paint));
    missed.into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

fn one(line: &LogLine, paint: Paint) -> String {
    let (colour, who) = match (line.source, line.level.as_deref()) {
        (Source::Master, Some("error")) => (Colour::Bad, "master"),
        (Source::Master, Some("warn")) => (Colour::Passing, "master"),
        (Source::Stderr, _) => (Colour::Passing, "err"),
        (Source::Stdout, _) => (Colour::Dim, "out"),
        _ => (Colour::Dim, "master"),
    };
    let place = match (&line.slot, &line.id) {
        (Some(slot), Some(id)) => format!("{slot} {id} {who}"),
        _ => who.to_owned(),
    };
    format!("{} {} {}", clock(line.at_ms), paint.text(colour, &format!("{place} │")), line.text)
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
        assert_eq!(super::lines(&logged, Paint::Plain), expected);
    }
}
