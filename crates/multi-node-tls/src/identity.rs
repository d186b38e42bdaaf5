//! Who a client is, by the certificate that it has shown.

use std::fmt;

use crate::der::{self, element};

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
/// The extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// The kinds of a name (RFC 5280, section 4.2.1.6).
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// No certificate has more names that are shown.
const MOST_NAMES: usize = 256;

/// A client that has proved to have the key of a certificate, which leads to an authority of
/// [`Certificates::client_authority`](crate::Certificates::client_authority).
///
/// Names that are no plain text are left out.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientIdentity {
    /// The client's own certificate, in DER.
    pub certificate: Vec<u8>,
    /// The last common name of its subject. Authorities seldom check it: prefer the alternative names.
    pub common_name: Option<String>,
    /// Its alternative names that are hosts.
    pub dns_names: Vec<String>,
    /// Its alternative names that are URIs, such as `spiffe://example.org/billing`.
    pub uris: Vec<String>,
    /// Its alternative names that are addresses of mail.
    pub emails: Vec<String>,
}

/// Without the certificate's bytes.
impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ClientIdentity");
        shown.field("common_name", &self.common_name).field("dns_names", &self.dns_names);
        shown.field("uris", &self.uris).field("emails", &self.emails).finish_non_exhaustive()
    }
}

impl ClientIdentity {
    /// What a certificate says, which has been verified.
    pub fn of(certificate: &[u8]) -> ClientIdentity {
        let names = |kind| names(certificate, kind).unwrap_or_default();
        ClientIdentity {
            certificate: certificate.to_vec(),
            common_name: common_name(certificate),
            dns_names: names(DNS),
            uris: names(URI),
            emails: names(EMAIL),
        }
    }
}

/// The last one is the most specific.
fn common_name(certificate: &[u8]) -> Option<String> {
    let mut sets = der::fields(certificate)?.subject;
    let mut found = None;
    while let Some((_, set, rest)) = element(sets) {
        let mut attributes = set;
        while let Some((SEQUENCE, attribute, more)) = element(attributes) {
            if let Some((OID, COMMON_NAME, value)) = element(attribute) {
                found = element(value).and_then(|(_, text, _)| plain(text));
            }
            attributes = more;
        }
        sets = rest;
    }
    found
}

fn names(certificate: &[u8], kind: u8) -> Option<Vec<String>> {
    let mut names = alternative_names(certificate)?;
    let mut found = Vec::new();
    while let Some((of, text, rest)) = element(names) {
        if of == kind && found.len() < MOST_NAMES {
            found.extend(plain(text));
        }
        names = rest;
    }
    Some(found)
}

fn alternative_names(certificate: &[u8]) -> Option<&[u8]> {
    let mut rest = der::fields(certificate)?.behind_key;
    let list = loop {
        match element(rest)? {
            (EXTENSIONS, list, _) => break element(list)?.1,
            (_, _, behind) => rest = behind,
        }
    };
    let mut extensions = list;
    while let Some((SEQUENCE, extension, more)) = element(extensions) {
        if let Some((OID, SUBJECT_ALT_NAME, value)) = element(extension) {
            return content(value);
        }
        extensions = more;
    }
    None
}

/// The list in an extension's value, before which a mark may say that it is critical.
fn content(value: &[u8]) -> Option<&[u8]> {
    let value = match element(value)? {
        (BOOLEAN, _, behind) => behind,
        _ => value,
    };
    let (OCTETS, value, _) = element(value)? else { return None };
    let (SEQUENCE, names, _) = element(value)? else { return None };
    Some(names)
}

/// Text that nobody can misread: a zero byte has ended names too soon in other programs.
fn plain(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    fn text(text: &str) -> Ia5String {
        text.try_into().expect("ASCII")
    }

    #[test]
    fn names_of_each_kind_are_found() {
        let certificate = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Example");
            params.distinguished_name.push(DnType::CommonName, "Jane Doé");
            params.subject_alt_names = vec![
                SanType::Rfc822Name(text("jane@example.org")),
                SanType::DnsName(text("a.example")),
                SanType::IpAddress([127, 0, 0, 1].into()),
                SanType::URI(text("spiffe://example.org/billing")),
                SanType::DnsName(text("b.example")),
            ];
        });
        let identity = ClientIdentity::of(&certificate);
        assert_eq!(identity.certificate, certificate);
        assert_eq!(identity.common_name.as_deref(), Some("Jane Doé"));
        assert_eq!(identity.dns_names, ["a.example", "b.example"]);
        assert_eq!(identity.uris, ["spiffe://example.org/billing"]);
        assert_eq!(identity.emails, ["jane@example.org"]);
        assert!(!format!("{identity:?}").contains("certificate"), "{identity:?}");
    }

    #[test]
    fn what_is_not_there_or_no_plain_text_is_left_out() {
        let none =
            ClientIdentity::of(&certificate(|params| params.distinguished_name = rcgen::DistinguishedName::new()));
        assert_eq!((none.common_name, none.dns_names.len(), none.uris.len()), (None, 0, 0));
        let hidden = ClientIdentity::of(&certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "admin\0.example");
            params.subject_alt_names = vec![SanType::DnsName(text("admin\0.example")), SanType::DnsName(text("b"))];
        }));
        assert_eq!((hidden.common_name, &hidden.dns_names[..]), (None, &["b".to_owned()][..]));
    }

    #[test]
    fn no_cut_or_change_of_a_certificate_makes_it_panic() {
        let whole = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "c");
            params.subject_alt_names = vec![SanType::DnsName(text("a.example")), SanType::URI(text("x:y"))];
        });
        for cut in 0..whole.len() {
            let _ = ClientIdentity::of(&whole[..cut]);
            let mut changed = whole.clone();
            for value in [0, 0x30, 0x7f, 0x81, 0x83, 0xff] {
                changed[cut] = value;
                let _ = ClientIdentity::of(&changed);
            }
        }
    }
}
