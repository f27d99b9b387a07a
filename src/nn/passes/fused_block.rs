//! Which blocks the whole-network kernels take: a fixed table by device class and width.

use crate::gpu::DeviceClass;

/// What one workgroup and one invocation own of a slab of rows that stays in workgroup memory.
///
/// On GPUs 32 or 64 rows, so that each weight that is loaded meets as many, with the lanes of a
/// subgroup along columns: they load neighboring weights and share the rows. On software renderers
/// a register block like that of their dense kernels, half as high: with 32 rows the kernel for a
/// width of 128 took 20 s to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FusedBlock {
    /// Invocations per workgroup.
    pub workgroup: u32,
    /// Invocations side by side along columns; the others lie along rows.
    pub lane_columns: u32,
    /// Rows per invocation.
    pub rows: u32,
    /// Columns per invocation, in vec4s.
    pub columns4: u32,
    /// vec4s between the rows of the slab, against bank conflicts where there is room.
    pub pad4: u32,
}

const fn block(workgroup: u32, lane_columns: u32, rows: u32, columns4: u32, pad4: u32) -> FusedBlock {
    FusedBlock { workgroup, lane_columns, rows, columns4, pad4 }
}

impl FusedBlock {
    /// Every block that [`FusedBlock::choose`] can return.
    pub const ALL: [FusedBlock; 6] = [
        block(8, 8, 16, 1, 0),
        block(8, 8, 16, 2, 0),
        block(8, 8, 16, 4, 0),
        block(64, 8, 8, 1, 1),
        block(64, 16, 8, 1, 1),
        block(128, 32, 8, 1, 0),
    ];

    /// The class of devices whose table holds it.
    pub fn class(self) -> DeviceClass {
        if self.workgroup == 8 { DeviceClass::Cpu } else { DeviceClass::Gpu }
    }

    /// `widest`: numbers of the widest row in the slab, at most 128.
    pub fn choose(class: DeviceClass, widest: usize) -> Self {
        let wide = match widest {
            0..=32 => 0,
            33..=64 => 1,
            _ => 2,
        };
        match class {
            DeviceClass::Gpu => Self::ALL[3 + wide],
            DeviceClass::Cpu => Self::ALL[wide],
        }
    }

    /// Rows of a slab.
    pub fn slab_rows(self) -> usize {
        (self.workgroup / self.lane_columns * self.rows) as usize
    }

    /// The defines of the kernels that take it.
    pub fn defines(self) -> [(&'static str, u32); 5] {
        [
            ("WORKGROUP", self.workgroup),
            ("LANE_COLUMNS", self.lane_columns),
            ("ROW_BLOCK", self.rows),
            ("COLUMN_BLOCK4", self.columns4),
            ("PAD4", self.pad4),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_holds_the_widest_row_and_fits_16_kib() {
        for class in [DeviceClass::Cpu, DeviceClass::Gpu] {
            for widest in [1, 32, 33, 64, 65, 128] {
                let block = FusedBlock::choose(class, widest);
                assert!(FusedBlock::ALL.contains(&block) && block.class() == class);
                let width4 = block.lane_columns * block.columns4;
                assert!(4 * width4 as usize >= widest);
                assert!(block.slab_rows() * 16 * (width4 + block.pad4) as usize <= 16384, "{block:?}");
            }
        }
    }
}
