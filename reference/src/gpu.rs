//! References of `shaders/gpu/`: run state, random numbers, metrics.

pub mod run;

pub use run::{advance, copy_rows, metrics};
