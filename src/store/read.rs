//! Reading a file that may be damaged or hostile.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};

use super::description::{Description, MAX_HEADER, ModelDescription};
use super::part::Part;
use super::part::{AVERAGE, PARAMETERS, SECOND_MOMENT};
use crate::gpu::Gpu;
use crate::nn::{Model, ParameterLayout, ParameterSlice};
use crate::{Error, Result};

/// Which weights of a trained model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Averaged over the steps: what to evaluate and act with. Before the first step they are the
    /// initial ones.
    #[default]
    Averaged,
    /// As they stand between two steps.
    Raw,
}

/// A file in memory: its description, and tensors that are checked when they are taken.
#[derive(Clone, Debug)]
pub struct StoredFile {
    path: PathBuf,
    bytes: Vec<u8>,
    description: Description,
}

impl StoredFile {
    /// Reads a file and what it says of itself.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] for a file that is no file of this crate, of another
    /// format, or damaged.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (mut bytes, mut file) = read_header(path)?;
        let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
        let description = Description::parse(&bytes[8..]).map_err(fail)?;
        let io = |source| Error::Io { operation: "read", path: path.into(), source };
        file.read_to_end(&mut bytes).map_err(io)?;
        SafeTensors::deserialize(&bytes).map_err(|error| fail(error.to_string()))?;
        Ok(Self { path: path.into(), bytes, description })
    }

    /// Reads what a file says of itself and leaves the rest of it where it is.
    ///
    /// # Errors
    /// As [`StoredFile::read`]; damage beyond the header is not seen.
    pub fn describe(path: impl AsRef<Path>) -> Result<Description> {
        let path = path.as_ref();
        let (bytes, _) = read_header(path)?;
        Description::parse(&bytes[8..]).map_err(|problem| Error::Checkpoint { path: path.into(), problem })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// An error that names the file.
    pub(crate) fn fail(&self, problem: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), problem: problem.into() }
    }

    /// A model of the file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is none of that name, or its tensors do not fit its network
    /// or hold what is not finite; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn model(&self, gpu: &Gpu, name: &str, weights: Weights) -> Result<Model> {
        let ModelDescription { network, trained, .. } =
            self.description.model(name).ok_or_else(|| self.fail(format!("holds no model `{name}`")))?;
        let buffer = if *trained && weights == Weights::Averaged { AVERAGE } else { PARAMETERS };
        let tensors = self.tensors()?;
        network.check().map_err(|error| self.fail(error.to_string()))?;
        // Before any memory is taken on the device, the file must hold what its description
        // promises.
        let flat =
            read_flat(&tensors, name, buffer, &network.layout()).map_err(|problem| self.fail(problem))?;
        let model = Model::zeros(gpu, name, network.clone()).map_err(blame(&self.path))?;
        model.set_parameters(gpu, &flat)?;
        Ok(model)
    }

    /// Writes what the file holds into the state of optimizers and models that were made for it.
    pub(crate) fn restore(&self, gpu: &Gpu, parts: &[Part<'_>]) -> Result<()> {
        let tensors = self.tensors()?;
        let fail = |problem: String| self.fail(problem);
        for part in parts {
            let name = part.model.name();
            for (what, tensor) in part.buffers() {
                let flat = read_flat(&tensors, name, what, part.model.layout()).map_err(fail)?;
                tensor.write(gpu, &flat)?;
            }
            let Some(optimizer) = part.optimizer else { continue };
            let name = format!("{name}.count");
            let view = tensors.tensor(&name).map_err(|error| fail(format!("{name}: {error}")))?;
            match (view.dtype(), view.data().first_chunk(), view.data().len()) {
                (Dtype::U32, Some(raw), 4) => optimizer.count.write(gpu, &[u32::from_le_bytes(*raw)])?,
                _ => return Err(fail(format!("{name}: is not one u32"))),
            }
        }
        Ok(())
    }

    fn tensors(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|error| self.fail(error.to_string()))
    }
}

/// The length of a file's header and the header, and the file behind it; only if the length is
/// sane.
fn read_header(path: &Path) -> Result<(Vec<u8>, File)> {
    let io = |operation, source| Error::Io { operation, path: path.into(), source };
    let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
    let mut file = File::open(path).map_err(|error| io("open", error))?;
    let size = file.metadata().map_err(|error| io("read", error))?.len();
    let mut length = [0u8; 8];
    file.read_exact(&mut length).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => fail("is shorter than a safetensors header".into()),
        _ => io("read", error),
    })?;
    let header = u64::from_le_bytes(length);
    if header > MAX_HEADER || header + 8 > size {
        return Err(fail(format!("announces a header of {header} bytes in a file of {size}")));
    }
    let mut bytes = vec![0; 8 + header as usize];
    bytes[..8].copy_from_slice(&length);
    file.read_exact(&mut bytes[8..]).map_err(|error| io("read", error))?;
    Ok((bytes, file))
}

fn read_slice(
    tensors: &SafeTensors<'_>,
    model: &str,
    what: &str,
    slice: &ParameterSlice,
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
    let allowed = |value: &f32| value.is_finite() && (what != SECOND_MOMENT || *value >= 0.0);
    match values.iter().position(|value| !allowed(value)) {
        Some(at) => Err(format!("{name}: holds {} at element {at}", values[at])),
        None => Ok(values),
    }
}

/// A flat buffer of a model. What is there is checked before memory of its promised size is taken.
fn read_flat(
    tensors: &SafeTensors<'_>,
    model: &str,
    what: &str,
    layout: &ParameterLayout,
) -> Result<Vec<f32>, String> {
    let slices: Vec<Vec<f32>> = layout
        .slices
        .iter()
        .map(|slice| read_slice(tensors, model, what, slice))
        .collect::<Result<_, String>>()?;
    let mut flat = vec![0.0; layout.len];
    for (slice, values) in layout.slices.iter().zip(slices) {
        layout.insert(slice, &values, &mut flat);
    }
    Ok(flat)
}

/// What cannot be built from a file is the file's fault, not that of an argument.
pub(crate) fn blame(path: &Path) -> impl Fn(Error) -> Error + '_ {
    move |error| match error {
        Error::Argument { .. } | Error::Shape { .. } | Error::Binding { .. } | Error::Limit { .. } => {
            Error::Checkpoint { path: path.into(), problem: error.to_string() }
        }
        other => other,
    }
}
