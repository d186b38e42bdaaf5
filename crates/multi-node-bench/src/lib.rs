//! What `loss` and the chaos test of `multi-node-it` share: the routes that the clients of `multi-node-probe` ask for,
//! and kills of which is known what they may cost.

#![allow(missing_docs)]

pub mod kills;
pub mod requests;
pub mod routes;
