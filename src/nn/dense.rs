//! The three products of dense layers, their variants, and how one is chosen or measured.

pub(crate) mod blocks;
pub(crate) mod choice;
pub mod dense_forward;
pub mod dense_input_gradient;
pub mod dense_weight_gradient;
pub(crate) mod measure;
pub(crate) mod variant;
pub(crate) mod variant_table;

pub(crate) use choice::record_forward_into;
pub use choice::{record_forward, record_input_gradient, record_weight_gradient};
pub use variant::DenseOperation;

use super::network::Activation;
use crate::gpu::KernelVariant;

/// The kernels of this room, in every variant that the table can choose.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    variant_table::kernels(dense_choices)
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
