//! The options of the library's table, as the command line and the file have them.

use std::collections::BTreeMap;
use std::fmt;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use multi_node::options::{OptionGroup, OptionInfo, OptionKind, OptionValue};
use multi_node::{Error, Options};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{Mode, Size, Time, Typed};
use super::{ADDRESSES, HEALTH, NODES, REPLACING, RESTARTING};

/// What is said of them, by the library's names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Library(BTreeMap<&'static str, Said>);

#[derive(Clone, Copy, Debug)]
struct Said {
    kind: OptionKind,
    value: OptionValue,
}

/// Whose default is another than the library's, since the program does not link it.
const OWN_DEFAULTS: [(&str, &str); 2] = [("rolling", "false"), ("settle", "3s")];

/// Those that this command has.
fn table() -> impl Iterator<Item = OptionInfo> {
    Options::table().into_iter().filter(|option| option.of_run)
}

/// The name on the command line and in the file.
fn long(name: &str) -> String {
    name.replace('_', "-")
}

impl Library {
    /// These, and where they say nothing, those.
    pub(super) fn or(self, other: Library) -> Library {
        Library(other.0.into_iter().chain(self.0).collect())
    }

    pub(super) fn set(&self, options: Options) -> Result<Options, Error> {
        self.0.iter().try_fold(options, |options, (name, said)| options.set(name, said.value))
    }
}

impl Args for Library {
    fn augment_args(command: Command) -> Command {
        table().fold(command, |command, option| command.arg(arg(&option)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Library::augment_args(command)
    }
}

impl FromArgMatches for Library {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Library, clap::Error> {
        let said = |option: OptionInfo| {
            let value = *matches.get_one(option.name)?;
            Some((option.name, Said { kind: option.kind, value }))
        };
        Ok(Library(table().filter_map(said).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Library::from_arg_matches(matches)?.or(std::mem::take(self));
        Ok(())
    }
}

fn arg(option: &OptionInfo) -> Arg {
    let kind = option.kind;
    let default = OWN_DEFAULTS.iter().find(|(name, _)| *name == option.name).map(|(_, own)| (*own).to_owned());
    let default = default.or_else(|| option.default.map(|value| Said { kind, value }.to_string()));
    let arg = Arg::new(option.name)
        .long(long(option.name))
        .help(format!("{} [default: {}]", option.help, default.as_deref().unwrap_or("never")))
        .help_heading(heading(option.group))
        .value_parser(move |text: &str| parse(kind, text));
    match (kind, default.as_deref()) {
        // A flag whose default is off needs no value to turn it on.
        (OptionKind::Flag, Some("false")) => {
            arg.value_name("BOOL").num_args(0..=1).default_missing_value("true").require_equals(true)
        }
        (OptionKind::Flag, _) => arg.value_name("BOOL"),
        (OptionKind::Bytes, _) => arg.value_name("SIZE"),
        (OptionKind::Mode, _) => arg.value_name("MODE"),
        (OptionKind::Time, _) => arg.value_name("TIME"),
        _ => arg.value_name("NUMBER"),
    }
}

fn heading(group: OptionGroup) -> &'static str {
    match group {
        OptionGroup::Addresses => ADDRESSES,
        OptionGroup::Health => HEALTH,
        OptionGroup::Replacing => REPLACING,
        OptionGroup::Restarting => RESTARTING,
        _ => NODES,
    }
}

fn parse(kind: OptionKind, text: &str) -> Result<OptionValue, String> {
    match kind {
        OptionKind::Flag => text.parse().map(OptionValue::Flag).map_err(|_| "expected true or false".to_owned()),
        OptionKind::Bytes => text.parse().map(|Size(bytes)| OptionValue::Whole(bytes)),
        OptionKind::Mode => text.parse().map(|Mode(mode)| OptionValue::Whole(mode.into())),
        OptionKind::Time => text.parse().map(|Time(time)| OptionValue::Time(time)),
        _ => text.parse().map(OptionValue::Whole).map_err(|_| "expected a whole number, 0 or more".to_owned()),
    }
}

/// As it may be typed.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.value) {
            (_, OptionValue::Flag(flag)) => flag.fmt(f),
            (_, OptionValue::Time(time)) => Time(time).fmt(f),
            (OptionKind::Bytes, OptionValue::Whole(bytes)) => Size(bytes).fmt(f),
            (OptionKind::Mode, OptionValue::Whole(mode)) => write!(f, "{mode:03o}"),
            (_, OptionValue::Whole(number)) => number.fmt(f),
            (_, other) => write!(f, "{other:?}"),
        }
    }
}

impl Serialize for Library {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, said)| (long(name), said.to_string())))
    }
}

/// What a file says of them. Its other settings are passed over.
impl<'de> Deserialize<'de> for Library {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Library, D::Error> {
        struct OfFile;

        impl<'de> Visitor<'de> for OfFile {
            type Value = Library;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Library, A::Error> {
                let mut all = Library::default();
                while let Some(name) = map.next_key::<String>()? {
                    let Some(option) = table().find(|option| long(option.name) == name) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = map.next_value_seed(OfKind(option.kind))?;
                    all.0.insert(option.name, Said { kind: option.kind, value });
                }
                Ok(all)
            }
        }

        deserializer.deserialize_map(OfFile)
    }
}

/// Reads a value of this kind.
struct OfKind(OptionKind);

impl<'de> DeserializeSeed<'de> for OfKind {
    type Value = OptionValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<OptionValue, D::Error> {
        match self.0 {
            OptionKind::Flag => bool::deserialize(deserializer).map(OptionValue::Flag),
            OptionKind::Whole => u64::deserialize(deserializer).map(OptionValue::Whole),
            kind => parse(kind, &deserializer.deserialize_any(Typed)?).map_err(serde::de::Error::custom),
        }
    }
}
