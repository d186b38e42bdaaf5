//! Options. (being written)
