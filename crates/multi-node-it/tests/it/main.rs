//! Real processes: what the rules promise, seen from outside.

#![allow(missing_docs)]

mod chat;
mod mesh;
