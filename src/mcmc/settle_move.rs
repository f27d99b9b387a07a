//! Moves of unadjusted Langevin dynamics settled: taken, or refused beyond a wall
//! (`shaders/mcmc/settle_move.wgsl`).

use super::begin_chains::energy_stride;
use super::chain_inputs::{Extent, check_dims};
use super::keep_sample;
use crate::Result;
use crate::gpu::{
    DType, KernelSource, Recording, Shape, SharedConstant, StructLayout, Value, embedded_kernel,
    shared_constant, shared_struct,
};

/// The kernel.
pub const KERNEL: KernelSource = embedded_kernel!("mcmc/settle_move.wgsl");

shared_struct! {
    /// What a chain remembers between steps, in front of its last good point and `dE/dy` there.
    pub struct SettledChain in "mcmc/settle_move.wgsl" {
        /// Refused moves so far.
        refused: f32,
        /// 1 if the start, its energy or its gradient is not finite: the chain never moves.
        dead: f32,
    }
}

pub(super) fn shared_structs() -> Vec<StructLayout> {
    vec![SettledChain::layout()]
}

pub(super) fn shared_constants() -> Vec<SharedConstant> {
    vec![shared_constant("mcmc/settle_move.wgsl", "SETTLED_WORDS", SettledChain::WORDS as f64)]
}

/// Chains whose moves are settled.
#[derive(Clone, Copy, Debug)]
pub struct SettledChains {
    /// Per row a [`SettledChain`], the last good point and its gradient,
    /// `[rows, SettledChain::WORDS + 2 dims]`.
    pub memory: Value,
    dims: usize,
}

impl SettledChains {
    /// Records settling the starts: a start whose energy or gradient is not finite makes a dead
    /// chain, NaN from then on. One dispatch.
    ///
    /// * `energy`: one number per row; `gradient`, `y`: `[.., dims]`, `y` written.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if shapes do not fit, [`crate::Error::Argument`] for more dimensions
    /// than an invocation may walk through.
    pub fn begin(recording: &mut Recording, energy: (Value, Value), y: Value) -> Result<Self> {
        let shape = recording.shape(y)?;
        let extent = Extent { rows: shape.rows(), dims: shape.width() };
        check_dims("langevin", extent.dims)?;
        let words = SettledChain::WORDS + 2 * extent.dims;
        let memory = recording.scratch("settled chains", DType::F32, [extent.rows, words]);
        let chains = Self { memory, dims: extent.dims };
        chains.dispatch(recording, energy, y, true)?;
        Ok(chains)
    }

    /// Records settling where a step led: a point whose energy or gradient is not finite is
    /// refused, and `y` is the last good one again. One dispatch.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if shapes do not fit.
    pub fn settle(&self, recording: &mut Recording, energy: (Value, Value), y: Value) -> Result<()> {
        self.dispatch(recording, energy, y, false)
    }

    /// The columns of `memory` that hold `dE/dy` at the chains' points.
    pub fn gradient_columns(&self) -> std::ops::Range<usize> {
        let first = SettledChain::WORDS + self.dims;
        first..first + self.dims
    }

    /// Records the number of refused moves of each chain, of the shape of `y` without its last
    /// dimension, as floats. One dispatch.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if shapes do not fit.
    pub fn record_refused(&self, recording: &mut Recording, y: Value) -> Result<Value> {
        let shape = recording.shape(y)?.clone();
        let (_, chains) = shape.dims().split_last().unwrap_or((&1, &[]));
        let refused = recording.scratch("refused", DType::F32, Shape::new(chains));
        let column = std::mem::offset_of!(SettledChain, refused) / 4;
        keep_sample::record(recording, self.memory, column..column + 1, refused, 0)?;
        Ok(refused)
    }

    fn dispatch(
        &self,
        recording: &mut Recording,
        (energy, gradient): (Value, Value),
        y: Value,
        first: bool,
    ) -> Result<()> {
        let shape = recording.shape(y)?.clone();
        let gradient = recording.plain_input("settle move", gradient, shape.clone())?;
        let energy_stride = energy_stride(recording, energy, shape.rows())?;
        recording
            .dispatch(&KERNEL, "settle move")
            .bind("energy", energy)
            .bind("gradient", gradient)
            .bind("y", y)
            .bind("memory", self.memory)
            .set("rows", shape.rows() as u32)
            .set("dims", shape.width() as u32)
            .set("energy_stride", energy_stride)
            .set("first", u32::from(first))
            .invocations(shape.rows())
            .finish()
    }
}
