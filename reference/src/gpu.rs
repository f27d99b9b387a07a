//! References of `shaders/gpu/`: run state, random numbers, metrics.

pub mod advance;
pub mod metrics;
pub mod random;
pub mod random_words;

pub use advance::advance;
pub use metrics::metrics;
