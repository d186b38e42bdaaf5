//! The driver itself, against pages that need no server.

use std::time::Duration;

use super::Browser;
use crate::procfs;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_page_is_opened_asked_and_photographed() -> anyhow::Result<()> {
    let Some(browser) = Browser::launch().await? else { return Ok(()) };
    let page = browser.open("data:text/html,<title>here</title><p>hello").await?;
    page.wait_until("document.title === 'here'", LIMIT).await?;

    assert_eq!(page.evaluate::<String>("Promise.resolve(document.body.innerText)").await?.trim(), "hello");
    assert_eq!(page.evaluate::<Option<u32>>("undefined").await?, None);
    let thrown = page.evaluate::<u32>("null.length").await.expect_err("it cannot succeed");
    assert!(thrown.to_string().contains("TypeError"), "{thrown}");

    let late =
        page.wait_until("document.title === 'there'", Duration::from_millis(100)).await.expect_err("it cannot succeed");
    assert!(late.to_string().contains("hello"), "{late}");

    page.evaluate::<()>("void setTimeout(() => { window.thrown = true; throw new Error('nobody caught me'); })")
        .await?;
    page.wait_until("window.thrown", LIMIT).await?;
    assert!(page.errors().await?[0].contains("nobody caught me"));

    let directory = tempfile::tempdir()?;
    page.screen(320, 480, true).await?;
    page.screenshot(&directory.path().join("page.png")).await?;
    assert!(std::fs::read(directory.path().join("page.png"))?.starts_with(b"\x89PNG"));
    page.close().await?;
    browser.close().await
}

#[tokio::test]
async fn an_address_that_nobody_serves_is_an_error() -> anyhow::Result<()> {
    let Some(browser) = Browser::launch().await? else { return Ok(()) };
    // Port 1 is reserved and served by nothing that a test machine runs.
    let refused = browser.open("http://127.0.0.1:1/").await.expect_err("it cannot succeed");
    assert!(refused.to_string().contains("http://127.0.0.1:1/"), "{refused}");
    browser.close().await
}

#[tokio::test]
async fn nothing_is_left_of_a_browser_that_was_dropped() -> anyhow::Result<()> {
    let Some(browser) = Browser::launch().await? else { return Ok(()) };
    let family = procfs::children(browser.process.guard.id());
    let profile = browser.process.profile.clone();
    assert!(!family.is_empty() && profile.exists());

    browser.close().await?;
    assert!(!family.into_iter().any(procfs::is_alive), "the browser goes on");
    assert!(!profile.exists(), "{} was not removed", profile.display());
    Ok(())
}
