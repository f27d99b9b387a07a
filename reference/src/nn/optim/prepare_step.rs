//! Global gradient norm, clip factor and optimizer count (`shaders/nn/optim/prepare_step.wgsl`).

/// Result of [`prepare_step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreparedStep {
    /// `sqrt(sum g^2)`
    pub norm: f64,
    /// `min(1, max_norm / norm)`; 1 without clipping and for a zero gradient.
    pub clip: f64,
    /// Updates done, this one included.
    pub count: u64,
}

/// Norm of the flat gradient and the factor that brings it to at most `max_norm` (0: no clipping).
///
/// `count` goes up by one unless the run is `latched` on a non-finite loss.
pub fn prepare_step(gradient: &[f64], max_norm: f64, count: u64, latched: bool) -> PreparedStep {
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    let clip = if max_norm > 0.0 && norm > max_norm { max_norm / norm } else { 1.0 };
    PreparedStep { norm, clip, count: count + u64::from(!latched) }
}
