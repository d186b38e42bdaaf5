//! TLS: served by the program itself, over reloads and while certificates are replaced.

mod attack;
mod authority;
mod client;
mod counts;
mod documented;
mod reload;
mod replace;
mod serve;
mod sessions;
mod tcp;
