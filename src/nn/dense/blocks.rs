//! Block sizes: how the work of a kernel is laid out over invocations.

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

impl RowBlock {
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
    /// vec4s per invocation along the lanes.
    pub lane4: u32,
    /// vec4s per invocation of the other operand, read at addresses that all lanes share.
    pub uniform4: u32,
}

impl LaneBlock {
    /// The defines of the kernel that takes it. `lanes_on_outputs`: whether lanes run along
    /// outputs, else inputs.
    pub(crate) fn defines(self, lanes_on_outputs: bool) -> [(&'static str, u32); 4] {
        [
            ("WORKGROUP", self.workgroup),
            ("LANES_ON", u32::from(lanes_on_outputs)),
            ("LANE_BLOCK4", self.lane4),
            ("UNIFORM_BLOCK4", self.uniform4),
        ]
    }

    /// * `lanes`, `uniform`: the sizes along the lanes and across them.
    pub(crate) fn grid(self, lanes: usize, uniform: usize, splits: usize) -> [usize; 3] {
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

    /// The class of devices whose table holds it.
    pub(crate) fn class(self) -> DeviceClass {
        if self.workgroup == 8 { DeviceClass::Cpu } else { DeviceClass::Gpu }
    }

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
