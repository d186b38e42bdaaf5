//! Keys of requests, and how slots share them.

use proptest::prelude::*;

use super::*;

fn info(address: &str) -> ConnInfo {
    let peer = Addr::Tcp(format!("{address}:4711").parse().expect("an address"));
    ConnInfo::new(peer, Addr::Unix)
}

fn key(affinity: &Affinity, head: impl AsRef<[u8]>) -> Key {
    affinity.key(head.as_ref(), &info("192.0.2.1"))
}

fn is(value: &str) -> Key {
    Key::Is(hash(value.as_bytes()))
}

#[test]
fn a_query_parameter_is_found_in_the_request_line() {
    let affinity = Affinity::query("sid");
    for (target, expected) in [
        ("/?sid=abc", is("abc")),
        ("/socket.io/?EIO=4&transport=polling&sid=abc", is("abc")),
        ("http://host/?sid=abc", is("abc")),
        ("/?sid=abc#sid=x", is("abc")),
        ("/?sid=abc&sid=x", is("abc")),
        ("/?sid=a?b=c", is("a?b=c")),
        ("/?sid=", Key::None),
        ("/?sid", Key::None),
        ("/?xsid=abc&sidx=abc", Key::None),
        ("/sid=abc", Key::None),
        ("/", Key::None),
        ("*", Key::None),
    ] {
        assert_eq!(key(&affinity, format!("GET {target} HTTP/1.1\r\n")), expected, "{target}");
        assert_eq!(key(&affinity, format!("\r\nGET {target} HTTP/1.1\n")), expected, "{target}");
    }
    assert_eq!(key(&affinity, "GET /?sid=ab"), Key::Unknown, "the value may be longer");
    assert_eq!(key(&affinity, "GET\r\n"), Key::None);
}

#[test]
fn a_cookie_is_found_among_others() {
    let affinity = Affinity::cookie("sid");
    for (cookies, expected) in [
        ("Cookie: sid=abc", is("abc")),
        ("cookie:a=b;  sid=abc ;c=d", is("abc")),
        ("COOKIE: sid=a=b", is("a=b")),
        ("cookie: a=b\r\ncookie: sid=abc", is("abc")),
        ("cookie: SID=abc; xsid=abc; sid", Key::None),
        ("x-cookie: sid=abc", Key::None),
        ("cookie: sid=", Key::None),
    ] {
        let head = format!("GET /?sid=no HTTP/1.1\r\nhost: x\r\n{cookies}\r\n\r\ncookie: sid=body\r\n");
        assert_eq!(key(&affinity, head), expected, "{cookies}");
    }
}

#[test]
fn a_header_is_found_whatever_its_case() {
    let affinity = Affinity::header("X-User");
    assert_eq!(key(&affinity, "GET / HTTP/1.1\r\nx-user:  7 \r\n"), is("7"));
    assert_eq!(key(&affinity, "GET / HTTP/1.1\r\nX-USER:7\n"), is("7"));
    assert_eq!(key(&affinity, "GET / HTTP/1.1\r\nX-User-Id: 7\r\nX-User: \r\n\r\n"), Key::None);
    assert_eq!(key(&affinity, "x-user: 7\r\n\r\n"), Key::None, "that is the request line");
    assert_eq!(key(&affinity, "GET / HTTP/1.1\r\nx-user: 7"), Key::Unknown);
    assert_eq!(key(&affinity, ""), Key::Unknown);
}

#[test]
fn an_address_counts_without_its_port_and_in_one_form() {
    let of = |info: &ConnInfo| Affinity::client_address().key(b"G", info);
    assert_eq!(Affinity::client_address().key(b"", &info("192.0.2.1")), Key::Unknown, "no request has come");
    assert_eq!(of(&info("192.0.2.1")), of(&info("[::ffff:192.0.2.1]")));
    assert_ne!(of(&info("192.0.2.1")), of(&info("192.0.2.2")));
    assert_eq!(of(&ConnInfo::new(Addr::Unix, Addr::Unix)), Key::None);
}

#[test]
fn no_more_of_a_head_is_looked_at_than_the_limits_say() {
    let affinity = Affinity::header("x-user");
    let begin = |padding: usize| format!("GET / HTTP/1.1\r\npad: {}", "x".repeat(padding));
    assert_eq!(key(&affinity, begin(LOOKED_AT / 2)), Key::Unknown);
    assert_eq!(key(&affinity, begin(LOOKED_AT)), Key::None);
    assert_eq!(key(&affinity, begin(LOOKED_AT) + "\r\nx-user: 7\r\n\r\n"), Key::None);
    let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(count));
    assert_eq!(key(&affinity, lines(LINES - 2) + "x-user: 7\r\n"), is("7"));
    assert_eq!(key(&affinity, lines(LINES) + "x-user: 7\r\n"), Key::None);
}

#[test]
fn names_are_checked() {
    let long = "x".repeat(LONGEST_NAME + 1);
    for name in ["", "a b", "a=b", "ü", "a\r\n", &long] {
        assert!(Affinity::cookie(name).check().is_err(), "{name:?}");
        assert!(Affinity::query(name).check().is_err(), "{name:?}");
        assert!(Affinity::header(name).check().is_err(), "{name:?}");
    }
    assert_eq!(Affinity::cookie("connect.sid").check(), Ok(()));
    assert_eq!(Affinity::query("a[b]").check(), Ok(()));
    assert_eq!(Affinity::client_address().check(), Ok(()));
}

/// They must be the same in each release: old and new nodes answer beside each other.
#[test]
fn slots_of_keys_never_change() {
    let slots = ["", "a", "abc", "4711", "node-1"].map(|value| slot_of(hash(value.as_bytes()), 8));
    assert_eq!(slots, [5, 4, 7, 0, 5].map(Some));
    assert_eq!(slot_of(1, 0), None);
}

#[test]
fn slots_have_even_shares() {
    for slots in [2, 4, 7, 64] {
        let mut shares = vec![0; slots];
        const EACH: usize = 2000;
        for number in 0..EACH * slots {
            shares[slot_of(hash(format!("user-{number}").as_bytes()), slots).expect("there are some")] += 1;
        }
        let even = (EACH * 9 / 10)..(EACH * 11 / 10);
        assert!(shares.iter().all(|share| even.contains(share)), "{shares:?}");
    }
}

proptest! {
    #[test]
    fn a_slot_more_takes_keys_to_itself_alone(key: u64, slots in 1_usize..200) {
        let (before, after) = (slot_of(key, slots), slot_of(key, slots + 1));
        prop_assert!(after == before || after == Some(slots));
    }

    #[test]
    fn parts_end_with_their_separators(text in "(a{0,40};?){0,5}") {
        let expected: Vec<_> = text.as_bytes().split_inclusive(|byte| *byte == b';').collect();
        prop_assert_eq!(parts(text.as_bytes(), b';').collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_head_is_too_odd(head: Vec<u8>, name in "[a-z]{1,3}") {
        for affinity in [Affinity::cookie(&*name), Affinity::query(&*name), Affinity::header(&*name)] {
            key(&affinity, &head);
        }
    }

    /// Once the first bytes tell the key, no further bytes tell another.
    #[test]
    fn a_key_stays_what_it_is(head in "(GET /[?]?(s=[ab]?&?){0,3} HTTP/1[.]1|\r?\n|s: ?[ab]?\r?\n|cookie: (s=[ab]?;?){0,2}\r?\n|[sc:/? =]){0,12}") {
        for affinity in [Affinity::cookie("s"), Affinity::query("s"), Affinity::header("s")] {
            let keys = (0..=head.len()).map(|length| key(&affinity, &head.as_bytes()[..length]));
            let mut known = keys.skip_while(|key| *key == Key::Unknown);
            let first = known.next();
            prop_assert!(known.all(|key| Some(key) == first), "{:?}", affinity);
        }
    }
}

#[test]
fn what_is_not_http_has_no_key() {
    for bytes in [&b"\x16\x03\x01\x02"[..], b"\0", b"\x80\n"] {
        assert_eq!(key(&Affinity::cookie("sid"), bytes), Key::None, "{bytes:?}");
    }
    assert_eq!(key(&Affinity::cookie("sid"), b"\r"), Key::Unknown);
}

#[test]
fn it_is_read_as_it_is_shown() {
    for text in ["cookie=sid", "query=sid", "header=X-User", "client-address"] {
        assert_eq!(text.parse::<Affinity>().map(|affinity| affinity.to_string()).as_deref(), Ok(text));
    }
    for text in ["", "sid", "cookie", "cookie=", "cookie=a b", "client-address=1", "query=a=b", "path=/"] {
        assert!(text.parse::<Affinity>().is_err(), "{text}");
    }
}
