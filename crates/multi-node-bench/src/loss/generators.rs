//! Load generators of others against multi-node, while it is deployed: what they count as failed.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Options, outcome::Outcome, program::Program};
use crate::process::Process;

/// The time between two deploys.
const REST: Duration = Duration::from_millis(200);

/// What a generator has counted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Count {
    /// Its command line, without the address.
    pub(super) generator: String,
    pub(super) deploys: usize,
    pub(super) answered: u64,
    pub(super) failed: u64,
}

/// A load generator: its arguments, and what it prints at the end.
struct Generator {
    name: &'static str,
    args: &'static str,
    /// The number before or after this text is how many requests were answered.
    answered: &'static str,
    /// The numbers after these texts are failures. Where a text is not there, there were none.
    failed: &'static [&'static str],
}

const GENERATORS: [Generator; 3] = [
    Generator {
        name: "wrk",
        args: "-t1 -c32 -d@s",
        answered: "requests in",
        failed: &["connect ", "read ", "write ", "timeout ", "Non-2xx or 3xx responses: "],
    },
    Generator {
        name: "ab",
        args: "-q -r -k -c32 -t@ -n10000000",
        answered: "Complete requests:",
        failed: &["Failed requests:", "Write errors:", "Non-2xx responses:"],
    },
    Generator {
        name: "h2load",
        args: "--h1 -t1 -c32 -D@",
        answered: " succeeded",
        failed: &[" failed", " errored", " timeout"],
    },
];

/// Runs each that is installed; `None`, where none is.
pub(super) fn run(options: &Options) -> Result<Option<Outcome>> {
    let mut outcome = Outcome::of("multi-node, counted by load generators of others");
    for generator in &GENERATORS {
        let found = options.peers.join("debian/usr/bin").join(generator.name);
        match std::path::absolute(&found) {
            Ok(program) if program.exists() => outcome.generators.push(generator.run(&program, options)?),
            _ => eprintln!("{} is skipped: it is not installed; scripts/install-peers.sh fetches it", generator.name),
        }
    }
    Ok((!outcome.generators.is_empty()).then_some(outcome))
}

impl Generator {
    fn run(&self, program: &Path, options: &Options) -> Result<Count> {
        let mut server = Program::start(
            &[format!("--nodes={}", options.nodes)],
            &options.results.join(format!("{}.log", self.name)),
        )?;
        let args = self.args.replace('@', &options.generator_seconds.to_string());
        let mut command = Command::new(program);
        command.args(args.split(' ')).arg(format!("http://{}/sleep/0", server.address));
        command
            .env("LD_LIBRARY_PATH", libraries(program)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Process::run(&mut command)?;
        let mut deploys = 0;
        while running.is_running()? {
            server.deploy()?;
            deploys += 1;
            thread::sleep(REST);
        }
        let said = running.output()?;
        server.stop()?;
        let answered = number(&said, self.answered).with_context(|| format!("{} said {said:?}", self.name))?;
        let failed = self.failed.iter().filter_map(|text| number(&said, text)).sum();
        Ok(Count { generator: format!("{} {args}", self.name), deploys, answered, failed })
    }
}

/// The folder of the libraries that were fetched with a program.
fn libraries(program: &Path) -> Result<std::path::PathBuf> {
    let usr = program.ancestors().nth(2).context("a program in usr/bin")?;
    Ok(usr.join("lib").join(format!("{}-linux-gnu", std::env::consts::ARCH)))
}

/// The number right after the text, or right before it where it begins with a blank or ends without a colon.
fn number(said: &str, text: &str) -> Option<u64> {
    let (before, after) = said.split_once(text)?;
    let digits = |words: &str| words.trim().trim_end_matches(',').parse().ok();
    let next = after.split_ascii_whitespace().next().and_then(digits);
    let last = before.split_ascii_whitespace().next_back().and_then(digits);
    if text.ends_with([':', ' ']) { next } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_generators_print() {
        let wrk = "  412 requests in 2.00s, 4MB read\n  Socket errors: connect 1, read 2, write 0, timeout 3\n";
        assert_eq!(
            (number(wrk, "requests in"), number(wrk, "read "), number(wrk, "timeout ")),
            (Some(412), Some(2), Some(3))
        );
        assert_eq!(number(wrk, "Non-2xx or 3xx responses: "), None);
        let ab = "Complete requests:      50000\nFailed requests:        4\n";
        assert_eq!((number(ab, "Complete requests:"), number(ab, "Failed requests:")), (Some(50000), Some(4)));
        let h2load = "requests: 9 total, 9 started, 9 done, 7 succeeded, 2 failed, 1 errored, 0 timeout\n";
        assert_eq!((number(h2load, " succeeded"), number(h2load, " failed")), (Some(7), Some(2)));
    }
}
