//! The end of a training step: its metrics and the next step's number in one dispatch
//! (`shaders/gpu/run/finish_step.wgsl`).

use super::metrics::{CAPACITY, RingHeader};
use crate::gpu::{DType, KernelSource, MetricsRing, Recording, RunState, Value, embedded_kernel};
use crate::{Error, Result};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("gpu/run/finish_step.wgsl");

/// Stands for "no slot".
pub(in crate::gpu) const NONE: u32 = u32::MAX;

/// Numbers within a value: number `i` is its element `first + stride * i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Where they lie.
    pub value: Value,
    /// Element of the first.
    pub first: usize,
    /// Elements from one to the next.
    pub stride: usize,
    /// How many.
    pub count: usize,
}

impl Column {
    /// All elements of a value.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value belongs to another recording.
    pub fn all(recording: &Recording, value: Value) -> Result<Self> {
        Ok(Self { value, first: 0, stride: 1, count: recording.shape(value)?.len() })
    }

    /// Checks that it lies within its value and is not empty.
    ///
    /// # Errors
    /// [`Error::Argument`] if not.
    pub fn check(&self, recording: &Recording, operation: &str) -> Result<()> {
        let shape = recording.shape(self.value)?;
        let elements = shape.rows().saturating_mul(shape.stride());
        let last = self.count.saturating_sub(1).checked_mul(self.stride);
        let last = last.and_then(|offset| offset.checked_add(self.first));
        if self.count > 0 && last.is_some_and(|last| last < elements && last < u32::MAX as usize) {
            return Ok(());
        }
        let problem = format!(
            "takes {} numbers from element {} on, {} apart, of {elements}; it needs at least one, all inside",
            self.count, self.first, self.stride
        );
        Err(Error::argument(operation, "a column", problem))
    }
}

/// What an optimizer step leaves in the metrics.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// What the optimizer prepared the step with, an `OptimizerStep` of room `nn`.
    pub prepared: Value,
    /// Metric that takes the mean loss, if losses were watched.
    pub loss: Option<&'a str>,
    /// Metric that takes the norm of the gradient.
    pub norm: &'a str,
}

impl MetricsRing {
    /// Records the end of a step: the reports' norms and mean losses and the mean of `column`
    /// become this step's values of their metrics, and the run goes on to the next step as
    /// [`RunState::record_advance`] has it. A column with a non-finite element latches the step.
    /// One dispatch.
    ///
    /// * `reports`: one or two; `column`: a metric and its numbers.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown name, no or more than two reports, or a column outside
    /// its value.
    pub fn record_finish(
        &self,
        recording: &mut Recording,
        reports: &[StepReport<'_>],
        column: Option<(&str, Column)>,
    ) -> Result<()> {
        let (first, second) = match *reports {
            [only] => (only, None),
            [first, second] => (first, Some(second)),
            _ => {
                let problem = format!("are {}; give one or two", reports.len());
                return Err(Error::argument("finish step", "the reports", problem));
            }
        };
        let slot = |name: Option<&str>| name.map_or(Ok(NONE), |name| self.slot(name));
        let (column_slot, column) = match column {
            Some((name, column)) => {
                column.check(recording, "finish step")?;
                (self.slot(name)?, column)
            }
            None => (NONE, Column { value: first.prepared, first: 0, stride: 1, count: 0 }),
        };
        let columns = RingHeader::WORDS + self.names().len();
        let ring = recording.slot(Self::RING_SLOT, DType::U32, [CAPACITY, columns])?;
        let latch = Self::latch_value(recording)?;
        let state = RunState::value(recording)?;
        recording
            .dispatch(&KERNEL, "finish step")
            .bind("first", first.prepared)
            .bind("second", second.unwrap_or(first).prepared)
            .bind("column", column.value)
            .bind("state", state)
            .bind("ring", ring)
            .bind("latch", latch)
            .set("count", column.count as u32)
            .set("column_first", column.first as u32)
            .set("column_stride", column.stride as u32)
            .set("column_slot", column_slot)
            .set("first_loss_slot", slot(first.loss)?)
            .set("first_norm_slot", self.slot(first.norm)?)
            .set("second_loss_slot", slot(second.and_then(|report| report.loss))?)
            .set("second_norm_slot", slot(second.map(|report| report.norm))?)
            .set("capacity", CAPACITY as u32)
            .set("columns", columns as u32)
            .workgroups([1, 1, 1])
            .finish()
    }
}
