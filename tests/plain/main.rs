//! Every test that needs no harness of its own, in one binary: one file is compiled and linked, and
//! each adapter is opened once. `tests/kernels.rs` holds every kernel to its reference.
//!
//! A module runs alone with `cargo test --release --test plain diffusion::`, its ignored tests with
//! `-- --ignored diffusion::`.

#[path = "../common/mod.rs"]
mod common;

mod bandit;
mod data;
mod diffusion;
mod embedding;
mod energies;
mod errors;
mod examples;
mod faults;
mod fuzz;
mod guards;
mod guidance;
mod oracles;
mod policy;
mod pytorch;
mod sampling;
mod saving;
mod scheduler;
mod shaders;
mod structure;
mod testing;
mod text;
mod theory;
mod training;
mod tuning;
mod units;
