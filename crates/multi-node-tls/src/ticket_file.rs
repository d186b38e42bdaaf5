//! A file with the keys of session tickets, which several machines share.
//!
//! One key a line, as 64 hexadecimal digits. The first seals, and all open. Empty lines and lines that begin with `#` count for nothing.

use std::path::Path;

use crate::CertificateError;
use crate::tickets::{KEY_LENGTH, Key};

/// How many keys a file may have.
pub(crate) const MOST_KEYS: usize = 16;

/// The keys in a file's text. An error never shows what the file has.
pub(crate) fn keys(file: &Path, text: &[u8]) -> Result<Vec<Key>, CertificateError> {
    let wrong = |line| CertificateError::TicketKey { file: file.to_owned(), line };
    let mut keys = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let key = key(line).ok_or_else(|| wrong(index + 1))?;
        // A key twice is a mistake, and so is one that nobody has chosen by chance.
        if keys.contains(&key) || key == [0; KEY_LENGTH] || keys.len() == MOST_KEYS {
            return Err(wrong(index + 1));
        }
        keys.push(key);
    }
    match keys.is_empty() {
        true => Err(CertificateError::NoTicketKeys { file: file.to_owned() }),
        false => Ok(keys),
    }
}

fn key(line: &[u8]) -> Option<Key> {
    let mut key = [0; KEY_LENGTH];
    let (pairs, []) = line.as_chunks::<2>() else { return None };
    if pairs.len() != KEY_LENGTH {
        return None;
    }
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(key)
}

fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Key>, String> {
        keys(Path::new("tickets"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_read_in_their_order() {
        let (first, second) = ("01".repeat(32), "aB".repeat(32));
        let expected = Ok(vec![[0x01; 32], [0xab; 32]]);
        assert_eq!(read(&format!("{first}\n{second}\n")), expected);
        assert_eq!(read(&format!("# current\r\n  {first}\r\n\n# before\n{second}")), expected);
    }

    #[test]
    fn what_is_no_key_is_an_error_with_its_line_and_without_its_text() {
        let good = "01".repeat(32);
        let many: String = (1..=17).map(|key| format!("{key:02x}").repeat(32) + "\n").collect();
        let cases = [
            (format!("{good}\n{}", "5e".repeat(31)), 2),
            ("5e".repeat(33), 1),
            ("5g".repeat(32), 1),
            (format!("{}x", "5e".repeat(32)), 1),
            ("00".repeat(32), 1),
            (format!("{good}\n\n{good}"), 3),
            (many, 17),
        ];
        for (text, line) in cases {
            let error = read(&text).expect_err(&text);
            assert!(error.contains(&format!("line {line} of tickets")), "{error}");
            assert!(!error.contains("5e5e") && !error.contains("0101"), "{error}");
        }
        for text in ["", "\n# nothing\n"] {
            assert!(read(text).expect_err(text).contains("tickets has no key"));
        }
    }
}
