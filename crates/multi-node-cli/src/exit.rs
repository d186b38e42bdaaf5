//! Exit codes. `multi-node --help` lists them.

use std::io;
use std::process::ExitCode;

use multi_node::Error;
use multi_node::admin::ClientError;
use multi_node::commands::CommandError;

/// An error that is the caller's: wrong arguments or configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// No program runs that could be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoInstance(pub(crate) String);

/// Another process has the lock.
#[derive(Debug, thiserror::Error)]
#[error("another process has the lock {0:?}")]
pub(crate) struct Locked(pub(crate) String);

/// A reload was done, but for the certificates.
#[derive(Debug, thiserror::Error)]
#[error("the nodes are replaced, but the files of certificates cannot be used: those before stay in force")]
pub(crate) struct BadCertificates;

/// What `probe` has found is not what was allowed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Probed {
    #[error("{lost} requests were lost, and {allowed} are allowed{}", also(command.as_deref()))]
    Lost { lost: u64, allowed: u64, command: Option<String> },
    #[error("no more requests were lost than allowed, but the command {0}")]
    Command(String),
    #[error("interrupted")]
    Interrupted,
}

fn also(command: Option<&str>) -> String {
    command.map(|told| format!("; the command {told}")).unwrap_or_default()
}

/// An error's text for people: the causes down to the first that includes its own cause.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut told = Vec::new();
    for cause in error.chain() {
        told.push(match cause.downcast_ref::<Error>() {
            Some(Error::Program { program, source }) if source.kind() == io::ErrorKind::NotFound => {
                format!("cannot run `{program}`: there is no such program; names without a slash are looked up in PATH")
            }
            Some(Error::Program { program, source }) => {
                format!(
                    "cannot run `{program}`: {}; if it is a script, name what runs it, as in `node {program}`",
                    system(source)
                )
            }
            Some(Error::Option { option, value, allowed }) => {
                let allowed = allowed.replace("`insecure_bus`", "`--insecure-bus`");
                format!("`--{}` {value:?} is not allowed; {allowed}", typed(option))
            }
            Some(error @ Error::NoNodes { .. }) => format!("{error}; what it wrote stands above"),
            _ => cause.downcast_ref::<io::Error>().map_or_else(|| cause.to_string(), system),
        });
        if cause.is::<Error>() || cause.is::<ClientError>() {
            break;
        }
    }
    told.join(": ")
}

/// What an option of the library is called on the command line.
fn typed(option: &str) -> String {
    match option {
        "control" => "name".to_owned(),
        "control_path" => "control".to_owned(),
        "readiness" => "ready-http".to_owned(),
        "socket_names" => "fdname".to_owned(),
        "backoff.longest" => "backoff-max".to_owned(),
        "canary.min_requests" => "canary-requests".to_owned(),
        other => other.replace(['_', '.'], "-"),
    }
}

/// The system's words without Rust's "(os error N)".
pub(crate) fn system(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.chars().take(1).flat_map(char::to_lowercase).chain(text.chars().skip(1)).collect()
}

/// What an error is to a script.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    const FAILED: u8 = 1;
    const USAGE: u8 = 2;
    const REFUSED: u8 = 3;
    const NOBODY: u8 = 4;
    const COMMAND_FAILED: u8 = 5;
    const CANNOT_EXECUTE: u8 = 126;
    const NOT_FOUND: u8 = 127;
    const INTERRUPTED: u8 = 130;
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<Usage>() {
            return Some(USAGE);
        }
        if cause.is::<Locked>() {
            return Some(REFUSED);
        }
        if cause.is::<NoInstance>() {
            return Some(NOBODY);
        }
        if let Some(probed) = cause.downcast_ref::<Probed>() {
            return Some(match probed {
                Probed::Lost { .. } => FAILED,
                Probed::Command(_) => COMMAND_FAILED,
                Probed::Interrupted => INTERRUPTED,
            });
        }
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return Some(match error {
                ClientError::NotRunning { .. } => NOBODY,
                ClientError::Refused(refusal) if refusal.code == "no_such_slot" => NOBODY,
                ClientError::Refused(_) => REFUSED,
                _ => FAILED,
            });
        }
        match (cause.downcast_ref::<Error>(), cause.downcast_ref::<CommandError>()) {
            (Some(Error::Option { .. }), _) => Some(USAGE),
            (Some(Error::Program { source, .. }), _) if source.kind() == io::ErrorKind::NotFound => Some(NOT_FOUND),
            (Some(Error::Program { .. }), _) => Some(CANNOT_EXECUTE),
            (_, Some(CommandError::Failed { .. } | CommandError::RolledBack { .. })) => Some(FAILED),
            (_, Some(_)) => Some(REFUSED),
            _ => None,
        }
    };
    error.chain().find_map(of_cause).unwrap_or(FAILED).into()
}
