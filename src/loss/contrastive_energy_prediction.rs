//! Contrastive energy prediction (`shaders/loss/contrastive_energy_prediction.wgsl`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::EnergyTargets;
use crate::gpu::{DType, DeviceClass, KernelSource, KernelVariant, Recording, Shape, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("loss/contrastive_energy_prediction.wgsl");

/// Most samples of a group: kernels that walk over them stay below the 65535 rounds after which
/// lavapipe ends loops.
const MAX_SIZE: usize = 32_768;

/// How the energies of a group become its labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Labels {
    /// `u = softmax_i(-beta E_i)`: always of order 1, but the network learns the intermediate
    /// energy exactly only as groups grow.
    #[default]
    Normalized,
    /// `u_i = exp(-beta (E_i - reference))`: exact for groups of two or more. The reference is
    /// fixed for the whole run, the lowest energy there is for labels of at most 1; an extreme of
    /// each batch would bring the bias back.
    ///
    /// A label above `exp(64)` gives a loss and a gradient that are not finite, at which a training
    /// step stops: the reference is too high. Labels that are too small for f32 count as 0; a group
    /// of these alone has loss and gradient 0.
    Unnormalized {
        /// Energy with label 1.
        reference: f64,
    },
}

impl Labels {
    /// The names of the kinds, as in files.
    pub const KINDS: &'static [&'static str] = &["normalized", "unnormalized"];

    /// The name of its kind.
    pub const fn kind(self) -> &'static str {
        match self {
            Labels::Normalized => Self::KINDS[0],
            Labels::Unnormalized { .. } => Self::KINDS[1],
        }
    }
}

impl fmt::Display for Labels {
    /// `normalized`, or `unnormalized:-1.5` with the reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Labels::Normalized => f.pad(self.kind()),
            Labels::Unnormalized { reference } => f.pad(&format!("{}:{reference}", self.kind())),
        }
    }
}

impl FromStr for Labels {
    type Err = Error;

    /// Takes what `Display` writes.
    ///
    /// # Errors
    /// [`Error::Argument`] that lists the forms.
    fn from_str(text: &str) -> Result<Self> {
        let reference = text.strip_prefix("unnormalized:").and_then(|number| number.parse().ok());
        match (text, reference) {
            ("normalized", _) => Ok(Labels::Normalized),
            (_, Some(reference)) => Ok(Labels::Unnormalized { reference }),
            (_, None) => Err(Error::unknown_name("labels", text, &["normalized", "unnormalized:REFERENCE"])),
        }
    }
}

/// Loss, gradient at the outputs, effective sample size.
#[derive(Clone, Copy, Debug)]
pub struct ContrastiveLoss {
    /// `[groups]`.
    pub loss: Value,
    /// Packed `[groups * size, 1]`: gradient of the mean loss; each group's entries sum to 0.
    pub output_gradient: Value,
    /// `[groups]`: `1 / sum_i w_i^2` of the normalized labels, from 1 to the size of the group.
    pub ess: Value,
}

/// Records the contrastive loss (arXiv 2304.12824) of `groups` groups of `size` samples that share
/// their time, row `b size + i` being sample `i` of group `b`:
/// `loss = -sum_i u_i log softmax_i(-output)`, gradient
/// `(u_i - sum_j u_j softmax_i(-output)) / groups`. At its least the output is the intermediate
/// energy up to a constant per group.
///
/// * finite for outputs and `beta E` up to 1e36; beyond, or where one is not finite, loss, gradient
///   and effective sample size of the group are not finite either. One dispatch, about 40 bytes
///   moved per sample.
///
/// # Errors
/// [`Error::Shape`] if shapes differ; [`Error::Argument`] for less than 2 or more than 32768
/// samples, no group, a beta that is negative or not finite, a reference that is not finite.
pub fn record(
    recording: &mut Recording,
    labels: Labels,
    (groups, size): (usize, usize),
    labeled: &EnergyTargets,
) -> Result<ContrastiveLoss> {
    let operation = "contrastive loss";
    if !(2..=MAX_SIZE).contains(&size) || groups == 0 {
        let problem = format!(
            "is {size}, in {groups} groups; a group compares 2 to {MAX_SIZE} samples, and there must be one"
        );
        return Err(Error::argument(operation, "the size of a group", problem));
    }
    let reference = match labels {
        Labels::Normalized => None,
        Labels::Unnormalized { reference } => Some(reference),
    };
    let (beta, max) = labeled.check(recording, operation, groups.saturating_mul(size), reference)?;
    let EnergyTargets { output, energies, .. } = *labeled;
    let stride = recording.shape(output)?.stride();
    let loss = recording.scratch("loss", DType::F32, [groups]);
    let ess = recording.scratch("ess", DType::F32, [groups]);
    let output_gradient = recording.scratch("output gradient", DType::F32, Shape::packed(groups * size, 1));
    let lanes = lanes(recording.class(), groups, size);
    recording
        .dispatch(&KERNEL, operation)
        .defines(&defines(reference.is_some(), lanes))
        .bind("energy", energies.value)
        .bind("output", output)
        .bind("output_gradient", output_gradient)
        .bind("loss", loss)
        .bind("ess", ess)
        .set("groups", groups as u32)
        .set("size", size as u32)
        .set("energy_first", energies.first as u32)
        .set("energy_stride", energies.stride as u32)
        .set("output_stride", stride as u32)
        .set("beta", beta)
        .set("reference", reference.unwrap_or(0.0) as f32)
        .set("max", max)
        .workgroups_folded(groups.div_ceil(64 / lanes))
        .finish()?;
    Ok(ContrastiveLoss { loss, output_gradient, ess })
}

/// Invocations that share a group: one where barriers would cost more than its samples. A software
/// renderer pays dearly for barriers and runs 8 invocations at once, so there many groups are
/// better off alone, too.
fn lanes(class: DeviceClass, groups: usize, size: usize) -> usize {
    let alone = match class {
        DeviceClass::Cpu => size <= 128 || (groups >= 8 && size <= 4096),
        DeviceClass::Gpu => size <= 32,
    };
    if alone { 1 } else { 64 }
}

fn defines(unnormalized: bool, lanes: usize) -> [(&'static str, u32); 2] {
    [("UNNORMALIZED", u32::from(unnormalized)), ("LANES", lanes as u32)]
}

/// The kernel in every variant that can be recorded.
pub(crate) fn variants() -> Vec<KernelVariant> {
    let all = [false, true].into_iter().flat_map(|labels| [1, 64].map(|lanes| defines(labels, lanes)));
    all.map(|defines| KernelVariant::new(&KERNEL, &defines)).collect()
}
