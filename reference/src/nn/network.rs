//! References of `shaders/nn/network/`.

pub mod initialize;

pub use initialize::initialize;
