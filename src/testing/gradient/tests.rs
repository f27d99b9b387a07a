//! The difference quotients themselves, and what they must reject. The device's side is tested in
//! `tests/plain/testing.rs`.

use super::*;

fn check(n: usize, rounding: f64) -> GradientCheck {
    let x = crate::testing::data::data(3, n);
    GradientCheck { label: "test".into(), x, shape: Shape::new([n]), outputs: Shape::new([n]), rounding }
}

/// `f_i = x_i^3 + x_0 x_i`
fn cubic(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| v.powi(3) + x[0] * v).collect()
}

fn gradient(check: &GradientCheck, scale: f64, other: f64) -> Vec<f32> {
    let (c, t, x) = (wide(&check.seed()), wide(&check.term()), wide(&check.x));
    let shared: f64 = c.iter().zip(&x).map(|(c, x)| c * x).sum();
    (0..x.len())
        .map(|j| {
            let own = c[j] * (3.0 * x[j] * x[j] + x[0]) + if j == 0 { shared } else { 0.0 };
            (scale * own + other * t[j] * x[j]) as f32
        })
        .collect()
}

#[test]
fn quotients_equal_the_derivative_and_reject_plausible_wrong_gradients() {
    for n in [1, 7, 65] {
        let check = check(n, 1.0);
        let (expected, bound) = quotients(&check, cubic).unwrap();
        compare(&gradient(&check, 1.0, 1.0), &expected, &bound).unwrap();
        for (what, wrong) in [
            ("the other term left out", gradient(&check, 1.0, 0.0)),
            ("scaled by a hundredth of a percent", gradient(&check, 1.0001, 1.0)),
            ("negated", gradient(&check, -1.0, 1.0)),
            ("without the operation", gradient(&check, 0.0, 1.0)),
        ] {
            assert!(compare(&wrong, &expected, &bound).is_err(), "accepted: {what}, {n} elements");
        }
    }
}

#[test]
fn an_incoming_gradient_of_one_is_another_gradient() {
    let check = check(7, 1.0);
    let (expected, bound) = quotients(&check, |x| x.iter().map(|v| v * v).collect()).unwrap();
    let x = &check.x;
    let dropped: Vec<f32> = x.iter().zip(check.term()).map(|(x, t)| 2.0 * x + t * x).collect();
    assert!(compare(&dropped, &expected, &bound).is_err());
}

#[test]
fn rough_functions_and_useless_checks_are_failures() {
    let mut kinked = check(3, 1.0);
    kinked.x[1] = 3e-6;
    let words = quotients(&kinked, |x| x.iter().map(|v| v.abs()).collect()).unwrap_err().to_string();
    assert!(words.contains("element 1"), "{words}");
    assert!(quotients(&check(3, 1.0), |x| x[1..].to_vec()).is_err(), "a value missing");
    assert!(quotients(&check(3, 1.0), |x| vec![f64::NAN; x.len()]).is_err(), "not finite");
    for broken in [
        check(3, 0.0),
        check(3, f64::NAN),
        GradientCheck { x: vec![1.0; 2], ..check(3, 1.0) },
        GradientCheck { outputs: Shape::new([0]), ..check(3, 1.0) },
    ] {
        assert!(broken.ready().is_err(), "{broken:?}");
    }
}
