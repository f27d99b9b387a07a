//! The variants of the three dense operations: what each needs, and which sizes the table gives it.
//!
//! A software renderer pays about the same for every vec4 load and nothing for registers beyond the
//! vector unit: it wants the largest block that its compiler still unrolls, and compiles it for
//! seconds, so small problems take smaller ones. A GPU has some 200 registers per invocation and
//! hides loads behind other invocations; where there is enough to do, tiles in workgroup memory
//! spare it most of them. The rows for GPUs are reasoned, not measured.

use super::blocks::{LaneBlock, RowBlock};
use super::variant::{Block, DenseOperation, DenseSize, MAX, SHARED_BY, UNIFORM_BYTES, Variant, row};
use super::{dense_forward, dense_input_gradient, dense_weight_gradient};
use crate::Result;
use crate::gpu::{DeviceClass, KernelVariant, OptionalPath, Target};

impl DenseOperation {
    /// Names of all its variants that a target can run, those meant for other classes of devices
    /// included.
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
    pub(super) fn by_table(self, target: &Target, size: DenseSize) -> Result<Variant> {
        let fits = |variant: &Variant| {
            variant.class == target.class && variant.runs_on(target) && variant.fits(size)
        };
        self.table().into_iter().find(fits).ok_or_else(|| crate::Error::Unsupported {
            operation: self.stem().into(),
            reason: format!("no variant takes {size:?} on {:?}", target.class),
            hint: "this is a gap in the table; please report it".into(),
        })
    }

    /// What is worth measuring: the table's choice first, then what the table marks for these
    /// widths. Widths part the variants far more clearly than rows do.
    pub(in crate::nn) fn candidates(self, target: &Target, size: DenseSize) -> Result<Vec<Variant>> {
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

/// Every variant of every operation, with the defines of its block, for each of which `choices`
/// gives the others.
pub(in crate::nn) fn kernels(
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
                let max = (UNIFORM_BYTES / 16) as u32;
                blocks = [(0, 1), (1, max)]
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
    use crate::gpu::OptionalPaths;

    /// Written out, because results must not change with an edit of the table that was not meant
    /// to.
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
