//! Forward and backward passes of networks, layer by layer or in one kernel.

pub mod activate_rows;
pub mod add_residual;
pub(crate) mod backward;
pub(crate) mod backward_pass;
pub(crate) mod encode;
pub(crate) mod forward;
pub(crate) mod forward_node;
pub mod fourier_features;
pub mod fourier_gradient;
pub(crate) mod fusable_mlp;
pub(crate) mod fused_block;
pub(crate) mod keep;
pub mod layer_norm;
pub mod layer_norm_gradient;
pub mod layer_norm_weight_gradient;
pub(crate) mod model_passes;
pub mod network_fused;
pub mod pack_inputs;
pub mod reduce_partials;
pub mod sum_candidates;
pub mod transpose_weights;
pub mod unpack_gradient;

pub use forward::Forward;
pub(crate) use fusable_mlp::{FusableLayer, FusableMlp, MAX_FUSABLE_DEPTH, PackedLayer};
pub use keep::Keep;
pub use network_fused::FusedNetwork;
pub use reduce_partials::GradientMode;

use super::dense::blocks;
use super::network::Activation;
use crate::gpu::{DeviceClass, KernelSource, KernelVariant};

/// The kernels of this room, in every variant.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all: Vec<KernelVariant> = [
        fourier_features::KERNEL,
        fourier_gradient::KERNEL,
        layer_norm_weight_gradient::KERNEL,
        pack_inputs::KERNEL,
        transpose_weights::KERNEL,
        unpack_gradient::KERNEL,
    ]
    .iter()
    .map(|source| KernelVariant::new(source, &[]))
    .collect();
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
        list(&reduce_partials::KERNEL, None, &[], &[("ACCUMULATE", accumulate)]);
        list(&sum_candidates::KERNEL, None, &[], &[("CARRY", accumulate)]);
    }
    for (slope, skip) in [(0, 1), (1, 0), (1, 1)] {
        list(&add_residual::KERNEL, None, &[], &[("SLOPE", slope), ("SKIP", skip)]);
    }
    for slope in 0..2 {
        for activation in 0..Activation::COUNT {
            list(&activate_rows::KERNEL, None, &[], &[("ACTIVATION", activation), ("SLOPE", slope)]);
            for lanes in blocks::RowLanes::ALL {
                let choices = [("ACTIVATION", activation), ("SLOPE", slope)];
                list(&layer_norm::KERNEL, Some(lanes.class()), &lanes.defines(), &choices);
            }
        }
        for skip in 0..2 {
            let choices = [("SLOPE", slope), ("SKIP", skip)];
            for lanes in blocks::RowLanes::ALL {
                list(&layer_norm_gradient::KERNEL, Some(lanes.class()), &lanes.defines(), &choices);
            }
        }
    }
    all
}
