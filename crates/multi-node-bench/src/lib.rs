//! What `loss` and the chaos test of `multi-node-it` share: clients that notice every lost request, the routes that they
//! ask for, and kills of which is known what they may cost.

#![allow(missing_docs)]

pub mod clients;
pub mod kills;
pub mod routes;
