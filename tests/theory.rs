//! The theory of ranking NCE as numbers, on lavapipe. R1, R2, .. name the entries of the project's table of acceptance
//! tests; each reference number is written beside its test.

mod common;

#[path = "theory/bench.rs"]
mod bench;
#[path = "theory/chains.rs"]
mod chains;
#[path = "theory/networks.rs"]
mod networks;
#[path = "theory/one_dimension.rs"]
mod one_dimension;
#[path = "theory/ranking.rs"]
mod ranking;
