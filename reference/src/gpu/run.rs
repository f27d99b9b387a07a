//! References of `shaders/gpu/run/`: run state, random numbers, metrics.

pub mod advance;
pub mod copy_rows;
pub mod finish_step;
pub mod metrics;
pub mod random;
pub mod random_words;

pub use advance::advance;
pub use copy_rows::copy_rows;
pub use metrics::metrics;
