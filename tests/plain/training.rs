//! Whole training runs on lavapipe: exact resumption, the metrics stream, the non-finite latch,
//! checkpoints that cannot be trusted, what the host does between evaluations, and the density that
//! comes out.

mod densities;
mod host;
mod latch;
mod loading;
mod metrics;
pub mod parts;
mod refused;
mod resumption;
mod runs;
mod stopping;
mod wide;
