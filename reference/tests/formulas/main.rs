//! The references themselves, against closed forms, difference quotients and other ways to compute
//! the same, all in one binary.

mod analytic_energies;
mod batches;
mod chains;
mod common;
mod contrastive;
mod diffusion;
mod energies;
mod inputs;
mod layers;
mod proposals;
mod random;
