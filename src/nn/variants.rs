//! Which block sizes the dense kernels take: a fixed table by shape, so that results do not depend on measurements.

use crate::gpu::pad4;

/// Rows and columns per invocation of the kernels whose lanes run along rows.
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
    pub(crate) const ALL: [RowBlock; 4] = [
        RowBlock { workgroup: 64, lane_columns: 1, rows: 8, columns4: 4 },
        RowBlock { workgroup: 64, lane_columns: 1, rows: 8, columns4: 1 },
        RowBlock { workgroup: 16, lane_columns: 1, rows: 4, columns4: 4 },
        RowBlock { workgroup: 16, lane_columns: 1, rows: 4, columns4: 1 },
    ];

    /// The defines of the kernels that take it.
    pub(crate) fn defines(self) -> [(&'static str, u32); 4] {
        [
            ("WORKGROUP", self.workgroup),
            ("LANE_COLUMNS", self.lane_columns),
            ("ROW_BLOCK", self.rows),
            ("COLUMN_BLOCK4", self.columns4),
        ]
    }

    pub(crate) fn choose(rows: usize, columns: usize) -> Self {
        let narrow = usize::from(columns <= 4);
        Self::ALL[if rows <= 1024 { 2 + narrow } else { narrow }]
    }

    pub(crate) fn grid(self, rows: usize, columns: usize) -> [usize; 3] {
        let rows_per_group = (self.workgroup / self.lane_columns * self.rows) as usize;
        let columns4_per_group = (self.lane_columns * self.columns4) as usize;
        [rows.div_ceil(rows_per_group), (pad4(columns) / 4).div_ceil(columns4_per_group), 1]
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
    pub(crate) const ALL: [LaneBlock; 4] = [
        LaneBlock { workgroup: 16, lanes_on_outputs: true, lane4: 2, uniform4: 4 },
        LaneBlock { workgroup: 16, lanes_on_outputs: false, lane4: 2, uniform4: 4 },
        LaneBlock { workgroup: 16, lanes_on_outputs: true, lane4: 2, uniform4: 1 },
        LaneBlock { workgroup: 16, lanes_on_outputs: false, lane4: 2, uniform4: 1 },
    ];

    /// The defines of the kernel that takes it.
    pub(crate) fn defines(self) -> [(&'static str, u32); 4] {
        [
            ("WORKGROUP", self.workgroup),
            ("LANES_ON", u32::from(self.lanes_on_outputs)),
            ("LANE_BLOCK4", self.lane4),
            ("UNIFORM_BLOCK4", self.uniform4),
        ]
    }

    pub(crate) fn choose(inputs: usize, outputs: usize) -> Self {
        let on_inputs = usize::from(inputs > outputs);
        let narrow = 2 * usize::from(inputs.min(outputs) <= 4);
        Self::ALL[on_inputs + narrow]
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
