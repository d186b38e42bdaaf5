//! The programs, each started as its own documentation or ours says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Options;

/// A program and what it serves.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    /// The file that a deploy changes.
    pub(super) file: &'static str,
    pub(super) sound: &'static str,
    /// In front of a sound release, what makes it fail at its start.
    pub(super) broken: &'static str,
    /// What has to be there.
    needs: fn(&Parts) -> Option<PathBuf>,
    /// Options of `multi-node run` and the program; without `--` the program is a master itself.
    pub(super) line: &'static str,
}

/// Where all that is started is found.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) bench: PathBuf,
    pub(super) command: PathBuf,
    pub(super) servers: PathBuf,
    pub(super) package: PathBuf,
}

const WSGI: &str = "\
def app(environ, start_response):
    start_response('200 OK', [('content-length', '6')])
    return [b'hello\\n']
";

const ASGI: &str = "\
async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        while True:
            message = await receive()
            await send({'type': message['type'] + '.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'6')]})
    await send({'type': 'http.response.body', 'body': b'hello\\n'})
";

const RACK: &str = "run ->(_env) { [200, { 'content-type' => 'text/plain' }, [\"hello\\n\"]] }\n";
const HTTP: &str = "require('http').createServer((request, response) => response.end('hello\\n')).listen(3000)\n";
const EXPRESS: &str = "\
const app = require('express')()
app.get('/', (request, response) => response.send('hello\\n'))
app.listen(3000)
";
const PACKAGE: &str = "\
const { createServer } = require('http')
const { listen } = require('@PACKAGE@')
const server = createServer((request, response) => response.end('hello\\n'))
listen({ host: '127.0.0.1', port: @PORT@, nodes: @NODES@, control: '@NAME@' }, server)
";

/// Every instance writes its pid to the same file, which nobody reads.
const NGINX: &str = "\
daemon off;
pid @FOLDER@/nginx.pid;
worker_processes 1;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path @FOLDER@/body;
    proxy_temp_path @FOLDER@/proxy;
    fastcgi_temp_path @FOLDER@/fastcgi;
    uwsgi_temp_path @FOLDER@/uwsgi;
    scgi_temp_path @FOLDER@/scgi;
    server { listen 127.0.0.1:@PORT@; location / { return 200 hello; } }
}
";

const PYTHON_FAILS: &str = "raise RuntimeError('no database')\n";
const NODE_FAILS: &str = "throw new Error('no database')\n";

pub(super) const ALL: [Program; 10] = [
    Program {
        name: "Rust",
        file: "release",
        sound: "sound",
        broken: "broken ",
        needs: |_| None,
        line: "@BENCH@ deployed --nodes @NODES@ --port @PORT@ --name @NAME@ @FOLDER@/release",
    },
    Program {
        name: "Node.js package",
        file: "server.js",
        sound: PACKAGE,
        broken: NODE_FAILS,
        needs: |parts| built(&parts.package),
        line: "node @FOLDER@/server.js",
    },
    Program {
        name: "gunicorn sync",
        file: "app.py",
        sound: WSGI,
        broken: PYTHON_FAILS,
        needs: |parts| missing(&parts.servers, "python/gunicorn"),
        line: "-e PYTHONPATH=@SERVERS@/python:@FOLDER@ -- python3 -m gunicorn app:app",
    },
    Program {
        name: "gunicorn gthread",
        file: "app.py",
        sound: WSGI,
        broken: PYTHON_FAILS,
        needs: |parts| missing(&parts.servers, "python/gunicorn"),
        line: "-e PYTHONPATH=@SERVERS@/python:@FOLDER@ -- python3 -m gunicorn --threads 8 app:app",
    },
    Program {
        name: "uvicorn",
        file: "app.py",
        sound: ASGI,
        broken: PYTHON_FAILS,
        needs: |parts| missing(&parts.servers, "python/uvicorn"),
        line: "-e PYTHONPATH=@SERVERS@/python:@FOLDER@ -- python3 -m uvicorn --no-access-log --fd {fd} app:app",
    },
    Program {
        name: "hypercorn",
        file: "app.py",
        sound: ASGI,
        broken: PYTHON_FAILS,
        needs: |parts| missing(&parts.servers, "hypercorn/hypercorn"),
        line: "-e PYTHONPATH=@SERVERS@/hypercorn:@FOLDER@ -- python3 -m hypercorn -b fd://{fd} app:app",
    },
    Program {
        name: "puma",
        file: "app.ru",
        sound: RACK,
        broken: "raise 'no database'\n",
        needs: |parts| missing(&parts.servers, "puma/with"),
        line: "-- @SERVERS@/puma/with ruby -S puma --bind-to-activated-sockets only @FOLDER@/app.ru",
    },
    Program {
        name: "Node.js http",
        file: "server.js",
        sound: HTTP,
        broken: NODE_FAILS,
        needs: |_| None,
        line: "-- node @FOLDER@/server.js",
    },
    Program {
        name: "Express",
        file: "server.js",
        sound: EXPRESS,
        broken: NODE_FAILS,
        needs: |parts| missing(&parts.servers, "node/node_modules/express"),
        line: "-e NODE_PATH=@SERVERS@/node/node_modules -- node @FOLDER@/server.js",
    },
    Program {
        name: "nginx",
        file: "nginx.conf",
        sound: NGINX,
        broken: "no_such_directive;\n",
        needs: |parts| missing(&parts.servers, "nginx/with"),
        line: "--stop-signal QUIT -e NGINX={fd}; -- @SERVERS@/nginx/with nginx -e @FOLDER@/error.log -c @FOLDER@/nginx.conf",
    },
];

impl Program {
    /// What is not there and would have to be.
    pub(super) fn missing(&self, parts: &Parts) -> Option<PathBuf> {
        (self.needs)(parts)
    }

    /// Whether the program needs no `multi-node run`.
    pub(super) fn is_master(&self) -> bool {
        !self.line.starts_with('-')
    }
}

impl Parts {
    pub(super) fn find(options: &Options) -> Result<Parts> {
        let bench = std::env::current_exe()?;
        let command = options.command.clone().unwrap_or_else(|| bench.with_file_name("multi-node"));
        let absolute = |path: &Path| std::path::absolute(path);
        let command = command.canonicalize().with_context(|| {
            format!(
                "there is no command {}: cargo build -p multi-node-cli, in the same profile, makes it",
                command.display()
            )
        })?;
        Ok(Parts { bench, command, servers: absolute(&options.servers)?, package: absolute(&options.package)? })
    }
}

fn missing(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = folder.join(path);
    (!path.exists()).then_some(path)
}

/// The package's binary, which `node build.mjs` makes.
fn built(package: &Path) -> Option<PathBuf> {
    let folder = std::fs::read_dir(package).ok()?;
    let is_binary = |path: &Path| path.extension().is_some_and(|extension| extension == "node");
    let found = folder.flatten().any(|entry| is_binary(&entry.path()));
    (!found).then(|| package.join("*.node"))
}
