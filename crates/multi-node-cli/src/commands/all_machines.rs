//! `reload --all-machines`: one machine after the other, as long as all goes well.

use anyhow::{Result, anyhow};
use multi_node::admin::{ClientError, MachineInfo, Request};
use multi_node::commands::ReloadReport;
use serde_json::json;

use crate::show::answer;
use crate::target::Target;
use crate::{asking, output};

/// Reloads each machine and prints its verdict. Stops at the first that fails, and says what runs where.
pub(super) async fn reload(target: &Target, json: bool) -> Result<()> {
    let mut client = target.connect().await?;
    let machines: Vec<MachineInfo> = asking::quick(&mut client, &Request::Machines).await?;
    let names: Vec<&str> = machines.iter().map(|machine| machine.machine.as_str()).collect();
    for (at, machine) in machines.iter().enumerate() {
        let request = match machine.local {
            true => Request::Reload { wait: true, now: false },
            false => Request::ReloadMachine { machine: machine.machine.clone() },
        };
        let verdict = target.connect().await?.ask::<ReloadReport>(&request).await;
        print(names[at], &verdict, json)?;
        if let Err(error) = verdict {
            return Err(anyhow!(stopped(&names, at, &error.to_string())));
        }
    }
    Ok(())
}

fn print(machine: &str, verdict: &Result<ReloadReport, ClientError>, json: bool) -> Result<()> {
    match verdict {
        Ok(report) if json => output::json(&json!({ "machine": machine, "answer": report })),
        Err(error) if json => output::json(&json!({ "machine": machine, "error": error.to_string() })),
        Ok(report) => output::text(&format!("{machine}: {}", answer::reloaded(report, output::paint()))),
        // It stands in the error that follows.
        Err(_) => Ok(()),
    }
}

/// What runs where, when the machine at this place has failed.
fn stopped(names: &[&str], at: usize, why: &str) -> String {
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("stopped at {}: {why}; reloaded: {}; not asked: {}", names[at], list(&names[..at]), list(&names[at + 1..]),)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_runs_where() {
        let names = ["alpha", "beta", "gamma"];
        assert_eq!(
            stopped(&names, 1, "slot 0 died"),
            "stopped at beta: slot 0 died; reloaded: alpha; not asked: gamma"
        );
        assert_eq!(stopped(&names[..1], 0, "busy"), "stopped at alpha: busy; reloaded: none; not asked: none");
    }
}
