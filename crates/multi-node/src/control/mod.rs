//! The conversation of a master and its nodes.
