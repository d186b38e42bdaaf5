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
}

impl RedisClient {
    pub(crate) fn connect(socket: &Path) -> Result<RedisClient> {
        Ok(RedisClient { stream: BufReader::new(UnixStream::connect(socket)?) })
    }

    /// Whether there is a value.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<bool> {
        self.send(&[b"GET", key])?;
        let length = self.line()?;
        match length.strip_prefix('$').context("a value")?.parse::<i64>()? {
            -1 => Ok(false),
            length => {
                let mut value = vec![0; usize::try_from(length)? + 2];
                self.stream.read_exact(&mut value)?;
                Ok(true)
            }
        }
    }

    pub(crate) fn set(&mut self, key: &[u8], millis: i64, value: &[u8]) -> Result<()> {
        self.send(&[b"SET", key, value, b"PX", millis.to_string().as_bytes()])?;
        match self.line()?.as_str() {
            "+OK" => Ok(()),
            other => bail!("Redis says {other:?}"),
        }
    }

    pub(crate) fn send(&mut self, parts: &[&[u8]]) -> Result<()> {
        let mut command = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            write!(command, "${}\r\n", part.len())?;
            command.extend_from_slice(part);
            command.extend_from_slice(b"\r\n");
        }
        Ok(self.stream.get_mut().write_all(&command)?)
    }

    /// The next line of the answer, without its end.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
