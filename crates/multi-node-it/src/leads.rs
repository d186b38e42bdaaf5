//! The job that one process of the fixture program does, and what it writes down about it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use multi_node::Handle;
use multi_node::lease::Lease;

use crate::plan::Fault;

/// How often the job looks for a fault.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Takes part in the lease `cron`. `folder` is where the job writes, in all processes and all runs that are to exclude each other.
pub fn take_part(node: &Handle, folder: &Path, faults: &Path) -> anyhow::Result<()> {
    let diary = Diary { folder: folder.to_owned(), who: format!("{} {}", node.id(), std::process::id()) };
    let faults = faults.to_owned();
    node.leader("cron", move |lease| job(lease, diary.clone(), faults.clone()))?;
    Ok(())
}

async fn job(lease: Lease, diary: Diary, faults: PathBuf) {
    let _alone = diary.begin();
    while !lease.is_lost() && !Fault::ReturnLease.is_laid(&faults) {
        assert!(!Fault::PanicAsLeader.is_laid(&faults), "as ordered");
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = lease.lost() => {}
        }
    }
    if lease.is_lost() {
        diary.write("lost");
        Fault::KeepLeading.lifted(&faults).await;
    }
    diary.write("end");
}

#[derive(Clone)]
struct Diary {
    folder: PathBuf,
    /// The process's identity and number.
    who: String,
}

impl Diary {
    /// Two who do the job at once see that by a lock which has nothing to do with the library.
    fn begin(&self) -> File {
        let witness = File::create(self.folder.join("witness")).expect("a folder of the test");
        if witness.try_lock().is_err() {
            self.write("OVERLAPS");
        }
        self.write("begin");
        witness
    }

    fn write(&self, what: &str) {
        let diary = OpenOptions::new().append(true).create(true).open(self.folder.join("diary"));
        diary.expect("a folder of the test").write_all(format!("{what} {}\n", self.who).as_bytes()).expect("written");
    }
}

/// What was written down.
pub fn diary(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("diary")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
