//! Under which name a program's control socket is opened.

use std::path::Path;

use super::settings::refused;
use crate::Error;

/// The name of a control socket, by which commands find the program; see [`Options::control`](super::Options::control).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlName {
    /// This name. Where another program has it, `listen` fails.
    Exactly(String),
    /// This name, and where another program has it, the process id behind it: `web-4711`.
    Preferred(String),
    /// There is no control socket.
    Off,
}

impl From<&str> for ControlName {
    fn from(name: &str) -> ControlName {
        ControlName::Exactly(name.to_owned())
    }
}

impl From<String> for ControlName {
    fn from(name: String) -> ControlName {
        ControlName::Exactly(name)
    }
}

impl From<&String> for ControlName {
    fn from(name: &String) -> ControlName {
        name.as_str().into()
    }
}

/// `None`: there is no control socket.
impl From<Option<&str>> for ControlName {
    fn from(name: Option<&str>) -> ControlName {
        name.map_or(ControlName::Off, Into::into)
    }
}

/// The longest name of a control socket, in bytes; its path has to fit into 108 (unix(7)).
const LONGEST: usize = 64;

/// The longest part of a file's name that is used, in bytes. It leaves room for a process id.
const OF_A_FILE: usize = 40;

impl ControlName {
    /// The name of a program's file, without its extension, as far as programs can be called by it.
    pub fn of_file(path: impl AsRef<Path>) -> ControlName {
        let stem = path.as_ref().file_stem().unwrap_or_default().to_string_lossy();
        let name: String = stem.trim_start_matches('.').chars().filter(is_allowed).take(OF_A_FILE).collect();
        ControlName::Preferred(if name.is_empty() { "program".to_owned() } else { name })
    }

    /// The name, if there is one.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            ControlName::Exactly(name) | ControlName::Preferred(name) => Some(name),
            ControlName::Off => None,
        }
    }

    /// The name that was found free.
    pub(crate) fn rename(&mut self, free: String) {
        if let ControlName::Exactly(name) | ControlName::Preferred(name) = self {
            *name = free;
        }
    }

    pub(super) fn check(self) -> Result<ControlName, Error> {
        let Some(name) = self.name() else { return Ok(self) };
        // A preferred name is dropped there, since each process serves alone.
        if cfg!(not(multi_process)) && matches!(self, ControlName::Exactly(_)) {
            return Err(refused("control", name, "control sockets need Linux"));
        }
        match is_instance_name(name) {
            true => Ok(self),
            false => {
                let allowed = "expected 1 to 64 letters, digits, `.`, `_` and `-`, the first of which is no dot";
                Err(refused("control", name, allowed))
            }
        }
    }
}

/// Whether a program can run under this name: it becomes a file's name.
pub(crate) fn is_instance_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.chars().all(|c| is_allowed(&c)) && !name.starts_with('.')
}

fn is_allowed(c: &char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_a_name_that_is_allowed() {
        let long = format!("/bin/{}", "x".repeat(100));
        let cases = [
            ("/srv/app/server.js", "server"),
            ("gunicorn", "gunicorn"),
            ("/x/.hidden", "hidden"),
            ("/x/é", "program"),
            ("", "program"),
        ];
        for (file, name) in cases {
            assert_eq!(ControlName::of_file(file), ControlName::Preferred(name.to_owned()), "{file}");
        }
        assert!(ControlName::of_file(long).name().is_some_and(is_instance_name));
    }

    #[test]
    fn none_turns_it_off() {
        assert_eq!(ControlName::from(None), ControlName::Off);
        assert_eq!(ControlName::from(Some("web")), ControlName::from("web"));
    }
}
