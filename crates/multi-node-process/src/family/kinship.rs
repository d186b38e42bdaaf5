//! Which processes belong to which node. Pure.

use std::collections::BTreeMap;

use super::token::{ProcessId, Run, Token};
use crate::id::NodeId;

/// A process, as it was seen in one look at all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub id: ProcessId,
    pub parent: u32,
    pub group: u32,
    pub session: u32,
    /// It has ended, and is not reaped yet.
    pub ended: bool,
    pub token: Option<Token>,
    /// It guards the nodes of this run.
    pub guards: Option<Run>,
}

/// The living processes of each node of a run. `leaders` are the nodes' own processes, as far as they are known; `master` and
/// what this process itself is are never among them.
pub(super) fn families(
    all: &[Process],
    run: &Run,
    leaders: &BTreeMap<NodeId, ProcessId>,
    this: u32,
) -> BTreeMap<NodeId, Vec<ProcessId>> {
    let groups = groups(all, leaders);
    let may_belong = |process: &&Process| !process.ended && process.id.pid != this && process.id != run.master;
    let living: BTreeMap<u32, &Process> =
        all.iter().filter(may_belong).map(|process| (process.id.pid, process)).collect();
    let marked =
        |process: &Process| process.token.as_ref().filter(|token| token.run.is_same(run)).map(|token| token.node);
    let grouped = |process: &Process| groups.get(&process.group).or_else(|| groups.get(&process.session)).copied();
    let mut nodes: BTreeMap<u32, NodeId> = living
        .values()
        .filter_map(|process| Some((process.id.pid, marked(process).or_else(|| grouped(process))?)))
        .collect();
    descend(&living, &mut nodes);
    let mut families: BTreeMap<NodeId, Vec<ProcessId>> = BTreeMap::new();
    for (pid, node) in nodes {
        families.entry(node).or_default().extend(living.get(&pid).map(|process| process.id));
    }
    families
}

/// The groups that nodes lead. If another process has the number now, it does not count any more. The kernel reuses no number
/// as long as the group has a process.
fn groups(all: &[Process], leaders: &BTreeMap<NodeId, ProcessId>) -> BTreeMap<u32, NodeId> {
    let starts: BTreeMap<u32, u64> = all.iter().map(|process| (process.id.pid, process.id.start)).collect();
    let is_its_own = |leader: &ProcessId| starts.get(&leader.pid).is_none_or(|start| *start == leader.start);
    let known = leaders.iter().filter(|(_, leader)| is_its_own(leader));
    known.map(|(node, leader)| (leader.pid, *node)).collect()
}

/// A process without a mark of its own belongs to the node of its parent.
fn descend(living: &BTreeMap<u32, &Process>, nodes: &mut BTreeMap<u32, NodeId>) {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, process) in living {
        children.entry(process.parent).or_default().push(*pid);
    }
    let mut next: Vec<(u32, NodeId)> = nodes.iter().map(|(pid, node)| (*pid, *node)).collect();
    while let Some((parent, node)) = next.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if !nodes.contains_key(child) {
                nodes.insert(*child, node);
                next.push((*child, node));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ONE: NodeId = NodeId::MASTER;

    fn run() -> Run {
        Run::new(Some("web"), &[], 0, ProcessId { pid: 10, start: 5 })
    }

    fn two() -> NodeId {
        NodeId::node(2)
    }

    /// A process of nobody, started by 1.
    fn process(pid: u32) -> Process {
        let id = ProcessId { pid, start: u64::from(pid) };
        Process { id, parent: 1, group: pid, session: 1, ended: false, token: None, guards: None }
    }

    fn marked(pid: u32, node: NodeId) -> Process {
        Process { token: Some(Token { run: run(), node }), ..process(pid) }
    }

    fn pids(all: &[Process], leaders: &[(NodeId, u32)]) -> Vec<(NodeId, Vec<u32>)> {
        let leaders = leaders.iter().map(|(node, pid)| (*node, process(*pid).id)).collect();
        let families = families(all, &run(), &leaders, 99);
        families.into_iter().map(|(node, all)| (node, all.iter().map(|id| id.pid).collect())).collect()
    }

    #[test]
    fn the_variable_the_group_the_session_and_the_parent_count_in_this_order() {
        let all = [
            process(20),
            Process { group: 20, ..process(21) },
            Process { session: 20, ..process(22) },
            marked(23, ONE),
            // Of the other node, in the first one's group.
            Process { group: 20, ..marked(24, two()) },
            // Sheds all but its parent, and so does its child.
            Process { parent: 22, ..process(25) },
            Process { parent: 25, ..process(26) },
            process(27),
        ];
        let expected = [(ONE, vec![20, 21, 22, 23, 25, 26]), (two(), vec![24])];
        assert_eq!(pids(&all, &[(ONE, 20)]), expected);
    }

    #[test]
    fn another_run_and_other_programs_are_nobodys() {
        let other = Run::new(Some("web"), &[], 0, ProcessId { pid: 10, start: 6 });
        let all = [
            Process { token: Some(Token { run: other, node: ONE }), ..process(30) },
            Process { group: 31, session: 32, ..process(33) },
            Process { parent: 30, ..process(34) },
        ];
        assert_eq!(pids(&all, &[(ONE, 20)]), []);
    }

    #[test]
    fn a_number_that_was_given_anew_is_not_the_nodes_group_any_more() {
        let reused = Process { id: ProcessId { pid: 20, start: 700 }, ..process(20) };
        let all = [reused, Process { group: 20, ..process(21) }, marked(23, ONE)];
        assert_eq!(pids(&all, &[(ONE, 20)]), [(ONE, vec![23])]);
        // The leader has ended. While its group has a process, the kernel gives the number to no other process.
        assert_eq!(pids(&all[1..], &[(ONE, 20)]), [(ONE, vec![21, 23])]);
    }

    #[test]
    fn the_master_this_process_and_the_dead_are_not_among_them() {
        let master = Process { id: run().master, ..marked(10, ONE) };
        let this = Process { group: 20, ..marked(99, ONE) };
        let dead = Process { ended: true, ..process(20) };
        let all = [master, this, dead, Process { parent: 99, ..process(40) }, Process { group: 20, ..process(41) }];
        assert_eq!(pids(&all, &[(ONE, 20)]), [(ONE, vec![41])]);
    }

    #[test]
    fn parents_in_a_circle_end_the_search() {
        let all = [Process { parent: 51, ..marked(50, ONE) }, Process { parent: 50, ..process(51) }];
        assert_eq!(pids(&all, &[]), [(ONE, vec![50, 51])]);
    }

    /// Time of a processor that this thread has used, which other programs do not change (proc(5), `schedstat`).
    fn used() -> Duration {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds"))
    }

    #[test]
    fn three_hundred_families_among_ten_thousand_processes_are_told_apart_in_one_pass() {
        let leaders: Vec<(NodeId, u32)> =
            (1..=300).map(|node| (NodeId::node(node), 100 * u32::try_from(node).expect("small"))).collect();
        let mut all = Vec::new();
        for (node, leader) in &leaders {
            all.push(marked(*leader, *node));
            // A chain of children, which is the longest way to go.
            all.extend((1..33).map(|child| Process { parent: leader + child - 1, ..process(leader + child) }));
        }
        let begun = used();
        let found = pids(&all, &leaders);
        let took = used() - begun;
        assert_eq!(found.len(), 300);
        assert!(found.iter().all(|(_, members)| members.len() == 33));
        assert!(took.as_millis() < 1000, "{took:?} for {} processes", all.len());
    }
}
