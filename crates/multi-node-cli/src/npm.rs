//! Programs that start Node.js for others, and keep from them the channel that they are given.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What to type instead, for `npm start` and its like; `None` for other programs.
pub(crate) fn advice(program: &[PathBuf], package: &Path) -> Option<String> {
    let (program, args) = program.split_first()?;
    let name = program.file_name().and_then(OsStr::to_str)?;
    if !["npm", "npx", "yarn", "pnpm"].contains(&name) {
        return None;
    }
    let what = match script(args).and_then(|script| command(package, script)) {
        Some(command) => format!("package.json runs: {command}"),
        None => "name the program that it runs".to_owned(),
    };
    Some(format!(
        "`{name}` keeps what multi-node gives a Node.js program to itself; {what}, so type `-- node FILE`, or what it is, behind the options"
    ))
}

/// The script to run: `start`, `run start`, `run-script start`.
fn script(args: &[PathBuf]) -> Option<&str> {
    let mut words = args.iter().filter_map(|arg| arg.to_str()).filter(|word| !word.starts_with('-'));
    match words.next()? {
        "run" | "run-script" => words.next(),
        script => Some(script),
    }
}

fn command(package: &Path, script: &str) -> Option<String> {
    let package: Value = serde_json::from_str(&std::fs::read_to_string(package).ok()?).ok()?;
    Some(package["scripts"][script].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_behind_npm_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let package = folder.path().join("package.json");
        std::fs::write(&package, r#"{"scripts": {"start": "node server.js --fast"}}"#).expect("written");
        let advice = |words: &[&str]| advice(&words.iter().map(PathBuf::from).collect::<Vec<_>>(), &package);
        for words in [&["npm", "start"][..], &["/usr/bin/npm", "run", "start"], &["yarn", "--silent", "start"]] {
            assert!(advice(words).expect("advice").contains("package.json runs: node server.js --fast"), "{words:?}");
        }
        assert!(advice(&["npx", "serve"]).expect("advice").contains("name the program that it runs"));
        assert_eq!(advice(&["node", "server.js"]), None);
        assert_eq!(advice(&[]), None);
    }
}
