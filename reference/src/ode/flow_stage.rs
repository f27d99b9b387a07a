//! One stage of a Runge-Kutta step of the probability flow (`shaders/ode/flow_stage.wgsl`).

use crate::nn::check;

/// Where in its step a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowPlace {
    /// It begins the sum of slopes.
    First,
    /// It adds to it.
    Between,
    /// It adds to it and moves `y`.
    Last,
}

/// Constants of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowStage {
    /// Where it stands.
    pub place: FlowPlace,
    /// Factor on its slope in the sum.
    pub weight: f64,
    /// How far along its slope the next stage is evaluated.
    pub ahead: f64,
    /// Scale there.
    pub alpha: f64,
}

/// What a stage leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStaged {
    /// `x / alpha` of the step's begin, after the last stage of its end.
    pub y: Vec<f64>,
    /// Sum of weighted slopes.
    pub total: Vec<f64>,
    /// Where the next evaluation happens.
    pub x: Vec<f64>,
}

/// `total' = weight slope + total`; `x = alpha (y + ahead slope)`, or at the last stage
/// `y' = y + total'` and `x = alpha y'`.
pub fn flow_stage(slope: &[f64], y: &[f64], total: &[f64], stage: FlowStage) -> FlowStaged {
    check("y", y.len(), slope.len());
    let before = |at: usize| if stage.place == FlowPlace::First { 0.0 } else { total[at] };
    let total: Vec<f64> = slope.iter().enumerate().map(|(at, k)| stage.weight * k + before(at)).collect();
    let last = stage.place == FlowPlace::Last;
    let moved: Vec<f64> =
        (0..y.len()).map(|at| y[at] + if last { total[at] } else { stage.ahead * slope[at] }).collect();
    FlowStaged {
        x: moved.iter().map(|y| stage.alpha * y).collect(),
        y: if last { moved } else { y.to_vec() },
        total,
    }
}
