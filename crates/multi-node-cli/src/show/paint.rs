//! Colour, where it is wanted.

/// Whether texts are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Colours,
}

/// Colours that terminals have by name, so that they fit its background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Good,
    Passing,
    Bad,
    Dim,
    Head,
}

impl Paint {
    /// The text in this colour.
    pub(crate) fn text(self, colour: Colour, text: &str) -> String {
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Colours => format!("\x1b[{}m{text}\x1b[0m", colour.code()),
        }
    }
}

impl Colour {
    /// Select Graphic Rendition (ECMA-48).
    fn code(self) -> &'static str {
        match self {
            Colour::Good => "32",
            Colour::Passing => "33",
            Colour::Bad => "31",
            Colour::Dim => "2",
            Colour::Head => "1",
        }
    }
}
