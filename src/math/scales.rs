//! A unit for each dimension: what samplers measure their steps in.

use serde::{Deserialize, Serialize};

use crate::error::{counted, few_digits};
use crate::{Error, Result};

/// A length per dimension in data units, such as the deviation of a column: chains take their steps
/// in these, so that one step size serves columns of any unit. In files: `[.., ..]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f32>", into = "Vec<f32>")]
pub struct Scales {
    values: Vec<f32>,
}

impl TryFrom<Vec<f32>> for Scales {
    type Error = Error;
    fn try_from(values: Vec<f32>) -> Result<Self> {
        Self::new(&values)
    }
}

impl From<Scales> for Vec<f32> {
    fn from(scales: Scales) -> Self {
        scales.values
    }
}

impl Scales {
    /// One scale per dimension.
    ///
    /// # Errors
    /// [`Error::Argument`] unless there is at least one and all are positive, finite and no
    /// denormals, which some devices take for 0.
    pub fn new(values: &[f32]) -> Result<Self> {
        let usable = |value: f32| value > 0.0 && value.is_normal();
        if let Some(at) = values.iter().position(|&value| !usable(value)) {
            let found = few_digits(values[at].into());
            let problem = format!("have {found} at {at}; they must be positive, finite and at least 1.2e-38");
            return Err(Error::argument("scales", "the scales", problem));
        }
        if values.is_empty() {
            return Err(Error::argument("scales", "the scales", "are none; give one per dimension"));
        }
        Ok(Self { values: values.to_vec() })
    }

    /// The nearest scales to these that there are.
    pub(crate) fn nearest(values: impl Iterator<Item = f64>) -> Self {
        let near = |value: f64| (value.min(f32::MAX.into()) as f32).max(f32::MIN_POSITIVE);
        Self { values: values.map(near).collect() }
    }

    /// Number of dimensions.
    pub fn dims(&self) -> usize {
        self.values.len()
    }

    /// The scale of each dimension.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One number per dimension; without scales they are 1.
    ///
    /// # Errors
    /// [`Error::Argument`] for scales of other dimensions.
    pub(crate) fn of(scales: Option<&Scales>, operation: &str, dims: usize) -> Result<Vec<f32>> {
        match scales {
            None => Ok(vec![1.0; dims]),
            Some(scales) if scales.dims() == dims => Ok(scales.values.clone()),
            Some(scales) => {
                let problem = format!("have {}, the energy {dims}", counted(scales.dims(), "dimension"));
                Err(Error::argument(operation, "the scales", problem))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_checked_wherever_they_come_from() {
        for (bad, words) in [
            (&[][..], "are none"),
            (&[1.0, 0.0], "have 0 at 1"),
            (&[-2.0], "have -2 at 0"),
            (&[f32::NAN], "NaN"),
            (&[f32::INFINITY], "inf"),
            (&[1e-40], "1e-40"),
        ] {
            let error = Scales::new(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let scales = Scales::new(&[1e-9, 1e3]).unwrap();
        let text = serde_json::to_string(&scales).unwrap();
        assert_eq!(serde_json::from_str::<Scales>(&text).unwrap(), scales);
        assert!(serde_json::from_str::<Scales>("[1.0,0.0]").is_err());
        let nearest = Scales::nearest([1e-60, 2.5, 1e60].into_iter());
        assert_eq!(Scales::new(nearest.values()).unwrap(), nearest);
        assert_eq!(Scales::of(None, "chain", 2).unwrap(), [1.0; 2]);
        assert_eq!(Scales::of(Some(&scales), "chain", 2).unwrap(), [1e-9, 1e3]);
        let error = Scales::of(Some(&scales), "chain", 3).unwrap_err().to_string();
        assert!(error.contains("have 2 dimensions, the energy 3"), "{error}");
    }
}
