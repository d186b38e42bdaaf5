//! A headless Chromium, driven over its DevTools protocol, for the tests that look at a page as a visitor does.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use multi_node_it::browser::Browser;
//! use std::time::Duration;
//!
//! let Some(browser) = Browser::launch().await? else { return Ok(()) };
//! let page = browser.open("http://127.0.0.1:8080/").await?;
//! page.wait_until("document.title !== ''", Duration::from_secs(5)).await?;
//! let title: String = page.evaluate("document.title").await?;
//! browser.close().await
//! # }
//! ```

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;

use crate::needs;
use wire::Wire;

mod wire;

#[cfg(test)]
mod foreign_programs;
#[cfg(test)]
mod tests;

/// Names under which distributions install it.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running Chromium.
///
/// Dropping it kills the browser with all its processes, waits for its end and removes what it wrote. The same is done when the
/// test's process ends without a drop, as when it is killed.
#[derive(Debug)]
pub struct Browser {
    wire: Wire,
    process: Process,
}

impl Browser {
    /// Starts the Chromium found in PATH, or the one that was fetched. `None` where there is neither: the test is skipped.
    ///
    /// # Errors
    ///
    /// What Chromium said when it failed to start within 30 s.
    pub async fn launch() -> anyhow::Result<Option<Browser>> {
        let Some(program) = program() else { return Ok(None) };
        let (process, stderr) = Process::spawn(&program)?;
        let address = tokio::time::timeout(START_LIMIT, debugger_address(stderr))
            .await
            .with_context(|| format!("{program:?} named no debugger address within {START_LIMIT:?}"))??;
        Ok(Some(Browser { wire: Wire::connect(&address).await?, process }))
    }

    /// Opens a page as a visitor of its own, who shares no cookies or storage with the other pages.
    ///
    /// Returns once the navigation has begun; use [`Page::wait_until`] for what the test needs.
    ///
    /// # Errors
    ///
    /// When the address cannot be reached, or the browser is gone.
    pub async fn open(&self, url: &str) -> anyhow::Result<Page> {
        let context = self.wire.call("", "Target.createBrowserContext", json!({})).await?;
        let blank = json!({ "url": "about:blank", "browserContextId": context["browserContextId"] });
        let target = self.wire.call("", "Target.createTarget", blank).await?["targetId"].take();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = self.wire.call("", "Target.attachToTarget", attach).await?;
        let session = session["sessionId"].as_str().context("the browser gave the page no session")?.to_owned();
        let page = Page { wire: self.wire.clone(), session, target };
        page.call("Runtime.enable", json!({})).await?;
        page.navigate(url).await?;
        Ok(page)
    }

    /// Ends the browser and waits until it has.
    ///
    /// # Errors
    ///
    /// When the wait itself could not be carried out.
    pub async fn close(self) -> anyhow::Result<()> {
        // The drop waits for the process and deletes files, both of which block.
        tokio::task::spawn_blocking(move || drop(self.process)).await.context("the browser's end could not be awaited")
    }
}

/// A page of a [`Browser`].
#[derive(Debug)]
pub struct Page {
    wire: Wire,
    session: String,
    target: Value,
}

impl Page {
    /// The value of a JavaScript expression; a promise is awaited.
    ///
    /// # Errors
    ///
    /// What the expression threw, or that its value is no `T`.
    pub async fn evaluate<T: DeserializeOwned>(&self, expression: &str) -> anyhow::Result<T> {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("{expression} threw {}", wire::exception_text(thrown));
        }
        let value = answer["result"].get("value").cloned().unwrap_or(Value::Null);
        serde_json::from_value(value).with_context(|| format!("the value of {expression}"))
    }

    /// Waits until a JavaScript expression is true.
    ///
    /// An expression that throws is not true yet: the page may not have loaded.
    ///
    /// # Errors
    ///
    /// That it did not become true within `limit`, with what the page showed and threw by then.
    pub async fn wait_until(&self, expression: &str, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        let asked = format!("Boolean({expression})");
        loop {
            let last = self.evaluate::<bool>(&asked).await;
            if matches!(last, Ok(true)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let shown: String = self.evaluate("document.body.innerText").await.unwrap_or_default();
                let errors = self.errors().await?;
                bail!(
                    "not within {limit:?}: {expression}\nlast: {last:?}\nerrors: {errors:?}\nthe page shows:\n{shown}"
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The exceptions that nothing in the page caught, oldest first; at most the first 100.
    ///
    /// # Errors
    ///
    /// When the browser is gone.
    pub async fn errors(&self) -> anyhow::Result<Vec<String>> {
        self.wire.errors(&self.session).await
    }

    /// Goes to another address, or to the same one again.
    ///
    /// # Errors
    ///
    /// When the address cannot be reached.
    pub async fn navigate(&self, url: &str) -> anyhow::Result<()> {
        let gone = self.call("Page.navigate", json!({ "url": url })).await?;
        match gone["errorText"].as_str() {
            None | Some("") => Ok(()),
            Some(error) => bail!("cannot open {url}: {error}"),
        }
    }

    /// Pretends a screen: its size in CSS pixels, and whether the visitor prefers a dark page.
    ///
    /// # Errors
    ///
    /// When the browser is gone.
    pub async fn screen(&self, width: u32, height: u32, dark: bool) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640 });
        self.call("Emulation.setDeviceMetricsOverride", size).await?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await.map(drop)
    }

    /// Writes what the page looks like to a PNG file.
    ///
    /// # Errors
    ///
    /// When the browser is gone or the file cannot be written.
    pub async fn screenshot(&self, path: &Path) -> anyhow::Result<()> {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let encoded = shot["data"].as_str().context("the browser sent no picture")?;
        let png = wire::decode_base64(encoded).context("the browser's picture is no base64")?;
        tokio::fs::write(path, png).await.with_context(|| path.display().to_string())
    }

    /// Closes the page; its connections end.
    ///
    /// # Errors
    ///
    /// When the browser is gone.
    pub async fn close(self) -> anyhow::Result<()> {
        self.wire.call("", "Target.closeTarget", json!({ "targetId": self.target })).await.map(drop)
    }

    async fn call(&self, method: &'static str, params: Value) -> anyhow::Result<Value> {
        self.wire.call(&self.session, method, params).await
    }
}

/// The program and its first arguments.
fn program() -> Option<Vec<PathBuf>> {
    if let Some(installed) = PROGRAMS.iter().find_map(|name| needs::find_in_path(name)) {
        return Some(vec![installed]);
    }
    let fetched = ["chromium/with", "chromium/usr/lib/chromium/chromium"];
    fetched.iter().map(|path| needs::server(path).map(PathBuf::from)).collect()
}

/// Starts the command, and ends all its processes when standard input is closed; then removes the profile, again while
/// processes that were killed but have not ended yet still write to it.
const GUARD: &str = r#"
profile=$1; shift
setsid "$@" </dev/null &
exec 2>/dev/null
read -r _
kill -s KILL -- "-$!" "$!"
wait
for try in $(seq 50); do rm -rf "$profile" && break; sleep 0.1; done
"#;

/// Chromium's processes and the directory in which they keep everything. A shell, in a process group of its own, ends the ones
/// and removes the other when its standard input is closed: by the drop, or by the end of the test's process.
#[derive(Debug)]
struct Process {
    // std's child, since a drop can wait for that one.
    guard: std::process::Child,
    profile: PathBuf,
}

impl Process {
    fn spawn(program: &[PathBuf]) -> anyhow::Result<(Process, ChildStderr)> {
        let profile = tempfile::Builder::new().prefix("multi-node-chromium-").tempdir()?;
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", GUARD, "sh"])
            .arg(profile.path())
            .args(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--disable-breakpad", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .envs(["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name, profile.path())))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut guard = command.spawn().context("cannot start a shell")?;
        let stderr = guard.stderr.take().context("the browser has no standard error")?;
        Ok((Process { guard, profile: profile.keep() }, ChildStderr::from_std(stderr)?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
        if self.profile.exists() {
            eprintln!("{} could not be removed", self.profile.display());
        }
    }
}

/// Reads the address from Chromium's standard error, and goes on reading so that the pipe never fills.
async fn debugger_address(stderr: ChildStderr) -> anyhow::Result<String> {
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix("DevTools listening on ") {
            let address = address.trim().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address);
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("the browser ended at its start:\n{said}")
}
