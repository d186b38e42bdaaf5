//! What is on the screen, and what keys do to it.

use multi_node::admin::{Instance, Request, SlotInfo};
use multi_node::status::Slot;

use super::rates::Rates;

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    /// Escape, or Ctrl-C.
    Leave,
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Command(Request),
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) instance: Instance,
    pub(super) rates: Rates,
    /// The row that is marked, counted from 0.
    pub(super) selected: usize,
    /// A command that waits for a yes, and how it is asked.
    pub(super) question: Option<(Request, String)>,
    /// The result of the last command.
    pub(super) message: String,
    /// Whether the keys are explained in place of the slots.
    pub(super) explains: bool,
}

impl Board {
    pub(super) fn new(instance: Instance) -> Board {
        Board {
            instance,
            rates: Rates::default(),
            selected: 0,
            question: None,
            message: String::new(),
            explains: false,
        }
    }

    /// Takes in the next look at the program.
    pub(super) fn see(&mut self, instance: Instance) {
        self.rates = Rates::between(&self.instance, &instance);
        self.instance = instance;
        self.selected = self.selected.min(self.instance.slots.len().saturating_sub(1));
    }

    pub(super) fn press(&mut self, key: Key) -> Option<Wish> {
        if let Some((command, _)) = self.question.take() {
            return (key == Key::Char('y')).then_some(Wish::Command(command));
        }
        if std::mem::take(&mut self.explains) {
            return (key == Key::Char('q')).then_some(Wish::Quit);
        }
        match key {
            Key::Char('?') => self.explains = true,
            Key::Leave | Key::Char('q') => return Some(Wish::Quit),
            Key::Up | Key::Char('k') => self.selected = self.selected.saturating_sub(1),
            Key::Down | Key::Char('j') if self.selected + 1 < self.instance.slots.len() => self.selected += 1,
            Key::Char('+') => return Some(Wish::Command(Request::Scale { nodes: None, by: Some(1) })),
            Key::Char('-') => self.ask(Request::Scale { nodes: None, by: Some(-1) }, "one node fewer"),
            Key::Char('r') => self.ask(Request::Reload { wait: true, now: false }, "reload every node"),
            Key::Char('s') => self.restart(),
            Key::Char('K') => self.kill(),
            _ => {}
        }
        None
    }

    fn restart(&mut self) {
        if let Some(slot) = self.marked().map(|slot| slot.slot) {
            self.ask(Request::Restart { slot }, &format!("restart slot {slot}"));
        }
    }

    fn kill(&mut self) {
        let Some((slot, id)) = self.marked().filter(|slot| slot.pid.is_some()).map(name) else { return };
        let kill = Request::Signal { signal: "KILL".to_owned(), slot: Some(slot) };
        self.ask(kill, &format!("kill {id} in slot {slot}, with all its connections"));
    }

    fn marked(&self) -> Option<&SlotInfo> {
        self.instance.slots.get(self.selected)
    }

    fn ask(&mut self, command: Request, what: &str) {
        self.question = Some((command, format!("{what}? y/n")));
    }
}

fn name(slot: &SlotInfo) -> (Slot, String) {
    (slot.slot, slot.id.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::example;

    #[test]
    fn what_does_harm_is_asked_first() {
        let mut board = Board::new(example());
        assert_eq!(board.press(Key::Char('r')), None);
        assert_eq!(board.question.as_ref().expect("a question").1, "reload every node? y/n");
        assert_eq!(board.press(Key::Char('n')), None, "anything but a yes is a no");
        assert_eq!(board.question, None);
        board.press(Key::Down);
        board.press(Key::Char('K'));
        assert!(board.question.as_ref().expect("a question").1.starts_with("kill node-9 in slot 1"));
        let kill = Request::Signal { signal: "KILL".to_owned(), slot: Some(1.into()) };
        assert_eq!(board.press(Key::Char('y')), Some(Wish::Command(kill)));
    }

    #[test]
    fn keys_are_explained_until_the_next_key() {
        let mut board = Board::new(example());
        board.press(Key::Char('?'));
        assert!(board.explains);
        assert_eq!(board.press(Key::Char('r')), None);
        assert_eq!((board.explains, &board.question), (false, &None));
        board.press(Key::Char('?'));
        assert_eq!(board.press(Key::Char('q')), Some(Wish::Quit));
    }

    #[test]
    fn the_mark_stays_on_the_board() {
        let mut board = Board::new(example());
        board.press(Key::Up);
        assert_eq!(board.selected, 0);
        (0..3).for_each(|_| drop(board.press(Key::Down)));
        assert_eq!(board.selected, 1);
        let mut smaller = example();
        smaller.slots.pop();
        board.see(smaller);
        assert_eq!(board.selected, 0);
    }

    #[test]
    fn one_leaves_by_several_ways() {
        for key in [Key::Leave, Key::Char('q')] {
            assert_eq!(Board::new(example()).press(key), Some(Wish::Quit));
        }
    }
}
