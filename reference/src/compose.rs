//! Compositions of the references, for end-to-end checks. No kernels: nothing here has a shader of
//! its name.

pub mod inputs;
pub mod likelihood;
pub mod mlp;
pub mod network;
pub mod training;

pub use inputs::{InputGradient, InputNetwork, InputTrace};
pub use likelihood::flow_log_density;
pub use mlp::{CandidateGradient, CandidateTrace, Gradient, Layer, LayerGradient, Mlp, Trace};
pub use network::{Block, Network, NetworkGradient, NetworkTrace};
pub use training::{AdamOptions, AdamRun, Step, mixture_network_likelihood, ranking_nce_gradient};
