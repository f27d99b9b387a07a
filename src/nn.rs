//! Floor 2: networks as data, their parameters, forward and backward passes, optimisers, and the [`Energy`] trait.

pub mod activate_rows;
pub mod adam;
pub mod add_residual;
mod affine;
mod backward;
mod backward_walk;
pub mod dense_forward;
pub mod dense_input_gradient;
mod dense_variants;
pub mod dense_weight_gradient;
mod encode;
mod encoding;
mod energy;
mod energy_rows;
mod evaluate;
mod forward;
mod forward_node;
pub mod fourier_features;
pub mod fourier_gradient;
mod fused_block;
mod fusion;
pub mod gradient_norm;
mod graph;
pub mod initialise;
mod input;
mod layer;
pub mod layer_norm;
pub mod layer_norm_gradient;
pub mod layer_norm_weight_gradient;
mod layout;
mod measure;
pub mod mixture_energy;
mod model;
mod narrow;
mod network;
pub mod network_fused;
mod optimiser;
pub mod pack_inputs;
pub mod pytorch;
pub mod quadratic_energy;
pub mod reduce_partials;
mod row_range;
mod schedule;
pub mod shader_differences;
pub mod shader_energy;
mod shader_options;
pub mod sum_candidates;
pub mod transpose_weights;
pub mod unpack_gradient;
mod variants;

pub use affine::Affine;
pub use dense_variants::DenseOperation;
pub use encoding::{Encoding, Fourier, FourierColumns};
pub use energy::{ACTION, CONTEXT, Energy, NetworkEnergy, TIME};
pub(crate) use evaluate::run_and_read;
pub use evaluate::{Points, evaluate_energy, evaluate_gradient};
pub use forward::{Forward, Keep};
pub use fusion::Fusion;
pub use gradient_norm::{FlatGradient, WatchedLoss};
pub use input::Input;
pub use layer::{Activation, Dense, Layer, LayerNorm, Norms};
pub use layout::{Initial, ParameterLayout, Slice};
pub(crate) use mixture_energy::HALF_LOG_TAU;
pub use mixture_energy::MixtureEnergy;
pub use model::Model;
pub(crate) use narrow::{Narrow, NarrowLayer};
pub use network::Network;
pub use network_fused::FusedNetwork;
pub use optimiser::{AdamOptions, Optimiser};
pub use quadratic_energy::QuadraticEnergy;
pub use reduce_partials::GradientMode;
pub use schedule::Schedule;
pub use shader_energy::ShaderEnergy;
pub use shader_options::{Gradient, ShaderEnergyOptions};

use crate::gpu::{DeviceClass, KernelSource, KernelVariant};

/// Version of the table that chooses kernel variants by shape: another one may round differently.
pub const VARIANT_TABLE: u32 = 2;

/// The kernels of this floor, in every variant that the table can choose.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all: Vec<KernelVariant> = [
        adam::KERNEL,
        fourier_features::KERNEL,
        fourier_gradient::KERNEL,
        initialise::KERNEL,
        layer_norm_weight_gradient::KERNEL,
        pack_inputs::KERNEL,
        transpose_weights::KERNEL,
        unpack_gradient::KERNEL,
    ]
    .iter()
    .map(|source| KernelVariant::new(source, &[]))
    .collect();
    all.extend(quadratic_energy::variants());
    all.extend(mixture_energy::variants());
    all.extend(shader_energy::variants());
    all.extend(network_fused::variants());
    type Defines<'a> = &'a [(&'static str, u32)];
    let mut list =
        |source: &KernelSource, class: Option<DeviceClass>, shape: Defines<'_>, choices: Defines<'_>| {
            let variant = KernelVariant::new(source, &[shape, choices].concat());
            all.push(match class {
                Some(class) => variant.for_class(class),
                None => variant,
            });
        };
    for accumulate in 0..2 {
        list(&gradient_norm::KERNEL, None, &[], &[("REDUCE", accumulate)]);
        list(&reduce_partials::KERNEL, None, &[], &[("ACCUMULATE", accumulate)]);
        list(&sum_candidates::KERNEL, None, &[], &[("CARRY", accumulate)]);
    }
    for (slope, skip) in [(0, 1), (1, 0), (1, 1)] {
        list(&add_residual::KERNEL, None, &[], &[("SLOPE", slope), ("SKIP", skip)]);
    }
    for slope in 0..2 {
        for activation in 0..Activation::COUNT {
            list(&activate_rows::KERNEL, None, &[], &[("ACTIVATION", activation), ("SLOPE", slope)]);
            for lanes in variants::RowLanes::ALL {
                let choices = [("ACTIVATION", activation), ("SLOPE", slope)];
                list(&layer_norm::KERNEL, Some(lanes.class()), &lanes.defines(), &choices);
            }
        }
        for skip in 0..2 {
            let choices = [("SLOPE", slope), ("SKIP", skip)];
            for lanes in variants::RowLanes::ALL {
                list(&layer_norm_gradient::KERNEL, Some(lanes.class()), &lanes.defines(), &choices);
            }
        }
    }
    all.extend(dense_variants::kernels(dense_choices));
    all
}

/// What dense kernels are recorded with beside their blocks.
fn dense_choices(operation: DenseOperation) -> Vec<Vec<(&'static str, u32)>> {
    let mut all = Vec::new();
    match operation {
        DenseOperation::Forward => {
            for (slope, init) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
                for activation in 0..Activation::COUNT {
                    all.push(vec![("ACTIVATION", activation), ("INIT", init), ("SLOPE", slope)]);
                }
            }
            // The sum of a residual block has no activation of its own.
            all.push(vec![("ACTIVATION", 0), ("INIT", 3), ("SLOPE", 0)]);
        }
        DenseOperation::InputGradient => {
            all.extend([(0, 0), (0, 1), (1, 0), (1, 1)].map(|(a, b)| vec![("SLOPE", a), ("SKIP", b)]));
        }
        DenseOperation::WeightGradient => all.extend([0, 1].map(|bias| vec![("BIAS", bias)])),
    }
    all
}
