//! A weighted sum of two sets of rows (`shaders/diffusion/combine.wgsl`).

use crate::nn::{Summed, check};

/// `a x + b y`, element by element.
pub fn combine((a, x): (f64, &[f64]), (b, y): (f64, &[f64])) -> Summed {
    check("y", y.len(), x.len());
    let terms = || x.iter().zip(y).map(|(x, y)| (a * x, b * y));
    Summed {
        value: terms().map(|(p, q)| p + q).collect(),
        magnitude: terms().map(|(p, q)| p.abs() + q.abs()).collect(),
    }
}
