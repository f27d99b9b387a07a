//! Data and worlds to train on, each with its exact oracle; plain `f64` host code without a device.

pub mod bandit;
pub mod colored_shapes;
pub mod density;
pub mod toy;
