//! Plans: recordings with memory, pipelines and bind groups, ready to be encoded again and again.

pub(crate) mod bind_groups;
pub(crate) mod bound;
pub(crate) mod compile;
pub(crate) mod dispatch_timing;
pub(crate) mod memory_plan;
pub(crate) mod replay;

pub use dispatch_timing::DispatchTiming;
pub use replay::{Plan, PlanTiming};
