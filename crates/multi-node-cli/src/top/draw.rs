//! The board as a picture.

use multi_node::admin::SlotInfo;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::board::Board;
use crate::show::{Colour, Column, UNKNOWN, bytes, count, fit, serving, span, state_colour, sum};

/// What each column is called, how wide it is, and whether it holds numbers.
const COLUMNS: [(&str, u16, bool); 12] = [
    ("SLOT", 4, true),
    ("NODE", 9, false),
    ("PID", 8, true),
    ("STATE", 9, false),
    ("FOR", 12, true),
    ("RESTARTS", 8, true),
    ("CONNS", 6, true),
    ("REQ/S", 8, true),
    ("IN FLIGHT", 9, true),
    ("CPU", 6, true),
    ("MEMORY", 10, true),
    ("LAST EXIT", 16, false),
];

/// The column of connections.
const CONNS: usize = 6;

/// What a narrow terminal does without, the least needed first.
const LEAST_NEEDED: [&str; 9] = ["IN FLIGHT", "CONNS", "PID", "LAST EXIT", "CPU", "MEMORY", "REQ/S", "FOR", "RESTARTS"];

const KEYS: &str = "↑↓ choose  r reload  + − scale  s restart  K kill  ? help  q quit";

/// What each key does.
const EXPLAINED: [&str; 8] = [
    "↑ ↓  choose a slot",
    "r    reload: replaces every node by one of the program that is on disk now",
    "+ −  one node more, one fewer",
    "s    restart the chosen slot: another node of the same program takes its place",
    "K    kill the chosen slot's node, with its connections",
    "q    leave; the program goes on",
    "",
    "What does harm is asked first. Any key goes back.",
];

/// How high the picture is beside its slots: the head of three lines, that of the table, and the keys.
pub(super) const AROUND: u16 = 6;

pub(super) fn draw(frame: &mut Frame<'_>, board: &Board) {
    let [head, slots, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(2), Constraint::Length(2)]).areas(frame.area());
    frame.render_widget(Paragraph::new(summary(board)), head);
    frame.render_widget(Paragraph::new(vec![Line::raw(said(board).to_owned()), Line::raw(KEYS)]), foot);
    match board.explains {
        true => frame.render_widget(Paragraph::new(EXPLAINED.map(Line::raw).to_vec()), slots),
        false => draw_slots(frame, slots, board),
    }
}

fn draw_slots(frame: &mut Frame<'_>, slots: Rect, board: &Board) {
    let rows: Vec<_> = board.instance.slots.iter().map(|slot| texts(board, slot)).collect();
    let kept = columns(&rows, slots.width.into());
    let widths = kept.iter().map(|&column| Constraint::Length(COLUMNS[column].1));
    let names = kept.iter().map(|&column| aligned(COLUMNS[column].0, COLUMNS[column]));
    let rows = board.instance.slots.iter().zip(&rows).map(|(slot, texts)| row(slot, texts, &kept));
    let table = Table::new(rows, widths)
        .header(Row::new(names).style(Style::new().add_modifier(Modifier::DIM)))
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, slots, &mut TableState::new().with_selected(board.selected));
}

fn summary(board: &Board) -> Vec<Line<'static>> {
    let instance = &board.instance;
    let up = span(instance.now_ms.saturating_sub(instance.started_ms));
    let total = |of: fn(&SlotInfo) -> Option<u64>| count(sum(instance.slots.iter().map(of)));
    let ready = if instance.ready { Colour::Good } else { Colour::Passing };
    let ready = Span::styled(format!("{} of {} serve", serving(instance), instance.wanted), style(ready));
    let name = Span::styled(instance.name.clone(), style(Colour::Head));
    let since = Span::raw(format!("  pid {}  up {up}  ", instance.pid));
    let addresses = Span::raw(format!("  {}", instance.addresses.join("  ")));
    let numbers = || {
        let requests = rate(board.rates.all_requests());
        let (connections, in_flight) = (total(|slot| slot.connections), total(|slot| slot.in_flight));
        format!("{requests} requests/s  {connections} connections  {in_flight} in flight")
    };
    // A program that does not link the library counts none of them.
    let counts = instance.slots.iter().any(|slot| slot.connections.is_some());
    vec![Line::from(vec![name, since, ready, addresses]), Line::raw(counts.then(numbers).unwrap_or_default())]
}

/// Which columns there is room for.
fn columns(rows: &[[String; COLUMNS.len()]], room: usize) -> Vec<usize> {
    let known = |column: usize| rows.is_empty() || rows.iter().any(|row| row[column] != UNKNOWN);
    // Rates are known from the second look on, where there is something to count.
    let will_be_known = |name: &str| name == "CPU" || name == "REQ/S" && known(CONNS);
    let column = |(index, (name, width, _)): (usize, (&'static str, u16, bool))| Column {
        name,
        width: width.into(),
        known: known(index) || will_be_known(name),
    };
    let all: Vec<_> = COLUMNS.into_iter().enumerate().map(column).collect();
    let kept = fit(&all, 1, room, &LEAST_NEEDED);
    (0..all.len()).filter(|&index| kept[index]).collect()
}

fn texts(board: &Board, slot: &SlotInfo) -> [String; COLUMNS.len()] {
    // A slot that is being reloaded has two rows, and its requests stand in the first.
    let first =
        board.instance.slots.iter().find(|other| other.slot == slot.slot).is_some_and(|first| first.id == slot.id);
    let requests = if first { rate(board.rates.requests(slot.slot)) } else { String::new() };
    [
        slot.slot.to_string(),
        count(slot.id.as_ref()),
        count(slot.pid),
        slot.state.to_string(),
        span(slot.for_ms),
        slot.restarts.to_string(),
        count(slot.connections),
        requests,
        count(slot.in_flight),
        count(board.rates.cpu(slot).map(|percent| format!("{percent:.0} %"))),
        count(slot.pss_bytes.map(bytes)),
        count(slot.last_exit.as_ref()),
    ]
}

fn row(slot: &SlotInfo, texts: &[String; COLUMNS.len()], kept: &[usize]) -> Row<'static> {
    let cells = kept.iter().map(|&column| {
        let cell = Cell::new(aligned(&texts[column], COLUMNS[column]));
        if COLUMNS[column].0 == "STATE" { cell.style(style(state_colour(slot.state))) } else { cell }
    });
    Row::new(cells)
}

/// The question, or the result of the last command.
fn said(board: &Board) -> &str {
    board.question.as_ref().map_or(board.message.as_str(), |(_, question)| question)
}

fn rate(per_second: Option<f64>) -> String {
    count(per_second.map(|rate| format!("{rate:.0}")))
}

fn aligned(text: &str, (_, width, number): (&str, u16, bool)) -> String {
    if number { format!("{text:>width$}", width = usize::from(width)) } else { text.to_owned() }
}

fn style(colour: Colour) -> Style {
    match colour {
        Colour::Good => Style::new().fg(Color::Green),
        Colour::Passing => Style::new().fg(Color::Yellow),
        Colour::Bad => Style::new().fg(Color::Red),
        Colour::Dim => Style::new().add_modifier(Modifier::DIM),
        Colour::Head => Style::new().add_modifier(Modifier::BOLD),
    }
}

#[cfg(test)]
mod tests {
    use super::super::picture::text;
    use super::*;
    use crate::show::example;

    #[test]
    fn the_board_is_drawn() {
        let mut board = Board::new(example());
        let mut next = example();
        next.now_ms += 1000;
        next.slots[0].requests = Some(12_423);
        next.slots[0].cpu_ms = Some(12_670);
        board.see(next);
        board.message = "scaled from 1 to 2 nodes".to_owned();
        let expected = "\
web  pid 4711  up 3 h 12 min  1 of 2 serve  0.0.0.0:8080  unix:/run/web.sock
2000 requests/s  12 connections  1 in flight

SLOT NODE           PID STATE              FOR RESTARTS  CONNS    REQ/S IN FLIGHT    CPU     MEMORY LAST EXIT
   0 node-1        4712 serving    12 min 34 s        0     12     2000         1   37 %    8.1 MiB –
   1 node-9        4719 starting        340 ms        2      –        –         –      –          – SIGKILL
scaled from 1 to 2 nodes
↑↓ choose  r reload  + − scale  s restart  K kill  ? help  q quit";
        assert_eq!(text(&board).expect("drawn"), expected);
    }

    #[test]
    fn what_is_unknown_is_not_shown() {
        let mut instance = example();
        instance
            .slots
            .iter_mut()
            .for_each(|slot| (slot.connections, slot.requests, slot.in_flight) = (None, None, None));
        let shown = text(&Board::new(instance)).expect("drawn");
        let hidden = ["requests/s", "connections", "CONNS", "REQ/S", "IN FLIGHT"];
        assert_eq!(hidden.map(|name| shown.contains(name)), [false; 5], "{shown}");
    }

    #[test]
    fn a_narrow_board_has_fewer_columns() {
        let rows = example().slots.iter().map(|slot| texts(&Board::new(example()), slot)).collect::<Vec<_>>();
        let names = |room| columns(&rows, room).into_iter().map(|column| COLUMNS[column].0).collect::<Vec<_>>();
        assert_eq!(names(124).len(), COLUMNS.len());
        assert_eq!(names(80), ["SLOT", "NODE", "STATE", "FOR", "RESTARTS", "REQ/S", "CPU", "MEMORY"]);
        assert_eq!(names(60), ["SLOT", "NODE", "STATE", "FOR", "RESTARTS", "REQ/S"]);
    }

    #[test]
    fn the_keys_are_explained() {
        let mut board = Board::new(example());
        board.press(super::super::board::Key::Char('?'));
        let shown = text(&board).expect("drawn");
        assert!(shown.contains("↑ ↓  choose a slot") && !shown.contains("SLOT NODE"), "{shown}");
    }

    #[test]
    fn a_question_stands_above_the_keys() {
        let mut board = Board::new(example());
        board.press(super::super::board::Key::Char('r'));
        assert!(text(&board).expect("drawn").contains("\nreload every node? y/n\n"));
    }
}
