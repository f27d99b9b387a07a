//! Compositions of the references, for end-to-end checks. No kernels: nothing here has a shader of its name.

pub mod mlp;
pub mod training;

pub use mlp::{CandidateGradient, CandidateTrace, Gradient, Layer, LayerGradient, Mlp, Trace};
pub use training::{AdamOptions, AdamRun, Step, mixture_network_likelihood, ranking_nce_gradient};
