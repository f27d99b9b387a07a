//! References of `shaders/nn/optim/`: Adam and what prepares its step.

pub mod adam;
pub mod prepare_step;

pub use adam::adam;
pub use prepare_step::prepare_step;
