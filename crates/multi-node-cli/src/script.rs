//! Which file a command line runs: that of the program, or the script that an interpreter reads.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What interpreters are called, without a version behind.
const INTERPRETERS: [&str; 14] =
    ["bash", "bun", "deno", "java", "lua", "node", "nodejs", "perl", "php", "pypy", "python", "ruby", "sh", "tsx"];

/// The endings of scripts' names.
const ENDINGS: [&str; 13] = ["cjs", "cts", "jar", "js", "lua", "mjs", "mts", "php", "pl", "py", "rb", "sh", "ts"];

/// The file by which the program is known: the script, if an interpreter runs one whose name tells that it is one.
pub(crate) fn named(program: &[PathBuf]) -> Option<&Path> {
    let (file, args) = program.split_first()?;
    let script = args.iter().find(|arg| is_script(arg)).filter(|_| is_interpreter(file));
    Some(script.unwrap_or(file))
}

fn is_interpreter(file: &Path) -> bool {
    let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.contains(&name)
}

/// An option such as `--import=loader.js` is none.
fn is_script(arg: &Path) -> bool {
    let is_option = arg.to_str().is_some_and(|arg| arg.starts_with('-'));
    let ending = arg.extension().and_then(OsStr::to_str);
    !is_option && ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_what_its_interpreter_runs() {
        let cases: [(&[&str], Option<&str>); 10] = [
            (&["node", "web.js"], Some("web.js")),
            (&["/usr/bin/node", "--import", "tsx", "srv/web.ts", "other.js"], Some("srv/web.ts")),
            (&["python3.12", "-u", "app.py"], Some("app.py")),
            (&["python3", "-m", "uvicorn", "app:app"], Some("python3")),
            (&["java", "-Xmx1g", "-jar", "app.jar"], Some("app.jar")),
            (&["sh", "-c", "exec web"], Some("sh")),
            (&["node", "--require=hook.js", "."], Some("node")),
            (&["gunicorn", "-c", "conf.py", "app:app"], Some("gunicorn")),
            (&["./server", "page.js"], Some("./server")),
            (&[], None),
        ];
        for (line, expected) in cases {
            let line: Vec<PathBuf> = line.iter().map(PathBuf::from).collect();
            assert_eq!(named(&line), expected.map(Path::new), "{line:?}");
        }
    }
}
