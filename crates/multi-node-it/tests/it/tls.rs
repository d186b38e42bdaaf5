//! TLS: served by the program itself, over reloads and while certificates are replaced.

mod acme;
mod attack;
pub(crate) mod authority;
mod client;
mod clients;
mod counts;
mod documented;
mod floods;
mod foreign_programs;
mod raw;
mod records;
mod reload;
mod replace;
mod secrecy;
mod serve;
mod sessions;
mod shared_tickets;
mod tcp;
