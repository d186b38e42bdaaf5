//! `multi-node upgrade`

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use multi_node::admin::{ClientError, Instance, Request};
use serde_json::Value;

use super::steer::Asking;
use crate::target::Target;
use crate::{asking, output, show};

/// Replaces the whole program, the master included, by the one that is on disk now. The master's process, the listening
/// sockets and the connections stay.
#[derive(Args, Debug)]
#[command(after_help = "\
Returns when the new program answers. Where it cannot take over, the old one goes on, and the exit code is 1.")]
pub(crate) struct Upgrade {
    #[command(flatten)]
    asking: Asking,
}

/// How long the next program may take to answer, which has reached `listen` in its trial already.
const TAKE_OVER: Duration = Duration::from_secs(30);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Upgrade {
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run(self) -> Result<()> {
        let Asking { target, json } = self.asking;
        let text = |instance: &Instance| show::instance(instance, output::paint(), output::width());
        asking::print(upgrade(&target).await, json, text)
    }
}

async fn upgrade(target: &Target) -> Result<Instance> {
    let mut client = target.connect().await?;
    let before: Instance = asking::quick(&mut client, &Request::Status).await?;
    match client.ask::<Value>(&Request::Upgrade).await {
        // The process has become another program, and its connections are closed by that.
        Err(ClientError::Ended { .. } | ClientError::Io { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(answer) => return Err(anyhow!("the program answered what is no answer to an upgrade: {answer}")),
    }
    let successor = tokio::time::timeout(TAKE_OVER, successor(target, &before)).await;
    successor.map_err(|_| anyhow!("the next program has not answered within {} s", TAKE_OVER.as_secs()))
}

/// Who answers in the same process, and has begun later.
async fn successor(target: &Target, before: &Instance) -> Instance {
    loop {
        if let Ok(mut client) = target.connect().await
            && let Ok(instance) = asking::quick::<Instance>(&mut client, &Request::Status).await
            && (instance.pid, instance.started_ms > before.started_ms) == (before.pid, true)
        {
            return instance;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
