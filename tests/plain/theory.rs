//! The theory of ranking NCE as numbers, on lavapipe. R1, R2, .. name the entries of the project's
//! table of acceptance tests; each reference number is written beside its test.

mod bench;
mod chains;
mod large_energies;
mod networks;
mod one_dimension;
mod ranking;
mod scales;
mod walls;
