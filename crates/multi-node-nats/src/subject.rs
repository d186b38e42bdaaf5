//! Under which names machines speak: `mn.CLUSTER.i` for interest, `mn.CLUSTER.t.TOPIC` for topics, `mn.CLUSTER.q.HANDLER` and
//! `mn.CLUSTER.p.MACHINE.EPOCH` for questions, `mn.CLUSTER.c` for their ends, `mn.CLUSTER.r.…` for answers, and `mn.CLUSTER.n.…` for those of NATS.

use std::fmt::Write;

/// Where gateways say what they want.
pub(crate) fn interest(cluster: &str) -> String {
    format!("mn.{}.i", token(cluster))
}

/// Where the messages of a topic go.
pub(crate) fn topic(cluster: &str, name: &str) -> String {
    format!("mn.{}.t.{}", token(cluster), token(name))
}

/// Where any machine is asked whose processes have the handler.
pub(crate) fn handler(cluster: &str, name: &str) -> String {
    format!("mn.{}.q.{}", token(cluster), token(name))
}

/// Where the processes of one machine are asked.
pub(crate) fn processes(cluster: &str, machine: &str, epoch: u64) -> String {
    format!("mn.{}.p.{}.{epoch:x}", token(cluster), token(machine))
}

/// Where all machines hear that an answer is no longer awaited.
pub(crate) fn cancelled(cluster: &str) -> String {
    format!("mn.{}.c", token(cluster))
}

/// Where all answers go.
pub(crate) fn answers(cluster: &str) -> String {
    format!("mn.{}.r.", token(cluster))
}

/// Where NATS answers this cluster's gateways.
pub(crate) fn inbox(cluster: &str) -> String {
    format!("mn.{}.n", token(cluster))
}

/// A name as one token of a subject: letters, digits, `-` and `_` as they are, any other byte as `=` and two digits.
fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => token.push(char::from(byte)),
            // Writing to a string does not fail.
            other => drop(write!(token, "={other:02x}")),
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subjects_have_the_clusters_name() {
        assert_eq!(interest("shop"), "mn.shop.i");
        assert_eq!(topic("shop", "news"), "mn.shop.t.news");
        assert_eq!(topic("a.b", "x.> *"), "mn.a=2eb.t.x=2e=3e=20=2a");
        assert_eq!(handler("shop", "thumb"), "mn.shop.q.thumb");
        assert_eq!(processes("shop", "alpha", 0x5f), "mn.shop.p.alpha.5f");
        assert_eq!(cancelled("shop"), "mn.shop.c");
        assert_eq!((answers("shop"), inbox("shop")), ("mn.shop.r.".to_owned(), "mn.shop.n".to_owned()));
    }

    proptest! {
        #[test]
        fn each_name_has_its_own_token_without_wildcards(names in prop::collection::vec("\\PC{0,20}|[=a.>* -]{0,6}", 1..20)) {
            let mut seen = HashMap::new();
            for name in names {
                let token = token(&name);
                prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte)));
                prop_assert_eq!(seen.entry(token).or_insert_with(|| name.clone()), &name);
            }
        }
    }
}
