//! Energies of points given from the host.

use super::Energy;
use crate::gpu::{DType, Gpu, Recording, Tensor, Value};
use crate::{Error, Result};

/// Contexts and actions on the host, for one-off evaluations.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// `contexts` rows of equal width; empty for unconditional models.
    pub context: &'a [f32],
    /// Number of contexts (1 for unconditional models).
    pub contexts: usize,
    /// `contexts` blocks of equally many points of `dims` numbers.
    pub y: &'a [f32],
    /// Dimensions of a point.
    pub dims: usize,
}

impl Points<'_> {
    /// Points per context.
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers do not divide evenly.
    pub fn per_context(&self) -> Result<usize> {
        let block = self.contexts.saturating_mul(self.dims);
        let even = block > 0
            && !self.y.is_empty()
            && self.y.len().is_multiple_of(block)
            && self.context.len().is_multiple_of(self.contexts);
        match even {
            true => Ok(self.y.len() / block),
            false => Err(Error::shape(
                "points",
                "y",
                format!("{} numbers, {} context numbers", self.y.len(), self.context.len()),
                format!("equal blocks for {} contexts of points of {} numbers", self.contexts, self.dims),
                "give equally many points per context",
            )),
        }
    }

    /// Uploads both and makes them slots `context` and `y` of a recording.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
    ) -> Result<(Option<Value>, Value, crate::gpu::Bindings)> {
        let count = self.per_context()?;
        let mut bindings = crate::gpu::Bindings::new();
        let context = match self.context.is_empty() {
            true => None,
            false => {
                let shape = [self.contexts, self.context.len() / self.contexts];
                let tensor = Tensor::from_slice(gpu, "context", shape, self.context)?;
                bindings.insert("context", &tensor);
                Some(recording.slot("context", DType::F32, shape)?)
            }
        };
        let shape = [self.contexts, count, self.dims];
        let tensor = Tensor::from_slice(gpu, "y", shape, self.y)?;
        bindings.insert("y", &tensor);
        Ok((context, recording.slot("y", DType::F32, shape)?, bindings))
    }
}

/// Compiles a recording with these results, runs it once and reads each: `rows` numbers of `width`, unpadded.
pub(crate) fn run_and_read<const N: usize>(
    gpu: &Gpu,
    recording: &mut Recording,
    values: [Value; N],
    mut bindings: crate::gpu::Bindings,
) -> Result<[Vec<f32>; N]> {
    let mut results = Vec::with_capacity(N);
    for (index, value) in values.into_iter().enumerate() {
        let (shape, name) = (recording.shape(value)?.clone(), format!("result {index}"));
        recording.expose(value, &name)?;
        let tensor = Tensor::zeros(gpu, &name, DType::F32, shape.clone())?;
        bindings.insert(&name, &tensor);
        results.push((shape, tensor));
    }
    recording.compile(gpu, &bindings)?.run(1)?;
    let mut read = [const { Vec::new() }; N];
    for (read, (shape, tensor)) in read.iter_mut().zip(&results) {
        let flat: Vec<f32> = gpu.read(tensor)?;
        let rows = flat.chunks_exact(shape.stride());
        *read = rows.flat_map(|row| &row[..shape.width()]).copied().collect();
    }
    Ok(read)
}

/// Evaluates `E(x, y)` at points given from the host; one number per point, in the order of `y`. Uploads, compiles, runs and
/// waits: for evaluations and tests, not for loops.
///
/// # Errors
/// [`Error::Shape`] if the points do not fit the energy, [`Error::Limit`], [`Error::DeviceLost`].
pub fn evaluate_energy(gpu: &Gpu, energy: &dyn Energy, points: &Points<'_>) -> Result<Vec<f32>> {
    let mut recording = Recording::tuned("gibbs/evaluate energy", gpu.target());
    let (context, y, bindings) = points.record(gpu, &mut recording)?;
    let value = energy.record_value(&mut recording, context, y)?;
    let bindings = bindings.merge(&energy.bindings()).only(&recording);
    let [values] = run_and_read(gpu, &mut recording, [value], bindings)?;
    Ok(values)
}

/// Evaluates `dE/dy` at points given from the host, in the order of `y`. As [`evaluate_energy`].
///
/// # Errors
/// As [`evaluate_energy`].
pub fn evaluate_gradient(gpu: &Gpu, energy: &dyn Energy, points: &Points<'_>) -> Result<Vec<f32>> {
    let mut recording = Recording::tuned("gibbs/evaluate gradient", gpu.target());
    let (context, y, bindings) = points.record(gpu, &mut recording)?;
    let value = energy.record_gradient(&mut recording, context, y)?;
    let bindings = bindings.merge(&energy.bindings()).only(&recording);
    let [values] = run_and_read(gpu, &mut recording, [value], bindings)?;
    Ok(values)
}
