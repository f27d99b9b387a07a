//! Noised samples of a training step (`shaders/diffusion/add_noise.wgsl`).

use super::NoiseSchedule;
use crate::gpu::run::random::check_elements;
use crate::gpu::{DType, KernelSource, Recording, RunState, Shape, Value, embedded_kernel, shared_struct};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("diffusion/add_noise.wgsl");

/// Levels in a table: times are drawn from the middles of as many equal parts of their range.
pub const LEVELS: usize = 16384;

shared_struct! {
    /// A level of the forward process: `x_t = alpha x_0 + sigma z` at `time`.
    pub(super) struct LevelRow in "diffusion/add_noise.wgsl" {
        time: f32,
        alpha: f32,
        sigma: f32,
    }
}

/// What is noised.
#[derive(Clone, Copy, Debug)]
pub struct Samples {
    /// Rows whose first `dims` numbers are a sample; the others, for example its energy, are left
    /// alone.
    pub rows: Value,
    /// How many rows are taken, in memory order: `groups * size`.
    pub groups: usize,
    /// Rows that share a time.
    pub size: usize,
    /// Numbers per row in memory.
    pub stride: usize,
    /// Numbers per sample.
    pub dims: usize,
}

/// Noised samples.
#[derive(Clone, Copy, Debug)]
pub struct NoisedSamples {
    /// `[groups, size, dims]`: `x_t`.
    pub x: Value,
    /// `[groups, 1]`: the time of each group.
    pub time: Value,
    /// Packed `[groups * size, dims]`: what is to be predicted, if anything.
    pub target: Option<Value>,
}

/// What of a noised sample is kept for a network to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenoisingTarget {
    /// Nothing: for energies.
    Nothing,
    /// The noise that was added.
    Noise,
    /// The sample without its noise.
    Sample,
}

/// Records `x_t = alpha_t x_0 + sigma_t z` with one time per group, drawn on the device uniformly
/// between `times`, at one of [`LEVELS`] levels whose numbers come from f64. Two streams,
/// `<stream>/time` and `<stream>/noise`; one dispatch.
///
/// # Errors
/// [`Error::Argument`] for empty groups or times outside the schedule, [`Error::Shape`] if rows are
/// missing.
pub fn record(
    recording: &mut Recording,
    samples: &Samples,
    schedule: &NoiseSchedule,
    times: [f64; 2],
    target: DenoisingTarget,
    stream: &str,
) -> Result<NoisedSamples> {
    let Samples { rows: source, groups, size, stride, dims } = *samples;
    schedule.check()?;
    check_times(schedule, times)?;
    let rows = groups.saturating_mul(size);
    if rows == 0 || dims == 0 || dims > stride {
        let problem =
            format!("are {groups} of {size} with {dims} of {stride} numbers; all must be at least 1");
        return Err(Error::argument("add noise", "the groups", problem));
    }
    let found = recording.shape(source)?.clone();
    if found.len() != rows.saturating_mul(stride) {
        let expected = format!("{rows} rows of {stride}");
        return Err(Error::shape(
            "add noise",
            "the samples",
            found,
            expected,
            "give the rows of every group",
        ));
    }
    let blocks = rows.saturating_mul(dims.div_ceil(4));
    check_elements("add noise", blocks)?;
    let table: Vec<LevelRow> = schedule
        .levels(times[0], times[1], LEVELS)
        .map(|level| LevelRow {
            time: level.time as f32,
            alpha: level.alpha() as f32,
            sigma: level.sigma() as f32,
        })
        .collect();
    let numbers: &[f32] = bytemuck::cast_slice(&table);
    let table = recording.constant("noise levels", [LEVELS, LevelRow::WORDS], numbers)?;
    let time_stream = recording.stream(&format!("{}/time", stream))?;
    let noise_stream = recording.stream(&format!("{}/noise", stream))?;
    let x = recording.scratch("noised", DType::F32, [groups, size, dims]);
    let time = recording.scratch("times", DType::F32, [groups, 1]);
    let (keep, kept) = match target {
        DenoisingTarget::Nothing => (0, recording.scratch("no target", DType::F32, [4])),
        DenoisingTarget::Noise => (1, recording.scratch("noise", DType::F32, Shape::packed(rows, dims))),
        DenoisingTarget::Sample => {
            (2, recording.scratch("without noise", DType::F32, Shape::packed(rows, dims)))
        }
    };
    let state = RunState::value(recording)?;
    recording
        .dispatch(&KERNEL, "add noise")
        .define("KEEP", keep)
        .bind("samples", source)
        .bind("levels", table)
        .bind("state", state)
        .bind("x", x)
        .bind("time", time)
        .bind("kept", kept)
        .set("rows", rows as u32)
        .set("dims", dims as u32)
        .set("size", size as u32)
        .set("stride", stride as u32)
        .set("level_count", LEVELS as u32)
        .set("stream", noise_stream)
        .set("time_stream", time_stream)
        .invocations(blocks)
        .finish()?;
    Ok(NoisedSamples { x, time, target: (target != DenoisingTarget::Nothing).then_some(kept) })
}

/// Checks a range of times to train on.
///
/// # Errors
/// [`Error::Argument`] unless 0 <= first <= last <= the schedule's end. At 0 there is no noise: an
/// energy can be learned there, and noise cannot be predicted better than by 0.
pub fn check_times(schedule: &NoiseSchedule, [first, last]: [f64; 2]) -> Result<()> {
    if first >= 0.0 && first <= last && last <= schedule.end() {
        return Ok(());
    }
    let problem = format!("are {first} to {last}, allowed are 0 to {} in order", schedule.end());
    Err(Error::argument("diffusion", "the times", problem))
}
