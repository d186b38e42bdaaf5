//! A headless Chromium, driven over its DevTools protocol, for the tests that look at a page as a visitor does.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use multi_node_it::browser::Browser;
//! use std::time::Duration;
//!
//! let Some(browser) = Browser::launch_or_skip("chat").await? else { return Ok(()) };
//! let page = browser.open("http://127.0.0.1:8080/").await?;
//! page.wait_until("document.title !== ''", Duration::from_secs(5)).await?;
//! let title: String = page.evaluate("document.title").await?;
//! browser.close().await
//! # }
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;

use wire::Wire;

mod wire;

#[cfg(test)]
mod tests;

/// Names under which distributions install it, the one that `scripts/install-chromium.sh` installs first.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// No Chromium is installed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing;

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of {} is in PATH; scripts/install-chromium.sh installs it", PROGRAMS.join(", "))
    }
}

impl std::error::Error for Missing {}

/// A running Chromium.
///
/// Dropping it kills the browser with all its processes, waits for its end and removes what it wrote.
#[derive(Debug)]
pub struct Browser {
    wire: Wire,
    process: Process,
}

impl Browser {
    /// Starts the Chromium found in PATH.
    ///
    /// # Errors
    ///
    /// [`Missing`] (to be had by `downcast_ref`) where there is none; else what Chromium said when it failed to start
    /// within 30 s.
    pub async fn launch() -> anyhow::Result<Browser> {
        let program = PROGRAMS.iter().find_map(|name| find_in_path(name)).ok_or(Missing)?;
        let (process, stderr) = Process::spawn(&program)?;
        let address = tokio::time::timeout(START_LIMIT, debugger_address(stderr))
            .await
            .with_context(|| format!("{} named no debugger address within {START_LIMIT:?}", program.display()))??;
        Ok(Browser { wire: Wire::connect(&address).await?, process })
    }

    /// As [`Browser::launch`], but `None` with a printed line where no Chromium is installed, so that a test can leave.
    ///
    /// # Errors
    ///
    /// Those of `launch`; with `CI=true` in the environment [`Missing`] too, since there a skipped test proves nothing.
    pub async fn launch_or_skip(test: &str) -> anyhow::Result<Option<Browser>> {
        match Browser::launch().await {
            Err(error) if error.is::<Missing>() && std::env::var_os("CI").is_none_or(|ci| ci != "true") => {
                eprintln!("SKIPPED {test}: {error}");
                Ok(None)
            }
            launched => launched.map(Some),
        }
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

/// Chromium's processes, and the directory in which they keep everything.
#[derive(Debug)]
struct Process {
    // std's child, since a drop can wait for that one.
    leader: std::process::Child,
    home: Option<TempDir>,
}

impl Process {
    fn spawn(program: &Path) -> anyhow::Result<(Process, ChildStderr)> {
        let home = tempfile::Builder::new().prefix("multi-node-chromium-").tempdir()?;
        let mut command = std::process::Command::new(program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--disable-breakpad", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .arg("about:blank")
            .envs(["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name, home.path())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut leader = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stderr = leader.stderr.take().context("the browser has no standard error")?;
        Ok((Process { leader, home: Some(home) }, ChildStderr::from_std(stderr)?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.leader.id().cast_signed()) {
            // ESRCH means that all have ended, which is what is wanted.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.leader.wait();
        if let Some(home) = self.home.take() {
            remove(home);
        }
    }
}

/// Removes the directory, again while processes that were killed but have not ended yet still write to it.
fn remove(home: TempDir) {
    let path = home.keep();
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Err(error) = std::fs::remove_dir_all(&path) {
        if Instant::now() >= deadline {
            eprintln!("cannot remove {}: {error}", path.display());
            return;
        }
        std::thread::sleep(POLL);
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

fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file())
}
