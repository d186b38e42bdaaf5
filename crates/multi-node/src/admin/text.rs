//! What serde says of a value, in words for people.

/// An error's message without names of Rust's types.
pub fn in_words(message: &str) -> String {
    mistyped(message).or_else(|| unknown(message)).unwrap_or_else(|| message.to_owned())
}

/// `invalid type: string "eighty", expected u16`
fn mistyped(message: &str) -> Option<String> {
    let told = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = told.split_once(", expected ")?;
    Some(format!("{} is not allowed; expected {}", value(found), kind(expected)))
}

/// `unknown variant `a`, expected one of `b`, `c``, and what is said of fields
fn unknown(message: &str) -> Option<String> {
    if let Some(told) = message.strip_prefix("unknown variant ").or_else(|| message.strip_prefix("unknown field ")) {
        let (found, expected) = told.split_once(", expected ").unwrap_or((told, "something else"));
        return Some(format!("{found} is not known; expected {expected}"));
    }
    Some(format!("{} is missing", message.strip_prefix("missing field ")?))
}

/// The value itself where it is shown, and otherwise what it is.
fn value(found: &str) -> &str {
    const KINDS: [&str; 5] = ["string ", "integer ", "floating point ", "boolean ", "character "];
    match found {
        "map" => "a table",
        "sequence" => "a list",
        "unit value" => "null",
        _ => KINDS.iter().find_map(|kind| found.strip_prefix(kind)).unwrap_or(found),
    }
}

fn kind(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "u8" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a map" => "a table",
        "a sequence" => "a list, such as [\"gunicorn\", \"app:app\"]",
        other if other.contains("enum ") || other.contains("struct ") => "something else",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_type_is_left() {
        let cases = [
            (
                "invalid type: string \"eighty\", expected u16",
                "\"eighty\" is not allowed; expected a whole number from 0 to 65535",
            ),
            (
                "invalid type: floating point `1.5`, expected usize",
                "`1.5` is not allowed; expected a whole number, 0 or more",
            ),
            ("invalid value: integer `-1`, expected u64", "`-1` is not allowed; expected a whole number, 0 or more"),
            ("invalid type: map, expected a boolean", "a table is not allowed; expected true or false"),
            (
                "invalid type: sequence, expected internally tagged enum Request",
                "a list is not allowed; expected something else",
            ),
            ("unknown variant `x`, expected one of `a`, `b`", "`x` is not known; expected one of `a`, `b`"),
            ("missing field `slot`", "`slot` is missing"),
            ("expected a time with its unit", "expected a time with its unit"),
        ];
        for (message, told) in cases {
            assert_eq!(in_words(message), told);
        }
    }
}
