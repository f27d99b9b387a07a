//! Points with their energies.

/// The operation named in errors of this room.
pub(super) const UNIT: &str = "tasks::toy";

/// A point with the energy it was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabeledPoint {
    /// The point.
    pub x: [f32; 2],
    /// Its energy, low where wanted, `beta` not included.
    pub energy: f32,
}
