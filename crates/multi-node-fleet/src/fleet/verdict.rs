//! Whether a new node fails clearly more requests than the old ones.
//!
//! The shares of server errors are compared by the lower end of a confidence interval of their difference, at 99.9 %
//! one-sided, by Newcombe's hybrid score method: Wilson's interval of each share, put together. Unlike the common z-test
//! it holds where errors are few or none (Newcombe, Statistics in Medicine 17, 1998, method 10). The new node is judged
//! again at each look, so the chance of a wrong verdict over a whole trial is a few times that of one.

use crate::command::RequestCounts;
use crate::id::NodeId;

/// What a new node has to keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// It is not judged by fewer answers.
    pub min_requests: u64,
    /// By how much its share of errors may exceed that of the old ones, 0.0 to 1.0.
    pub margin: f64,
}

/// The quantile of the normal distribution below which 99.9 % lie.
const Z: f64 = 3.090;

/// Why the new node is not fit to serve, where that is clear.
pub(super) fn against(id: NodeId, new: RequestCounts, old: RequestCounts, limits: &Limits) -> Option<String> {
    let clear = new.requests >= limits.min_requests && excess(new, old) > limits.margin;
    clear.then(|| format!("{id} had server errors in {new}, and the old nodes in {old}"))
}

/// By how much the first share is larger at least.
fn excess(new: RequestCounts, old: RequestCounts) -> f64 {
    let (p, low) = (share(new), wilson(new, -Z));
    // Of old nodes that have answered nothing it is assumed that they would have failed nothing.
    let (q, high) = if old.requests == 0 { (0.0, 0.0) } else { (share(old), wilson(old, Z)) };
    (p - q) - ((p - low).powi(2) + (high - q).powi(2)).sqrt()
}

fn share(answers: RequestCounts) -> f64 {
    if answers.requests == 0 { 0.0 } else { answers.errors as f64 / answers.requests as f64 }
}

/// The lower (`z` below 0) or upper end of Wilson's interval.
fn wilson(answers: RequestCounts, z: f64) -> f64 {
    let (n, p) = (answers.requests as f64, share(answers));
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    (p + z * z / (2.0 * n) + spread) / (1.0 + z * z / n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { min_requests: 100, margin: 0.01 };

    fn answers(errors: u64, requests: u64) -> RequestCounts {
        RequestCounts { requests, errors }
    }

    fn fails(new: (u64, u64), old: (u64, u64)) -> bool {
        against(NodeId::node(9), answers(new.0, new.1), answers(old.0, old.1), &LIMITS).is_some()
    }

    #[test]
    fn verdicts() {
        let table = [
            ("all fail, among few", (99, 99), (0, 5000), false),
            ("all fail", (100, 100), (0, 5000), true),
            ("all fail, and there is nothing to compare with", (100, 100), (0, 0), true),
            ("all fail, and there is little to compare with", (100, 100), (0, 1), true),
            ("all fail, as before", (100, 100), (5000, 5000), false),
            ("a twentieth fails, and hardly any before", (5, 100), (1, 1000), true),
            ("a twentieth fails, and none before", (5, 100), (0, 1000), true),
            ("a few more than before", (110, 1000), (100, 1000), false),
            ("a few fail, which may be chance", (3, 100), (0, 1000), false),
            ("few fail, of many", (300, 10_000), (0, 10_000), true),
            ("within the margin", (90, 10_000), (0, 10_000), false),
            ("as many as before", (100, 1000), (1000, 10_000), false),
            ("one and a half times as many as before", (150, 1000), (1000, 10_000), true),
            ("fewer than before", (10, 1000), (1000, 10_000), false),
            ("none", (0, 1_000_000), (0, 0), false),
        ];
        for (what, new, old, expected) in table {
            assert_eq!(fails(new, old), expected, "{what}");
        }
    }

    #[test]
    fn the_interval_is_that_of_the_literature() {
        // Newcombe's example (a): 56 of 70 and 48 of 80, at 95 % two-sided, from 0.0524 on.
        let (p, q) = (answers(56, 70), answers(48, 80));
        let low =
            share(p) - share(q) - ((share(p) - wilson(p, -1.96)).powi(2) + (wilson(q, 1.96) - share(q)).powi(2)).sqrt();
        assert!((low - 0.0524).abs() < 0.0001, "{low}");
    }

    #[test]
    fn an_excess_of_just_the_margin_is_forgiven() {
        let (new, old) = (answers(50, 1000), answers(10, 1000));
        let against = |margin| against(NodeId::node(1), new, old, &Limits { margin, ..LIMITS });
        assert_eq!(against(excess(new, old)), None);
        assert!(against(excess(new, old) - 1e-9).is_some());
    }

    fn any_answers() -> impl Strategy<Value = RequestCounts> {
        (1_u64..100_000, 0.0..=1.0).prop_map(|(requests, share)| answers((requests as f64 * share) as u64, requests))
    }

    proptest! {
        #[test]
        fn the_excess_is_no_larger_than_the_difference(new in any_answers(), old in any_answers()) {
            let excess = excess(new, old);
            prop_assert!(excess.is_finite() && excess <= share(new) - share(old) + 1e-9);
        }

        #[test]
        fn one_more_error_never_helps(new in any_answers(), old in any_answers()) {
            prop_assume!(new.errors < new.requests);
            let more = RequestCounts { errors: new.errors + 1, ..new };
            prop_assert!(excess(more, old) >= excess(new, old) - 1e-9);
        }
    }
}
