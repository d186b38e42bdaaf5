//! The board without a terminal: as text, and as values.

use std::time::Duration;

use anyhow::Result;
use multi_node::admin::{Client, Instance, Request};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde::Serialize;

use super::board::Board;
use super::draw::{AROUND, draw};
use super::rates::Rates;
use crate::{asking, output};

/// How wide a picture is that has no terminal.
const WIDTH: u16 = 124;

/// How far apart two looks are.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Prints one picture, as it is after two looks.
pub(crate) async fn picture(client: Client) -> Result<()> {
    looks(client, true, |board| output::text(&text(board)?)).await
}

/// Prints what a picture is made of as JSON, a line for each look; with `once`, one.
pub(crate) async fn values(client: Client, once: bool) -> Result<()> {
    #[derive(Serialize)]
    struct Look<'a> {
        instance: &'a Instance,
        rates: &'a Rates,
    }
    looks(client, once, |board| output::json(&Look { instance: &board.instance, rates: &board.rates })).await
}

async fn looks(mut client: Client, once: bool, show: impl Fn(&Board) -> Result<()>) -> Result<()> {
    let mut board = Board::new(asking::quick(&mut client, &Request::Status).await?);
    loop {
        tokio::time::sleep(EVERY).await;
        board.see(asking::quick(&mut client, &Request::Status).await?);
        show(&board)?;
        if once {
            return Ok(());
        }
    }
}

/// The board's characters, without colours.
pub(super) fn text(board: &Board) -> Result<String> {
    let height = AROUND + u16::try_from(board.instance.slots.len())?;
    let mut terminal = Terminal::new(TestBackend::new(WIDTH, height))?;
    terminal.draw(|frame| draw(frame, board))?;
    let buffer = terminal.backend().buffer();
    let lines = buffer
        .content()
        .chunks(usize::from(WIDTH))
        .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned());
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
