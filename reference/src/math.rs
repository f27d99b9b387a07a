//! References of `shaders/math/`: boxes.

pub mod clip_chains;

pub use clip_chains::clip_chains;
