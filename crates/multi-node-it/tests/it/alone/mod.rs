//! Tests that measure how load falls and how long clients wait, or that take all of the machine: no other test runs meanwhile.

mod accept;
mod bytes;
mod canary;
mod chaos;
mod idle;
mod trouble;
