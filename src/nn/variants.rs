//! Which block sizes the dense kernels take: a fixed table by device class and shape, so that results do not depend on
//! measurements.
//!
//! A software renderer pays about the same for every vec4 load and nothing for registers beyond the vector unit: it wants the
//! largest block that its compiler still unrolls, and compiles it for seconds, so small problems take smaller ones. A GPU has
//! some 200 registers per invocation and hides loads behind other invocations.

use crate::gpu::{DeviceClass, pad4};

/// Rows and columns per invocation of the kernels that write `[rows, columns]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowBlock {
    /// Invocations per workgroup.
    pub workgroup: u32,
    /// Invocations of a workgroup side by side along columns; the others lie along rows.
    pub lane_columns: u32,
    /// Rows per invocation.
    pub rows: u32,
    /// Columns per invocation, in vec4s.
    pub columns4: u32,
}

const fn rows(workgroup: u32, lane_columns: u32, rows: u32, columns4: u32) -> RowBlock {
    RowBlock { workgroup, lane_columns, rows, columns4 }
}

impl RowBlock {
    /// Every block that [`RowBlock::choose`] can return.
    pub(crate) const ALL: [RowBlock; 9] = [
        rows(8, 1, 8, 1),
        rows(8, 1, 16, 1),
        rows(8, 8, 8, 1),
        rows(8, 8, 16, 1),
        rows(8, 8, 8, 4),
        rows(8, 8, 16, 4),
        rows(8, 8, 32, 4),
        rows(64, 1, 2, 1),
        rows(64, 8, 8, 1),
    ];

    pub(crate) fn choose(class: DeviceClass, row_count: usize, columns: usize) -> Self {
        match (class, row_count, columns) {
            (DeviceClass::Gpu, _, 0..=4) => rows(64, 1, 2, 1),
            (DeviceClass::Gpu, _, _) => rows(64, 8, 8, 1),
            (DeviceClass::Cpu, 0..=512, 0..=4) => rows(8, 1, 8, 1),
            (DeviceClass::Cpu, _, 0..=4) => rows(8, 1, 16, 1),
            (DeviceClass::Cpu, 0..=512, 5..=32) => rows(8, 8, 8, 1),
            (DeviceClass::Cpu, _, 5..=32) => rows(8, 8, 16, 1),
            (DeviceClass::Cpu, 0..=512, _) => rows(8, 8, 8, 4),
            (DeviceClass::Cpu, 513..=4095, _) => rows(8, 8, 16, 4),
            (DeviceClass::Cpu, _, _) => rows(8, 8, 32, 4),
        }
    }

    /// The defines of the kernels that take it.
    pub(crate) fn defines(self) -> [(&'static str, u32); 4] {
        [
            ("WORKGROUP", self.workgroup),
            ("LANE_COLUMNS", self.lane_columns),
            ("ROW_BLOCK", self.rows),
            ("COLUMN_BLOCK4", self.columns4),
        ]
    }

    pub(crate) fn grid(self, row_count: usize, columns: usize) -> [usize; 3] {
        let rows_per_group = (self.workgroup / self.lane_columns * self.rows) as usize;
        let columns4_per_group = (self.lane_columns * self.columns4) as usize;
        [row_count.div_ceil(rows_per_group), (pad4(columns) / 4).div_ceil(columns4_per_group), 1]
    }
}

/// Block sizes of the weight gradient, whose lanes run along the wider operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneBlock {
    /// Invocations per workgroup.
    pub workgroup: u32,
    /// Whether lanes run along outputs (else inputs).
    pub lanes_on_outputs: bool,
    /// vec4s per invocation along the lanes.
    pub lane4: u32,
    /// vec4s per invocation of the other operand, read at addresses that all lanes share.
    pub uniform4: u32,
}

impl LaneBlock {
    /// Every block that [`LaneBlock::choose`] can return.
    pub(crate) fn all() -> Vec<LaneBlock> {
        let mut all = Vec::new();
        for lanes_on_outputs in [false, true] {
            for (workgroup, lane4, uniform4) in [(8, 4, 1), (8, 4, 4), (8, 4, 8), (32, 1, 1), (32, 1, 4)] {
                all.push(LaneBlock { workgroup, lanes_on_outputs, lane4, uniform4 });
            }
        }
        all
    }

    pub(crate) fn choose(class: DeviceClass, inputs: usize, outputs: usize) -> Self {
        let lanes_on_outputs = outputs >= inputs;
        let (workgroup, lane4, uniform4) = match (class, inputs.min(outputs)) {
            (DeviceClass::Gpu, 0..=4) => (32, 1, 1),
            (DeviceClass::Gpu, _) => (32, 1, 4),
            (DeviceClass::Cpu, 0..=4) => (8, 4, 1),
            (DeviceClass::Cpu, 5..=64) => (8, 4, 4),
            (DeviceClass::Cpu, _) => (8, 4, 8),
        };
        Self { workgroup, lanes_on_outputs, lane4, uniform4 }
    }

    /// The defines of the kernel that takes it.
    pub(crate) fn defines(self) -> [(&'static str, u32); 4] {
        [
            ("WORKGROUP", self.workgroup),
            ("LANES_ON", u32::from(self.lanes_on_outputs)),
            ("LANE_BLOCK4", self.lane4),
            ("UNIFORM_BLOCK4", self.uniform4),
        ]
    }

    pub(crate) fn grid(self, inputs: usize, outputs: usize, splits: usize) -> [usize; 3] {
        let (lanes, uniform) = if self.lanes_on_outputs { (outputs, inputs) } else { (inputs, outputs) };
        let lanes4 = pad4(lanes) / 4;
        let uniform4 = pad4(uniform) / 4;
        [
            lanes4.div_ceil((self.workgroup * self.lane4) as usize),
            uniform4.div_ceil(self.uniform4 as usize),
            splits,
        ]
    }
}

/// Invocations per row of the kernels that sum over the features of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowLanes {
    /// Invocations per workgroup.
    pub workgroup: u32,
    /// Invocations per row, a power of two.
    pub lanes: u32,
}

impl RowLanes {
    /// Every choice of [`RowLanes::choose`].
    pub(crate) const ALL: [RowLanes; 3] = [
        RowLanes { workgroup: 8, lanes: 1 },
        RowLanes { workgroup: 64, lanes: 8 },
        RowLanes { workgroup: 64, lanes: 32 },
    ];

    /// A software renderer pays for every barrier: it takes a row per lane.
    pub(crate) fn choose(class: DeviceClass, width: usize) -> Self {
        match (class, width) {
            (DeviceClass::Cpu, _) => Self::ALL[0],
            (DeviceClass::Gpu, 0..=128) => Self::ALL[1],
            (DeviceClass::Gpu, _) => Self::ALL[2],
        }
    }

    /// The defines of the kernels that take it.
    pub(crate) fn defines(self) -> [(&'static str, u32); 2] {
        [("WORKGROUP", self.workgroup), ("LANES", self.lanes)]
    }

    /// Workgroups for so many rows.
    pub(crate) fn groups(self, row_count: usize) -> usize {
        row_count.div_ceil((self.workgroup / self.lanes) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_listed() {
        for class in [DeviceClass::Cpu, DeviceClass::Gpu] {
            for row_count in [1, 512, 513, 4095, 4096, 100_000] {
                for columns in [1, 4, 5, 32, 33, 64, 65, 4096] {
                    assert!(RowBlock::ALL.contains(&RowBlock::choose(class, row_count, columns)));
                    for outputs in [1, 4, 5, 64, 65, 4096] {
                        let block = LaneBlock::choose(class, columns, outputs);
                        assert!(LaneBlock::all().contains(&block));
                    }
                }
            }
        }
    }
}
