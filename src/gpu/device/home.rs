//! Which device memory belongs to.

use std::fmt;

use super::adapter::describe;

/// Which device memory was made on.
#[derive(Clone)]
pub(crate) struct Home {
    /// Counts the contexts of this process.
    pub(super) number: u64,
    /// Opened by us: our callback tells of a loss. A host's callback is the host's.
    pub(super) own: bool,
    pub(super) device: wgpu::Device,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Home({})", self.number)
    }
}

impl Home {
    /// Two contexts may adopt one device, then wgpu's word counts; it cannot tell devices of two
    /// instances apart, so of those that we opened each is only itself.
    pub(super) fn is(&self, other: &Home) -> bool {
        self.number == other.number || (!(self.own && other.own) && self.device == other.device)
    }

    /// As [`Home::adapter_name`], told from others of the same adapter.
    pub(super) fn name(&self) -> String {
        format!("device {} of this process, {}", self.number, self.adapter_name())
    }

    /// One line naming the adapter, its driver and backend.
    pub(super) fn adapter_name(&self) -> String {
        describe(&self.device.adapter_info())
    }
}
