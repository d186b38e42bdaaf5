//! A certificate of the run's own, for localhost, which nobody trusts.

use std::{fs, path::Path};

use anyhow::Result;
use multi_node::tls::Certificates;
use rustls::pki_types::CertificateDer;

/// Writes `cert.pem` and `key.pem`, and `both.pem`, which has one behind the other, as HAProxy takes them.
pub(crate) fn write(folder: &Path) -> Result<CertificateDer<'static>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(folder.join("cert.pem"), &cert)?;
    fs::write(folder.join("key.pem"), &key)?;
    fs::write(folder.join("both.pem"), cert + &key)?;
    Ok(made.cert.der().clone())
}

/// What the library serves from such a folder.
pub(crate) fn files(folder: &Path) -> Certificates {
    Certificates::files(folder.join("cert.pem"), folder.join("key.pem"))
}
