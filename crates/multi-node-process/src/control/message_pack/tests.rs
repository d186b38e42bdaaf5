use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(i16);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(Newtype),
    Tuple(u8, Option<String>),
    Struct { flag: bool, within: Duration },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Fields { name: String, list: Vec<f64> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Fields {
    signed: (i8, i16, i32, i64),
    unsigned: (u8, u16, u32, u64),
    floats: (f32, f64),
    text: String,
    letter: char,
    bytes: bytes::Bytes,
    array: [u8; 4],
    maybe: Option<Box<Fields>>,
    kinds: Vec<Kind>,
    map: BTreeMap<String, Untagged>,
    address: IpAddr,
    result: Result<(), Unit>,
}

fn written(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("MessagePack")
}

fn refused<T: DeserializeOwned + Debug>(bytes: &[u8]) -> String {
    from_message_pack::<T>(bytes).expect_err("no such value").to_string()
}

fn fields(signed: i64, unsigned: u64, float: f64, text: &str, maybe: Option<Box<Fields>>) -> Fields {
    let kinds = vec![
        Kind::Unit,
        Kind::Newtype(Newtype(signed as i16)),
        Kind::Tuple(unsigned as u8, Some(text.to_owned())),
        Kind::Tuple(0, None),
        Kind::Struct { flag: signed > 0, within: Duration::from_nanos(unsigned) },
    ];
    let untagged = Untagged::Fields { name: text.to_owned(), list: vec![float, 0.5] };
    Fields {
        signed: (signed as i8, signed as i16, signed as i32, signed),
        unsigned: (unsigned as u8, unsigned as u16, unsigned as u32, unsigned),
        floats: (float as f32, float),
        text: text.to_owned(),
        letter: text.chars().next().unwrap_or('ß'),
        bytes: text.repeat(3).into(),
        array: (unsigned as u32).to_be_bytes(),
        maybe,
        kinds,
        map: BTreeMap::from([("n".to_owned(), Untagged::Number(unsigned)), (text.to_owned(), untagged)]),
        address: if signed > 0 { [127, 0, 0, 1].into() } else { [1_u16; 8].into() },
        result: if signed > 0 { Ok(()) } else { Err(Unit) },
    }
}

proptest! {
    #[test]
    fn what_rmp_serde_writes_is_read(signed: i64, unsigned: u64, float in -1e300..1e300, text in ".{0,300}", shift in 0..64_u32) {
        let inner = fields(signed >> shift, unsigned >> shift, float, &text, None);
        let value = fields(signed, unsigned, float, &text, Some(Box::new(inner)));
        prop_assert_eq!(from_message_pack::<Fields>(&written(&value)).expect("readable"), value);
    }

    /// Whatever comes is read as rmp-serde reads it, or refused.
    #[test]
    fn nothing_is_read_otherwise_than_by_rmp_serde(signed: i64, text in ".{0,40}", at: prop::sample::Index, byte: u8) {
        let mut bytes = written(&fields(signed, 7, 0.25, &text, None));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = from_message_pack::<Fields>(&bytes) {
            let by_kind = rmp_serde::from_slice::<Fields>(&bytes).expect("readable");
            prop_assert_eq!(format!("{read:?}"), format!("{by_kind:?}"));
        }
    }

    #[test]
    fn what_is_cut_off_is_refused(text in ".{0,40}", at: prop::sample::Index) {
        let bytes = written(&fields(1, 7, 0.25, &text, None));
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(from_message_pack::<Fields>(cut).is_err());
    }
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let more =
        json!({ "later": { "a": [1, -1, null, { "b": "text", "c": 0.5 }], "d": true }, "flag": true, "within": 7 });
    #[derive(Debug, PartialEq, Deserialize)]
    struct Known {
        flag: bool,
        within: u8,
    }
    assert_eq!(from_message_pack::<Known>(&written(&more)).expect("readable"), Known { flag: true, within: 7 });
}

#[test]
fn what_may_be_of_any_kind_is_read() {
    let any = json!({ "list": [1, -1, 0.5, null, true, "text"], "map": { "a": {} } });
    assert_eq!(from_message_pack::<Json>(&written(&any)).expect("readable"), any);
}

#[test]
fn a_whole_number_may_stand_for_another() {
    assert_eq!(from_message_pack::<[f64; 3]>(&written(&(7_u64, -7, 0.5))).expect("readable"), [7.0, -7.0, 0.5]);
}

#[test]
fn a_value_of_another_kind_is_refused_by_its_name() {
    assert_eq!(refused::<u8>(&written(&"text")), "invalid type: string \"text\", expected u8");
    assert_eq!(refused::<u8>(&written(&300)), "invalid value: integer `300`, expected u8");
    assert_eq!(refused::<()>(&written(&[0; 0])), "invalid type: sequence, expected unit");
    assert_eq!(refused::<String>(&written(&[1])), "invalid type: sequence, expected a string");
    assert_eq!(refused::<(u8, u8)>(&written(&(1, 2, 3))), "array had incorrect length, expected 2");
    assert_eq!(
        refused::<Kind>(&written(&"Later")),
        "unknown variant `Later`, expected one of `Unit`, `Newtype`, `Tuple`, `Struct`"
    );
    assert_eq!(refused::<Kind>(&written(&"Tuple")), "a variant without what it holds");
    assert_eq!(refused::<Kind>(&written(&json!({}))), "invalid type: map, expected enum Kind");
    assert_eq!(refused::<u8>(&[0xc1]), "the byte 0xc1");
    assert_eq!(
        refused::<String>(&[0xa1, 0xff]),
        "string found to be invalid utf8: invalid utf-8 sequence of 1 bytes from index 0"
    );
}

#[test]
fn no_depth_and_no_number_of_parts_does_harm() {
    let deep = vec![0x91; 1 << 20];
    assert_eq!(refused::<Json>(&deep), "depth limit exceeded");
    assert!(refused::<serde::de::IgnoredAny>(&deep).contains("end of file"));
    assert!(refused::<Vec<u64>>(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1]).contains("end of file"));
    // What stands beside each other is no depth.
    let wide: Vec<Json> = vec![json!([[]]); 1000];
    assert_eq!(from_message_pack::<Vec<Json>>(&written(&wide)).expect("readable"), wide);
}

#[test]
fn bytes_may_be_written_as_numbers() {
    let read: bytes::Bytes = from_message_pack(&written(&vec![1_u8, 200])).expect("bytes");
    assert_eq!(&read[..], [1, 200]);
}
