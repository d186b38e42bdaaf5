//! The board on a terminal, until the person leaves or the program ends.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use multi_node::admin::{Client, Instance, Request, ms};
use multi_node::commands::ReloadReport;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::board::{Board, Key, Wish};
use super::draw::draw;
use super::picture::EVERY;
use crate::asking;
use crate::show::{self, answer};
use crate::target::Target;

/// How many keys and answers may wait.
const QUEUE: usize = 16;

/// How long the thread that reads keys may take to notice that it is no longer needed.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What happens on the terminal.
enum Input {
    Key(Key),
    /// Its size has changed.
    Redraw,
}

/// Shows the program and takes commands. The terminal is as it was afterwards, also after a panic and a signal.
pub(crate) async fn live(target: &Target, mut client: Client) -> Result<()> {
    let first = asking::quick(&mut client, &Request::Status).await?;
    let (inputs, input) = mpsc::channel(QUEUE);
    let terminal = ratatui::try_init().context("cannot use the terminal")?;
    let reading = std::thread::spawn(move || read_keys(&inputs));
    let shown = show_until_left(terminal, target, client, Board::new(first), input).await;
    ratatui::try_restore().context("cannot restore the terminal")?;
    // It ends because the receiver is gone, and must not read what is typed afterwards.
    let _ = reading.join();
    shown
}

async fn show_until_left(
    mut terminal: DefaultTerminal,
    target: &Target,
    mut client: Client,
    mut board: Board,
    mut input: mpsc::Receiver<Input>,
) -> Result<()> {
    let (mut term, mut hup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let (answers, mut answered) = mpsc::channel(QUEUE);
    let mut look = tokio::time::interval(EVERY);
    loop {
        terminal.draw(|frame| draw(frame, &board))?;
        tokio::select! {
            _ = look.tick() => board.see(asking::quick::<Instance>(&mut client, &Request::Status).await?),
            Some(message) = answered.recv() => board.message = message,
            event = input.recv() => match event {
                Some(Input::Redraw) => {}
                Some(Input::Key(key)) => match board.press(key) {
                    Some(Wish::Quit) => return Ok(()),
                    Some(Wish::Command(request)) => {
                        board.message = "ordered…".to_owned();
                        tokio::spawn(command(target.clone(), request, answers.clone()));
                    }
                    None => {}
                },
                None => return Ok(()),
            },
            _ = term.recv() => return Ok(()),
            _ = hup.recv() => return Ok(()),
        }
    }
}

/// Gives a command on its own connection, beside the status requests, and sends its result.
async fn command(target: Target, request: Request, answers: mpsc::Sender<String>) {
    let message = carry_out(&target, &request).await.unwrap_or_else(|error| format!("not done: {error}"));
    // An error is the board's being gone.
    let _ = answers.send(message).await;
}

async fn carry_out(target: &Target, request: &Request) -> Result<String> {
    let mut client = target.connect().await?;
    if matches!(request, Request::Reload { .. }) {
        let report: ReloadReport = client.ask(request).await?;
        let (generation, slots) = (report.generation, report.slots.len());
        return Ok(format!("generation {generation} serves in {slots} slots after {}", show::span(ms(report.took))));
    }
    let told: Value = client.ask(request).await?;
    Ok(match request {
        Request::Scale { .. } => answer::scaled(&told),
        Request::Signal { .. } => answer::signalled(&told),
        _ => "done".to_owned(),
    })
}

/// Reads what is typed until the receiver is gone.
fn read_keys(inputs: &mpsc::Sender<Input>) -> io::Result<()> {
    while !inputs.is_closed() {
        if !event::poll(LOOK_UP)? {
            continue;
        }
        let input = match event::read()? {
            Event::Key(event) if event.kind != KeyEventKind::Release => key(event).map(Input::Key),
            Event::Resize(..) => Some(Input::Redraw),
            _ => None,
        };
        if let Some(input) = input
            && inputs.blocking_send(input).is_err()
        {
            break;
        }
    }
    Ok(())
}

fn key(event: KeyEvent) -> Option<Key> {
    match event.code {
        KeyCode::Char('c') if event.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Leave),
        KeyCode::Esc => Some(Key::Leave),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::Char(char) => Some(Key::Char(char)),
        _ => None,
    }
}
