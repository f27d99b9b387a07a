//! A mixture's network, draws and densities of all candidates
//! (`shaders/proposal/mixture_propose.wgsl`).

use super::mixture_sample::MixtureSample;
use super::{ActionScale, MixtureShape, mixture_log_density, mixture_sample};
use crate::compose::Mlp;
use crate::nn::Summed;

/// Draws of a mixture whose outputs a network gives: [`mixture_sample()`] behind its forward pass.
///
/// * `x`: `[contexts, context width]`, network units; `component_u`, `normals` as there.
pub fn mixture_propose(
    network: &Mlp,
    shape: &MixtureShape,
    action: ActionScale<'_>,
    x: &[f64],
    component_u: &[f64],
    normals: &[f64],
) -> MixtureSample {
    mixture_sample(shape, network.forward(x).output(), action, component_u, normals)
}

/// Log-densities of all candidates: [`mixture_log_density()`] behind the forward pass.
///
/// * `y`: `[contexts, candidates, dims]`, data units.
pub fn mixture_propose_density(
    network: &Mlp,
    shape: &MixtureShape,
    action: ActionScale<'_>,
    x: &[f64],
    y: &[f64],
) -> Summed {
    mixture_log_density(shape, network.forward(x).output(), action, y)
}
