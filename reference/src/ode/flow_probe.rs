//! Random directions for the trace of a Jacobian (`shaders/ode/flow_probe.wgsl`).

/// Signs of uniform numbers around 1/2, and normals as they are: the first `dims` of each row of
/// `numbers`, rows padded to whole blocks of 4.
pub fn flow_probe(numbers: &[f64], dims: usize, normal: bool) -> Vec<f64> {
    let rows = numbers.chunks_exact(dims.next_multiple_of(4));
    let value = |&v: &f64| if normal { v } else { (v - 0.5).signum() };
    rows.flat_map(|row| row[..dims].iter().map(value)).collect()
}
