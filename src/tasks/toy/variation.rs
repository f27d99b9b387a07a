//! How far a sample lies from a target, and from another sample.

use std::f64::consts::PI;

use super::bins::Bins;
use super::labeled_point::UNIT;
use crate::{Error, Result};

/// The events whose probabilities a total variation compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Partition {
    /// The regions nearest to each of these centers.
    Modes(Vec<[f64; 2]>),
    /// The cells of a square, and all that lies outside as one more.
    Bins {
        /// Half the side of the square.
        half_width: f64,
        /// Cells along each side.
        cells: usize,
    },
}

/// Half the sum of differences between the shares of a sample nearest to each center and the
/// weights. Points that are NaN or infinite are nearest to none; an empty sample has all its points
/// nowhere.
pub fn mode_variation(sample: &[[f32; 2]], centers: &[[f64; 2]], weights: &[f64]) -> f64 {
    let mut counts = vec![0usize; centers.len()];
    let finite = sample.iter().filter(|x| x.iter().all(|v| v.is_finite()));
    for x in finite {
        let distance =
            |center: &[f64; 2]| (f64::from(x[0]) - center[0]).powi(2) + (f64::from(x[1]) - center[1]).powi(2);
        let nearest = centers.iter().map(distance).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((index, _)) = nearest {
            counts[index] += 1;
        }
    }
    let total = sample.len().max(1) as f64;
    let shares = counts.iter().map(|count| *count as f64 / total);
    let nowhere = 1.0 - shares.clone().sum::<f64>();
    0.5 * (shares.zip(weights).map(|(share, weight)| (share - weight).abs()).sum::<f64>() + nowhere.abs())
}

/// Half the sum of differences between the shares of a sample in each bin, and outside, and the
/// probabilities.
pub fn bin_variation(sample: &[[f32; 2]], target: &Bins) -> f64 {
    let found = Bins::of_sample(sample, target.half_width, target.cells);
    let inside: f64 = found.probabilities.iter().zip(&target.probabilities).map(|(p, q)| (p - q).abs()).sum();
    0.5 * (inside + (found.outside - target.outside).abs())
}

/// The sliced Wasserstein distance of order 2 between two samples of equal size,
/// `sqrt(mean over directions, mean over ranks (a - b)^2)` of the sorted projections.
///
/// The `directions` are evenly spaced over the half circle: in the plane that is the exact average
/// for smooth functions of the angle, the same for everybody, and better than random ones. NaN if a
/// point is NaN.
///
/// # Errors
/// [`Error::Argument`] if the sizes differ, the samples are empty or no direction is asked.
pub fn sliced_wasserstein(a: &[[f32; 2]], b: &[[f32; 2]], directions: usize) -> Result<f64> {
    if a.len() != b.len() || a.is_empty() {
        let problem =
            format!("have {} and {} points; they must have equally many, at least one", a.len(), b.len());
        return Err(Error::argument(UNIT, "the samples", problem));
    }
    if directions == 0 {
        return Err(Error::argument(UNIT, "directions", "is 0, at least 1 is needed"));
    }
    let project = |points: &[[f32; 2]], sin: f64, cos: f64| {
        let mut places: Vec<f64> =
            points.iter().map(|x| cos * f64::from(x[0]) + sin * f64::from(x[1])).collect();
        places.sort_unstable_by(f64::total_cmp);
        places
    };
    let mut sum = 0.0;
    for direction in 0..directions {
        let (sin, cos) = (PI * direction as f64 / directions as f64).sin_cos();
        let (left, right) = (project(a, sin, cos), project(b, sin, cos));
        sum += left.iter().zip(&right).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    }
    Ok((sum / (directions as f64 * a.len() as f64)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variations_are_the_shares_that_differ() {
        let centers = [[-1.0, 0.0], [1.0, 0.0], [9.0, 9.0]];
        let sample = [[-2.0, 0.5], [-0.5, 0.0], [0.5, 3.0], [f32::NAN, 0.0]];
        // Shares 1/2, 1/4, 0 and 1/4 nowhere.
        assert_eq!(mode_variation(&sample, &centers, &[0.5, 0.5, 0.0]), 0.25);
        assert_eq!(mode_variation(&sample[..2], &centers, &[1.0, 0.0, 0.0]), 0.0);
        assert_eq!(mode_variation(&[], &centers, &[0.2, 0.3, 0.5]), 1.0);
        let target =
            Bins { half_width: 1.0, cells: 2, probabilities: vec![0.5, 0.25, 0.0, 0.0], outside: 0.25 };
        let sample = [[-0.5, -0.5], [0.5, 0.5], [7.0, 0.0], [f32::NAN, 0.0]];
        assert_eq!(bin_variation(&sample, &target), 0.5);
        assert_eq!(bin_variation(&[], &target), 0.75);
    }

    #[test]
    fn the_sliced_distance_of_a_shift_is_known() {
        let a: Vec<[f32; 2]> = (0..500).map(|i| [(i % 23) as f32, (i % 7) as f32 * 0.3]).collect();
        let b: Vec<[f32; 2]> = a.iter().rev().map(|x| [x[0] + 3.0, x[1] - 4.0]).collect();
        // A shift by d is d cos(angle) in every direction: 5 / sqrt(2) on average of squares.
        let found = sliced_wasserstein(&a, &b, 64).unwrap();
        assert!((found - 12.5f64.sqrt()).abs() < 1e-6, "{found}");
        assert_eq!(sliced_wasserstein(&a, &a, 8).unwrap(), 0.0);
        assert!(sliced_wasserstein(&a, &b[1..], 8).is_err());
        assert!(sliced_wasserstein(&[], &[], 8).is_err());
        assert!(sliced_wasserstein(&a, &b, 0).is_err());
    }
}
