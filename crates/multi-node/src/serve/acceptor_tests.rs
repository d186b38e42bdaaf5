//! Several acceptors in one process, each with its runtime on a thread of its own, as if they were processes.
