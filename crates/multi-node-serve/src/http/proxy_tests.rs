use proptest::prelude::*;

use super::*;

fn header(length: usize, peer: &str, local: &str) -> Result<Option<Header>, Invalid> {
    let address = |text: &str| text.parse().expect("the test's address is one");
    Ok(Some(Header { length, addresses: Some((address(peer), address(local))) }))
}

const SILENT: fn(usize) -> Result<Option<Header>, Invalid> = |length| Ok(Some(Header { length, addresses: None }));

fn v2(version: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [V2, &[version, family], &length, body].concat()
}

#[test]
fn version_1() {
    let tcp4 = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET /";
    assert_eq!(parse(tcp4), header(42, "192.0.2.1:56324", "192.0.2.2:443"));
    let tcp6 = b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n";
    assert_eq!(parse(tcp6), header(36, "[2001:db8::1]:1", "[::1]:65535"));
    assert_eq!(parse(b"PROXY UNKNOWN\r\n"), SILENT(15));
    assert_eq!(parse(b"PROXY UNKNOWN ffff::1 what ever\r\nGET"), SILENT(33));
    for wrong in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +6324 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(parse(wrong.as_bytes()), Err(Invalid), "{wrong:?}");
    }
    assert_eq!(parse(&[V1, &[b'x'; 101]].concat()), Err(Invalid), "longer than the longest");
}

#[test]
fn version_2() {
    let body = [&[192, 0, 2, 1, 192, 0, 2, 2][..], &[0xdc, 4, 1, 187], b"\x04\0\x01x"].concat();
    assert_eq!(parse(&v2(0x21, 0x11, &body)), header(32, "192.0.2.1:56324", "192.0.2.2:443"));
    let body = [&[0; 15][..], &[1], &[0; 15], &[2], &[0, 1, 0, 2]].concat();
    assert_eq!(parse(&v2(0x21, 0x21, &body)), header(52, "[::1]:1", "[::2]:2"));
    assert_eq!(parse(&v2(0x20, 0x00, b"")), SILENT(16), "the proxy's own check");
    assert_eq!(parse(&v2(0x21, 0x31, &[0; 216])), SILENT(232));
    assert_eq!(parse(&v2(0x21, 0x11, &[0; 11])), Err(Invalid));
    assert_eq!(parse(&v2(0x31, 0x11, &[0; 12])), Err(Invalid));
    assert_eq!(parse(&v2(0x22, 0x11, &[0; 12])), Err(Invalid));
    assert_eq!(parse(&v2(0x21, 0x41, &[0; 12])), Err(Invalid));
    assert_eq!(parse(&v2(0x21, 0x11, &[0; 5000])), Err(Invalid));
}

#[test]
fn something_else() {
    for other in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"\r\n\r\nGET", b"PROXX"] {
        assert_eq!(parse(other), Err(Invalid));
    }
}

proptest! {
    /// A header cut anywhere asks for more; whole, it is the same whatever follows.
    #[test]
    fn pieces(cut in 0..200_usize, which in 0..2_usize, after in prop::collection::vec(any::<u8>(), 0..20)) {
        let one = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec();
        let two = v2(0x21, 0x11, &[7; 30]);
        let whole = vec![one, two].swap_remove(which);
        let cut = cut % whole.len();
        prop_assert_eq!(parse(&whole[..cut]), Ok(None));
        let all = [&whole[..], &after].concat();
        prop_assert_eq!(parse(&all), parse(&whole));
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..300), which in 0..3_usize) {
        let bytes = vec![[V1, &bytes].concat(), [V2, &bytes].concat(), bytes].swap_remove(which);
        if let Ok(Some(header)) = parse(&bytes) {
            prop_assert!(header.length <= bytes.len());
        }
    }
}
