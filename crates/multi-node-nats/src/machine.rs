//! Who a gateway speaks for.

/// This machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Programs of the same cluster are joined.
    pub cluster: String,
    /// The machine's name.
    pub name: String,
    /// Another number for each start of the program.
    pub epoch: u64,
}
