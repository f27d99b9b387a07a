//! References of `shaders/math/`: boxes and units.

pub mod change_units;
pub mod clip_chains;

pub use change_units::change_units;
pub use clip_chains::clip_chains;
