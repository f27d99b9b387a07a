//! Whole training runs on lavapipe: exact resumption, the metrics stream, the non-finite latch, checkpoints that cannot
//! be trusted, what the host does between evaluations, and the density that comes out.

mod common;

#[path = "training/densities.rs"]
mod densities;
#[path = "training/host.rs"]
mod host;
#[path = "training/latch.rs"]
mod latch;
#[path = "training/metrics.rs"]
mod metrics;
#[path = "training/parts.rs"]
mod parts;
#[path = "training/refused.rs"]
mod refused;
#[path = "training/resumption.rs"]
mod resumption;
#[path = "training/runs.rs"]
mod runs;
