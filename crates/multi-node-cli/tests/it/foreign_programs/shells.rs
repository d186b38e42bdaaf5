//! Completions, as zsh and fish read them.

use multi_node_it::needs;

use crate::shells::reads;

#[tokio::test]
async fn completions_are_read_by_zsh() {
    if let Some(with) = needs::server("zsh/with") {
        reads("zsh", &[&with, "zsh", "-n"]).await;
    }
}

#[tokio::test]
async fn completions_are_read_by_fish() {
    if let Some(with) = needs::server("fish/with") {
        reads("fish", &[&with, "fish", "--no-execute"]).await;
    }
}
