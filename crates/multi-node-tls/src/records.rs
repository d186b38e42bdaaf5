//! Where a stream of TLS records stands, from the bytes that have passed.

/// The types of a record (RFC 8446, section 5.1): change_cipher_spec, alert, handshake, application_data.
const TYPES: std::ops::RangeInclusive<u8> = 20..=APPLICATION_DATA;
const APPLICATION_DATA: u8 = 23;
/// Every version of TLS writes this in front of its minor version.
const MAJOR: u8 = 3;
/// How long a record may be behind its header: 2^14 + 2048 bytes in TLS 1.2 (RFC 5246, section 6.2.3), less in 1.3.
const LONGEST: u16 = 16_384 + 2_048;
/// Type, version and length.
const HEADER: usize = 5;

/// Counts the records of one direction of a connection. It reads their headers as they pass, and holds nothing back: rustls still reads as
/// much as the socket has.
///
/// rustls keeps what it has of an incomplete record to itself. So a connection can be taken apart only where [`is_between`] says so: then
/// nothing of a next record has been read from the socket.
///
/// [`is_between`]: RecordBoundary::is_between
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBoundary {
    at: At,
    has_data: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a header, of which this many bytes have passed.
    Header { passed: u8, length: u16 },
    /// Before this many bytes of a record.
    Body { left: u16 },
    /// What has passed is no TLS. rustls has ended the connection.
    Lost,
}

const BETWEEN: At = At::Header { passed: 0, length: 0 };

impl Default for RecordBoundary {
    /// Before the first record.
    fn default() -> RecordBoundary {
        RecordBoundary { at: BETWEEN, has_data: false }
    }
}

impl RecordBoundary {
    /// Whether all that has passed are whole records.
    pub fn is_between(&self) -> bool {
        self.at == BETWEEN
    }

    /// Whether a record of type application_data has begun. TLS 1.3 gives that type to all encrypted records, those that end the handshake
    /// included (RFC 8446, section 5.2).
    pub fn has_data(&self) -> bool {
        self.has_data
    }

    /// These bytes pass.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((&first, behind)) = bytes.split_first() {
            (self.at, bytes) = match self.at {
                At::Header { passed, length } => {
                    self.has_data |= passed == 0 && first == APPLICATION_DATA;
                    (header(passed, length, first), behind)
                }
                At::Body { left } => body(left, bytes),
                At::Lost => return,
            };
        }
    }
}

/// Behind one more byte of a header.
fn header(passed: u8, length: u16, byte: u8) -> At {
    let length = length << 8 | u16::from(byte);
    match usize::from(passed) + 1 {
        1 if !TYPES.contains(&byte) => At::Lost,
        2 if byte != MAJOR => At::Lost,
        HEADER if length > LONGEST => At::Lost,
        HEADER if length == 0 => BETWEEN,
        HEADER => At::Body { left: length },
        // Of the length, two bytes are left in the end.
        _ => At::Header { passed: passed + 1, length },
    }
}

/// Behind as much of a record as there is of its `left` bytes, and the bytes that follow.
fn body(left: u16, bytes: &[u8]) -> (At, &[u8]) {
    match bytes.split_at_checked(left.into()) {
        Some((_, behind)) => (BETWEEN, behind),
        // There are fewer, so their number fits.
        None => (At::Body { left: left - bytes.len() as u16 }, &[]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, length: u16) -> Vec<u8> {
        let mut record = vec![kind, 3, 3];
        record.extend(length.to_be_bytes());
        // No byte of it looks like a header.
        record.resize(HEADER + usize::from(length), 0xff);
        record
    }

    fn after(pieces: &[&[u8]]) -> RecordBoundary {
        let mut boundary = RecordBoundary::default();
        pieces.iter().for_each(|piece| boundary.pass(piece));
        boundary
    }

    #[test]
    fn a_record_is_whole_at_its_last_byte_wherever_it_is_cut() {
        let record = record(23, 300);
        for cut in 0..=record.len() {
            let (first, second) = record.split_at(cut);
            let is_end = cut == 0 || cut == record.len();
            assert_eq!(after(&[first]).is_between(), is_end, "cut at {cut}");
            assert!(after(&[first, second]).is_between(), "cut at {cut}");
        }
    }

    #[test]
    fn empty_and_longest_records_are_records() {
        for length in [0, 1, 255, 256, LONGEST] {
            let whole = record(23, length);
            assert!(after(&[&whole]).is_between(), "{length}");
            assert!(!after(&[&whole, &[23]]).is_between(), "{length}");
            assert!(after(&[&whole, &record(21, 2)]).is_between(), "{length}");
        }
    }

    #[test]
    fn data_has_begun_with_the_first_byte_of_such_a_record() {
        // Its length has the number of the type, and its body has nothing else.
        let handshake = [&[22, 3, 1, 0, APPLICATION_DATA][..], &[APPLICATION_DATA; APPLICATION_DATA as usize]].concat();
        assert!(!after(&[&handshake]).has_data());
        assert!(after(&[&handshake, &[APPLICATION_DATA]]).has_data());
        assert!(after(&[&record(APPLICATION_DATA, 1), &handshake]).has_data());
    }

    #[test]
    fn what_is_no_record_leaves_no_boundary_any_more() {
        let wrong = [
            record(19, 4),
            record(24, 4),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            [&[23, 2, 3, 0, 1][..], &[0]].concat(),
            record(23, LONGEST + 1),
            record(23, u16::MAX),
        ];
        for wrong in wrong {
            let begin = &wrong[..wrong.len().min(8)];
            assert!(!after(&[&wrong]).is_between(), "{begin:?}");
            assert!(!after(&[&wrong, &record(23, 4)]).is_between(), "{begin:?}");
        }
    }

    proptest! {
        /// Reads of any size over records of any size: a boundary is known exactly where one is.
        #[test]
        fn every_boundary_is_seen(
            records in prop::collection::vec((TYPES, 0..=400_u16), 1..20),
            cuts in prop::collection::vec(1..500_usize, 1..50),
        ) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for (kind, length) in records {
                bytes.extend(record(kind, length));
                ends.push(bytes.len());
            }
            let (mut boundary, mut passed) = (RecordBoundary::default(), 0);
            for cut in cuts.into_iter().cycle() {
                let until = bytes.len().min(passed + cut);
                boundary.pass(&bytes[passed..until]);
                passed = until;
                prop_assert_eq!(boundary.is_between(), ends.contains(&passed), "after {} bytes", passed);
                if passed == bytes.len() {
                    break;
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let together = after(&[&pieces.concat()]);
            prop_assert_eq!(after(&pieces), together, "the cuts make no difference");
        }
    }
}
