//! What runs a program: its own file, or the interpreter of a script.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::supervisor::{Held, hold, locate};

/// A program that could be executed.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// What was there; of a script nothing, since its interpreter opens it by its path.
    pub(crate) file: Option<Arc<OwnedFd>>,
}

/// Finds a program of this name or path.
pub(crate) fn find(typed: &Path, directory: &Path) -> io::Result<Found> {
    let path = locate(typed, directory);
    let file = match hold(&path)? {
        Held::File(file) => Some(file),
        Held::Script(_) => None,
    };
    Ok(Found { path, file })
}

/// Whether the program is Node.js, or a script that names it in its first line.
pub(crate) fn is_run_by_node(typed: &Path, directory: &Path) -> bool {
    runtimes(typed, directory).iter().any(|name| name == "node" || name == "nodejs")
}

/// Languages' runtimes and servers that never link the library, by their names without a version.
const FOREIGN: [&str; 17] = [
    "apache2", "beam.smp", "dotnet", "erl", "h2o", "haproxy", "httpd", "java", "lighttpd", "nginx", "perl", "php",
    "php-cgi", "php-fpm", "pypy", "python", "ruby",
];

/// Whether the program is known not to link this crate: it is one of these runtimes, or a script of one of them. Of all
/// others, such as shells, which may execute another program in their place, it is not known.
pub(crate) fn never_links(typed: &Path, directory: &Path) -> bool {
    let unversioned = |name: &String| name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').to_owned();
    runtimes(typed, directory).iter().map(unversioned).any(|name| FOREIGN.contains(&name.as_str()))
}

/// The names of what runs a program: its own file's, and where that is a script, those in its first line.
fn runtimes(typed: &Path, directory: &Path) -> Vec<String> {
    use io::Read;
    let Ok(program) = locate(typed, directory).canonicalize() else { return Vec::new() };
    let mut start = Vec::new();
    let read = std::fs::File::open(&program).and_then(|file| file.take(256).read_to_end(&mut start));
    let line = start.split(|&byte| byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
    let script = line.filter(|_| read.is_ok()).and_then(|line| line.strip_prefix("#!")).unwrap_or_default();
    let files = script.split_whitespace().map(Path::new).chain([program.as_path()]);
    files.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_runs_a_script_stands_in_its_first_line() {
        let folder = std::env::temp_dir().join(format!("multi-node-runtimes-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder of ours");
        let cases = [
            ("app", "#!/usr/bin/env python3.12\nprint()", false, true),
            ("gunicorn", "#!/opt/venv/bin/python\n", false, true),
            ("cli.js", "#!/usr/bin/env node\n", true, false),
            ("start.sh", "#!/bin/sh\nexec ./server\n", false, false),
            ("php-fpm8.2", "\u{7f}ELF", false, true),
            ("server", "\u{7f}ELF\n#!/usr/bin/python", false, false),
        ];
        for (name, text, is_node, foreign) in cases {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a file of ours");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
            let (typed, here) = (Path::new(name), folder.as_path());
            let typed = here.join(typed);
            assert_eq!((is_run_by_node(&typed, here), never_links(&typed, here)), (is_node, foreign), "{name}");
        }
        std::fs::remove_dir_all(&folder).expect("a folder of ours");
    }
}
