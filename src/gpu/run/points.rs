//! Points given from the host, and results read back: one-off evaluations.

use crate::gpu::{Gpu, Recording, Tensor, Value};
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
    pub(crate) fn record(&self, gpu: &Gpu, recording: &mut Recording) -> Result<(Option<Value>, Value)> {
        let count = self.per_context()?;
        let context = match self.context.is_empty() {
            true => None,
            false => {
                let shape = [self.contexts, self.context.len() / self.contexts];
                Some(recording.tensor(&Tensor::from_slice(gpu, "context", shape, self.context)?)?)
            }
        };
        let y = Tensor::from_slice(gpu, "y", [self.contexts, count, self.dims], self.y)?;
        Ok((context, recording.tensor(&y)?))
    }
}

/// Compiles a recording with these results, runs it once and reads each: `rows` numbers of `width`,
/// in plain rows.
pub(crate) fn run_and_read<const N: usize>(
    gpu: &Gpu,
    recording: &mut Recording,
    values: [Value; N],
) -> Result<[Vec<f32>; N]> {
    let mut results = Vec::with_capacity(N);
    for (index, value) in values.into_iter().enumerate() {
        results.push(recording.output(gpu, value, &format!("result {index}"))?);
    }
    recording.compile_bound(gpu)?.run(1)?;
    let mut read = [const { Vec::new() }; N];
    for (read, tensor) in read.iter_mut().zip(&results) {
        *read = gpu.read(tensor)?;
    }
    Ok(read)
}
