//! Six densities over the plane with an energy on every point, and what a guided diffusion should
//! make of them, exactly.
//!
//! The tasks are those of the contrastive energy prediction experiments (arXiv 2304.12824): data
//! `q_0` and labels `E`, low where points are wanted; the target is `p_0 = q_0 exp(-beta E) / Z`.
//! Where the energy belongs to a point's making (which Gaussian, moon or ring, where along a
//! spiral) and not to its place, `exp(-beta E)` is its mean over everything that may have made the
//! point, as it is for a network that sees places only.
//!
//! Everything here is exact, by closed forms and sums over quadrature nodes: the intermediate
//! energy `E_t` with its gradient ([`Oracle`]), the target's probabilities and draws from it
//! ([`ExactTarget`]), and Gaussian mixtures under quadratic energies ([`MixtureOracle`]).

pub mod accuracy;
mod bins;
mod blend;
mod exact;
mod interval;
mod labeled_point;
mod mixture;
mod oracle;
pub mod published;
mod shapes;
mod target;
mod task;
pub mod variation;

pub use bins::Bins;
pub use blend::Evaluation;
pub use labeled_point::LabeledPoint;
pub use mixture::{Component, MixtureOracle, MixtureOracleAt, Quadratic, TiltedComponent, TiltedMixture};
pub use oracle::{Oracle, OracleAt};
pub use target::ExactTarget;
pub use task::{Task, UnknownTask};

#[cfg(test)]
mod tests;
