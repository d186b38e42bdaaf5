//! From when until when a certificate is valid, read from its DER (RFC 5280, section 4.1). rustls checks a server's own certificate for
//! nothing, and its parser shows no times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::der::{self, element};

/// The times of a certificate, in seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Validity {
    /// `None` where these bytes are no certificate.
    pub(crate) fn of(certificate: &[u8]) -> Option<Validity> {
        let (kind, not_before, validity) = element(der::fields(certificate)?.validity)?;
        let not_before = time(kind, not_before)?;
        let (kind, not_after, _) = element(validity)?;
        Some(Validity { not_before, not_after: time(kind, not_after)? })
    }
}

/// Whether a certificate's time is over; so it is where its times cannot be read.
pub fn has_expired(certificate: &[u8], now: SystemTime) -> bool {
    Validity::of(certificate).is_none_or(|validity| validity.not_after < unix(now))
}

/// In seconds.
pub(crate) fn unix(time: SystemTime) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -seconds(before.duration()), seconds)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(kind: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text.strip_suffix(b"Z")?).ok()?;
    let (year, rest) = match kind {
        UTC_TIME if text.len() == 12 => {
            let year: i64 = digits(&text[..2])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        GENERALIZED_TIME if text.len() == 14 => (digits(&text[..4])?, &text[4..]),
        _ => return None,
    };
    let mut parts = (0..5).map(|at| digits(rest.get(2 * at..2 * at + 2)?));
    let mut part = || parts.next().flatten();
    let (month, day, hour, minute, second) = (part()?, part()?, part()?, part()?, part()?);
    let real = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    real.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Days from 1970 to this date of the Gregorian calendar. Years are counted from March, so that a leap day is the last of its year, and
/// by eras of 400 years, which have 146,097 days each.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Seconds of Unix time as people write it: `2026-11-29T15:58:38Z`.
pub fn date(seconds: i64) -> String {
    let (day, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let since = day + 719_468;
    let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time / 3_600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(time(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(GENERALIZED_TIME, b"20500101000000Z"), Some(2_524_608_000));
        assert_eq!(time(UTC_TIME, b"000229120000Z"), Some(951_825_600));
        for wrong in [&b"701301000000Z"[..], b"7001010000Z", b"700101000000", b"70010100000xZ", b"700101 00000Z", b""] {
            assert_eq!(time(UTC_TIME, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_date_is_what_was_read() {
        for text in ["19700101000000Z", "20000229120000Z", "20261129155838Z", "21000301000000Z", "99991231235959Z"] {
            let seconds = time(GENERALIZED_TIME, text.as_bytes()).expect("a time");
            let written = date(seconds).replace(['-', ':', 'T'], "");
            assert_eq!(written, text);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_times() {
        for bytes in
            [&[][..], &[0x30], &[0x30, 0x80, 0, 0], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 3, 0x30, 9, 9]]
        {
            assert_eq!(Validity::of(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn no_cut_of_a_certificate_makes_it_panic() {
        let pair = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("made");
        let whole = pair.cert.der();
        assert!(Validity::of(whole).is_some());
        assert!(!has_expired(whole, SystemTime::now()) && has_expired(&whole[1..], SystemTime::now()));
        for cut in 0..whole.len() {
            let _ = Validity::of(&whole[..cut]);
            let mut changed = whole.to_vec();
            changed[cut] ^= 0xff;
            let _ = Validity::of(&changed);
        }
    }
}
