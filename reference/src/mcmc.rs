//! References of `shaders/sampler/`: chains.

pub mod adapt_step;
pub mod begin_chains;
pub mod begin_leapfrog;
pub mod cumulative_weights;
pub mod keep_sample;
pub mod langevin;
pub mod leapfrog;
pub mod metropolis;
pub mod resample;
pub mod select_chain;

pub use adapt_step::adapt_step;
pub use begin_chains::begin_chains;
pub use begin_leapfrog::begin_leapfrog;
pub use cumulative_weights::cumulative_weights;
pub use keep_sample::keep_sample;
pub use langevin::langevin;
pub use leapfrog::leapfrog;
pub use metropolis::metropolis;
pub use resample::resample;
pub use select_chain::select_chain;
