//! Certificates of an authority of our own, as files.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use multi_node_it::plan::TlsPlan;
use multi_node_it::{Plan, Program};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

/// An authority, and the folder in which a server finds its certificate.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// With a certificate for `localhost`.
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let authority = Authority { issuer, folder: tempfile::tempdir().expect("a folder") };
        std::fs::write(authority.path("ca.pem"), authority.issuer.pem()).expect("a file of ours");
        authority.issue("localhost");
        authority
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// What clients trust.
    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Makes a new certificate for this name and puts it in the place of the one before: each file is replaced as a whole.
    pub(crate) fn issue(&self, name: &str) {
        let (cert, key) = self.make(name);
        self.put("cert.pem", &cert);
        self.put("key.pem", &key);
    }

    /// A new certificate and its key.
    pub(crate) fn make(&self, name: &str) -> (String, String) {
        self.make_until(name, None)
    }

    /// A new certificate, which is good for so long.
    pub(super) fn make_for(&self, name: &str, time: Duration) -> (String, String) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
        self.make_until(name, Some(now + time))
    }

    fn make_until(&self, name: &str, end: Option<Duration>) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned(), "localhost".to_owned()]).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(end) = end {
            params.not_after = date_time_ymd(1970, 1, 1) + end;
        }
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        (cert.pem(), key.serialize_pem())
    }

    /// Replaces a file by a rename.
    pub(crate) fn put(&self, file: &str, text: &str) {
        let new = self.path(&format!("{file}.new"));
        std::fs::write(&new, text).expect("a file of ours");
        std::fs::rename(new, self.path(file)).expect("a file of ours");
    }

    /// This number of nodes that serve HTTPS.
    pub(super) fn plan(&self, nodes: usize) -> Plan {
        self.plan_of(nodes, TlsPlan::default())
    }

    /// The same with more options of TLS.
    pub(super) fn plan_of(&self, nodes: usize, tls: TlsPlan) -> Plan {
        let tls = Some(TlsPlan { cert: self.path("cert.pem"), key: self.path("key.pem"), ..tls });
        Plan { tls, drain_timeout: Duration::from_secs(3), ..Plan::nodes(nodes) }
    }

    pub(super) async fn serving(&self, nodes: usize) -> Program {
        Program::serving(self.plan(nodes)).await
    }
}
