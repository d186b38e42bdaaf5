//! What the clients were answered, beside what the program has executed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use multi_node_it::execution_log::Executed;
use multi_node_probe::Failure;

/// Failures that are shown in full.
const MOST_SHOWN: usize = 10;

/// What one client has met.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) connections: u64,
    /// Requests with their own answer.
    pub(super) answered: u64,
    /// Connections that the server closed in good order, whose other requests were sent again.
    pub(super) closed: u64,
    pub(super) answered_posts: Vec<u64>,
    pub(super) broken: Vec<Broken>,
}

/// A connection that ended, or went wrong, before all that it had been asked was answered.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) port: u16,
    pub(super) opened: Instant,
    pub(super) at: Instant,
    pub(super) failure: Failure,
    pub(super) unanswered: Vec<u64>,
    pub(super) history: Vec<String>,
}

/// All clients' accounts, beside the program's execution log.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    connections: u64,
    pub(super) answered: u64,
    closed: u64,
    posts: usize,
    broken: Vec<Broken>,
    /// Connections that broke since their process was killed.
    excused: usize,
    repeated: Vec<u64>,
    /// Answered and not executed.
    invented: Vec<u64>,
}

impl Verdict {
    pub(super) fn of(accounts: impl Iterator<Item = Account>, executed: &BTreeMap<u64, Executed>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut posts = BTreeSet::new();
        for account in accounts {
            verdict.connections += account.connections;
            verdict.answered += account.answered;
            verdict.closed += account.closed;
            verdict.broken.extend(account.broken);
            posts.extend(account.answered_posts);
        }
        let times = |id: &u64| executed.get(id).copied().unwrap_or_default();
        verdict.posts = posts.len();
        verdict.repeated =
            executed.iter().filter(|(_, times)| times.begun > 1 || times.ended > 1).map(|(id, _)| *id).collect();
        verdict.invented = posts.into_iter().filter(|id| times(id).begun == 0 || times(id).ended == 0).collect();
        verdict
    }

    /// Forgives what is broken for this reason. What came wrong or out of order is never forgiven.
    pub(super) fn excuse(&mut self, is_excused: impl Fn(&Broken) -> bool) {
        let before = self.broken.len();
        let is_wrong = |broken: &Broken| broken.failure.how == multi_node_probe::How::Wrong;
        self.broken.retain(|broken| is_wrong(broken) || !is_excused(broken));
        self.excused += before - self.broken.len();
    }

    /// What must not be, in words.
    pub(super) fn failures(&self, start: Instant) -> Vec<String> {
        let broken = self.broken.iter().take(MOST_SHOWN).map(|broken| describe(broken, start));
        let repeated = self.repeated.iter().take(MOST_SHOWN).map(|id| format!("POST {id} was executed twice"));
        let invented =
            self.invented.iter().take(MOST_SHOWN).map(|id| format!("POST {id} was answered and not executed"));
        broken.chain(repeated).chain(invented).collect()
    }
}

fn describe(broken: &Broken, start: Instant) -> String {
    let Broken { port, opened, at, failure, unanswered, history } = broken;
    let (opened, at) = (*opened - start, *at - start);
    let history = history.join("\n    ");
    format!("{at:>8.3?} {failure}: port {port}, open since {opened:.3?}, unanswered: {unanswered:?}\n    {history}")
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { connections, answered, closed, posts, broken, excused, repeated, invented } = self;
        write!(
            f,
            "{answered} requests answered ({posts} POST) on {connections} connections, {closed} closed early and gone on with; \
             {excused} broken by kills, {} otherwise; {} repeated, {} answered and not executed",
            broken.len(),
            repeated.len(),
            invented.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use multi_node_probe::How;

    use super::*;

    /// A POST, and how often it was begun and ended.
    type Times = (u64, u32, u32);

    fn executed(times: &[Times]) -> BTreeMap<u64, Executed> {
        times.iter().map(|&(id, begun, ended)| (id, Executed { begun, ended })).collect()
    }

    fn answered(posts: &[u64]) -> Account {
        Account { answered_posts: posts.to_vec(), ..Account::default() }
    }

    fn broken(how: How) -> Account {
        let (now, failure) = (Instant::now(), Failure::new(how, ""));
        let broken = Broken { port: 1, opened: now, at: now, failure, unanswered: vec![7], history: vec![] };
        Account { broken: vec![broken], ..Account::default() }
    }

    fn failures(accounts: [Account; 1], times: &[Times], excused: bool) -> usize {
        let mut verdict = Verdict::of(accounts.into_iter(), &executed(times));
        verdict.excuse(|_| excused);
        verdict.failures(Instant::now()).len()
    }

    #[test]
    fn posts_are_counted() {
        let table: [(&[u64], &[Times], usize); 6] = [
            (&[1, 2], &[(1, 1, 1), (2, 1, 1)], 0),
            (&[], &[(1, 1, 0), (2, 1, 1)], 0),
            (&[1], &[(1, 2, 1)], 1),
            (&[], &[(1, 2, 0)], 1),
            (&[1], &[(1, 1, 0)], 1),
            (&[1], &[], 1),
        ];
        for (posts, times, expected) in table {
            assert_eq!(failures([answered(posts)], times, true), expected, "{posts:?}, {times:?}");
        }
    }

    #[test]
    fn a_kill_excuses_what_is_lost_and_not_what_is_wrong() {
        assert_eq!(failures([broken(How::Reset)], &[], false), 1);
        assert_eq!(failures([broken(How::Reset)], &[], true), 0);
        assert_eq!(failures([broken(How::Wrong)], &[], true), 1);
    }
}
