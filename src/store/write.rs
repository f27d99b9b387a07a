//! Writing a file, whole or not at all.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde::Serialize;
use serde_json::Value as Json;

use super::description::{Description, KEY, MAX_HEADER};
use super::part::Part;
use crate::gpu::{Gpu, write_whole};
use crate::{Error, Result};

/// Writes a file of some kind. `more`: a struct of whatever else its readers need. Blocking
/// readbacks.
///
/// # Errors
/// [`Error::Checkpoint`] for parameters that are not finite, or a description that is too long to
/// be read again; [`Error::Io`], which says that the models can be saved again;
/// [`Error::DeviceLost`].
pub(crate) fn write(
    gpu: &Gpu,
    path: &Path,
    kind: &str,
    parts: &[Part<'_>],
    more: &impl Serialize,
) -> Result<()> {
    let fail = |problem: String| Error::Checkpoint { path: path.into(), problem };
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for part in parts {
        let Part { model, optimizer } = part;
        for (what, tensor) in part.buffers() {
            let flat: Vec<f32> = gpu.read(tensor)?;
            if let Some(at) = flat.iter().position(|value| !value.is_finite()) {
                let problem =
                    format!("{}.{what} holds {} at element {at}; not saved", model.name(), flat[at]);
                return Err(fail(problem));
            }
            for slice in &model.layout().slices {
                let values = model.layout().extract(slice, &flat);
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let name = format!("{}.{what}.{}", model.name(), slice.name);
                tensors.push((name, Dtype::F32, vec![slice.rows, slice.columns], bytes));
            }
        }
        if let Some(optimizer) = optimizer {
            let count: Vec<u32> = gpu.read(&optimizer.count)?;
            let bytes = count.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((format!("{}.count", model.name()), Dtype::U32, vec![1], bytes));
        }
    }
    let models = parts.iter().map(Part::description).collect();
    let more = match serde_json::to_value(more).map_err(|error| fail(error.to_string()))? {
        Json::Object(fields) => fields,
        other => return Err(fail(format!("its description would hold {other} instead of named fields"))),
    };
    let description = Description::new(kind, models, more);
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
    let header = bytes.first_chunk().map_or(0, |raw| u64::from_le_bytes(*raw));
    if header > MAX_HEADER {
        return Err(fail(format!(
            "would have a header of {header} bytes, of which {MAX_HEADER} are read; not saved"
        )));
    }
    write_whole(path, &bytes).map_err(|error| match error {
        Error::Io { operation, path, source } => {
            Error::Io { operation, path, source: std::io::Error::new(source.kind(), NotSaved(source)) }
        }
        other => other,
    })
}

/// What the system said of a write, and that nothing is lost yet.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}; what was to be saved is still in memory: save again when that is mended, or save to another path"
)]
struct NotSaved(#[source] std::io::Error);
