//! References of `shaders/sampler/`: chains.

pub mod adapt_step;
pub mod begin_chains;
pub mod clip_chains;
pub mod cumulate;
pub mod keep_sample;
pub mod langevin;
pub mod launch;
pub mod leapfrog;
pub mod metropolis;
pub mod resample;
pub mod select_chain;

pub use adapt_step::adapt_step;
pub use begin_chains::begin_chains;
pub use clip_chains::clip_chains;
pub use cumulate::cumulate;
pub use keep_sample::keep_sample;
pub use langevin::langevin;
pub use launch::launch;
pub use leapfrog::leapfrog;
pub use metropolis::metropolis;
pub use resample::resample;
pub use select_chain::select_chain;
