//! Process to process.
