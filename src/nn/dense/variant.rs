//! What a variant of a dense operation is: its kernel, its block, and where it runs.
//!
//! A variant in a shader of its own computes the same from the same bindings and parameters as the
//! portable kernel, and its file is named like that with a suffix (`dense_forward_tiled.wgsl`).

use std::ops::RangeInclusive;

use super::blocks::{LaneBlock, RowBlock};
use crate::Result;
use crate::gpu::{
    DeviceClass, DispatchBuilder, KernelSource, OptionalPath, OptionalPaths, Recording, SharedConstant,
    Target, Value, pad4, shared_constant,
};
use crate::nn::network::layout::ParameterSlice;

/// An operation of dense layers that has several kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseOperation {
    /// `shaders/nn/dense/dense_forward.wgsl`.
    Forward,
    /// `shaders/nn/dense/dense_input_gradient.wgsl`.
    InputGradient,
    /// `shaders/nn/dense/dense_weight_gradient.wgsl`.
    WeightGradient,
}

/// Sizes of a dense operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DenseSize {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    /// Row ranges that are summed separately: 1 but for the gradient of the weights.
    pub splits: usize,
}

/// Rows and columns of a workgroup's tile, of every tiled kernel.
const TILE: usize = 64;

/// How a variant lays its work out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// A block of rows and columns per invocation.
    Rows(RowBlock),
    /// A block of weights per invocation, its lanes along the wider side.
    Lanes(LaneBlock),
    /// A tile in workgroup memory per workgroup.
    Tile,
    /// A block of rows by `8 x columns4` vec4s per subgroup of 8, whose lanes lie along columns.
    Shared { rows: u32, columns4: u32 },
    /// A block of vec4s of inputs by `8 x lane4` vec4s of outputs per subgroup of 8, whose lanes
    /// lie along outputs.
    SharedLanes { inputs4: u32, lane4: u32 },
}

/// Lanes of the subgroups of [`Block::Shared`] and [`Block::SharedLanes`].
pub(super) const SHARED_BY: usize = 8;
/// Largest uniform buffer that every device binds.
pub(super) const UNIFORM_BYTES: usize = 64 << 10;

/// One way to run a dense operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variant {
    pub operation: DenseOperation,
    pub kernel: KernelSource,
    pub block: Block,
    /// The class of devices whose table holds it; it is correct on every class.
    pub class: DeviceClass,
    /// Optional paths that it needs.
    pub paths: OptionalPaths,
    /// The size that all subgroups must have for it.
    pub subgroup_size: Option<u32>,
    /// Sizes that the table gives it, unless a row further up takes them.
    rows: RangeInclusive<usize>,
    /// The same of what the operation writes: the narrower side of the weights for their gradient.
    columns: RangeInclusive<usize>,
    /// Widths at which measuring tries it, whatever the number of rows.
    tried: RangeInclusive<usize>,
    /// The least width of both inputs and outputs.
    narrowest: usize,
}

pub(in crate::nn) fn shared_constants() -> Vec<SharedConstant> {
    let tile4 = TILE as f64 / 4.0;
    vec![
        shared_constant("lib/tile.wgsl", "TILE_ROWS", TILE as f64),
        shared_constant("lib/tile.wgsl", "TILE_COLUMNS4", tile4),
        shared_constant("nn/dense/dense_weight_gradient_tiled.wgsl", "TILE4", tile4),
    ]
}

pub(super) const MAX: usize = usize::MAX;

/// A row for any size, to be narrowed down.
pub(super) fn row(
    operation: DenseOperation,
    class: DeviceClass,
    kernel: &KernelSource,
    block: Block,
) -> Variant {
    Variant {
        operation,
        kernel: kernel.clone(),
        block,
        class,
        paths: OptionalPaths::NONE,
        subgroup_size: None,
        rows: 0..=MAX,
        columns: 0..=MAX,
        tried: 0..=MAX,
        narrowest: 0,
    }
}

impl Variant {
    pub(super) fn rows(self, rows: RangeInclusive<usize>) -> Self {
        Self { rows, ..self }
    }

    pub(super) fn columns(self, columns: RangeInclusive<usize>) -> Self {
        Self { tried: columns.clone(), columns, ..self }
    }

    pub(super) fn tried(self, tried: RangeInclusive<usize>) -> Self {
        Self { tried, ..self }
    }

    pub(super) fn narrowest(self, narrowest: usize) -> Self {
        Self { narrowest, ..self }
    }

    /// Takes it only where a path is on and, with `subgroup_size`, all subgroups have that size.
    pub(super) fn needing(self, path: OptionalPath, subgroup_size: Option<u32>) -> Self {
        Self { paths: self.paths.with(path), subgroup_size, ..self }
    }

    /// Its name in tuning files and checkpoints: what follows the operation in the name of its
    /// shader, `portable` for nothing, and its block: invocations of a workgroup, those along
    /// columns, rows and columns of an invocation (of a lane and across lanes for the gradient of
    /// the weights).
    pub(crate) fn name(&self) -> String {
        let suffix = self.kernel.stem().trim_start_matches(self.operation.stem()).trim_start_matches('_');
        let file = if suffix.is_empty() { "portable" } else { suffix };
        match self.block {
            Block::Rows(b) => {
                format!("{file} w{} l{} {}x{}", b.workgroup, b.lane_columns, b.rows, 4 * b.columns4)
            }
            Block::Lanes(b) => format!("{file} w{} {}x{}", b.workgroup, 4 * b.lane4, 4 * b.uniform4),
            Block::Tile => format!("{file} {TILE}x{TILE}"),
            Block::Shared { rows, columns4 } => format!("{file} {rows}x{}", 32 * columns4),
            Block::SharedLanes { inputs4, lane4 } => format!("{file} {}x{}", 4 * inputs4, 32 * lane4),
        }
    }

    /// The defines of its block.
    pub(crate) fn defines(&self, size: DenseSize) -> Vec<(&'static str, u32)> {
        match self.block {
            Block::Rows(block) => block.defines().into(),
            Block::Lanes(block) => block.defines(size.lanes_on_outputs()).into(),
            Block::Tile => Vec::new(),
            Block::Shared { rows, columns4 } => vec![("ROW_BLOCK", rows), ("COLUMN_BLOCK4", columns4)],
            Block::SharedLanes { inputs4, lane4 } => vec![("INPUT_BLOCK4", inputs4), ("LANE_BLOCK4", lane4)],
        }
    }

    /// Workgroups.
    pub(crate) fn grid(&self, size: DenseSize) -> [usize; 3] {
        let DenseSize { rows, inputs, outputs, splits } = size;
        let tiles = |columns: usize| (pad4(columns) / 4).div_ceil(TILE / 4);
        match (self.block, self.operation) {
            (Block::Rows(block), _) => block.grid(rows, size.columns(self.operation)),
            (Block::Lanes(block), _) => {
                let (lanes, uniform) =
                    if size.lanes_on_outputs() { (outputs, inputs) } else { (inputs, outputs) };
                block.grid(lanes, uniform, splits)
            }
            (Block::Tile, DenseOperation::WeightGradient) => [tiles(outputs), tiles(inputs), splits],
            (Block::Tile, _) => [rows.div_ceil(TILE), tiles(size.columns(self.operation)), 1],
            (Block::Shared { rows: block, columns4 }, _) => {
                let columns = pad4(size.columns(self.operation)) / 4;
                [rows.div_ceil(block as usize), columns.div_ceil(SHARED_BY * columns4 as usize), 1]
            }
            (Block::SharedLanes { inputs4, lane4 }, _) => {
                let across = (pad4(outputs) / 4).div_ceil(SHARED_BY * lane4 as usize);
                [across, inputs.div_ceil(4 * inputs4 as usize), splits]
            }
        }
    }

    /// Binds what a variant has beyond the portable kernel: a small matrix once more as a uniform
    /// buffer, which software renderers read several times faster than a storage buffer.
    pub(crate) fn bind_weights<'a>(
        &self,
        recording: &'a mut Recording,
        operation: &str,
        parameters: Value,
        weight: &ParameterSlice,
    ) -> Result<DispatchBuilder<'a>> {
        if !matches!(self.block, Block::Shared { .. }) {
            return Ok(recording.dispatch(&self.kernel, operation));
        }
        // Powers of two, so that matrices of many sizes share a pipeline.
        let length = (pad4(weight.rows) * weight.stride).next_power_of_two();
        let window = match 4 * length <= UNIFORM_BYTES {
            true => recording.window(parameters, weight.offset, [length])?,
            false => None,
        };
        let (uniform, length, weights) = match window {
            Some(window) => (1, length as u32 / 4, window),
            // What is not read must still be bound.
            None => (0, 1, recording.constant("unused", [4], &[0.0f32; 4])?),
        };
        let dispatch = recording.dispatch(&self.kernel, operation).bind("weights", weights);
        Ok(dispatch.define("UNIFORM_WEIGHTS", uniform).define("WEIGHTS4", length))
    }

    /// Whether a device can run it.
    pub(super) fn runs_on(&self, target: &Target) -> bool {
        let size = self.subgroup_size.is_none_or(|size| target.subgroup_size == Some(size));
        self.paths.is_within(target.paths) && size
    }

    /// Whether the table offers it for this size.
    pub(super) fn fits(&self, size: DenseSize) -> bool {
        let wide = size.inputs.min(size.outputs) >= self.narrowest;
        wide && self.rows.contains(&size.rows) && self.columns.contains(&size.columns(self.operation))
    }

    pub(super) fn is_tried(&self, size: DenseSize) -> bool {
        let wide = size.inputs.min(size.outputs) >= self.narrowest;
        wide && self.tried.contains(&size.columns(self.operation))
    }
}

impl DenseSize {
    /// The width by which the table chooses.
    pub(super) fn columns(self, operation: DenseOperation) -> usize {
        match operation {
            DenseOperation::Forward => self.outputs,
            DenseOperation::InputGradient => self.inputs,
            DenseOperation::WeightGradient => self.inputs.min(self.outputs),
        }
    }

    fn lanes_on_outputs(self) -> bool {
        self.outputs >= self.inputs
    }
}

impl DenseOperation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Forward, Self::InputGradient, Self::WeightGradient];

    /// Its name in shape classes: the stem of the portable kernel.
    pub const fn stem(self) -> &'static str {
        match self {
            Self::Forward => "dense_forward",
            Self::InputGradient => "dense_input_gradient",
            Self::WeightGradient => "dense_weight_gradient",
        }
    }
}
