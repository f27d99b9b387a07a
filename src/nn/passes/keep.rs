//! What a forward pass keeps for the backward pass.

/// Whether a forward pass keeps what a backward pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Only the output.
    Output,
    /// The slopes of all activations too.
    Slopes,
}
