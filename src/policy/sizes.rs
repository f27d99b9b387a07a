//! What the sizes of a policy depend on.

use super::acting::Policy;
use super::inference::Inference;
use super::options::PolicyDescription;
use super::parts::Parts;
use crate::Result;
use crate::gpu::Gpu;

impl Policy {
    /// Compiles the plans round given networks; where they are too large for the device, the error
    /// says what they are large by.
    pub(super) fn assemble(gpu: &Gpu, parts: Parts, description: PolicyDescription) -> Result<Self> {
        let words = words(&parts, &description)?;
        Self::compile(gpu, parts, description).map_err(|error| error.sized(|| words))
    }
}

fn words(parts: &Parts, description: &PolicyDescription) -> Result<String> {
    let [context, prediction] = parts.widths()?;
    let of_each = match &description.inference {
        Inference::Chains(chains) => format!(" with {} chains each", chains.chains),
        Inference::Diffusion(diffusion) => format!(" with {} samples each", diffusion.samples),
        Inference::Proposal | Inference::Network => String::new(),
    };
    Ok(format!(
        "take fewer of the {} agents{of_each}, of {prediction} numbers to a prediction and {context} to a context, or \
         split them over several policies",
        description.agents
    ))
}
