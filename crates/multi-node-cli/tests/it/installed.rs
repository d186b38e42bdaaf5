//! Programs that `scripts/install-servers.sh` installs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Where they are installed, once for all tests of this process.
static SERVERS: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/install-servers.sh");
    let output = Command::new(script).output().expect("the script starts");
    print!("{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
});

/// What is installed there; none where it could not be had.
pub(crate) fn installed(path: &str) -> Option<String> {
    let path = SERVERS.join(path);
    let found = path.exists().then(|| path.to_str().expect("a path in UTF-8").to_owned());
    if found.is_none() {
        println!("skipped: {} is not installed", path.display());
    }
    found
}
