//! The training step of a score.

use super::add_noise::NoisedSamples;
use crate::gpu::{Recording, Value};
use crate::loss::denoising_loss;
use crate::nn::{ACTION, CONTEXT, FlatGradient, Model, TIME};
use crate::{Error, Result};

/// Records loss and flat gradient of a score network on noised samples that kept what it predicts.
///
/// * `context`: `[contexts, width]` for a conditional score; each serves an equal run of the
///   samples.
/// * returns the loss `[rows]` and the gradient of its mean in the network's layout.
///
/// # Errors
/// [`Error::Argument`] if nothing was kept, [`Error::Shape`] if the network's inputs do not fit.
pub fn record_denoising_gradient(
    recording: &mut Recording,
    model: &Model,
    samples: &NoisedSamples,
    context: Option<Value>,
) -> Result<(Value, FlatGradient)> {
    let Some(target) = samples.target else {
        let problem = "was not kept; add noise with `DenoisingTarget::Noise` or `DenoisingTarget::Sample`";
        return Err(Error::argument("denoising loss", "the target", problem));
    };
    let mut inputs = vec![(ACTION, samples.x), (TIME, samples.time)];
    inputs.extend(context.map(|context| (CONTEXT, context)));
    denoising_loss::record_gradient(recording, model, &inputs, target)
}
