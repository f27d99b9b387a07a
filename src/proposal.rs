//! Floor 4: negative samplers with exact densities.

pub(crate) mod description;
pub(crate) mod evaluate_proposal;
pub(crate) mod load;
pub(crate) mod mixture;
pub mod mixture_likelihood;
pub mod mixture_log_density;
pub mod mixture_propose;
pub mod mixture_sample;
pub(crate) mod mixture_shape;
pub(crate) mod traits;
pub(crate) mod uniform;
pub mod uniform_log_density;
pub mod uniform_propose;
pub mod uniform_sample;

pub use description::ProposalDescription;
pub use evaluate_proposal::{draw, evaluate_log_density};
pub use load::load_proposal;
pub use mixture::{CONSTANT, Mixture};
pub use mixture_shape::MixtureShape;
pub use traits::{Draws, PreparedContexts, Proposal};
pub use uniform::{OUTSIDE_LOG_DENSITY, UniformBox};

use crate::gpu::{KernelVariant, SharedConstant};

/// The constants that kernels of this room share with the host.
pub(crate) fn shared_constants() -> Vec<SharedConstant> {
    let mut all = mixture_propose::shared_constants();
    all.extend(uniform::shared_constants());
    all
}

/// The kernels of this floor.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let plain = [
        mixture_likelihood::KERNEL,
        mixture_log_density::KERNEL,
        mixture_sample::KERNEL,
        uniform_log_density::KERNEL,
        uniform_propose::KERNEL,
        uniform_sample::KERNEL,
    ];
    let mut all: Vec<_> = plain.iter().map(|source| KernelVariant::new(source, &[])).collect();
    all.extend(mixture_propose::variants());
    all
}
