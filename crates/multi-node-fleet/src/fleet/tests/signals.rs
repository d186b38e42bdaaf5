use super::super::Action;
use super::super::world::{World, policy};
use crate::command::{Command, CommandError, Report};
use crate::id::Slot;

const USR1: i32 = 10;

fn signal(world: &mut World, slot: Option<u16>) -> (Vec<u64>, Result<Report, CommandError>) {
    let ticket = world.ask(Command::Signal { slot: slot.map(Slot), signal: USR1 });
    let forwarded = world.done.iter().filter_map(|action| match action {
        Action::Forward { id, signal: USR1 } => Some(id.number()),
        _ => None,
    });
    (forwarded.collect(), world.answer_to(ticket))
}

#[test]
fn a_signal_goes_to_every_node_or_to_those_of_a_slot() {
    let mut world = World::serving(policy(3));
    assert_eq!(signal(&mut world, None), (vec![1, 2, 3], Ok(Report::Signal { nodes: 3 })));
    world.done.clear();
    assert_eq!(signal(&mut world, Some(1)), (vec![2], Ok(Report::Signal { nodes: 1 })));
}

#[test]
fn a_slot_that_there_is_not_is_refused() {
    let mut world = World::serving(policy(2));
    let refusal = Err(CommandError::NoSuchSlot { slot: Slot(2), slots: 2 });
    assert_eq!(signal(&mut world, Some(2)), (vec![], refusal));
}

#[test]
fn a_signal_does_not_wait_for_another_command() {
    let mut world = World::serving(policy(2));
    let reload = world.reload();
    assert_eq!(signal(&mut world, Some(0)), (vec![1, 3], Ok(Report::Signal { nodes: 2 })), "old and new node");
    world.done.clear();
    world.shutdown(false);
    assert!(world.answers().iter().any(|(ticket, _)| *ticket == reload));
    assert_eq!(signal(&mut world, Some(1)).1, Ok(Report::Signal { nodes: 1 }), "also in a shutdown");
}
