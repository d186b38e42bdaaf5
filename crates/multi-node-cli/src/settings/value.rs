//! Values of settings, read as they are typed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use multi_node::Affinity;
use multi_node::options::Join;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::signal_name;

/// `None`: one for each core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(super) Option<usize>);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Count, String> {
        match text {
            "auto" => Ok(Count(None)),
            number => number
                .parse()
                .map(|count| Count(Some(count)))
                .map_err(|_| "expected a number of nodes, or `auto`".to_owned()),
        }
    }
}

/// By what a client is recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientsBy(pub(super) Affinity);

impl FromStr for ClientsBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<ClientsBy, &'static str> {
        text.parse().map(ClientsBy)
    }
}

/// The servers that join machines. They are shown without passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Servers(pub(super) Join);

impl FromStr for Servers {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Servers, Self::Err> {
        Ok(Servers(text.into()))
    }
}

/// Where the control socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Off,
    At(PathBuf),
}

impl FromStr for Control {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Control, Self::Err> {
        Ok(if text == "off" { Control::Off } else { Control::At(text.into()) })
    }
}

/// A span of time with its unit: `500ms`, `2s`, `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        let refused = |_| "expected a time with its unit, such as 500ms, 2s or 1m".to_owned();
        humantime::parse_duration(text).map(Time).map_err(refused)
    }
}

/// Bytes, with their unit: `512MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let refused = |_| "expected a size with its unit, such as 512MiB or 2GB".to_owned();
        text.parse::<ByteSize>().map(|size| Size(size.as_u64())).map_err(refused)
    }
}

/// The number of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopSignal(pub(super) i32);

impl FromStr for StopSignal {
    type Err = String;

    fn from_str(text: &str) -> Result<StopSignal, String> {
        signal_name::parse(text).map(StopSignal)
    }
}

/// A user or a group, by name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account(pub(super) String);

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Account, String> {
        Ok(Account(text.to_owned()))
    }
}

/// A file's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(super) u32);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        u32::from_str_radix(text, 8).map(Mode).map_err(|_| "expected a mode in octal, such as 660".to_owned())
    }
}

/// In a file a value is written as on the command line, and a number may be a number.
macro_rules! read_as_typed {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_any(Typed)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

read_as_typed!(ClientsBy, Control, Count, Servers, Time, Size, StopSignal, Account, Mode);

/// A value is written as it may be typed.
macro_rules! write_as_typed {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

write_as_typed!(ClientsBy, Control, Count, Servers, Time, Size, StopSignal, Account, Mode);

impl fmt::Display for ClientsBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Control::Off => f.write_str("off"),
            Control::At(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(count) => count.fmt(f),
            None => f.write_str("auto"),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteSize(self.0).display().iec().fmt(f)
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&signal_name::of(self.0))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

pub(super) struct Typed;

impl serde::de::Visitor<'_> for Typed {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<String, E> {
        Ok(flag.to_string())
    }

    // With its point, so that no whole number comes of it.
    fn visit_f64<E>(self, number: f64) -> Result<String, E> {
        Ok(format!("{number:?}"))
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    BTreeMap::deserialize(deserializer).map(|table| table.into_iter().collect())
}

/// Of variables the names alone.
pub(super) fn names<S: Serializer>(variables: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(variables.iter().map(|(name, _)| name))
}

/// In a file one address may stand without brackets.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected an address, or a list of addresses")]
    enum Addresses {
        One(String),
        More(Vec<String>),
    }
    Ok(match Addresses::deserialize(deserializer)? {
        Addresses::One(address) => vec![address],
        Addresses::More(addresses) => addresses,
    })
}
