//! References of `shaders/mcmc/`: chains.

pub mod adapt_step;
pub mod begin_chains;
pub mod begin_leapfrog;
pub mod count_lost;
pub mod cumulative_weights;
pub mod keep_sample;
pub mod langevin;
pub mod leapfrog;
pub mod mark_lost;
pub mod metropolis;
pub mod resample;
pub mod select_chain;
pub mod settle_move;
pub mod usable_energy;

pub use adapt_step::adapt_step;
pub use begin_chains::begin_chains;
pub use begin_leapfrog::begin_leapfrog;
pub use count_lost::count_lost;
pub use cumulative_weights::cumulative_weights;
pub use keep_sample::keep_sample;
pub use langevin::langevin;
pub use leapfrog::leapfrog;
pub use mark_lost::mark_lost;
pub use metropolis::metropolis;
pub use resample::resample;
pub use select_chain::select_chain;
pub use settle_move::settle_move;
pub use usable_energy::usable_energy;
