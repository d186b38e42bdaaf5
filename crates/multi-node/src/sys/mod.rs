//! System calls.

pub(crate) mod epoll;
