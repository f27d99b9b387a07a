//! The variants of the three dense operations: what each needs, and which sizes the table gives it.
//!
//! A variant is a row of its operation's table; one in a shader of its own computes the same from the same bindings and
//! parameters as the portable kernel, and its file is named like that with a suffix (`dense_forward_tiled.wgsl`).
//!
//! A software renderer pays about the same for every vec4 load and nothing for registers beyond the vector unit: it wants the
//! largest block that its compiler still unrolls, and compiles it for seconds, so small problems take smaller ones. A GPU has
//! some 200 registers per invocation and hides loads behind other invocations; where there is enough to do, tiles in workgroup
//! memory spare it most of them. The rows for GPUs are reasoned, not measured.

use std::ops::RangeInclusive;

use super::variants::{LaneBlock, RowBlock};
use super::{Slice, dense_forward, dense_input_gradient, dense_weight_gradient, measure};
use crate::Result;
use crate::gpu::{
    DeviceClass, DispatchBuilder, KernelSource, KernelVariant, OptionalPath, OptionalPaths, Recording,
    Target, Value, pad4, shape_class,
};

/// An operation of dense layers that has several kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseOperation {
    /// `shaders/nn/dense_forward.wgsl`.
    Forward,
    /// `shaders/nn/dense_input_gradient.wgsl`.
    InputGradient,
    /// `shaders/nn/dense_weight_gradient.wgsl`.
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
    /// A block of vec4s of inputs by `8 x lane4` vec4s of outputs per subgroup of 8, whose lanes lie along outputs.
    SharedLanes { inputs4: u32, lane4: u32 },
}

/// Lanes of the subgroups of [`Block::Shared`] and [`Block::SharedLanes`].
const SHARED_BY: usize = 8;
/// Largest uniform buffer that every device binds.
const UNIFORM_BYTES: usize = 64 << 10;

/// One way to run a dense operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variant {
    operation: DenseOperation,
    pub kernel: KernelSource,
    pub block: Block,
    /// The class of devices whose table holds it; it is correct on every class.
    class: DeviceClass,
    /// Optional paths that it needs.
    paths: OptionalPaths,
    /// The size that all subgroups must have for it.
    subgroup_size: Option<u32>,
    /// Sizes that the table gives it, unless a row further up takes them.
    rows: RangeInclusive<usize>,
    /// The same of what the operation writes: the narrower side of the weights for their gradient.
    columns: RangeInclusive<usize>,
    /// Widths at which measuring tries it, whatever the number of rows.
    tried: RangeInclusive<usize>,
    /// The least width of both inputs and outputs.
    narrowest: usize,
}

const MAX: usize = usize::MAX;

/// A row for any size, to be narrowed down.
fn row(operation: DenseOperation, class: DeviceClass, kernel: &KernelSource, block: Block) -> Variant {
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
    fn rows(self, rows: RangeInclusive<usize>) -> Self {
        Self { rows, ..self }
    }

    fn columns(self, columns: RangeInclusive<usize>) -> Self {
        Self { tried: columns.clone(), columns, ..self }
    }

    fn tried(self, tried: RangeInclusive<usize>) -> Self {
        Self { tried, ..self }
    }

    fn narrowest(self, narrowest: usize) -> Self {
        Self { narrowest, ..self }
    }

    /// Takes it only where a path is on and, with `subgroup_size`, all subgroups have that size.
    fn needing(self, path: OptionalPath, subgroup_size: Option<u32>) -> Self {
        Self { paths: self.paths.with(path), subgroup_size, ..self }
    }

    /// Its name in tuning files and checkpoints: what follows the operation in the name of its shader, `portable` for nothing,
    /// and its block: invocations of a workgroup, those along columns, rows and columns of an invocation (of a lane and across
    /// lanes for the gradient of the weights).
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

    /// Binds what a variant has beyond the portable kernel: a small matrix once more as a uniform buffer, which software renderers
    /// read several times faster than a storage buffer.
    pub(crate) fn bind_weights<'a>(
        &self,
        recording: &'a mut Recording,
        operation: &str,
        parameters: Value,
        weight: &Slice,
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
    fn runs_on(&self, target: &Target) -> bool {
        let size = self.subgroup_size.is_none_or(|size| target.subgroup_size == Some(size));
        self.paths.is_within(target.paths) && size
    }

    /// Whether the table offers it for this size.
    fn fits(&self, size: DenseSize) -> bool {
        let wide = size.inputs.min(size.outputs) >= self.narrowest;
        wide && self.rows.contains(&size.rows) && self.columns.contains(&size.columns(self.operation))
    }

    fn is_tried(&self, size: DenseSize) -> bool {
        let wide = size.inputs.min(size.outputs) >= self.narrowest;
        wide && self.tried.contains(&size.columns(self.operation))
    }
}

impl DenseSize {
    /// The width by which the table chooses.
    fn columns(self, operation: DenseOperation) -> usize {
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

    /// Names of all its variants that a target can run, those meant for other classes of devices included.
    pub fn variants(self, target: &Target) -> Vec<String> {
        self.table().iter().filter(|variant| variant.runs_on(target)).map(Variant::name).collect()
    }

    /// Its variants; the first that fits is the table's choice.
    pub(crate) fn table(self) -> Vec<Variant> {
        use DeviceClass::{Cpu, Gpu};
        let (portable, tiled, subgroup) = match self {
            Self::Forward => (dense_forward::KERNEL, dense_forward::TILED, dense_forward::SUBGROUP),
            Self::InputGradient => {
                use dense_input_gradient::{KERNEL, SUBGROUP, TILED};
                (KERNEL, TILED, SUBGROUP)
            }
            Self::WeightGradient => {
                use dense_weight_gradient::{KERNEL, SUBGROUP, TILED};
                (KERNEL, TILED, SUBGROUP)
            }
        };
        let rows = |class, workgroup, lane_columns, rows, columns4| {
            row(self, class, &portable, Block::Rows(RowBlock { workgroup, lane_columns, rows, columns4 }))
        };
        let lanes = |class, workgroup, lane4, uniform4| {
            row(self, class, &portable, Block::Lanes(LaneBlock { workgroup, lane4, uniform4 }))
        };
        let tile = row(self, Gpu, &tiled, Block::Tile).rows(512..=MAX).narrowest(32);
        let shared =
            |block| row(self, Cpu, &subgroup, block).needing(OptionalPath::Subgroups, Some(SHARED_BY as u32));
        let by_rows = |rows, columns4| shared(Block::Shared { rows, columns4 });
        match self {
            Self::Forward | Self::InputGradient => vec![
                tile,
                rows(Gpu, 64, 1, 2, 1).columns(0..=4),
                rows(Gpu, 64, 8, 8, 1).columns(5..=MAX),
                rows(Cpu, 8, 1, 8, 1).rows(0..=512).columns(0..=4),
                rows(Cpu, 8, 1, 16, 1).columns(0..=4),
                by_rows(8, 1).rows(0..=512).columns(5..=32),
                by_rows(32, 1).columns(5..=32),
                by_rows(8, 2).rows(0..=512).columns(33..=64),
                by_rows(32, 2).columns(33..=64),
                // Matrices too large for a uniform buffer: more rows share their loads.
                by_rows(32, 4).rows(64..=MAX).columns(65..=MAX).narrowest(129),
                // Smaller blocks compile faster; with a few sums only, larger ones spare nothing.
                by_rows(16, 4).rows(513..=MAX).columns(65..=MAX).narrowest(5),
                by_rows(8, 4).columns(65..=MAX),
                rows(Cpu, 8, 8, 8, 1).rows(0..=512).columns(5..=32),
                rows(Cpu, 8, 8, 16, 1).columns(5..=32).tried(5..=64),
                rows(Cpu, 8, 8, 8, 4).rows(0..=512).columns(33..=MAX),
                rows(Cpu, 8, 8, 16, 4).rows(513..=4095).columns(33..=MAX),
                rows(Cpu, 8, 8, 32, 4).columns(33..=MAX),
            ],
            Self::WeightGradient => vec![
                tile,
                lanes(Gpu, 32, 1, 1).columns(0..=4),
                lanes(Gpu, 32, 1, 4).columns(5..=MAX),
                lanes(Cpu, 8, 4, 1).columns(0..=4),
                shared(Block::SharedLanes { inputs4: 16, lane4: 2 }).columns(33..=MAX),
                shared(Block::SharedLanes { inputs4: 8, lane4: 1 }).columns(5..=32),
                lanes(Cpu, 8, 4, 4).columns(5..=64),
                lanes(Cpu, 8, 4, 8),
            ],
        }
    }

    /// The table's choice.
    fn by_table(self, target: &Target, size: DenseSize) -> Result<Variant> {
        let fits = |variant: &Variant| {
            variant.class == target.class && variant.runs_on(target) && variant.fits(size)
        };
        self.table().into_iter().find(fits).ok_or_else(|| crate::Error::Unsupported {
            operation: self.stem().into(),
            reason: format!("no variant takes {size:?} on {:?}", target.class),
            hint: "this is a gap in the table; please report it".into(),
        })
    }

    /// What is worth measuring: the table's choice first, then what the table marks for these widths. Widths part the variants
    /// far more clearly than rows do.
    pub(super) fn candidates(self, target: &Target, size: DenseSize) -> Result<Vec<Variant>> {
        let mut all = vec![self.by_table(target, size)?];
        for variant in self.table() {
            let fits = variant.class == target.class && variant.runs_on(target) && variant.is_tried(size);
            if fits && !all.contains(&variant) {
                all.push(variant);
            }
        }
        Ok(all)
    }
}

/// Chooses the variant for an operation and notes it in the recording.
pub(super) fn choose(
    recording: &mut Recording,
    operation: DenseOperation,
    size: DenseSize,
) -> Result<Variant> {
    let target = recording.target();
    let class = shape_class(operation.stem(), [size.rows, size.inputs, size.outputs]);
    let mut variant = operation.by_table(target, size)?;
    if let Some(gpu) = &target.tuner {
        let named = gpu.tuner().choice(&class, || measure::measure(gpu, target, operation, size, &class))?;
        let known = |name: &String| {
            operation.table().into_iter().find(|known| known.name() == *name && known.runs_on(target))
        };
        match named.as_ref().map(|name| (name, known(name))) {
            Some((_, Some(known))) => variant = known,
            Some((name, None)) => gpu
                .tuner()
                .tell_once(&format!("tuning: {class}: this device has no `{name}`; the table chooses")),
            None => {}
        }
    }
    recording.note_variant(class, variant.name());
    Ok(variant)
}

/// Every variant of every operation, with the defines of its block, for each of which `choices` gives the others.
pub(super) fn kernels(
    choices: impl Fn(DenseOperation) -> Vec<Vec<(&'static str, u32)>>,
) -> Vec<KernelVariant> {
    let mut all = Vec::new();
    for operation in DenseOperation::ALL {
        for variant in operation.table() {
            // Lanes along outputs and along inputs are two pipelines.
            let sizes =
                [(1, 2), (2, 1)].map(|(inputs, outputs)| DenseSize { rows: 1, inputs, outputs, splits: 1 });
            let mut blocks: Vec<_> = sizes.map(|size| variant.defines(size)).into();
            blocks.dedup();
            if matches!(variant.block, Block::Shared { .. }) {
                // The matrix in a storage buffer, and as large as a uniform one may be.
                let most = (UNIFORM_BYTES / 16) as u32;
                blocks = [(0, 1), (1, most)]
                    .map(|(uniform, length)| {
                        let own = [("UNIFORM_WEIGHTS", uniform), ("WEIGHTS4", length)];
                        [blocks[0].clone(), own.to_vec()].concat()
                    })
                    .into();
            }
            for block in blocks {
                for choice in choices(operation) {
                    let kernel = KernelVariant::new(&variant.kernel, &[block.clone(), choice].concat());
                    let kernel = variant.paths.iter().fold(kernel, KernelVariant::needing);
                    let kernel =
                        variant.subgroup_size.into_iter().fold(kernel, KernelVariant::for_subgroups_of);
                    all.push(kernel.for_class(variant.class));
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out, because results must not change with an edit of the table that was not meant to.
    const CPU: [(DenseOperation, [usize; 3], &str); 16] = [
        (DenseOperation::Forward, [512, 64, 4], "portable w8 l1 8x4"),
        (DenseOperation::Forward, [513, 64, 1], "portable w8 l1 16x4"),
        (DenseOperation::Forward, [512, 64, 5], "portable w8 l8 8x4"),
        (DenseOperation::Forward, [100_000, 64, 32], "portable w8 l8 16x4"),
        (DenseOperation::Forward, [1, 64, 33], "portable w8 l8 8x16"),
        (DenseOperation::Forward, [513, 4, 33], "portable w8 l8 16x16"),
        (DenseOperation::Forward, [4095, 64, 4096], "portable w8 l8 16x16"),
        (DenseOperation::Forward, [4096, 64, 64], "portable w8 l8 32x16"),
        (DenseOperation::InputGradient, [512, 4, 64], "portable w8 l1 8x4"),
        (DenseOperation::InputGradient, [513, 32, 64], "portable w8 l8 16x4"),
        (DenseOperation::InputGradient, [4096, 64, 4], "portable w8 l8 32x16"),
        (DenseOperation::WeightGradient, [1, 4, 64], "portable w8 16x4"),
        (DenseOperation::WeightGradient, [9999, 64, 5], "portable w8 16x16"),
        (DenseOperation::WeightGradient, [9999, 64, 64], "portable w8 16x16"),
        (DenseOperation::WeightGradient, [9999, 65, 65], "portable w8 16x32"),
        (DenseOperation::WeightGradient, [1, 4096, 1024], "portable w8 16x32"),
    ];

    fn size([rows, inputs, outputs]: [usize; 3]) -> DenseSize {
        DenseSize { rows, inputs, outputs, splits: 1 }
    }

    #[test]
    fn the_table_chooses_as_written_here() {
        for (operation, shape, name) in CPU {
            let target = DeviceClass::Cpu.into();
            let chosen = operation.by_table(&target, size(shape)).unwrap();
            assert_eq!(chosen.name(), name, "{operation:?} {shape:?}");
        }
        for (shape, name) in [
            ([512, 32, 32], "tiled 64x64"),
            ([511, 64, 64], "portable w64 l8 8x4"),
            ([9999, 31, 64], "portable w64 l8 8x4"),
            ([9999, 64, 4], "portable w64 l1 2x4"),
        ] {
            let target = DeviceClass::Gpu.into();
            let chosen = DenseOperation::Forward.by_table(&target, size(shape)).unwrap();
            assert_eq!(chosen.name(), name, "{shape:?}");
        }
    }

    #[test]
    fn every_size_has_a_choice_and_candidates_begin_with_it() {
        for class in [DeviceClass::Cpu, DeviceClass::Gpu] {
            let target = Target::from(class);
            for operation in DenseOperation::ALL {
                for rows in [1, 512, 513, 4095, 4096, 100_000] {
                    for inputs in [1, 4, 5, 32, 33, 64, 65, 4096] {
                        for outputs in [1, 4, 5, 32, 33, 64, 65, 4096] {
                            let size = size([rows, inputs, outputs]);
                            let chosen = operation.by_table(&target, size).unwrap();
                            let candidates = operation.candidates(&target, size).unwrap();
                            assert_eq!(candidates[0], chosen);
                            assert!(candidates.len() <= 4, "{candidates:?}");
                            assert!(candidates.iter().all(|c| c.class == class));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn names_tell_the_variants_of_an_operation_apart() {
        for operation in DenseOperation::ALL {
            let mut names: Vec<_> = operation.table().iter().map(Variant::name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), operation.table().len(), "{names:?}");
        }
    }

    #[test]
    fn a_variant_runs_only_where_its_needs_are_met() {
        let operation = DenseOperation::Forward;
        let free = row(operation, DeviceClass::Cpu, &dense_forward::KERNEL, Block::Tile);
        let bound = free.clone().needing(OptionalPath::Timestamps, Some(8));
        let plain = Target::from(DeviceClass::Cpu);
        let paths = OptionalPaths::NONE.with(OptionalPath::Timestamps);
        let other = Target { paths, subgroup_size: Some(32), ..plain.clone() };
        let meant = Target { subgroup_size: Some(8), ..other.clone() };
        assert!(free.runs_on(&plain));
        assert_eq!([&plain, &other, &meant].map(|target| bound.runs_on(target)), [false, false, true]);
    }
}
