//! Metrics ring with the non-finite latch (`shaders/gpu/run/metrics.wgsl`).

/// Ring of the latest metrics of a run, stamped with the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Ring {
    /// Steps held.
    pub capacity: usize,
    /// Metrics per step.
    pub slots: usize,
    /// `[capacity, slots]`.
    pub values: Vec<f64>,
    /// `[capacity]`: the step a row was last written for.
    pub stamps: Vec<Option<u64>>,
    /// First step with a non-finite metric. Never moves once set.
    pub latch: Option<u64>,
}

impl Ring {
    /// An empty ring, values 0.
    pub fn new(capacity: usize, slots: usize) -> Self {
        Self {
            capacity,
            slots,
            values: vec![0.0; capacity * slots],
            stamps: vec![None; capacity],
            latch: None,
        }
    }

    /// Writes `value` at row `step mod capacity`, stamps the row, latches `step` if the value is
    /// not finite in f32.
    pub fn record(&mut self, step: u64, slot: usize, value: f64) {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        let row = (step % self.capacity as u64) as usize;
        self.values[row * self.slots + slot] = value;
        self.stamps[row] = Some(step);
        if !(value as f32).is_finite() {
            self.latch.get_or_insert(step);
        }
    }
}

/// `scale * mean(values) + offset`; `values` must not be empty.
pub fn mean(values: &[f64], scale: f64, offset: f64) -> f64 {
    assert!(!values.is_empty(), "mean of no values");
    values.iter().sum::<f64>() / values.len() as f64 * scale + offset
}

/// Records `scale * mean(values) + offset` in `ring` and returns it.
///
/// The f64 sum of f32 values cannot overflow: an f32 sum that does latches on the device only.
pub fn metrics(ring: &mut Ring, step: u64, slot: usize, values: &[f64], scale: f64, offset: f64) -> f64 {
    let value = mean(values, scale, offset);
    ring.record(step, slot, value);
    value
}
