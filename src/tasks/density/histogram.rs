//! How far one density lies from another, on the cells of a square `[-half_width, half_width]^2`.
//!
//! Cells are numbered `row * cells + column`, columns along `y[0]` and rows along `y[1]`, both
//! ascending.

/// The area of one cell.
pub fn cell_area(half_width: f64, cells: usize) -> f64 {
    let side = 2.0 * half_width / cells as f64;
    side * side
}

/// The centers of all cells, in order.
pub fn cell_centers(half_width: f64, cells: usize) -> impl ExactSizeIterator<Item = [f64; 2]> {
    let side = 2.0 * half_width / cells as f64;
    let place = move |index: usize| (index as f64 + 0.5) * side - half_width;
    (0..cells * cells).map(move |cell| [place(cell % cells), place(cell / cells)])
}

/// Densities that integrate to 1 over the cells, from unnormalized `log p` (so, from `-E`), without
/// overflow.
///
/// All zeros if every value is `-inf`; NaN if one is NaN or `+inf`.
pub fn normalize_log_density(log_values: &[f64], cell_area: f64) -> Vec<f64> {
    let largest = log_values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY && !log_values.iter().any(|v| v.is_nan()) {
        return vec![0.0; log_values.len()];
    }
    let mut values: Vec<f64> = log_values.iter().map(|v| (v - largest).exp()).collect();
    let mass = values.iter().sum::<f64>() * cell_area;
    values.iter_mut().for_each(|v| *v /= mass);
    values
}

/// The density of a cloud of points by counting: share of all points per cell, divided by the
/// cell's area.
///
/// Points outside the square, NaN among them, count as drawn but fall in no cell: the histogram
/// then integrates to less than 1, and [`bhattacharyya`] charges the sampler for them.
pub fn histogram(points: &[[f32; 2]], half_width: f64, cells: usize) -> Vec<f64> {
    let mut values = vec![0.0; cells * cells];
    let share = 1.0 / (points.len() as f64 * cell_area(half_width, cells));
    let scale = cells as f64 / (2.0 * half_width);
    for point in points {
        let [column, row] = point.map(|v| ((f64::from(v) + half_width) * scale).floor());
        let inside = 0.0..cells as f64;
        if inside.contains(&column) && inside.contains(&row) {
            values[row as usize * cells + column as usize] += share;
        }
    }
    values
}

/// The mean density over blocks of cells: `cells` along each side become `bins`, of which they are
/// a multiple.
pub fn coarsen(values: &[f64], cells: usize, bins: usize) -> Vec<f64> {
    let block = cells / bins;
    let mut coarse = vec![0.0; bins * bins];
    for (index, value) in values.iter().enumerate() {
        let (row, column) = (index / cells / block, index % cells / block);
        coarse[row * bins + column] += value / (block * block) as f64;
    }
    coarse
}

/// The Bhattacharyya coefficient `sum sqrt(p q) * cell_area`: 1 for equal densities, 0 for disjoint
/// ones.
///
/// `p` and `q` are densities over the same cells. They are taken as they are: mass that one of them
/// has outside the square is lost to the coefficient. NaN if their lengths differ.
pub fn bhattacharyya(p: &[f64], q: &[f64], cell_area: f64) -> f64 {
    if p.len() != q.len() {
        return f64::NAN;
    }
    p.iter().zip(q).map(|(p, q)| (p * q).sqrt()).sum::<f64>() * cell_area
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_density_is_the_mean_over_blocks() {
        let fine: Vec<f64> = (0..16).map(f64::from).collect();
        assert_eq!(coarsen(&fine, 4, 2), [2.5, 4.5, 10.5, 12.5]);
    }

    #[test]
    fn coefficient_of_gaussians_is_the_closed_form() {
        let gaussian = |mean: f64, std: f64| -> Vec<f64> {
            let log: Vec<f64> = cell_centers(6.0, 240)
                .map(|y| -0.5 * ((y[0] - mean).powi(2) / (std * std) + y[1] * y[1]))
                .collect();
            normalize_log_density(&log, cell_area(6.0, 240))
        };
        let (a, b) = (gaussian(0.3, 0.5), gaussian(-0.4, 0.8));
        let variances: f64 = 0.25 + 0.64;
        let exact = (2.0 * 0.5 * 0.8 / variances).sqrt() * (-0.25 * 0.49 / variances).exp();
        let area = cell_area(6.0, 240);
        assert!((bhattacharyya(&a, &b, area) - exact).abs() < 1e-9);
        assert!((bhattacharyya(&a, &a, area) - 1.0).abs() < 1e-12);
        assert!(bhattacharyya(&a, &b[1..], area).is_nan());
    }

    #[test]
    fn normalizing_survives_huge_and_empty_energies() {
        let values = normalize_log_density(&[-1e30, 1e30, 1e30, f64::NEG_INFINITY], 0.25);
        assert_eq!(values, [0.0, 2.0, 2.0, 0.0]);
        assert_eq!(normalize_log_density(&[f64::NEG_INFINITY; 2], 1.0), [0.0; 2]);
        assert!(normalize_log_density(&[f64::NAN, 1.0], 1.0)[1].is_nan());
        assert!(normalize_log_density(&[f64::NAN; 2], 1.0)[1].is_nan());
    }

    #[test]
    fn histogram_and_centers_agree_on_the_order() {
        let (half_width, cells) = (1.5, 7);
        for (cell, center) in cell_centers(half_width, cells).enumerate() {
            let counted = histogram(&[center.map(|v| v as f32)], half_width, cells);
            let hit = counted.iter().position(|v| *v > 0.0);
            assert_eq!(hit, Some(cell));
        }
    }

    #[test]
    fn points_outside_lower_the_coefficient() {
        let area = cell_area(1.0, 1);
        let inside = histogram(&[[0.0, 0.0]; 3], 1.0, 1);
        let strays = [[0.0, 0.0], [1.0, 0.0], [f32::NAN, 0.0], [0.0, -1e30]];
        let some = histogram(&strays, 1.0, 1);
        assert_eq!(bhattacharyya(&inside, &inside, area), 1.0);
        assert_eq!(bhattacharyya(&inside, &some, area), 0.5);
        assert_eq!(histogram(&[], 1.0, 1), [0.0]);
    }
}
