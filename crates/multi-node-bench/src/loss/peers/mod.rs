//! Other servers under the same load, each set up and reloaded as its own documentation says.

mod gunicorn;
mod nginx;
mod node_cluster;
mod pm2;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use multi_node_bench::kills::Kills;
use multi_node_probe::{Kind, Load, Tally};
use tempfile::TempDir;

use super::{
    Options, Subject,
    outcome::{BROKEN, DEPLOYS, Outcome},
    program::until,
    web,
};

/// The time after a deploy, in which old workers end.
const REST: Duration = Duration::from_secs(1);
/// How long it is seen what the deploy of a broken release does.
const BROKEN_FOR: Duration = Duration::from_secs(4);
/// Fresh connections that the new release has to answer, one after the other, before it is taken to serve alone.
const ANSWERS: usize = 20;

/// A server under test.
trait Peer {
    /// Where its files are.
    fn site(&self) -> &Site;

    /// Writes the files of this release.
    ///
    /// `sound`: or one that cannot start.
    fn write(&self, release: usize, sound: bool) -> Result<()>;

    /// Makes it load its files anew; `Err` where that is refused.
    fn reload(&self) -> Result<()>;
}

/// A peer's folder and address.
struct Site {
    folder: TempDir,
    port: u16,
    nodes: usize,
}

/// Runs the peer under load, through deploys and one of a broken release; `None`, where it is not installed.
pub(super) fn run(subject: Subject, options: &Options) -> Result<Option<Outcome>> {
    let site = Site::new(options.nodes)?;
    let peer: Option<Box<dyn Peer>> = match subject {
        Subject::Nginx => nginx::start(site, options)?.map(|peer| Box::new(peer) as Box<dyn Peer>),
        Subject::Gunicorn => gunicorn::start(site, options)?.map(|peer| Box::new(peer) as Box<dyn Peer>),
        Subject::NodeCluster => node_cluster::start(site, options)?.map(|peer| Box::new(peer) as Box<dyn Peer>),
        Subject::Pm2 => pm2::start(site, options)?.map(|peer| Box::new(peer) as Box<dyn Peer>),
        Subject::MultiNode | Subject::Generators => None,
    };
    match peer {
        Some(peer) => campaign(&*peer, subject, options).map(Some),
        None => {
            eprintln!("{} is skipped: it is not installed; scripts/install-peers.sh fetches it", subject.name());
            Ok(None)
        }
    }
}

fn campaign(peer: &dyn Peer, subject: Subject, options: &Options) -> Result<Outcome> {
    let address = peer.site().address();
    until(|| Ok(web::get(address, "/release").is_ok_and(|release| release == "1")))?;
    let options = Options { longest_pause: options.longest_pause.min(5.0), ..options.clone() };
    let mut plan = options.plan(address);
    plan.clients.retain(|clients| clients.kind != Kind::WebSocket);
    let load = Load::start(&plan);
    thread::sleep(REST);
    for number in 1..=options.peer_deploys {
        load.tally().enter(DEPLOYS);
        deploy(peer, number + 1)?;
        load.tally().enter(Tally::CALM);
        thread::sleep(REST / 4);
    }
    load.tally().enter(BROKEN);
    peer.write(options.peer_deploys + 2, false)?;
    let said = peer.reload();
    thread::sleep(BROKEN_FOR);
    let tally = load.end();
    let mut outcome = Outcome::of(&subject.name());
    outcome.add(&tally, &[(Tally::CALM, 0), (DEPLOYS, options.peer_deploys), (BROKEN, 1)], &Kills::default());
    let serves = if web::get(address, "/release").is_ok() { "it still serves" } else { "it serves no more" };
    outcome.broken_deploy = match said {
        Ok(()) => format!("not refused; {serves}"),
        Err(error) => format!("refused: {error}; {serves}"),
    };
    Ok(outcome)
}

/// Deploys, and waits until the new release serves alone, as far as can be seen from outside.
fn deploy(peer: &dyn Peer, release: usize) -> Result<()> {
    peer.write(release, true)?;
    peer.reload()?;
    let expected = release.to_string();
    let address = peer.site().address();
    let serves = || (0..ANSWERS).all(|_| web::get(address, "/release").is_ok_and(|release| release == expected));
    let limit = Instant::now() + Duration::from_secs(20);
    while !serves() && Instant::now() < limit {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(REST);
    Ok(())
}

impl Site {
    fn new(nodes: usize) -> Result<Site> {
        let folder = tempfile::Builder::new().prefix("loss-").tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Site { folder, port, nodes })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Writes a file, with what differs filled in.
    fn write(&self, name: &str, text: &str, values: &[(&str, &str)]) -> Result<()> {
        let (port, nodes, folder) = (self.port.to_string(), self.nodes.to_string(), self.path().display().to_string());
        let own = [("@PORT@", port.as_str()), ("@NODES@", &nodes), ("@FOLDER@", &folder)];
        let filled = own.iter().chain(values).fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        // Nobody is to read half a file.
        let new = self.path().join(".new");
        fs::write(&new, filled)?;
        fs::rename(new, self.path().join(name)).with_context(|| format!("cannot write {name}"))
    }
}

/// A program that `scripts/install-peers.sh` has fetched, if it has.
fn installed(options: &Options, path: &str) -> Option<PathBuf> {
    let path = std::path::absolute(options.peers.join(path)).ok()?;
    path.exists().then_some(path)
}
