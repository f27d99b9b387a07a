//! Checkpoints: one safetensors file with everything a run needs to go on with the same bits.
//!
//! Tensors are the unpadded slices of each flat buffer, `<model>.<buffer>.<slice>`; the header's metadata holds the run's
//! description as JSON. Files are written beside their name, synced and renamed, so that a crash leaves the old file or the
//! new one. A process killed within a write leaves its unfinished file, `<name>.<process>.part`; the next save to that name,
//! by whatever process, removes it.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use super::trainer::Negatives;
use super::{Dataset, RnceOptions, RnceTrainer};
use crate::gpu::{Gpu, Tensor, VariantChoices, write_whole};
use crate::nn::{Model, Network, NetworkEnergy, Optimiser, ParameterLayout};
use crate::proposal::{Mixture, MixtureShape, UniformBox};
use crate::{Error, Result};

/// Version of the layout of checkpoint files.
const FORMAT: u32 = 2;
/// Longest header that is read.
const MAX_HEADER: u64 = 1 << 20;
/// Key of the description in the metadata.
const KEY: &str = "gibbs";

/// The description in a checkpoint's metadata.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    format: u32,
    step: u64,
    seed: u64,
    options: RnceOptions,
    energy: Network,
    proposal: ProposalDescription,
    /// Fingerprint of the data set.
    data: String,
    /// Adapter it was trained on: another one continues with other rounding.
    adapter: String,
    /// How kernels were chosen.
    tuning: String,
    /// Which were: by shape class, the variants of the run's plans. Absent in files from before they were recorded.
    #[serde(default)]
    variants: VariantChoices,
}

/// The part of a description that says how to read the rest.
#[derive(Debug, Deserialize)]
struct Version {
    format: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
enum ProposalDescription {
    Mixture { network: Network, shape: MixtureShape },
    Uniform { bounds: UniformBox },
}

/// The flat buffers of a model and its optimiser, by the name they have in checkpoints.
fn buffers<'a>(model: &'a Model, optimiser: &'a Optimiser) -> [(&'static str, &'a Tensor); 4] {
    [
        ("parameters", model.parameters()),
        ("first_moment", &optimiser.first_moment),
        ("second_moment", &optimiser.second_moment),
        ("average", &optimiser.average),
    ]
}

fn tuning(gpu: &Gpu) -> String {
    match gpu.tuning_name() {
        "table" => format!("table {}", crate::nn::VARIANT_TABLE),
        other => other.into(),
    }
}

/// Says how the variants of a checkpoint differ from those of its resumed run.
fn difference(then: &VariantChoices, now: &VariantChoices) -> Option<String> {
    let classes: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let names = |of: &VariantChoices, class: &String| {
        of.get(class).map_or("none".into(), |names| names.iter().cloned().collect::<Vec<_>>().join(" and "))
    };
    let differ = classes.into_iter().filter(|class| then.get(*class) != now.get(*class));
    let words: Vec<String> =
        differ.map(|class| format!("{class}: {}, now {}", names(then, class), names(now, class))).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

impl RnceTrainer {
    fn parts(&self) -> Vec<(&Model, &Optimiser)> {
        let mut parts = vec![(self.energy.model(), &self.energy_optimiser)];
        if let Negatives::Learned { mixture, optimiser } = &self.negatives {
            parts.push((mixture.model(), optimiser));
        }
        parts
    }

    /// Writes a checkpoint of the run as it stands. Waits for all steps submitted; all tensors belong to one step. Blocking
    /// readbacks, so a place between chunks.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a step went bad (nothing is written), [`Error::Io`], [`Error::DeviceLost`].
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.gpu.wait()?;
        self.progress.ring.check_latch()?;
        let step = self.run.step(&self.gpu)?;
        self.write(path, step)
    }

    /// Writes the last good weights after [`Error::NonFinite`]: optimisers have stood still since the step that the error
    /// names, which becomes the step of the checkpoint. When the energy went bad in a step whose proposal update came first,
    /// that update is in: the weights are good, but going on from them repeats it.
    ///
    /// # Errors
    /// As [`RnceTrainer::save`]; [`Error::Argument`] if no step went bad.
    pub fn save_last_good(&mut self, path: &Path) -> Result<u64> {
        self.gpu.wait()?;
        match self.progress.ring.check_latch() {
            Err(Error::NonFinite { step, .. }) => self.write(path, step).map(|()| step),
            Err(other) => Err(other),
            Ok(()) => {
                Err(Error::argument("save the last good weights", "the run", "has no bad step; use `save`"))
            }
        }
    }

    fn write(&self, path: &Path, step: u64) -> Result<()> {
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (model, optimiser) in self.parts() {
            for (what, tensor) in buffers(model, optimiser) {
                let flat: Vec<f32> = self.gpu.read(tensor)?;
                if let Some(at) = flat.iter().position(|value| !value.is_finite()) {
                    return Err(Error::Checkpoint {
                        path: path.into(),
                        problem: format!(
                            "{}.{what} holds {} at element {at}; not saved",
                            model.name(),
                            flat[at]
                        ),
                    });
                }
                for slice in &model.layout().slices {
                    let values = model.layout().extract(slice, &flat);
                    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                    let name = format!("{}.{what}.{}", model.name(), slice.name);
                    tensors.push((name, Dtype::F32, vec![slice.rows, slice.columns], bytes));
                }
            }
            let count: Vec<u32> = self.gpu.read(&optimiser.count)?;
            let bytes = count.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((format!("{}.count", model.name()), Dtype::U32, vec![1], bytes));
        }
        let description = Description {
            format: FORMAT,
            step,
            seed: self.run.seed(),
            options: self.options.clone(),
            energy: self.energy.model().network().clone(),
            proposal: match &self.negatives {
                Negatives::Learned { mixture, .. } => ProposalDescription::Mixture {
                    network: mixture.model().network().clone(),
                    shape: mixture.shape().clone(),
                },
                Negatives::Fixed(bounds) => ProposalDescription::Uniform { bounds: bounds.clone() },
            },
            data: format!("{:016x}", self.fingerprint),
            adapter: self.gpu.adapter_name(),
            tuning: tuning(&self.gpu),
            variants: self.variants(),
        };
        let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
        let text = serde_json::to_string(&description).map_err(|error| fail(error.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), text)]);
        let views: Vec<(String, TensorView<'_>)> = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                let view = TensorView::new(*dtype, shape.clone(), bytes)
                    .map_err(|error| fail(format!("{name}: {error}")))?;
                Ok((name.clone(), view))
            })
            .collect::<Result<_>>()?;
        let bytes = serialize(views, Some(metadata)).map_err(|error| fail(error.to_string()))?;
        write_whole(path, &bytes)
    }

    /// Reads the options of a checkpoint, to know its data before resuming.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is no checkpoint, [`Error::Io`].
    pub fn options_of(path: &Path) -> Result<RnceOptions> {
        let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
        let bytes = read_guarded(path)?;
        let (_, description) = parse(&bytes).map_err(fail)?;
        Ok(RnceOptions { seed: description.seed, ..description.options })
    }

    /// Goes on from a checkpoint: with the same data, adapter and driver the run continues with the same bits as if it had not
    /// stopped.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is damaged, hostile, of another format, for other data or for a larger device;
    /// [`Error::Io`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn resume(gpu: &Gpu, data: &Dataset, path: &Path) -> Result<Self> {
        Self::restore(gpu, data, path).map_err(|error| match error {
            // What cannot be built is the file's fault here, not that of an argument.
            Error::Argument { .. } | Error::Shape { .. } | Error::Binding { .. } | Error::Limit { .. } => {
                Error::Checkpoint { path: path.into(), problem: error.to_string() }
            }
            other => other,
        })
    }

    fn restore(gpu: &Gpu, data: &Dataset, path: &Path) -> Result<Self> {
        let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
        let bytes = read_guarded(path)?;
        let (tensors, description) = parse(&bytes).map_err(&fail)?;
        if description.data != format!("{:016x}", data.fingerprint()) {
            return Err(fail("was trained on other data; resume with the same data set".into()));
        }
        description.options.check(data)?;
        if description.step > description.options.steps {
            let steps = description.options.steps;
            return Err(fail(format!("stands at step {} of a run of {steps}", description.step)));
        }
        let other_table = description.variants.is_empty() && description.tuning != tuning(gpu);
        if description.adapter != gpu.adapter_name() || other_table {
            log::warn!(
                "checkpoint {} comes from {} ({}); results may differ in the last bits",
                path.display(),
                description.adapter,
                description.tuning
            );
        }
        let variants = description.variants;
        let model = |name: &str, network: Network| -> Result<Model> {
            network.check().map_err(|error| fail(error.to_string()))?;
            // Before any memory is taken: the file must hold what the description promises.
            let layout = network.layout();
            for slice in &layout.slices {
                read_slice(&tensors, name, "parameters", slice).map_err(&fail)?;
            }
            Model::zeros(gpu, name, network)
        };
        let energy = NetworkEnergy::new(model("energy", description.energy)?)?;
        let negatives = match description.proposal {
            ProposalDescription::Uniform { bounds } => match &description.options.proposal {
                super::ProposalOptions::Uniform { low, high }
                    if bounds.low() == low && bounds.high() == high =>
                {
                    Negatives::Fixed(UniformBox::new(low, high)?)
                }
                _ => return Err(fail("its options name another proposal than its tensors".into())),
            },
            ProposalDescription::Mixture { network, shape } => {
                let mixture = Mixture::new(model("proposal", network)?, shape)?;
                let own = match &description.options.proposal {
                    super::ProposalOptions::Mixture { optimiser, .. } => *optimiser,
                    super::ProposalOptions::Uniform { .. } => {
                        return Err(fail("its options name another proposal than its tensors".into()));
                    }
                };
                let optimiser = description.options.proposal_optimiser(&own);
                let optimiser = Optimiser::new(gpu, mixture.model(), optimiser)?;
                Negatives::Learned { mixture: Box::new(mixture), optimiser: Box::new(optimiser) }
            }
        };
        let options = RnceOptions { seed: description.seed, ..description.options };
        let trainer = Self::assemble(gpu, data, options, energy, negatives, description.step)?;
        if !variants.is_empty()
            && let Some(words) = difference(&variants, &trainer.variants())
        {
            log::warn!(
                "checkpoint {} was trained with other kernel variants ({words}); results may differ in the last bits, \
                 unless its tuning file is restored",
                path.display()
            );
        }
        for (model, optimiser) in trainer.parts() {
            for (what, tensor) in buffers(model, optimiser) {
                let flat = read_flat(&tensors, model.name(), what, model.layout()).map_err(&fail)?;
                tensor.write(gpu, &flat)?;
            }
            let name = format!("{}.count", model.name());
            let view = tensors.tensor(&name).map_err(|error| fail(format!("{name}: {error}")))?;
            if view.dtype() != Dtype::U32 || view.data().len() != 4 {
                return Err(fail(format!("{name}: is not one u32")));
            }
            let count = [0, 1, 2, 3].map(|at| view.data()[at]);
            optimiser.count.write(gpu, &[u32::from_le_bytes(count)])?;
        }
        Ok(trainer)
    }
}

fn parse(bytes: &[u8]) -> Result<(SafeTensors<'_>, Description), String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let text = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(KEY))
        .ok_or("has no gibbs description; it is some other safetensors file")?;
    // Before the rest, which another format may describe otherwise.
    let Version { format } = described(text)?;
    if format != FORMAT {
        return Err(format!("has format {format}, this version reads {FORMAT}"));
    }
    let description: Description = described(text)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    Ok((tensors, description))
}

fn described<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("its description: {error}"))
}

fn read_slice(
    tensors: &SafeTensors<'_>,
    model: &str,
    what: &str,
    slice: &crate::nn::Slice,
) -> Result<Vec<f32>, String> {
    let name = format!("{model}.{what}.{}", slice.name);
    let view = tensors.tensor(&name).map_err(|error| format!("{name}: {error}"))?;
    if view.dtype() != Dtype::F32 || view.shape() != [slice.rows, slice.columns] {
        return Err(format!(
            "{name}: is {:?} {:?}, expected F32 [{}, {}]",
            view.dtype(),
            view.shape(),
            slice.rows,
            slice.columns
        ));
    }
    let values: Vec<f32> =
        view.data().chunks_exact(4).map(|raw| f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])).collect();
    let allowed = |value: &f32| value.is_finite() && (what != "second_moment" || *value >= 0.0);
    match values.iter().position(|value| !allowed(value)) {
        Some(at) => Err(format!("{name}: holds {} at element {at}", values[at])),
        None => Ok(values),
    }
}

fn read_flat(
    tensors: &SafeTensors<'_>,
    model: &str,
    what: &str,
    layout: &ParameterLayout,
) -> Result<Vec<f32>, String> {
    let mut flat = vec![0.0; layout.len];
    for slice in &layout.slices {
        layout.insert(slice, &read_slice(tensors, model, what, slice)?, &mut flat);
    }
    Ok(flat)
}

/// Reads a file whose header announces a sane length.
fn read_guarded(path: &Path) -> Result<Vec<u8>> {
    let io = |operation, source| Error::Io { operation, path: path.into(), source };
    let mut file = File::open(path).map_err(|error| io("open", error))?;
    let mut bytes = Vec::new();
    let size = file.metadata().map_err(|error| io("read", error))?.len();
    let mut length = [0u8; 8];
    let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
    file.read_exact(&mut length).map_err(|_| fail("is shorter than a safetensors header".into()))?;
    let header = u64::from_le_bytes(length);
    if header > MAX_HEADER || header + 8 > size {
        return Err(fail(format!("announces a header of {header} bytes in a file of {size}")));
    }
    bytes.extend_from_slice(&length);
    file.read_to_end(&mut bytes).map_err(|error| io("read", error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_variants_are_worth_a_warning() {
        let choices = |list: &[(&str, &str)]| -> VariantChoices {
            list.iter().map(|(class, name)| ((*class).into(), [(*name).into()].into())).collect()
        };
        let then = choices(&[("a 1x1x1", "portable"), ("b 2x2x2", "portable")]);
        assert_eq!(difference(&then, &then.clone()), None);
        let now = choices(&[("a 1x1x1", "tiled"), ("c 4x4x4", "portable")]);
        let words = difference(&then, &now).unwrap();
        assert_eq!(
            words,
            "a 1x1x1: portable, now tiled; b 2x2x2: portable, now none; c 4x4x4: none, now portable"
        );
    }
}
