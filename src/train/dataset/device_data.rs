//! Data sets on a device.

use super::{DataShape, Dataset};
use crate::Result;
use crate::gpu::{Bindings, DType, Gpu, Recording, Tensor, Value};
use crate::nn::Normalizer;
use crate::train::alias::AliasEntry;
use crate::train::draw_batch::Choice;
use crate::train::run::Draw;

impl Dataset {
    /// Copies the data to a device, actions in units of the normalizer, if there is one.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for a normalizer of other dimensions; [`crate::Error::Limit`],
    /// [`crate::Error::OutOfMemory`].
    pub(in crate::train) fn upload(&self, gpu: &Gpu, normalizer: Option<&Normalizer>) -> Result<DeviceData> {
        let shape = self.shape();
        let rows = shape.rows;
        normalizer.iter().try_for_each(|normalizer| normalizer.check("training", self.y_width))?;
        let normalized = normalizer.map(|normalizer| normalizer.normalize(&self.y));
        let y = normalized.as_ref().unwrap_or(&self.y);
        // Energies stand behind the coordinates of their samples, so that a batch draws both at
        // once.
        let labeled: Option<Vec<f32>> = self.energies.as_ref().map(|energies| {
            let samples = y.chunks_exact(self.y_width).zip(energies);
            samples.flat_map(|(sample, energy)| sample.iter().chain([energy]).copied()).collect()
        });
        let y = labeled.as_ref().unwrap_or(y);
        Ok(DeviceData {
            x: match self.x_width {
                0 => None,
                width => Some(Tensor::from_slice(gpu, "data/x", [rows, width], &self.x)?),
            },
            y: Tensor::from_slice(gpu, "data/y", [rows, shape.support * shape.stride()], y)?,
            table: match self.alias_table() {
                Some(table) => {
                    let words: &[u32] = bytemuck::cast_slice(&table);
                    Some(Tensor::from_slice(gpu, "data/table", [rows, AliasEntry::WORDS], words)?)
                }
                None => None,
            },
            shape,
        })
    }
}

/// A data set on a device.
#[derive(Clone, Debug)]
pub(in crate::train) struct DeviceData {
    x: Option<Tensor>,
    y: Tensor,
    table: Option<Tensor>,
    shape: DataShape,
}

impl DeviceData {
    /// How its numbers lie.
    pub fn shape(&self) -> DataShape {
        self.shape
    }

    /// Contexts, `[rows, 0]` if there are none, and actions.
    pub fn values(&self, recording: &mut Recording) -> Result<(Value, Value)> {
        let x = match &self.x {
            Some(x) => recording.slot(x.label(), DType::F32, x.shape().clone())?,
            None => recording.scratch("no contexts", DType::F32, [self.shape.rows, 0]),
        };
        let y = recording.slot(self.y.label(), DType::F32, self.y.shape().clone())?;
        Ok((x, y))
    }

    /// How a run that draws by `draw` chooses rows. Data with weights are drawn by them.
    pub fn choice(&self, recording: &mut Recording, draw: Draw) -> Result<Choice> {
        Ok(match (draw, &self.table) {
            (Draw::Epochs, _) => Choice::Epochs,
            (Draw::Replacement, None) => Choice::Replacement,
            (Draw::Replacement, Some(table)) => {
                Choice::Weighted(recording.slot(table.label(), DType::U32, table.shape().clone())?)
            }
        })
    }

    pub fn bindings(&self) -> Bindings {
        let pairs = self.x.iter().chain([&self.y]).chain(&self.table);
        pairs.fold(Bindings::new(), |all, tensor| all.with(tensor.label(), tensor))
    }
}
