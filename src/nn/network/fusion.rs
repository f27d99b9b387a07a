//! The switch of the kernels that hold a whole narrow network.

use serde::{Deserialize, Serialize};

use crate::gpu::DeviceClass;

/// When a kernel that holds a whole narrow network takes the place of a dispatch per layer. Both
/// compute the same sums; the order of some of them, and so their rounding, differs. No random
/// number depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// Where fixed tables by class of device and shape say so.
    #[default]
    Auto,
    /// Wherever the network and the batch qualify.
    Always,
    /// Nowhere.
    Never,
}

crate::error::named!("fusion", Fusion { Auto => "auto", Always => "always", Never => "never" });

impl Fusion {
    /// Whether networks that qualify are evaluated in one dispatch on a class of devices.
    ///
    /// A software renderer gains nothing there: its time is loads, which are as many either way,
    /// and the larger kernel takes longer to compile.
    pub fn applies(self, class: DeviceClass) -> bool {
        match self {
            Fusion::Auto => class == DeviceClass::Gpu,
            Fusion::Always => true,
            Fusion::Never => false,
        }
    }
}
