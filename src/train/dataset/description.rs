//! What a data set was like, in few numbers.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::math::{Bounds, Offsets};

/// What a data set was like: what it takes to use a model of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataDescription {
    /// A number that tells data sets apart, in hexadecimal digits.
    pub fingerprint: String,
    /// Rows.
    pub rows: usize,
    /// Samples per row.
    pub support: usize,
    /// Numbers per context; 0 for data without contexts.
    pub context_width: usize,
    /// Numbers per action.
    pub action_width: usize,
    /// Whether samples have energies.
    pub labeled: bool,
    /// The lowest value of each number of an action, in data units relative to the offsets, over
    /// the rows that can be drawn.
    pub low: Vec<f32>,
    /// The highest.
    pub high: Vec<f32>,
    /// What all numbers on a device are relative to.
    #[serde(default, skip_serializing_if = "Offsets::are_zero")]
    pub offsets: Offsets,
}

impl DataDescription {
    /// The box that actions of a model are kept in: per number its middle and half a side, in data
    /// units relative to the offsets. That is the range of the data with a twentieth of its length
    /// added at either end, and at least a millionth of the middle; round a column of one value a
    /// thousandth of it, or 1e-6 round 0.
    pub fn frame(&self) -> Vec<[f64; 2]> {
        let of_column = |(low, high): (&f32, &f32)| {
            let (low, high) = (f64::from(*low), f64::from(*high));
            let middle = 0.5 * (low + high);
            let least = match low < high {
                true => 1e-6 * middle.abs(),
                false if middle == 0.0 => 1e-6,
                false => 1e-3 * middle.abs(),
            };
            // Below, devices take numbers for 0.
            [middle, (0.55 * (high - low)).max(least).max(f32::MIN_POSITIVE.into())]
        };
        self.low.iter().zip(&self.high).map(of_column).collect()
    }

    /// [`DataDescription::frame`] as a box.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] where the range is beyond 32-bit numbers.
    pub fn bounds(&self) -> Result<Bounds> {
        let border = |sign: f64| -> Vec<f32> {
            self.frame().iter().map(|[middle, half]| (middle + sign * half) as f32).collect()
        };
        Bounds::new(&border(-1.0), &border(1.0))
    }
}
