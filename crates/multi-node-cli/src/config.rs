//! `multi-node.toml`

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::exit::{self, Usage};
use crate::settings::Settings;

/// Where settings are looked for when no file is named.
const NAME: &str = "multi-node.toml";

/// No file is read that is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// The settings in this file, or in `multi-node.toml` where there is one.
pub(crate) fn read(named: Option<&PathBuf>) -> Result<Settings, Usage> {
    let path = named.map_or(Path::new(NAME), PathBuf::as_path);
    match text(path) {
        Ok(text) => Settings::from_toml(&text).map_err(|why| Usage(format!("{}: {why}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Settings::default()),
        Err(error) => Err(Usage(format!("cannot read {}: {}", path.display(), exit::system(&error)))),
    }
}

/// What is in the file, which is read by the master, too: nothing in it may hold that up.
fn text(path: &Path) -> io::Result<String> {
    let refused = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    // A pipe would be waited for, and could not be read a second time.
    let meta = path.metadata()?;
    if !meta.is_file() {
        return Err(refused("it is no regular file, which a reload could read again".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(refused(format!("it is longer than {LONGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|&byte| byte == b'\n').count();
        refused(format!("line {line} is no UTF-8"))
    })
}
