//! Reading a server's certificates from their files, and checking them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use rustls::crypto::ring::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::tickets::Key;
use crate::validity::{Validity, unix};
use crate::{CertificateError, Certificates, PairFiles, ticket_file};

/// How many bytes a file may have.
const LONGEST_FILE: u64 = 128 * 1024;

/// How many bytes all certificates and keys of a server may have: they go to nodes in one message.
pub const MOST_BYTES: usize = 256 * 1024;

/// What handshakes need, as bytes: it has passed the check.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Material {
    /// In order of preference.
    pub pairs: Vec<Pair>,
    /// The certificates, in DER, of those to whom certificates of clients have to lead.
    pub client_authorities: Vec<Vec<u8>>,
    /// The keys of tickets that several machines share, if they do.
    pub ticket_keys: Vec<Key>,
}

/// Keys are secret.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Material");
        shown.field("pairs", &self.pairs).field("client_authorities", &self.client_authorities.len());
        shown.finish_non_exhaustive()
    }
}

/// A certificate with its key, in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, and those that lead to the authority.
    pub chain: Vec<Vec<u8>>,
    /// The private key, in any of the forms that DER knows for it.
    pub key: Vec<u8>,
}

impl Pair {
    /// What stands for the form of its key in PEM.
    pub fn key_label(&self) -> &'static str {
        match PrivateKeyDer::try_from(&self.key[..]) {
            Ok(PrivateKeyDer::Pkcs1(_)) => "RSA PRIVATE KEY",
            Ok(PrivateKeyDer::Sec1(_)) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        }
    }
}

/// The key is secret.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths: Vec<usize> = self.chain.iter().map(Vec::len).collect();
        f.debug_struct("Pair").field("chain", &lengths).finish_non_exhaustive()
    }
}

/// What is shown of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairInfo {
    /// The names that it is for.
    pub names: Vec<String>,
    /// Until when it is valid: seconds of Unix time.
    pub not_after: i64,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// For handshakes.
    pub material: Material,
    /// What is shown, in the same order.
    pub infos: Vec<PairInfo>,
}

/// Reads and checks all certificates of a server.
///
/// # Errors
/// The first that is wrong with any of them.
pub fn load(certificates: &Certificates, now: SystemTime) -> Result<Loaded, CertificateError> {
    let mut loaded = Loaded { material: Material::default(), infos: Vec::new() };
    for files in &certificates.pairs {
        let (pair, info) = load_pair(files, unix(now))?;
        loaded.material.pairs.push(pair);
        loaded.infos.push(info);
    }
    if let Some((file, _)) = &certificates.client_authority {
        loaded.material.client_authorities = authorities(file)?;
    }
    if let Some(file) = &certificates.ticket_keys {
        loaded.material.ticket_keys = ticket_file::keys(file, &read_secret(file)?)?;
    }
    let bytes = loaded.material.bytes();
    match (bytes > MOST_BYTES, certificates.pairs.first()) {
        (true, Some(first)) => Err(CertificateError::TooMany { file: first.cert.clone(), bytes, limit: MOST_BYTES }),
        _ => Ok(loaded),
    }
}

impl Material {
    fn bytes(&self) -> usize {
        let pair = |pair: &Pair| pair.key.len() + pair.chain.iter().map(Vec::len).sum::<usize>();
        self.pairs.iter().map(pair).chain(self.client_authorities.iter().map(Vec::len)).sum()
    }
}

/// Whether they have expired is not checked: what is trusted is the key (RFC 5280, section 6.1.1).
fn authorities(file: &Path) -> Result<Vec<Vec<u8>>, CertificateError> {
    let found = chain(file)?;
    for certificate in &found {
        webpki::anchor_from_trusted_cert(certificate).map_err(|error| unusable(file, &error))?;
    }
    Ok(found.iter().map(|certificate| certificate.to_vec()).collect())
}

fn load_pair(files: &PairFiles, now: i64) -> Result<(Pair, PairInfo), CertificateError> {
    let chain = chain(&files.cert)?;
    let key = key(&files.key)?;
    let info = check(files, &chain, &key, now)?;
    let pair =
        Pair { chain: chain.iter().map(|certificate| certificate.to_vec()).collect(), key: key.secret_der().to_vec() };
    Ok((pair, info))
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(file)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unusable(file, &error))?;
    match chain.is_empty() {
        true => Err(CertificateError::NoCertificate { file: file.to_owned() }),
        false => Ok(chain),
    }
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let text = read(file)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(_) if is_encrypted(&text) => Err(CertificateError::EncryptedKey { file: file.to_owned() }),
        Err(pem::Error::NoItemsFound) => Err(CertificateError::NoKey { file: file.to_owned() }),
        Err(error) => Err(unusable(file, &error)),
    }
}

fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// Reads a file of a sensible size.
fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |source| CertificateError::Read { file: file.to_owned(), source };
    let opened = regular(file).and_then(|()| File::open(file)).map_err(failed)?;
    let mut text = Vec::new();
    opened.take(LONGEST_FILE + 1).read_to_end(&mut text).map_err(failed)?;
    match text.len() as u64 > LONGEST_FILE {
        true => Err(CertificateError::TooLong { file: file.to_owned(), limit: LONGEST_FILE }),
        false => Ok(text),
    }
}

/// As [`read`], of a file that others cannot read.
fn read_secret(file: &Path) -> Result<Vec<u8>, CertificateError> {
    #[cfg(unix)]
    if let Ok(data) = fs::metadata(file) {
        use std::os::unix::fs::MetadataExt;
        const OTHERS_OR_GROUP_WRITES: u32 = 0o027;
        if data.mode() & OTHERS_OR_GROUP_WRITES != 0 {
            return Err(CertificateError::Exposed { file: file.to_owned(), mode: data.mode() & 0o777 });
        }
    }
    read(file)
}

/// To open a pipe would wait for who writes into it.
fn regular(file: &Path) -> io::Result<()> {
    match fs::metadata(file)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is no regular file")),
    }
}

fn check(
    files: &PairFiles,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    now: i64,
) -> Result<PairInfo, CertificateError> {
    let cert = || files.cert.clone();
    for certificate in chain {
        webpki::EndEntityCert::try_from(certificate).map_err(|error| unusable(&files.cert, &error))?;
    }
    let private = default_provider().key_provider.load_private_key(key.clone_key());
    let private = private.map_err(|error| unusable(&files.key, &error))?;
    match CertifiedKey::new(chain.to_vec(), private).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            return Err(CertificateError::Mismatch { cert: cert(), key: files.key.clone() });
        }
        Err(rustls::Error::InconsistentKeys(_)) | Ok(()) => {}
        Err(error) => return Err(unusable(&files.cert, &error)),
    }
    let validity = Validity::of(&chain[0]).ok_or_else(|| unusable(&files.cert, &"its times cannot be read"))?;
    match validity {
        Validity { not_after, .. } if not_after < now => Err(CertificateError::Expired { file: cert(), not_after }),
        Validity { not_before, .. } if not_before > now => {
            Err(CertificateError::NotYetValid { file: cert(), not_before })
        }
        Validity { not_after, .. } => Ok(PairInfo { names: names(&chain[0]), not_after }),
    }
}

/// The hosts that a certificate is for, as it has them.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate);
    parsed.map(|parsed| parsed.valid_dns_names().map(str::to_owned).collect()).unwrap_or_default()
}

fn unusable(file: &Path, cause: &dyn fmt::Display) -> CertificateError {
    CertificateError::Unusable { file: file.to_owned(), cause: cause.to_string() }
}

/// What changes when a file is written, gets other permissions, or is replaced by another, or a link leads to another. Equal stamps mean
/// that the files need not be read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<Option<FileStamp>>);

type FileStamp = ([u64; 2], [i64; 2], Option<SystemTime>, u64);

/// The stamp of a server's files, links followed.
pub fn stamp(certificates: &Certificates) -> Stamp {
    let files = certificates.all_files();
    Stamp(files.map(|file| fs::metadata(file).ok().map(|data| file_stamp(&data))).collect())
}

fn file_stamp(data: &fs::Metadata) -> FileStamp {
    let (number, changed) = identity(data);
    (number, changed, data.modified().ok(), data.len())
}

/// Which file it is, and when its content, permissions or owner changed last.
#[cfg(unix)]
fn identity(data: &fs::Metadata) -> ([u64; 2], [i64; 2]) {
    use std::os::unix::fs::MetadataExt;
    ([data.dev(), data.ino()], [data.ctime(), data.ctime_nsec()])
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> ([u64; 2], [i64; 2]) {
    ([0, 0], [0, 0])
}
