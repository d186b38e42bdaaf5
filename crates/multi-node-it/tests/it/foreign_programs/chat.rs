//! The chat example as its visitors see it: in browsers, over the mesh, through a kill.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use multi_node_it::browser::{Browser, Page};
use multi_node_it::{Example, within};
use serde_json::Value;

/// For one thing to appear on a page; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);
/// How many visitors are tried until one comes to the node that a test wants.
const TRIES: usize = 64;

#[tokio::test]
async fn visitors_of_two_nodes_talk_and_outlive_a_kill() -> anyhow::Result<()> {
    let Some(browser) = Browser::launch().await? else { return Ok(()) };
    let chat = Example::start("chat", &[("PORT", "0"), ("HOST", "127.0.0.1"), ("NODES", "4")]).await?;
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

#[tokio::test]
async fn a_visitor_deploys_without_a_lost_request() -> anyhow::Result<()> {
    let Some(browser) = Browser::launch().await? else { return Ok(()) };
    let chat = Example::start("chat", &[("PORT", "0"), ("HOST", "127.0.0.1"), ("NODES", "4")]).await?;
    within(110, async {
        let ada = Visitor::open(&browser, &chat, "Ada").await?;
        fits_a_phone(&ada.page).await?;
        deploy(&ada.page).await?;
        ensure!(ada.page.errors().await?.is_empty(), "{:?}", ada.page.errors().await?);
        anyhow::Ok(())
    })
    .await
    .with_context(|| chat.log())?;
    browser.close().await?;
    chat.stop().await
}

/// The title is one line, and nothing is wider than the screen.
async fn fits_a_phone(page: &Page) -> anyhow::Result<()> {
    page.screen(420, 800, false).await?;
    let title = "document.querySelector('.top h1')";
    let lines: f64 =
        page.evaluate(&format!("{title}.offsetHeight / parseFloat(getComputedStyle({title}).lineHeight)")).await?;
    ensure!(lines < 1.5, "the title has {lines} lines");
    let width: u32 = page.evaluate("document.documentElement.scrollWidth").await?;
    ensure!(width <= 420, "the page has {width} pixels");
    Ok(())
}

/// Deploys by the page's button: all that the page has asked meanwhile was answered, and every node is another one.
async fn deploy(page: &Page) -> anyhow::Result<()> {
    let nodes = "[...document.querySelectorAll('.card .id .now')].map((name) => name.textContent)";
    page.wait_until("!document.getElementById('deploy').disabled", LIMIT).await?;
    let before: Vec<String> = page.evaluate(nodes).await?;
    page.evaluate::<()>("document.getElementById('deploy').click()").await?;
    let count = "document.getElementById('count').textContent";
    page.wait_until(&format!("/^Deployed /.test({count})"), LIMIT).await?;
    let count: String = page.evaluate(count).await?;
    ensure!(count.ends_with(" requests answered, lost: 0") && !count.contains(" 0 requests"), "{count}");
    let after: Vec<String> = page.evaluate(nodes).await?;
    ensure!(before.len() == 4 && before.iter().all(|node| !after.contains(node)), "{before:?} {after:?}");
    Ok(())
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

async fn a_new_node_knows_what_was_said(chat: &Example, node: &str) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", chat.addr)).await?;
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
async fn visitor_elsewhere(browser: &Browser, chat: &Example, name: &str, node: &str) -> anyhow::Result<Visitor> {
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
    async fn open(browser: &Browser, chat: &Example, name: &str) -> anyhow::Result<Visitor> {
        let page = browser.open(&format!("http://{}/", chat.addr)).await?;
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
