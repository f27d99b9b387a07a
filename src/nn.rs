//! Floor 2: networks as data, their parameters, forward and backward passes, optimisers, and the [`Energy`] trait.

pub mod adam;
mod affine;
pub mod dense_forward;
pub mod dense_input_gradient;
pub mod dense_weight_gradient;
mod encode;
mod encoding;
mod energy;
mod evaluate;
mod forward;
pub mod fourier_features;
pub mod fourier_gradient;
pub mod gradient_norm;
pub mod initialise;
mod model;
mod network;
mod optimiser;
pub mod pack_inputs;
pub mod reduce_partials;
mod row_range;
mod schedule;
pub mod sum_candidates;
pub mod unpack_gradient;
mod variants;

pub use affine::Affine;
pub use encoding::{Encoding, Fourier, FourierColumns};
pub use energy::{ACTION, CONTEXT, Energy, NetworkEnergy};
pub(crate) use evaluate::run_and_read;
pub use evaluate::{Points, evaluate_energy, evaluate_gradient};
pub use forward::{Forward, Keep};
pub use model::Model;
pub use network::{Activation, Dense, Input, Network, ParameterLayout, Slice};
pub use optimiser::{AdamOptions, Optimiser};
pub use reduce_partials::GradientMode;
pub use schedule::Schedule;

use crate::gpu::KernelVariant;

/// Version of the table that chooses kernel variants by shape: another one may round differently.
pub const VARIANT_TABLE: u32 = 1;

/// The kernels of this floor, in every variant that the table can choose.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all: Vec<KernelVariant> = [
        adam::KERNEL,
        fourier_features::KERNEL,
        fourier_gradient::KERNEL,
        gradient_norm::KERNEL,
        initialise::KERNEL,
        pack_inputs::KERNEL,
        unpack_gradient::KERNEL,
    ]
    .iter()
    .map(|source| KernelVariant::new(source, &[]))
    .collect();
    for choice in 0..2 {
        all.push(KernelVariant::new(&reduce_partials::KERNEL, &[("ACCUMULATE", choice)]));
        all.push(KernelVariant::new(&sum_candidates::KERNEL, &[("CARRY", choice)]));
    }
    for block in variants::RowBlock::ALL {
        let shape = block.defines();
        for slope in 0..2 {
            let mut defines = shape.to_vec();
            defines.push(("SLOPE", slope));
            all.push(KernelVariant::new(&dense_input_gradient::KERNEL, &defines));
            for activation in 0..4 {
                for init in 1..3 {
                    let mut defines = shape.to_vec();
                    defines.extend([("ACTIVATION", activation), ("INIT", init), ("SLOPE", slope)]);
                    all.push(KernelVariant::new(&dense_forward::KERNEL, &defines));
                }
            }
        }
    }
    for block in variants::LaneBlock::all() {
        for bias in 0..2 {
            let mut defines = block.defines().to_vec();
            defines.push(("BIAS", bias));
            all.push(KernelVariant::new(&dense_weight_gradient::KERNEL, &defines));
        }
    }
    all
}
