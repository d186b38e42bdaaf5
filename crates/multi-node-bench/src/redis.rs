//! Redis on a Unix socket, and as much of its protocol as the comparisons need.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::Process;

pub(crate) struct RedisServer {
    pub(crate) socket: PathBuf,
    _process: Process,
}

impl RedisServer {
    /// Starts the program, with its socket in the folder.
    pub(crate) fn start(mut command: Command, folder: &Path) -> Result<RedisServer> {
        let socket = folder.join("redis.sock");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        // A subscriber may be as late as it is.
        command.args(["--client-output-buffer-limit", "pubsub 0 0 0"]);
        let process = Process::run(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
        let begin = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            ensure!(begin.elapsed() < Duration::from_secs(10), "redis-server does not open {}", socket.display());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(RedisServer { socket, _process: process })
    }
}

pub(crate) struct RedisClient {
    stream: BufReader<UnixStream>,
    line: String,
}

impl RedisClient {
    pub(crate) fn connect(socket: &Path) -> Result<RedisClient> {
        let stream = BufReader::with_capacity(1 << 16, UnixStream::connect(socket)?);
        Ok(RedisClient { stream, line: String::new() })
    }

    /// No answer lets it wait longer.
    pub(crate) fn set_timeout(&self, longest: Duration) -> Result<()> {
        Ok(self.stream.get_ref().set_read_timeout(Some(longest))?)
    }

    /// Whether there is a value.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<bool> {
        self.send(&[b"GET", key])?;
        self.text(&mut Vec::new())
    }

    pub(crate) fn set(&mut self, key: &[u8], millis: i64, value: &[u8]) -> Result<()> {
        self.send(&[b"SET", key, value, b"PX", millis.to_string().as_bytes()])?;
        match self.line()? {
            "+OK" => Ok(()),
            other => bail!("Redis says {other:?}"),
        }
    }

    /// Sends one command.
    pub(crate) fn send(&mut self, parts: &[&[u8]]) -> Result<()> {
        let mut command = Vec::new();
        encode(&mut command, parts)?;
        self.send_encoded(&command)
    }

    /// Sends commands at once.
    pub(crate) fn send_encoded(&mut self, commands: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(commands)?)
    }

    /// The next text of the answer; false where there is none.
    pub(crate) fn text(&mut self, text: &mut Vec<u8>) -> Result<bool> {
        let length: i64 = self.line()?.strip_prefix('$').context("a length")?.parse()?;
        let Ok(length) = usize::try_from(length) else { return Ok(false) };
        text.resize(length + 2, 0);
        self.stream.read_exact(text)?;
        text.truncate(length);
        Ok(true)
    }

    /// The next line of the answer, without its end.
    pub(crate) fn line(&mut self) -> Result<&str> {
        self.line.clear();
        self.stream.read_line(&mut self.line)?;
        Ok(self.line.trim_end())
    }
}

/// Puts a command behind others.
pub(crate) fn encode(commands: &mut Vec<u8>, parts: &[&[u8]]) -> Result<()> {
    write!(commands, "*{}\r\n", parts.len())?;
    for part in parts {
        write!(commands, "${}\r\n", part.len())?;
        commands.extend_from_slice(part);
        commands.extend_from_slice(b"\r\n");
    }
    Ok(())
}
