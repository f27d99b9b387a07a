//! References of `shaders/sampler/`: chains.

pub mod langevin;
pub mod select_chain;

pub use langevin::langevin;
pub use select_chain::select_chain;
