//! Boxes: what samplers keep their samples in.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A box in data units, `low < high` in every dimension. In files: `{"low": [..], "high": [..]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Bounds {
    low: Vec<f32>,
    high: Vec<f32>,
}

/// The borders as they stand in files, before they are checked.
#[derive(Deserialize)]
struct Unchecked {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl TryFrom<Unchecked> for Bounds {
    type Error = Error;
    fn try_from(borders: Unchecked) -> Result<Self> {
        Self::new(&borders.low, &borders.high)
    }
}

impl Bounds {
    /// A box.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `low < high` in every dimension and all are finite.
    pub fn new(low: &[f32], high: &[f32]) -> Result<Self> {
        let ordered = low.iter().zip(high).all(|(l, h)| (h - l).is_finite() && l < h);
        if low.is_empty() || low.len() != high.len() || !ordered {
            let problem = "need finite low < high in every dimension, and at least one dimension";
            return Err(Error::argument("uniform box", "the borders", problem));
        }
        Ok(Self { low: low.to_vec(), high: high.to_vec() })
    }

    /// The cube from `-half_width` to `half_width` in every dimension.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `half_width` is positive and finite and there is at least one
    /// dimension.
    pub fn cube(dims: usize, half_width: f32) -> Result<Self> {
        Self::new(&vec![-half_width; dims], &vec![half_width; dims])
    }

    /// Number of dimensions.
    pub fn dims(&self) -> usize {
        self.low.len()
    }

    /// Lower borders.
    pub fn low(&self) -> &[f32] {
        &self.low
    }

    /// Upper borders.
    pub fn high(&self) -> &[f32] {
        &self.high
    }

    /// Whether a point lies inside, borders included. One of other dimensions does not.
    pub fn contains(&self, y: &[f32]) -> bool {
        y.len() == self.dims()
            && y.iter().zip(self.low.iter().zip(&self.high)).all(|(y, (l, h))| (l..=h).contains(&y))
    }

    /// `sum_j ln(high_j - low_j)`, in f64.
    pub fn log_volume(&self) -> f64 {
        self.low.iter().zip(&self.high).map(|(l, h)| (f64::from(*h) - f64::from(*l)).ln()).sum::<f64>()
    }

    /// Lower borders, then upper borders: what kernels bind as `box`.
    pub(crate) fn flat(&self) -> Vec<f32> {
        self.low.iter().chain(&self.high).copied().collect()
    }

    /// As [`Bounds::flat`]; without a box, the borders of the largest there is.
    pub(crate) fn flat_or_largest(bounds: Option<&Bounds>, dims: usize) -> Vec<f32> {
        match bounds {
            Some(bounds) => bounds.flat(),
            None => [-f32::MAX, f32::MAX].into_iter().flat_map(|v| std::iter::repeat_n(v, dims)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_checked_wherever_they_come_from() {
        for (low, high) in [
            (vec![], vec![]),
            (vec![0.0], vec![]),
            (vec![1.0], vec![1.0]),
            (vec![0.0, 2.0], vec![1.0, 1.0]),
            (vec![f32::NAN], vec![1.0]),
            (vec![-f32::MAX], vec![f32::MAX]),
        ] {
            assert!(Bounds::new(&low, &high).is_err(), "{low:?} {high:?}");
        }
        let bounds = Bounds::new(&[-1.0, 0.0], &[1.0, 2.5]).unwrap();
        let text = serde_json::to_string(&bounds).unwrap();
        assert_eq!(text, r#"{"low":[-1.0,0.0],"high":[1.0,2.5]}"#);
        assert_eq!(serde_json::from_str::<Bounds>(&text).unwrap(), bounds);
        assert!(serde_json::from_str::<Bounds>(r#"{"low":[1.0],"high":[0.0]}"#).is_err());
        assert_eq!(Bounds::cube(2, 3.0).unwrap(), Bounds::new(&[-3.0; 2], &[3.0; 2]).unwrap());
        assert!(Bounds::cube(2, 0.0).is_err());
    }

    #[test]
    fn a_box_knows_its_points_and_its_volume() {
        let bounds = Bounds::new(&[-1.0, 0.0], &[1.0, 2.5]).unwrap();
        assert!((bounds.log_volume() - 5f64.ln()).abs() < 1e-15);
        assert_eq!(bounds.dims(), 2);
        for (point, inside) in [([1.0, 0.0], true), ([0.0, 2.6], false), ([f32::NAN, 1.0], false)] {
            assert_eq!(bounds.contains(&point), inside, "{point:?}");
        }
        assert!(!bounds.contains(&[0.0]));
        assert_eq!(Bounds::flat_or_largest(Some(&bounds), 2), [-1.0, 0.0, 1.0, 2.5]);
        assert_eq!(Bounds::flat_or_largest(None, 1), [-f32::MAX, f32::MAX]);
    }
}
