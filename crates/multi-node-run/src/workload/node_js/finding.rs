//! How the preload finds the value by which a client is recognized: a regular expression of JavaScript. The preload only remembers which
//! values were its node's, so what is found differently here costs a question. Pure.

use crate::serve::Affinity;

/// What ends a line.
const END: &str = "\\r\\n";

/// Its first group is the value, once all of that is there. `None`: the client's address is the value.
pub(super) fn finding(affinity: &Affinity) -> Option<String> {
    let text = affinity.to_string();
    let (kind, name) = text.split_once('=')?;
    let exact = escaped(name);
    Some(match kind {
        "cookie" => {
            format!("\\n{}:(?:[^\\n]*?;)?[ \\t]*{exact}=([^;{END}]*)[;{END}]", of_any_case("cookie"))
        }
        "query" => format!("^\\s*\\S+ [^ ?{END}]*\\?(?:[^ #{END}]*?&)?{exact}=([^&# {END}]*)[&# {END}]"),
        _ => format!("\\n{}:[ \\t]*([^{END}]*)[{END}]", of_any_case(name)),
    })
}

fn escaped(name: &str) -> String {
    name.chars().flat_map(|char| (!char.is_ascii_alphanumeric()).then_some('\\').into_iter().chain([char])).collect()
}

fn of_any_case(name: &str) -> String {
    let one = |char: char| match char.is_ascii_alphabetic() {
        true => format!("[{}{}]", char.to_ascii_lowercase(), char.to_ascii_uppercase()),
        false => escaped(&char.to_string()),
    };
    name.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_themselves() {
        let find = |text: &str| finding(&text.parse().expect("an affinity"));
        assert_eq!(find("client-address"), None);
        assert_eq!(find("header=X-y").as_deref(), Some(r"\n[xX]\-[yY]:[ \t]*([^\r\n]*)[\r\n]"));
        assert_eq!(
            find("cookie=a.b").as_deref(),
            Some(r"\n[cC][oO][oO][kK][iI][eE]:(?:[^\n]*?;)?[ \t]*a\.b=([^;\r\n]*)[;\r\n]")
        );
        assert_eq!(
            find("query=sid").as_deref(),
            Some(r"^\s*\S+ [^ ?\r\n]*\?(?:[^ #\r\n]*?&)?sid=([^&# \r\n]*)[&# \r\n]")
        );
    }
}
