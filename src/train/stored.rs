//! The file of a checkpoint: models with their optimisers as safetensors, and a description of the run as JSON.
//!
//! Tensors are the unpadded slices of each flat buffer, `<model>.<buffer>.<slice>`; the header's metadata holds the description.
//! Files are written beside their name, synced and renamed, so that a crash leaves the old file or the new one. A process
//! killed within a write leaves its unfinished file, `<name>.<process>.part`; the next save to that name, by whatever process,
//! removes it.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::gpu::{Gpu, Tensor, VariantChoices, write_whole};
use crate::nn::{Model, Network, Optimiser, ParameterLayout};
use crate::{Error, Result};

/// Version of the layout of checkpoint files.
pub(super) const FORMAT: u32 = 2;
/// Longest header that is read.
const MAX_HEADER: u64 = 1 << 20;
/// Key of the description in the metadata.
const KEY: &str = "gibbs";

/// A model and its optimiser.
pub(super) type Part<'a> = (&'a Model, &'a Optimiser);

/// The part of a description that says how to read the rest.
#[derive(Debug, Deserialize)]
struct Version {
    format: u32,
    /// What was trained; none for ranking NCE.
    #[serde(default)]
    kind: Option<String>,
}

/// What a checkpoint says of the machine that wrote it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    /// Adapter it was trained on: another one continues with other rounding.
    adapter: String,
    /// How kernels were chosen.
    tuning: String,
    /// Which were: by shape class, the variants of the run's plans. Absent in files from before they were recorded.
    #[serde(default)]
    variants: VariantChoices,
}

impl Machine {
    pub fn new(gpu: &Gpu, variants: VariantChoices) -> Self {
        Self { adapter: gpu.adapter_name(), tuning: tuning(gpu), variants }
    }

    /// Warns if a run that was resumed here, with these variants, may differ in its last bits.
    pub fn compare(&self, gpu: &Gpu, variants: &VariantChoices, path: &Path) {
        let other_table = self.variants.is_empty() && self.tuning != tuning(gpu);
        if self.adapter != gpu.adapter_name() || other_table {
            log::warn!(
                "checkpoint {} comes from {} ({}); results may differ in the last bits",
                path.display(),
                self.adapter,
                self.tuning
            );
        }
        if !self.variants.is_empty()
            && let Some(words) = difference(&self.variants, variants)
        {
            log::warn!(
                "checkpoint {} was trained with other kernel variants ({words}); results may differ in the last bits, \
                 unless its tuning file is restored",
                path.display()
            );
        }
    }
}

/// The flat buffers of a model and its optimiser, by the name they have in checkpoints.
fn buffers<'a>((model, optimiser): Part<'a>) -> [(&'static str, &'a Tensor); 4] {
    [
        ("parameters", model.parameters()),
        ("first_moment", &optimiser.first_moment),
        ("second_moment", &optimiser.second_moment),
        (AVERAGE, &optimiser.average),
    ]
}

/// The buffer of averaged weights.
pub(super) const AVERAGE: &str = "average";

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

/// Writes a checkpoint. Blocking readbacks.
pub(super) fn write(gpu: &Gpu, path: &Path, description: &impl Serialize, parts: &[Part<'_>]) -> Result<()> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for &part in parts {
        let (model, optimiser) = part;
        for (what, tensor) in buffers(part) {
            let flat: Vec<f32> = gpu.read(tensor)?;
            if let Some(at) = flat.iter().position(|value| !value.is_finite()) {
                return Err(Error::Checkpoint {
                    path: path.into(),
                    problem: format!("{}.{what} holds {} at element {at}; not saved", model.name(), flat[at]),
                });
            }
            for slice in &model.layout().slices {
                let values = model.layout().extract(slice, &flat);
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let name = format!("{}.{what}.{}", model.name(), slice.name);
                tensors.push((name, Dtype::F32, vec![slice.rows, slice.columns], bytes));
            }
        }
        let count: Vec<u32> = gpu.read(&optimiser.count)?;
        let bytes = count.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((format!("{}.count", model.name()), Dtype::U32, vec![1], bytes));
    }
    let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
    let text = serde_json::to_string(description).map_err(|error| fail(error.to_string()))?;
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

/// The bytes of a checkpoint, of which the header announces a sane length.
pub(super) struct Stored(Vec<u8>);

impl Stored {
    /// Reads a file whose header announces a sane length.
    pub fn read(path: &Path) -> Result<Self> {
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
        Ok(Self(bytes))
    }

    /// The tensors and the description of a run of this kind.
    pub fn parse<D: DeserializeOwned>(&self, kind: Option<&str>) -> Result<(SafeTensors<'_>, D), String> {
        let (_, metadata) = SafeTensors::read_metadata(&self.0).map_err(|error| error.to_string())?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(KEY))
            .ok_or("has no gibbs description; it is some other safetensors file")?;
        // Before the rest, which another format may describe otherwise.
        let version: Version = described(text)?;
        if version.format != FORMAT {
            return Err(format!("has format {}, this version reads {FORMAT}", version.format));
        }
        if version.kind.as_deref() != kind {
            let name = |kind: Option<&str>| kind.unwrap_or("ranking nce").to_owned();
            return Err(format!(
                "comes from training of the kind `{}`, not `{}`",
                name(version.kind.as_deref()),
                name(kind)
            ));
        }
        let description: D = described(text)?;
        let tensors = SafeTensors::deserialize(&self.0).map_err(|error| error.to_string())?;
        Ok((tensors, description))
    }
}

fn described<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("its description: {error}"))
}

/// Checks that a run of `steps` stands at one of them, and goes on with the data it was trained on.
pub(super) fn check_run(data: &Dataset, fingerprint: &str, (step, steps): (u64, u64)) -> Result<(), String> {
    if fingerprint != fingerprint_text(data.fingerprint()) {
        return Err("was trained on other data; resume with the same data set".into());
    }
    match step <= steps {
        true => Ok(()),
        false => Err(format!("stands at step {step} of a run of {steps}")),
    }
}

/// How a data set's fingerprint stands in a description.
pub(super) fn fingerprint_text(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

/// A model of a checkpoint, its parameters still zero. Before any memory is taken, the file must hold what the description
/// promises.
pub(super) fn promised(
    gpu: &Gpu,
    tensors: &SafeTensors<'_>,
    name: &str,
    network: Network,
    path: &Path,
) -> Result<Model> {
    let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
    network.check().map_err(|error| fail(error.to_string()))?;
    for slice in &network.layout().slices {
        read_slice(tensors, name, "parameters", slice).map_err(&fail)?;
    }
    Model::zeros(gpu, name, network)
}

/// Writes what a checkpoint holds into models and optimisers.
pub(super) fn restore(gpu: &Gpu, tensors: &SafeTensors<'_>, parts: &[Part<'_>], path: &Path) -> Result<()> {
    let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
    for &part in parts {
        let (model, optimiser) = part;
        for (what, tensor) in buffers(part) {
            let flat = read_flat(tensors, model.name(), what, model.layout()).map_err(&fail)?;
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
    Ok(())
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

/// A flat buffer of a model.
pub(super) fn read_flat(
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

/// What cannot be built from a checkpoint is the file's fault, not that of an argument.
pub(super) fn blame(path: &Path) -> impl Fn(Error) -> Error + '_ {
    move |error| match error {
        Error::Argument { .. } | Error::Shape { .. } | Error::Binding { .. } | Error::Limit { .. } => {
            Error::Checkpoint { path: path.into(), problem: error.to_string() }
        }
        other => other,
    }
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
