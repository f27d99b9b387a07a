//! Rows at another distance from one another (`shaders/gpu/run/copy_rows.wgsl`).

/// `out[r, j] = x[r, j]` for `j < width`, 0 beyond; `x`: `[rows, x_stride]`, returns
/// `[rows, out_stride]`.
pub fn copy_rows(x: &[f64], width: usize, x_stride: usize, out_stride: usize) -> Vec<f64> {
    assert!(width <= x_stride && width <= out_stride, "rows of {width} at {x_stride} and {out_stride}");
    assert!(x.len().is_multiple_of(x_stride), "`x` has {} elements, not rows of {x_stride}", x.len());
    let row =
        |row: &[f64]| -> Vec<f64> { (0..out_stride).map(|j| if j < width { row[j] } else { 0.0 }).collect() };
    x.chunks_exact(x_stride).flat_map(row).collect()
}
