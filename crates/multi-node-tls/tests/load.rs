//! What is read from files, what is refused, and which certificate a client gets.

#![allow(missing_docs)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use multi_node_tls::tickets::new_key;
use multi_node_tls::{CertificateError, Certificates, ClientCertificates, Terminator, TlsVersion, load, stamp};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, ServerConfig, ServerConnection,
    SignatureScheme,
};

/// Files in a folder of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).expect("a file of ours");
        self.path(name)
    }

    /// A pair for this host, valid in these years.
    fn pair(&self, host: &str, years: (i32, i32)) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        (self.put(&format!("{host}.cert"), &cert.pem()), self.put(&format!("{host}.key"), &key.serialize_pem()))
    }
}

/// In the year 2030.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)
}

#[test]
fn a_good_pair_is_read() {
    let files = Files::new();
    let (cert, key) = files.pair("a.example", (2020, 2040));
    let loaded = load(&Certificates::files(cert, key), now()).expect("it is good");
    assert_eq!((loaded.material.pairs.len(), &loaded.infos[0].names[..]), (1, &["a.example".to_owned()][..]));
    assert_eq!(multi_node_tls::date(loaded.infos[0].not_after), "2040-01-01T00:00:00Z");
    assert!(!format!("{loaded:?}").contains("key"), "no key is shown: {loaded:?}");
}

#[test]
fn each_fault_is_told_with_the_file_and_what_to_do() {
    let files = Files::new();
    let (cert, key) = files.pair("a.example", (2020, 2040));
    let (old, old_key) = files.pair("old.example", (2020, 2021));
    let (early, early_key) = files.pair("early.example", (2035, 2040));
    let text = files.put("text", "no certificate");
    let broken = files.put("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked =
        files.put("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let long = files.put("long", &"x".repeat(200_000));
    let nowhere = files.path("nowhere");
    let cases = [
        (&nowhere, &key, &nowhere, "no such file or directory; the master reads it"),
        (&cert, &files.0.path().to_path_buf(), &files.0.path().to_path_buf(), "it is no regular file"),
        (&text, &key, &text, "has no certificate; expected PEM"),
        (&cert, &text, &text, "has no private key; expected PEM"),
        (&broken, &key, &broken, "cannot be used"),
        (&cert, &locked, &locked, "is encrypted; decrypt it"),
        (&long, &key, &long, "has more than 131072 bytes"),
        (&cert, &old_key, &old_key, "does not belong to the first certificate"),
        (&old, &old_key, &old, "has expired at 2021-01-01T00:00:00Z; renew it"),
        (&early, &early_key, &early, "is valid from 2035-01-01T00:00:00Z on; check this machine's clock"),
    ];
    for (cert, key, file, text) in cases {
        let error: CertificateError = load(&Certificates::files(cert, key), now()).expect_err(text);
        assert_eq!(error.file(), file, "{error}");
        let said = error.to_string();
        assert!(said.contains(text) && said.contains(&file.display().to_string()), "{said:?} lacks {text:?}");
    }
}

#[test]
fn a_stamp_changes_with_the_files() {
    let files = Files::new();
    let (cert, key) = files.pair("a.example", (2020, 2040));
    let certificates = Certificates::files(&cert, key);
    let before = stamp(&certificates);
    assert_eq!(stamp(&certificates), before);
    std::fs::rename(files.put("new", &std::fs::read_to_string(&cert).expect("text")), &cert).expect("ours");
    assert_ne!(stamp(&certificates), before, "the same bytes in another file");
    let before = stamp(&certificates);
    set_mode(&cert, 0o600);
    assert_ne!(stamp(&certificates), before, "other permissions, as errors ask for");
}

#[test]
fn authorities_and_keys_of_tickets_are_checked_as_well() {
    let files = Files::new();
    let (cert, key) = files.pair("a.example", (2020, 2040));
    let certificates = || Certificates::files(&cert, &key);
    let tickets = files.put("tickets", &format!("{}\n", "5e".repeat(32)));
    let with = certificates().client_authority(&cert, ClientCertificates::Required).ticket_keys(&tickets);
    set_mode(&tickets, 0o640);
    let loaded = load(&with, now()).expect("they are good");
    assert_eq!((loaded.material.client_authorities.len(), &loaded.material.ticket_keys[..]), (1, &[[0x5e; 32]][..]));
    assert!(!format!("{loaded:?}").contains("94"), "no key is shown: {loaded:?}");
    assert_ne!(stamp(&with), stamp(&certificates()), "all files are watched");

    for mode in [0o604, 0o602, 0o620, 0o644] {
        set_mode(&tickets, mode);
        let error = load(&with, now()).expect_err("others may read it");
        assert!(error.file() == tickets && error.to_string().contains(&format!("mode {mode:o}")), "{error}");
    }
    let broken = files.put("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (file, text) in [(&key, "has no certificate"), (&broken, "cannot be used")] {
        let with = certificates().client_authority(file, ClientCertificates::Optional);
        let error = load(&with, now()).expect_err(text);
        assert!(error.file() == file && error.to_string().contains(text), "{error}");
    }
    let error = load(&certificates().ticket_keys(files.path("nowhere")), now()).expect_err("there is none");
    assert!(error.to_string().contains("nowhere: no such file"), "{error}");
}

/// The program is new, and its master is not: then no client may get in unverified.
#[test]
fn without_an_authority_of_the_master_nothing_is_served() {
    let files = Files::new();
    let (cert, key) = files.pair("a.example", (2020, 2040));
    let material = load(&Certificates::files(&cert, &key), now()).expect("it is good").material;
    let with = Certificates::files(&cert, &key).client_authority(&cert, ClientCertificates::Optional);
    let terminator = Terminator::http(with);
    let error = terminator.replace(&material, &[], 0).expect_err("there is no authority");
    assert!(error.to_string().contains("the master has no authority of clients"), "{error}");
    assert!(terminator.config().is_none());
}

fn set_mode(file: &PathBuf, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).expect("ours");
}

/// Takes any certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls12_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions").dangerous();
    builder.with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth()
}

/// A handshake in memory: the certificate that the client gets.
fn shake(
    terminator: &Terminator,
    host: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<CertificateDer<'static>, Error> {
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(client(versions)), name)?;
    shake_with(&mut client, terminator.config().expect("it has certificates"))?;
    Ok(client.peer_certificates().expect("the handshake is done")[0].clone().into_owned())
}

fn shake_with(client: &mut ClientConnection, server: Arc<ServerConfig>) -> Result<(), Error> {
    let mut server = ServerConnection::new(server)?;
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory");
        server.read_tls(&mut &bytes[..]).expect("memory");
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).expect("memory");
        client.read_tls(&mut &bytes[..]).expect("memory");
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn clients_get_the_certificate_for_the_host_they_name() {
    let files = Files::new();
    let (first, first_key) = files.pair("a.example", (2020, 2040));
    let (second, second_key) = files.pair("*.b.example", (2020, 2040));
    let certificates = Certificates::files(first, first_key).and_files(second, second_key);
    let loaded = load(&certificates, now()).expect("they are good");
    let terminator = Terminator::http(certificates);
    assert!(terminator.config().is_none());
    terminator.replace(&loaded.material, &[new_key().expect("random bytes")], 0).expect("they are good");
    for (host, index) in [("a.example", 0), ("www.b.example", 1), ("other.example", 0), ("127.0.0.1", 0)] {
        let got = shake(&terminator, host, &[&rustls::version::TLS13]).expect("a handshake");
        assert_eq!(got[..], loaded.material.pairs[index].chain[0], "{host}");
    }
}

#[test]
fn the_lowest_version_is_kept() {
    let files = Files::new();
    let (cert, key) = files.pair("a.example", (2020, 2040));
    for (lowest, is_spoken) in [(TlsVersion::V1_2, true), (TlsVersion::V1_3, false)] {
        let certificates = Certificates::files(&cert, &key).min_version(lowest);
        let loaded = load(&certificates, now()).expect("it is good");
        let terminator = Terminator::http(certificates);
        terminator.replace(&loaded.material, &[], 0).expect("it is good");
        assert_eq!(shake(&terminator, "a.example", &[&rustls::version::TLS12]).is_ok(), is_spoken, "{lowest:?}");
        assert!(shake(&terminator, "a.example", &[&rustls::version::TLS13]).is_ok());
    }
}

/// Others could send such a request again.
#[test]
fn a_client_that_resumes_may_send_no_early_data() {
    let files = Files::new();
    let (cert, key) = files.pair("a.example", (2020, 2040));
    let certificates = Certificates::files(cert, key);
    let loaded = load(&certificates, now()).expect("it is good");
    let terminator = Terminator::http(certificates);
    terminator.replace(&loaded.material, &[new_key().expect("random bytes")], 0).expect("it is good");
    let mut config = client(&[&rustls::version::TLS13]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let name = ServerName::try_from("a.example").expect("a name");
        let mut client = ClientConnection::new(config.clone(), name).expect("a client");
        assert!(client.early_data().is_none(), "{kind:?}");
        shake_with(&mut client, terminator.config().expect("it has certificates")).expect("a handshake");
        assert_eq!(client.handshake_kind(), Some(kind));
    }
}
