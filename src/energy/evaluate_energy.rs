//! Energies of points given from the host.

use super::traits::Energy;
use crate::Result;
use crate::gpu::run::points::run_and_read;
use crate::gpu::{Gpu, Points};

/// Evaluates `E(x, y)` at points given from the host; one number per point, in the order of `y`.
/// Uploads, compiles, runs and waits: for evaluations and tests, not for loops.
///
/// # Errors
/// [`crate::Error::Shape`] if the points do not fit the energy, [`crate::Error::Limit`],
/// [`crate::Error::DeviceLost`].
pub fn evaluate_energy(gpu: &Gpu, energy: &dyn Energy, points: &Points<'_>) -> Result<Vec<f32>> {
    let mut recording = gpu.record("gibbs/evaluate energy");
    recording.provide_all(&energy.bindings());
    let (context, y) = points.record(gpu, &mut recording)?;
    let value = energy.record_value(&mut recording, context, y)?;
    let [values] = run_and_read(gpu, &mut recording, [value])?;
    Ok(values)
}

/// Evaluates `dE/dy` at points given from the host, in the order of `y`. As [`evaluate_energy`].
///
/// # Errors
/// As [`evaluate_energy`].
pub fn evaluate_gradient(gpu: &Gpu, energy: &dyn Energy, points: &Points<'_>) -> Result<Vec<f32>> {
    let mut recording = gpu.record("gibbs/evaluate gradient");
    recording.provide_all(&energy.bindings());
    let (context, y) = points.record(gpu, &mut recording)?;
    let value = energy.record_gradient(&mut recording, context, y)?;
    let [values] = run_and_read(gpu, &mut recording, [value])?;
    Ok(values)
}
