//! Sequential f64 references of the kernels of `gibbs`, one function per shader under the same
//! folder and stem.
//!
//! Matrices are row-major and unpadded; packing is the business of the caller. Random kernels take
//! their random numbers as slices. A slice of the wrong length panics: this crate serves tests,
//! benches and examples only.
#![forbid(unsafe_code)]

pub mod compose;
pub mod diffusion;
pub mod energy;
pub mod gpu;
pub mod loss;
pub mod math;
pub mod mcmc;
pub mod nn;
pub mod ode;
pub mod policy;
pub mod proposal;
pub mod train;
