//! Connections between two requests, where requests have owners: JavaScript reads of one when it is known that this process answers.

use multi_node::embed::{ExternalAcceptor, RestingConns};
use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;

use crate::descriptor;
use crate::event::Event;
use crate::event_loop::call_when_readable;
use crate::service::Service;

#[napi]
impl Service {
    /// Calls the function when there are `arrived` ones of a server; `false`: its connections need not rest, since requests have no owners.
    ///
    /// # Errors
    /// What Node.js says.
    #[napi]
    pub fn watch_resting(&mut self, env: Env, server: u32, arrived: Function<'_, (), ()>) -> napi::Result<bool> {
        let Some(server) = self.servers.get_mut(server as usize) else { return Ok(false) };
        let resting = server.acceptor.as_mut().and_then(ExternalAcceptor::take_resting);
        let Some(resting) = resting else { return Ok(false) };
        // Its file is open as long as the process.
        let resting = Box::leak(Box::new(resting));
        call_when_readable(&env, &arrived, resting.file())?;
        server.resting = Some(resting);
        Ok(true)
    }

    /// JavaScript does not read from a connection, which is between two requests, before `arrived` has its descriptor. `false`: it has to.
    #[napi]
    pub fn rest(&self, server: u32, fd: i32) -> bool {
        let token = u64::from(fd.unsigned_abs());
        self.resting(server).is_some_and(|resting| descriptor::with(fd, |socket| resting.rest(socket, token)).is_ok())
    }

    /// A connection rests no more.
    #[napi]
    pub fn forget(&self, server: u32, fd: i32) {
        if let Some(resting) = self.resting(server) {
            // An error means that it was closed.
            let _ = descriptor::with(fd, |socket| {
                resting.forget(socket);
                Ok(())
            });
        }
    }

    /// The descriptors of some connections that have something to read, and rest no more. Inverted (`~fd`): another process may own the next
    /// request, so `move_on` is due.
    #[napi]
    pub fn arrived(&self, server: u32) -> Vec<i32> {
        let Some(resting) = self.resting(server) else { return Vec::new() };
        let fds = resting.arrived().filter_map(|token| i32::try_from(token).ok());
        // What cannot be looked at is read, and ends.
        let is_ours = |fd| descriptor::with(fd, |socket| Ok(resting.is_ours(socket))).unwrap_or(true);
        fds.map(|fd| if is_ours(fd) { fd } else { !fd }).collect()
    }

    /// As `give`, to the owner of the next request.
    #[napi]
    pub fn move_on(&mut self, server: u32, fd: i32, ticket: u32) -> bool {
        let (Some(resting), Ok(socket)) = (self.resting(server), descriptor::duplicate(fd)) else { return false };
        let Some(count) = self.counts.pop() else { return false };
        let (moved, tell) = (resting.give(socket, count), self.tell.clone());
        self.runtime.spawn(async move {
            let outcome = moved.await;
            let _ = tell.send(Event::Given { ticket, outcome }).await;
        });
        true
    }
}

impl Service {
    fn resting(&self, server: u32) -> Option<&'static RestingConns> {
        self.servers.get(server as usize)?.resting
    }
}
