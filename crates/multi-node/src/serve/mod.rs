//! One process answering: it accepts in turn with its siblings, serves, and drains.
//!
//! Nothing here knows of masters, control channels or the mesh. Where a process stands among others comes in as a
//! [`Place`]: its line of the load table and the doorbell that all share. What a program gives to its handlers is a `Context` that
//! nothing here looks into.

#[cfg(multi_process)]
mod acceptor;
mod drain;
#[cfg(multi_process)]
mod entrance;
#[cfg(unix)]
mod external;
mod gate;
mod http;
mod intake;
mod linger;
mod listener;
mod load;
#[cfg(multi_process)]
mod lobby;
mod parcel;
mod places;
mod server;
mod serving;
mod socket;
mod stream;

#[cfg(multi_process)]
pub(crate) use acceptor::{bell, ring};
pub(crate) use drain::Drain;
pub use drain::DrainSignal;
#[cfg(multi_process)]
pub(crate) use entrance::{Entrance, pulse};
#[cfg(unix)]
pub use external::{Counted, External, Giver, Requests, Taken, Taker, external};
pub use http::{ConnInfo, Http, Http2Executor, HttpBuilder, RequestBody, RequestBodyError, http, http_with};
#[cfg(multi_process)]
pub(crate) use intake::Intake;
pub use listener::Listener;
pub(crate) use load::{Counts, Line, LoadTable};
#[cfg(multi_process)]
pub(crate) use parcel::Parcel;
#[cfg(test)]
pub(crate) use server::Here;
pub use server::{Conn, Raw, Servers, Tcp, raw, tcp, tcp_with};
#[cfg(multi_process)]
pub(crate) use serving::DrainReport;
pub(crate) use serving::{Place, Serving, start};
pub use socket::Addr;
pub(crate) use socket::Socket;
pub use stream::Stream;
