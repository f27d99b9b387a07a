//! Adam and AdamW on flat buffers (`shaders/nn/optim/adam.wgsl`).

use crate::Result;
use crate::gpu::{KernelSource, Recording, Value, embedded_kernel};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("nn/optim/adam.wgsl");

/// The buffers of one Adam step, all flat and of the same length.
#[derive(Clone, Copy, Debug)]
pub struct AdamBuffers {
    /// The gradient, read.
    pub gradient: Value,
    /// The result of [`super::prepare_step::record`].
    pub prepared: Value,
    /// The parameters, updated.
    pub parameters: Value,
    /// Running mean of gradients, updated.
    pub first_moment: Value,
    /// Running mean of squared gradients, updated.
    pub second_moment: Value,
    /// Running mean of the parameters, updated.
    pub average: Value,
}

/// The constants of Adam.
#[derive(Clone, Copy, Debug)]
pub struct AdamConstants {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay (AdamW); 0 is Adam.
    pub weight_decay: f32,
}

/// Records one step (Kingma and Ba 2015; weight decay after Loshchilov and Hutter 2019). Nothing
/// changes when `prepared` has called the step off. Zero padding stays zero. One dispatch.
///
/// # Errors
/// [`crate::Error::Shape`] if lengths differ.
pub fn record(recording: &mut Recording, buffers: &AdamBuffers, constants: AdamConstants) -> Result<()> {
    let shape = recording.shape(buffers.gradient)?.clone();
    for value in [buffers.parameters, buffers.first_moment, buffers.second_moment, buffers.average] {
        recording.expect_shape("adam", value, [shape.len()])?;
    }
    let count4 = shape.len() / 4;
    recording
        .dispatch(&KERNEL, "adam")
        .bind("gradient", buffers.gradient)
        .bind("prepared", buffers.prepared)
        .bind("parameters", buffers.parameters)
        .bind("first_moment", buffers.first_moment)
        .bind("second_moment", buffers.second_moment)
        .bind("average", buffers.average)
        .set("count4", count4 as u32)
        .set("beta1", constants.beta1)
        .set("beta2", constants.beta2)
        .set("epsilon", constants.epsilon)
        .set("weight_decay", constants.weight_decay)
        .invocations(count4)
        .flops(12 * shape.len() as u64)
        .finish()
}
