//! References of `shaders/ode/`: the stages of an integrator and the divergence.

pub mod flow_density;
pub mod flow_divergence;
pub mod flow_probe;
pub mod flow_stage;

pub use flow_density::flow_density;
pub use flow_divergence::flow_divergence;
pub use flow_probe::flow_probe;
pub use flow_stage::{FlowPlace, FlowStage, FlowStaged, flow_stage};
