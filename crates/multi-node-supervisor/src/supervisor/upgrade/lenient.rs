//! Lists of a state whose entries have kinds. Each entry is encoded separately, so a release that does not know a kind reads
//! the others.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use bytes::Bytes;

use crate::control::{from_message_pack, to_message_pack};

pub(super) fn serialize<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    let entries =
        list.iter().map(to_message_pack).collect::<Result<Vec<Bytes>, _>>().map_err(serde::ser::Error::custom)?;
    entries.serialize(serializer)
}

pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let entries = Vec::<Bytes>::deserialize(deserializer)?;
    let known: Vec<T> = entries.iter().filter_map(|entry| from_message_pack(entry).ok()).collect();
    let skipped = entries.len() - known.len();
    if skipped > 0 {
        crate::log::warn!(skipped, "the program before has left what this release does not know");
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Now {
        One,
        Two { number: u32 },
    }

    #[derive(Serialize)]
    enum Later {
        One,
        Two { number: u32, mood: &'static str },
        Three(u64),
    }

    #[derive(Serialize)]
    struct Written {
        #[serde(serialize_with = "serialize")]
        list: Vec<(u32, Later)>,
    }

    #[derive(Deserialize)]
    struct Read {
        #[serde(deserialize_with = "deserialize")]
        list: Vec<(u32, Now)>,
    }

    #[test]
    fn what_is_not_known_is_left_out_and_all_else_is_there() {
        let list = vec![(1, Later::Three(3)), (2, Later::Two { number: 7, mood: "good" }), (3, Later::One)];
        let bytes = to_message_pack(&Written { list }).expect("MessagePack");
        let Read { list } = from_message_pack(&bytes).expect("readable");
        assert_eq!(list, [(2, Now::Two { number: 7 }), (3, Now::One)]);
    }
}
