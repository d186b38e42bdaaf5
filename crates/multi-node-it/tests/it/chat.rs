//! The chat example as its visitors see it: in browsers, over the mesh, through a kill.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use multi_node_it::browser::{Browser, Page};
use multi_node_it::within;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// For one thing to appear on a page; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);
/// How many visitors are tried until one comes to the node that a test wants.
const TRIES: usize = 64;

#[tokio::test]
async fn visitors_of_two_nodes_talk_and_outlive_a_kill() -> anyhow::Result<()> {
    let Some(browser) = Browser::launch_or_skip("the chat page").await? else { return Ok(()) };
    let chat = Chat::start(4).await?;
    within(120, async {
        let ada = Visitor::open(&browser, &chat, "Ada").await?;
        let ben = visitor_elsewhere(&browser, &chat, "Ben", &ada.node).await?;
        talk(&ada, &ben, "before").await?;
        markup_stays_text(&ada, &ben).await?;
        let successor = kill(&ada).await?;
        talk(&ada, &ben, "after").await?;
        a_new_node_knows_what_was_said(&chat, &successor).await?;
        for visitor in [&ada, &ben] {
            ensure!(visitor.page.errors().await?.is_empty(), "{:?}", visitor.page.errors().await?);
        }
        anyhow::Ok(())
    })
    .await
    .with_context(|| chat.log())?;
    browser.close().await?;
    chat.stop().await
}

async fn talk(one: &Visitor, other: &Visitor, when: &str) -> anyhow::Result<()> {
    let (question, answer) = (format!("Who serves you {when} the kill?"), format!("Not the one you had {when} it."));
    one.says(&question).await?;
    other.sees(one, &question).await?;
    other.says(&answer).await?;
    one.sees(other, &answer).await
}

async fn markup_stays_text(writer: &Visitor, reader: &Visitor) -> anyhow::Result<()> {
    let markup = "<img src=x onerror='window.ran = true'>";
    writer.says(markup).await?;
    reader.sees(writer, markup).await?;
    let elements: u32 = reader.page.evaluate("document.querySelectorAll('#messages img').length").await?;
    ensure!(elements == 0, "a message became an element");
    Ok(())
}

/// Kills the visitor's node by the page's button; gives the id of the node that took its slot.
async fn kill(visitor: &Visitor) -> anyhow::Result<String> {
    let page = &visitor.page;
    let node = visitor.now_on().await?;
    let slot: u32 = page.evaluate("Number(document.querySelector('.card.here').dataset.slot)").await?;
    page.wait_until("!document.getElementById('kill').disabled", LIMIT).await?;
    page.evaluate::<()>("document.getElementById('kill').click()").await?;

    let line = format!("{node} was killed; reconnected to ");
    page.wait_until(&format!("document.getElementById('messages').innerText.includes({line:?})"), LIMIT).await?;
    let card = format!("document.querySelector('.card[data-slot=\"{slot}\"]')");
    let name = format!("{card}.querySelector('.id .now').textContent");
    let back = format!("{card}.dataset.state === 'serving' && {name} !== {node:?}");
    page.wait_until(&back, LIMIT).await?;
    page.wait_until(&format!("{card}.querySelector('.restarts').textContent === '1'"), LIMIT).await?;
    ensure!(visitor.now_on().await? != node, "the page claims to be on a node that is dead");
    page.evaluate(&name).await
}

async fn a_new_node_knows_what_was_said(chat: &Chat, node: &str) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", chat.address)).await?;
        let mut next = async || -> anyhow::Result<Value> {
            let frame = socket.next().await.context("the node ended")??;
            Ok(serde_json::from_str(frame.to_text()?)?)
        };
        if next().await?["node"] != node {
            continue;
        }
        let history = next().await?;
        ensure!(history["type"] == "history", "{history}");
        let texts = history["messages"].as_array().context("no messages")?.iter().map(|m| m["text"].as_str());
        ensure!(texts.clone().any(|text| text == Some("Who serves you before the kill?")), "{history}");
        return Ok(());
    }
    anyhow::bail!("none of {TRIES} visitors came to {node}")
}

/// A visitor whose node is another one than `node`.
async fn visitor_elsewhere(browser: &Browser, chat: &Chat, name: &str, node: &str) -> anyhow::Result<Visitor> {
    for _ in 0..TRIES {
        let visitor = Visitor::open(browser, chat, name).await?;
        if visitor.node != node {
            return Ok(visitor);
        }
        visitor.page.close().await?;
    }
    anyhow::bail!("{TRIES} visitors all came to {node}")
}

/// A page, and who writes there.
struct Visitor {
    page: Page,
    name: String,
    /// Where it was connected to at first.
    node: String,
}

impl Visitor {
    async fn open(browser: &Browser, chat: &Chat, name: &str) -> anyhow::Result<Visitor> {
        let page = browser.open(&format!("http://{}/", chat.address)).await?;
        page.wait_until("document.getElementById('link').dataset.state === 'open'", LIMIT).await?;
        page.wait_until("document.querySelector('.card.here')", LIMIT).await?;
        page.evaluate::<()>(&format!("void (document.getElementById('name').value = {name:?})")).await?;
        let mut visitor = Visitor { page, name: name.to_owned(), node: String::new() };
        visitor.node = visitor.now_on().await?;
        Ok(visitor)
    }

    async fn now_on(&self) -> anyhow::Result<String> {
        self.page.evaluate("document.querySelector('#link-text b').textContent").await
    }

    async fn says(&self, text: &str) -> anyhow::Result<()> {
        let text = serde_json::to_string(text)?;
        let write = format!("void (document.getElementById('text').value = {text})");
        self.page.evaluate::<()>(&write).await?;
        self.page.evaluate::<()>("document.getElementById('composer').requestSubmit()").await
    }

    /// The newest message of `writer` is this one, and it came from the node that `writer` is connected to.
    async fn sees(&self, writer: &Visitor, text: &str) -> anyhow::Result<()> {
        let (text, name, node) = (serde_json::to_string(text)?, &writer.name, writer.now_on().await?);
        let of_writer =
            format!("[...document.querySelectorAll('.message')].filter((m) => m.dataset.from === {name:?})");
        let newest =
            format!("((m) => m && [m.querySelector('.words').textContent, m.dataset.node])({of_writer}.at(-1))");
        self.page.wait_until(&format!("String({newest}) === String([{text}, {node:?}])"), LIMIT).await
    }
}

/// The example, run as a user would.
struct Chat {
    master: Child,
    address: String,
    log: NamedTempFile,
}

impl Chat {
    async fn start(nodes: usize) -> anyhow::Result<Chat> {
        let mut command = Command::new(example().await?);
        command.env("PORT", "0").env("HOST", "127.0.0.1").env("NODES", nodes.to_string());
        let log = NamedTempFile::new()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.reopen()?);
        let mut master = command.kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(master.stdout.take().context("piped")?).lines();
        let first = within(30, lines.next_line()).await?.context("the example ended before it served")?;
        let address = first.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.with_context(|| format!("no address in {first:?}"))?.to_owned();
        Ok(Chat { master, address, log })
    }

    /// What master and nodes have logged.
    fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Ends it as a service manager would, and expects that it ends well.
    async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.master.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("it has ended")?;
        kill_process(pid, Signal::TERM)?;
        let status = within(60, self.master.wait()).await?;
        ensure!(status.success(), "the example ended with {status}");
        Ok(())
    }
}

/// Builds the example and tells where it is: cargo builds no examples of another package for a test.
async fn example() -> anyhow::Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "multi-node", "--example", "chat", "--message-format", "json"]);
    let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output().await?;
    ensure!(output.status.success(), "the example does not build");
    let messages = String::from_utf8(output.stdout)?;
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = built.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    program.context("cargo named no program")
}
