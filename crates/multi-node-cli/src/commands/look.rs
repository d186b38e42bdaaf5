//! Commands that show: `list`, `status`, `top`, `logs`.

use std::io::{self, IsTerminal};

use anyhow::Result;
use clap::Args;
use multi_node::admin::{Instance, Logged, MachineInfo, Request};

use super::steer::{Asking, AskingEach};
use crate::exit::Usage;
use crate::target::{running, why_nobody};
use crate::{asking, output, show, top};

/// Lists the running programs of this user.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Prints an array of statuses as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows a program and its slots.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node status
  multi-node status web --json | jq '.slots[] | select(.restarts > 0)'
  multi-node status --all-machines
  multi-node status --watch")]
pub(crate) struct Status {
    /// Goes on with each change, until Ctrl-C or the program's end.
    #[arg(long)]
    watch: bool,
    /// Shows what runs on each machine that the program is joined to. Those that are silent for 8 s are unreachable.
    #[arg(long, conflicts_with = "watch")]
    all_machines: bool,
    #[command(flatten)]
    asking: AskingEach,
}

/// Shows a program's slots every second, and takes commands by keys.
#[derive(Args, Debug)]
#[command(after_help = "\
Keys: arrows choose a slot, r reloads, + and - scale, s restarts the slot, K kills its node, ? explains them, q leaves.

Examples:
  multi-node top
  multi-node top --once
  multi-node top --json | jq .rates")]
pub(crate) struct Top {
    /// Prints one picture, after a second, and no colours.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    asking: Asking,
}

/// Shows the last lines of the log.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node logs -n 20
  multi-node logs -f --slot 2
  multi-node logs --raw | less -R")]
pub(crate) struct Logs {
    /// Goes on with the lines that come, until Ctrl-C or the program's end.
    #[arg(short, long)]
    follow: bool,
    /// Lines of this slot only.
    #[arg(long)]
    slot: Option<u16>,
    /// How many of the lines that the program has kept.
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: usize,
    /// Shows control characters as they are, colours included. On a terminal they are escaped otherwise, since they could
    /// change what it shows, or what it does.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    asking: Asking,
}

impl List {
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run(self) -> Result<()> {
        let mut instances: Vec<Instance> = Vec::new();
        for (place, mut client) in running().await? {
            match asking::quick(&mut client, &Request::Status).await {
                Ok(instance) => instances.push(instance),
                Err(error) => eprintln!("multi-node: {}: {error}", place.name),
            }
        }
        match instances.len() {
            _ if self.json => output::json(&instances),
            0 => output::text(&format!("no program of this user runs with a control socket{}", why_nobody())),
            _ => output::text(&show::list(&instances, output::paint())),
        }
    }
}

impl Status {
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run(self) -> Result<()> {
        let (json, paint) = (self.asking.json, output::paint());
        if self.all_machines {
            let text = |machines: &Vec<MachineInfo>| show::machines(machines, paint, output::width());
            return asking::ask_each(&self.asking.targets, &Request::Machines, json, text).await;
        }
        if !self.watch {
            let text = |instance: &Instance| show::instance(instance, paint, output::width());
            return asking::ask_each(&self.asking.targets, &Request::Status, json, text).await;
        }
        let one = self.asking.targets.one();
        let one = one.ok_or_else(|| Usage("`status --watch` shows one program; name one".to_owned()))?;
        let mut client = one.connect().await?;
        let mut next: Option<Instance> = Some(asking::quick(&mut client, &Request::Watch).await?);
        while let Some(instance) = next {
            match json {
                true => output::json(&instance)?,
                false => output::text(&format!("{}\n", show::instance(&instance, paint, output::width())))?,
            }
            next = client.next().await?;
        }
        Ok(())
    }
}

impl Top {
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run(self) -> Result<()> {
        let client = self.asking.target.connect().await?;
        if self.asking.json {
            return top::values(client, self.once).await;
        }
        if self.once {
            return top::picture(client).await;
        }
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Usage("`top` needs a terminal; `--once` prints one picture without".to_owned()).into());
        }
        top::live(&self.asking.target, client).await
    }
}

impl Logs {
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run(self) -> Result<()> {
        let slot = self.slot.map(Into::into);
        let request = Request::Logs { slot, lines: self.lines, follow: self.follow };
        let mut client = self.asking.target.connect().await?;
        if !self.follow {
            let logged = asking::quick(&mut client, &request).await?;
            return self.print(&logged);
        }
        // The first lines may be long in coming.
        let mut next: Option<Logged> = Some(client.ask(&request).await?);
        while let Some(logged) = next {
            self.print(&logged)?;
            next = client.next().await?;
        }
        Ok(())
    }

    fn print(&self, logged: &Logged) -> Result<()> {
        match self.asking.json {
            true => logged.lines.iter().try_for_each(output::json),
            false => output::text(&show::lines(logged, output::paint(), !self.raw && io::stdout().is_terminal())),
        }
    }
}
