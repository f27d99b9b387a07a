//! Whether an encoder is of the device that work was compiled for.
//!
//! wgpu's encoders do not tell their device. Objects are looked up by number, per instance, so that
//! the encoder of another instance panics at a number that there is not, or takes some other object
//! for ours. A device's mark is an object whose number hardly any other instance has: the number
//! counts how often its place was used, and a mark lies in one that was used often.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{Error, Result};

/// What wgpu's own error calls the work, where an encoder is of another device of one instance:
/// that shows when its owner finishes it, with the labels of both devices.
pub(super) const LABEL: &str = "gibbs: a plan in the encoder of another device";

/// Uses of a mark's place: so many, and up to twice as many by chance.
const USES: u64 = 128;

#[derive(Debug)]
pub(in crate::gpu) struct Mark(Arc<Marked>);

#[derive(Debug)]
struct Marked {
    group: wgpu::BindGroup,
    /// Of its device.
    name: String,
}

impl Marked {
    /// Whether a pass knows the mark.
    fn fits(&self, pass: &mut wgpu::ComputePass<'_>) -> bool {
        catch_unwind(AssertUnwindSafe(|| pass.set_bind_group(0, &self.group, &[]))).is_ok()
    }
}

/// The marks there are, to name the device of a stranger's encoder.
static MARKS: Mutex<Vec<Weak<Marked>>> = Mutex::new(Vec::new());

impl Mark {
    pub(super) fn new(device: &wgpu::Device, name: String) -> Self {
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(LABEL), entries: &[] };
        let layout = device.create_bind_group_layout(&descriptor);
        let make = || {
            let descriptor = wgpu::BindGroupDescriptor { label: Some(LABEL), layout: &layout, entries: &[] };
            device.create_bind_group(&descriptor)
        };
        let chance = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let chance = chance.map_or(0, |now| u64::from(now.subsec_nanos() >> 4) % USES);
        (1..USES + chance).for_each(|_| drop(make()));
        let marked = Arc::new(Marked { group: make(), name });
        let mut all = MARKS.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|mark| mark.strong_count() > 0);
        all.push(Arc::downgrade(&marked));
        Self(marked)
    }

    /// Fails if a pass is of an encoder of another instance's device; both devices and the encoder
    /// stay usable. One of another device of the same instance passes here: see [`LABEL`].
    pub(super) fn check(&self, operation: &str, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        if self.0.fits(pass) {
            return Ok(());
        }
        let problem = format!(
            "is one of {}, the plan was compiled for {}; encode it into an encoder of that device, or compile it for the \
             encoder's (`Gpu::adopt`)",
            self.other(pass),
            self.0.name
        );
        Err(Error::argument(format!("encode `{operation}`"), "the encoder", problem))
    }

    /// The device of a pass that does not know this mark, in words.
    fn other(&self, pass: &mut wgpu::ComputePass<'_>) -> String {
        let all = MARKS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let others = all.iter().filter_map(Weak::upgrade).filter(|mark| !Arc::ptr_eq(mark, &self.0));
        let found = others.into_iter().find(|mark| mark.fits(pass)).map(|mark| mark.name.clone());
        found.unwrap_or_else(|| "a device that gibbs has no plans for".into())
    }
}
