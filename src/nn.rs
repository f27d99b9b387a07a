//! Floor 2: networks as data, their parameters, forward and backward passes, optimisers, and the [`Energy`] trait.

pub mod adam;
mod affine;
pub mod dense_forward;
pub mod dense_input_gradient;
pub mod dense_weight_gradient;
mod energy;
mod energy_rows;
mod evaluate;
mod forward;
pub mod gradient_norm;
pub mod initialise;
pub mod mixture_energy;
mod model;
mod network;
mod optimiser;
pub mod pack_inputs;
pub mod quadratic_energy;
pub mod reduce_partials;
mod schedule;
pub mod shader_differences;
pub mod shader_energy;
mod shader_options;
pub mod sum_candidates;
pub mod unpack_gradient;
mod variants;

pub use affine::Affine;
pub use energy::{ACTION, CONTEXT, Energy, NetworkEnergy};
pub(crate) use evaluate::run_and_read;
pub use evaluate::{Points, evaluate_energy, evaluate_gradient};
pub use forward::{Forward, Keep};
pub use mixture_energy::MixtureEnergy;
pub use model::Model;
pub use network::{Activation, Dense, Input, Network, ParameterLayout, Slice};
pub use optimiser::{AdamOptions, Optimiser};
pub use quadratic_energy::QuadraticEnergy;
pub use schedule::Schedule;
pub use shader_energy::ShaderEnergy;
pub use shader_options::{Gradient, ShaderEnergyOptions};

use crate::gpu::KernelVariant;

/// Version of the table that chooses kernel variants by shape: another one may round differently.
pub const VARIANT_TABLE: u32 = 1;

/// The kernels of this floor, in every variant that the table can choose.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all: Vec<KernelVariant> = [
        adam::KERNEL,
        gradient_norm::KERNEL,
        initialise::KERNEL,
        pack_inputs::KERNEL,
        reduce_partials::KERNEL,
        sum_candidates::KERNEL,
        unpack_gradient::KERNEL,
    ]
    .iter()
    .map(|source| KernelVariant::new(source, &[]))
    .collect();
    all.extend(quadratic_energy::variants());
    all.extend(mixture_energy::variants());
    all.extend(shader_energy::variants());
    for block in variants::RowBlock::ALL {
        let shape = block.defines();
        for slope in 0..2 {
            let mut defines = shape.to_vec();
            defines.push(("SLOPE", slope));
            all.push(KernelVariant::new(&dense_input_gradient::KERNEL, &defines).for_class(block.class()));
            for activation in 0..4 {
                for init in 1..3 {
                    let mut defines = shape.to_vec();
                    defines.extend([("ACTIVATION", activation), ("INIT", init), ("SLOPE", slope)]);
                    all.push(KernelVariant::new(&dense_forward::KERNEL, &defines).for_class(block.class()));
                }
            }
        }
    }
    for block in variants::LaneBlock::all() {
        for bias in 0..2 {
            let mut defines = block.defines().to_vec();
            defines.push(("BIAS", bias));
            all.push(KernelVariant::new(&dense_weight_gradient::KERNEL, &defines).for_class(block.class()));
        }
    }
    all
}
