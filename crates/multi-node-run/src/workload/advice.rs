//! What to write so that a program uses the socket that it is given. Pure.

use std::fmt;

/// What to write, and whether the program is known not to use the socket as it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::workload) struct Advice {
    /// The server's own name, where it is known.
    pub(super) server: Option<&'static str>,
    text: String,
    pub(super) is_certain: bool,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How the server takes part in a node: as the process that was started, or as a child of another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Under<'a> {
    None,
    Shell,
    Other(&'a str),
}

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"];

/// Programs that run others as their children.
const RUNNERS: [&str; 4] = ["uv", "poetry", "pdm", "hatch"];

/// `commands` are the words that each process of the node was started with, that of the node itself first.
pub(in crate::workload) fn advice(commands: &[Vec<String>]) -> Advice {
    let words: Vec<&str> = commands.iter().flatten().flat_map(|word| word.split_whitespace()).collect();
    let names = |server: &&str| words.iter().any(|word| name(word) == *server);
    let under = commands.first().and_then(|command| command.first()).map_or(Under::None, |program| under(program));
    let server = ["uvicorn", "hypercorn", "gunicorn", "granian"].iter().copied().find(names);
    let (text, is_certain) = match server {
        Some("uvicorn") => {
            let by_number = words.iter().any(|word| *word == "--fd" || word.starts_with("--fd="));
            ("write `uvicorn --fd {fd} …`".to_owned(), !by_number)
        }
        Some("hypercorn") => ("write `hypercorn -b fd://{fd} …`".to_owned(), !by_number(&words)),
        Some("gunicorn") => (gunicorn(under), under != Under::None && !by_number(&words)),
        Some(other) => (
            format!("{other} takes no socket from others; use a server that does, such as `uvicorn --fd {{fd}} …`"),
            true,
        ),
        None => (other(under), false),
    };
    Advice { server, text, is_certain }
}

/// It takes what systemd hands to its own process, so not that which was handed to its parent.
fn gunicorn(under: Under<'_>) -> String {
    let by_its_number = "`gunicorn -b fd://{fd} …`";
    let not_under = |parent| {
        format!("gunicorn takes the socket only as the process that was started, and {parent} starts it as another")
    };
    match under {
        Under::None => format!("write {by_its_number}"),
        Under::Shell => format!("{}: write `exec gunicorn …`, or {by_its_number}", not_under("the shell")),
        Under::Other(runner) => format!("{}: write {by_its_number}", not_under(runner)),
    }
}

fn other(under: Under<'_>) -> String {
    let by_its_number = "give it the socket by its number: `{fd}` in its arguments or in --env";
    match under {
        Under::None => format!("{by_its_number}; it is there as systemd hands it, too (LISTEN_FDS)"),
        Under::Shell => format!("let the shell put it in its own place, `exec …`, or {by_its_number}"),
        Under::Other(runner) => format!("{runner} starts it as another process: {by_its_number}"),
    }
}

fn under(program: &str) -> Under<'_> {
    match name(program) {
        shell if SHELLS.contains(&shell) => Under::Shell,
        runner if RUNNERS.contains(&runner) => Under::Other(runner),
        _ => Under::None,
    }
}

fn by_number(words: &[&str]) -> bool {
    words.iter().any(|word| word.contains("fd://"))
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The last informative line: in a stack trace the error, and not a frame or version.
pub(in crate::workload) fn last_line(lines: &[String]) -> Option<&str> {
    const TELL_NOTHING: [&str; 3] = ["Node.js v", "Stack backtrace:", "note: run with `RUST_BACKTRACE"];
    let is_frame = |line: &str| line.starts_with(char::is_whitespace);
    let tells = |line: &&String| {
        !line.is_empty() && !is_frame(line) && !TELL_NOTHING.iter().any(|start| line.starts_with(start))
    };
    lines.iter().rev().find(tells).or(lines.last()).map(String::as_str)
}

/// The line that says that an address was taken already, of the last that a node has written.
pub(in crate::workload) fn in_use(lines: &[String]) -> Option<&str> {
    const SAYINGS: [&str; 4] = ["address already in use", "address in use", "connection in use", "eaddrinuse"];
    let says = |line: &&String| SAYINGS.iter().any(|saying| line.to_ascii_lowercase().contains(saying));
    lines.iter().rev().find(says).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Advice {
        // What stands in quotes is one word.
        let words = command.split('\'').enumerate().flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        });
        advice(&[words.collect()])
    }

    #[test]
    fn each_server_is_told_in_its_own_words() {
        let cases = [
            ("uvicorn a:app", "`uvicorn --fd {fd} …`", true),
            ("/usr/bin/python3 -m uvicorn --port 80 a:app", "`uvicorn --fd {fd} …`", true),
            ("uvicorn --fd 3 a:app", "`uvicorn --fd {fd} …`", false),
            ("hypercorn a:app", "`hypercorn -b fd://{fd} …`", true),
            ("hypercorn -b fd://3 a:app", "`hypercorn -b fd://{fd} …`", false),
            ("gunicorn a:app", "`gunicorn -b fd://{fd} …`", false),
            ("sh -c 'gunicorn a:app; true'", "write `exec gunicorn …`", true),
            ("/bin/bash serve.sh gunicorn -b fd://3", "write `exec gunicorn …`", false),
            ("uv run gunicorn a:app", "uv starts it as another: write `gunicorn -b fd://{fd} …`", true),
            ("uv run uvicorn a:app", "`uvicorn --fd {fd} …`", true),
            ("granian --interface asgi a:app", "granian takes no socket", true),
            ("./server --port 80", "by its number: `{fd}` in its arguments", false),
            ("sh serve.sh", "`exec …`", false),
            ("", "by its number", false),
        ];
        for (command, expected, is_certain) in cases {
            let advice = of(command);
            assert!(advice.to_string().contains(expected), "{command}: {advice}");
            assert_eq!(advice.is_certain, is_certain, "{command}");
        }
    }

    #[test]
    fn a_server_that_a_script_has_started_is_found_by_its_own_command_line() {
        let commands = ["sh serve.sh", "python3 /usr/bin/gunicorn a:app"];
        let words = |command: &str| command.split(' ').map(str::to_owned).collect();
        assert!(advice(&commands.map(words)).to_string().contains("write `exec gunicorn …`"));
    }

    #[test]
    fn the_last_line_that_tells_something_is_the_error() {
        let cases: [(&[&str], Option<&str>); 6] = [
            (
                &["Traceback (most recent call last):", "  File \"a.py\"", "ModuleNotFoundError: nope"],
                Some("ModuleNotFoundError: nope"),
            ),
            (&["Error: bad", "    at Timeout (s.js:1:1)", "", "Node.js v20.20.2"], Some("Error: bad")),
            (&["Error: unknown", "", "Stack backtrace:", "   0: main"], Some("Error: unknown")),
            (&["it is broken", "note: run with `RUST_BACKTRACE=1` environment variable"], Some("it is broken")),
            (&["  usage"], Some("  usage")),
            (&[], None),
        ];
        for (lines, expected) in cases {
            let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(last_line(&lines), expected);
        }
    }

    #[test]
    fn an_address_in_use_is_found_in_what_was_written_last() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let uvicorn = "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use";
        let written = lines(&["started", uvicorn, "INFO:     Application shutdown complete."]);
        assert_eq!(in_use(&written), Some(uvicorn));
        let gunicorn = "[ERROR] Connection in use: ('127.0.0.1', 8000)";
        assert_eq!(in_use(&lines(&[gunicorn, "[ERROR] Can't connect to ('127.0.0.1', 8000)"])), Some(gunicorn));
        assert_eq!(in_use(&lines(&["Error: listen EADDRINUSE: address"])), Some("Error: listen EADDRINUSE: address"));
        assert_eq!(in_use(&lines(&["ModuleNotFoundError: No module named 'nope'"])), None);
    }
}
