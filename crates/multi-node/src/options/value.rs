//! Options that are one value each, as those see them who take options from elsewhere: a command line, a file, JavaScript.

use std::time::Duration;

use super::Options;
use super::settings::refused;
use super::table::Values;
use crate::Error;

/// An option of the [table](Options::table): one value, that has a method of [`Options`] by the same name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OptionInfo {
    /// The method's name: `drain_timeout`.
    pub name: &'static str,
    /// What it is about.
    pub group: OptionGroup,
    /// What is allowed as its value.
    pub kind: OptionKind,
    /// Its value if nothing sets it. `None`: there is no limit, or it depends on the servers.
    pub default: Option<OptionValue>,
    /// What it does, in a sentence without its full stop.
    pub help: &'static str,
    /// Whether `multi-node run` has it too.
    pub of_run: bool,
}

/// What an option is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionGroup {
    /// Addresses and sockets.
    Addresses,
    /// Nodes, and what they may do.
    Nodes,
    /// When a node is ready, and when it hangs.
    Health,
    /// Reload, upgrade, and the end of a node.
    Replacing,
    /// What becomes of nodes that end, or have served for long.
    Restarting,
}

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionKind {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole,
    /// A number of bytes.
    Bytes,
    /// Permission bits, which people write in octal.
    Mode,
    /// A span of time.
    Time,
}

/// A value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionValue {
    /// Of [`OptionKind::Flag`].
    Flag(bool),
    /// Of [`OptionKind::Whole`], [`OptionKind::Bytes`] and [`OptionKind::Mode`].
    Whole(u64),
    /// Of [`OptionKind::Time`].
    Time(Duration),
}

impl Options {
    /// All options that are one value each: for programs that take the library's options from a file or a command line of their
    /// own.
    pub fn table() -> Vec<OptionInfo> {
        Values::default().table()
    }

    /// Sets an option of the [table](Options::table) by its name, as the method of this name does.
    ///
    /// # Errors
    /// [`Error::Option`] where there is no such option in the table, or its value is of another kind. Whether the value is allowed is
    /// checked by `listen`.
    pub fn set(mut self, name: &str, value: OptionValue) -> Result<Options, Error> {
        let Some(option) = Options::table().into_iter().find(|option| option.name == name) else {
            return Err(refused("set", name, "there is no option of this name and of one value"));
        };
        match self.values.set(name, value) {
            true => Ok(self),
            false => Err(refused(option.name, format!("{value:?}"), format!("expected a {:?}", option.kind))),
        }
    }
}

/// What one value of an option is made of.
pub(super) trait OneValue: Sized {
    fn from_value(value: OptionValue) -> Option<Self>;

    /// `None`: there is no value.
    fn value(&self) -> Option<OptionValue>;
}

impl OneValue for bool {
    fn from_value(value: OptionValue) -> Option<bool> {
        match value {
            OptionValue::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    fn value(&self) -> Option<OptionValue> {
        Some(OptionValue::Flag(*self))
    }
}

impl OneValue for Duration {
    fn from_value(value: OptionValue) -> Option<Duration> {
        match value {
            OptionValue::Time(time) => Some(time),
            _ => None,
        }
    }

    fn value(&self) -> Option<OptionValue> {
        Some(OptionValue::Time(*self))
    }
}

/// What does not fit is the largest number, which the option's check refuses.
macro_rules! whole {
    ($($number:ty),*) => {$(
        impl OneValue for $number {
            fn from_value(value: OptionValue) -> Option<$number> {
                match value {
                    OptionValue::Whole(number) => Some(<$number>::try_from(number).unwrap_or(<$number>::MAX)),
                    _ => None,
                }
            }

            fn value(&self) -> Option<OptionValue> {
                u64::try_from(*self).ok().map(OptionValue::Whole)
            }
        }
    )*};
}

whole!(u32, u64, usize);

impl<T: OneValue> OneValue for Option<T> {
    fn from_value(value: OptionValue) -> Option<Option<T>> {
        T::from_value(value).map(Some)
    }

    fn value(&self) -> Option<OptionValue> {
        self.as_ref().and_then(T::value)
    }
}

/// A value for people.
pub(super) fn shown(kind: OptionKind, value: Option<OptionValue>) -> String {
    match (kind, value) {
        (_, None) => "off".to_owned(),
        (OptionKind::Mode, Some(OptionValue::Whole(mode))) => format!("{mode:#o}"),
        (_, Some(OptionValue::Flag(flag))) => flag.to_string(),
        (_, Some(OptionValue::Whole(number))) => number.to_string(),
        (_, Some(OptionValue::Time(time))) => format!("{time:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kind(kind: OptionKind) -> OptionValue {
        match kind {
            OptionKind::Flag => OptionValue::Flag(true),
            OptionKind::Whole | OptionKind::Bytes | OptionKind::Mode => OptionValue::Whole(2),
            OptionKind::Time => OptionValue::Time(Duration::from_secs(2)),
        }
    }

    #[test]
    fn every_option_of_the_table_is_set_by_its_name_and_by_no_other_kind() {
        for option in Options::table() {
            let value = of_kind(option.kind);
            let options = Options::new().set(option.name, value).expect(option.name);
            let set =
                options.values.table().into_iter().find(|other| other.name == option.name).expect("it stands there");
            assert_eq!(set.default, Some(value), "{}", option.name);
            let other = if option.kind == OptionKind::Flag { OptionValue::Whole(1) } else { OptionValue::Flag(true) };
            let error = Options::new().set(option.name, other).expect_err("another kind").to_string();
            assert!(error.contains(option.name), "{error}");
        }
        let error = Options::new().set("nonsense", OptionValue::Flag(true)).expect_err("no option").to_string();
        assert!(error.contains("nonsense"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_the_check() {
        let options = Options::new().set("backlog", OptionValue::Whole(u64::MAX)).expect("a whole number");
        assert!(options.check(1).is_err());
    }
}
