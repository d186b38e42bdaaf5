//! The outer structure of a certificate in DER (RFC 5280, section 4.1).
//!
//! rustls-webpki shows neither the times of a certificate nor mail addresses. x509-parser shows all, but brings ten crates that read what
//! clients send, and is no shorter to call.

/// The certificate's version, which the first may lack.
const VERSION: u8 = 0xa0;

/// Parts of a certificate, each without its own tag and length unless it says so.
pub(crate) struct Fields<'a> {
    pub(crate) validity: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// What comes behind the public key, with its tags.
    pub(crate) behind_key: &'a [u8],
}

/// `None` where these bytes are no certificate.
pub(crate) fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let (_, certificate, _) = element(certificate)?;
    let (_, signed, _) = element(certificate)?;
    let mut rest = signed;
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    // Its serial number, the algorithm of the signature, and the issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, rest) = element(rest)?;
    let (_, subject, rest) = element(rest)?;
    let (_, _, behind_key) = element(rest)?;
    Some(Fields { validity, subject, behind_key })
}

/// The first element: its tag, its contents, and what comes behind it.
pub(crate) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}
