//! Trajectories, step-size adaptation and resampling: the references against their own laws.

use crate::common::{near, normals, uniforms};
use gibbs_reference::mcmc::adapt_step::Tuner;
use gibbs_reference::mcmc::metropolis::{acceptance, gain, langevin_log_ratio};
use gibbs_reference::mcmc::resample::pick;
use gibbs_reference::mcmc::{
    adapt_step, begin_leapfrog, cumulative_weights, langevin, leapfrog, metropolis, resample,
};

/// A smooth energy without symmetry, `sum_j c_j y_j^2 / 2 + sin(y_0 y_1)`, and its gradient.
fn energy(y: &[f64]) -> (f64, Vec<f64>) {
    let stiffness = [0.7, 1.9, 1.1];
    let mut energy_gradient: Vec<f64> = y.iter().zip(stiffness).map(|(y, c)| c * y).collect();
    energy_gradient[0] += y[1] * (y[0] * y[1]).cos();
    energy_gradient[1] += y[0] * (y[0] * y[1]).cos();
    let bowl: f64 = y.iter().zip(stiffness).map(|(y, c)| 0.5 * c * y * y).sum();
    (bowl + (y[0] * y[1]).sin(), energy_gradient)
}

#[test]
fn one_leapfrog_step_is_the_adjusted_langevin_algorithm() {
    for (seed, eta, temperature) in [(1, 0.01, 1.0), (2, 0.3, 2.5), (3, 1.2, 0.4)] {
        let eps = f64::sqrt(2.0 * eta);
        let (y, n) = (normals(seed, 3), normals(seed + 10, 3));
        let (value, energy_gradient) = energy(&y);
        let begun = begin_leapfrog(&y, &energy_gradient, &n, &[1.0; 3], eps, temperature);
        let step = langevin::LangevinStep { eta, noise_scale: f64::sqrt(temperature) };
        for (found, expected) in
            begun.proposed.iter().zip(langevin::langevin(&y, &energy_gradient, &n, &[1.0; 3], step, None))
        {
            near("proposed", *found, expected, 1e-14);
        }
        let (end_value, end_slope) = energy(&begun.proposed);
        let gained =
            gain(&[value + begun.kinetic[0]], &[end_value], (&end_slope, &begun.momentum), &[1.0; 3], eps)[0];
        let expected = langevin_log_ratio(
            (&y, value, &energy_gradient),
            (&begun.proposed, end_value, &end_slope),
            eta,
            temperature,
        );
        near("log ratio", gained / temperature, expected, 1e-12);
        assert!(expected.abs() > 1e-6, "a ratio of 1 compares nothing");
    }
}

#[test]
fn a_trajectory_runs_back_and_keeps_its_energy_to_second_order() {
    let (y, n) = (normals(5, 3), normals(6, 3));
    let scales = [0.5, 1.0, 1.7];
    let trajectory = |y: &[f64], n: &[f64], eps: f64, steps: usize| {
        let (value, energy_gradient) = energy(y);
        let begun = begin_leapfrog(y, &energy_gradient, n, &scales, eps, 1.0);
        let (mut h, mut proposed) = (begun.momentum, begun.proposed);
        for _ in 1..steps {
            (h, proposed) = leapfrog(&h, &proposed, &energy(&proposed).1, &scales, eps);
        }
        let (end, energy_gradient) = energy(&proposed);
        let gained = gain(&[value + begun.kinetic[0]], &[end], (&energy_gradient, &h), &scales, eps)[0];
        let p: Vec<f64> = (0..3).map(|j| h[j] - 0.5 * eps * scales[j] * energy_gradient[j]).collect();
        (proposed, p, gained)
    };
    let (end, p, gained) = trajectory(&y, &n, 0.1, 7);
    let back: Vec<f64> = p.iter().map(|p| -p).collect();
    let (start, _, lost) = trajectory(&end, &back, 0.1, 7);
    for j in 0..3 {
        near("start", start[j], y[j], 1e-12);
    }
    near("energy", lost, -gained, 1e-12);
    let (_, _, fine) = trajectory(&y, &n, 0.05, 14);
    assert!((gained / fine - 4.0).abs() < 0.3, "second order over a fixed time: {gained}, {fine}");
}

/// Steps in scales are unit steps on the energy of `u = y / s`, whose gradient is `s g`.
#[test]
fn scales_are_a_change_of_variables() {
    let (scales, eps) = ([1e-6, 1.0, 40.0], 0.2);
    let stretched = |u: &[f64]| -> (f64, Vec<f64>) {
        let (value, energy_gradient) = energy(u);
        (value, energy_gradient.iter().zip(scales).map(|(g, s)| g / s).collect())
    };
    let ones = [1.0; 3];
    let (u, n) = (normals(21, 3), normals(22, 3));
    let y: Vec<f64> = u.iter().zip(scales).map(|(u, s)| u * s).collect();
    let of_u = begin_leapfrog(&u, &energy(&u).1, &n, &ones, eps, 1.3);
    let of_y = begin_leapfrog(&y, &stretched(&u).1, &n, &scales, eps, 1.3);
    let (h, proposed) = leapfrog(&of_u.momentum, &of_u.proposed, &energy(&of_u.proposed).1, &ones, eps);
    let slope = stretched(&of_u.proposed).1;
    let (scaled_h, scaled) = leapfrog(&of_y.momentum, &of_y.proposed, &slope, &scales, eps);
    let end = stretched(&proposed).1;
    let gains = [
        gain(&[of_u.kinetic[0]], &[0.0], (&energy(&proposed).1, &h), &ones, eps)[0],
        gain(&[of_y.kinetic[0]], &[0.0], (&end, &scaled_h), &scales, eps)[0],
    ];
    near("gain", gains[1], gains[0], 1e-12);
    for (j, scale) in scales.into_iter().enumerate() {
        near("momentum", scaled_h[j], h[j], 1e-12);
        near("proposed", scaled[j] / scale, proposed[j], 1e-12);
    }
}

#[test]
fn rounding_decides_what_is_closer_than_it() {
    // 2^-23 of 1e8 is 11.92.
    for (gained, temperature, magnitude, expected) in [
        (-0.5, 1.0, 1e8, true),
        (-0.5, 1.0, 1e3, false),
        (-13.0, 1.0, 1e8, false),
        (-0.5, 200.0, 1e8, false),
        (0.0, 1e-4, 1e3, true),
    ] {
        let found = metropolis::rounding_decides(gained, temperature, 1.0 - 1e-9, magnitude);
        assert_eq!(found, expected, "{gained} at {temperature}, {magnitude}");
    }
}

#[test]
fn decisions_have_their_probability() {
    let u = uniforms(7, 40_000);
    for (gained, temperature, expected) in [(0.4, 1.0, 1.0), (-0.5, 1.0, 0.60653), (-0.5, 2.0, 0.77880)] {
        near("acceptance", acceptance(gained, temperature), expected, 1e-5);
        let share = u.iter().filter(|u| metropolis(gained, temperature, **u)).count() as f64 / u.len() as f64;
        near("share", share, expected, 0.01);
    }
}

#[test]
fn dual_averaging_finds_the_factor_of_its_target() {
    // Acceptance falls as exp(-factor): 0.574 at ln(1 / 0.574).
    for target in [0.574, 0.8] {
        let mut step_adaptation = Tuner { factor: 1.0, log_mean: 0.0, deficit: 0.0 };
        for t in 1..=400 {
            step_adaptation = adapt_step(step_adaptation, (-step_adaptation.factor).exp(), target, t, 400);
        }
        near("factor", step_adaptation.factor, -f64::ln(target), 0.02);
        assert_eq!(step_adaptation.factor, step_adaptation.log_mean.exp());
    }
}

#[test]
fn samples_are_drawn_by_their_weights() {
    let energy = [0.0, f64::ln(3.0), f64::INFINITY, f64::ln(2.0), 5.0, 5.0, 4.0, 6.0];
    let sums = cumulative_weights(&energy, 4, 1.0);
    for (found, expected) in sums[..4].iter().zip([1.0, 4.0 / 3.0, 4.0 / 3.0, 11.0 / 6.0]) {
        near("sum", *found, expected, 1e-14);
    }
    near("a context has its own lowest energy", sums[7], 1.0 + 2.0 * (-1f64).exp() + (-2f64).exp(), 1e-14);
    assert_eq!(pick(&sums[..4], 4, &[0.1, 0.55, 0.73, 0.999]), [0, 1, 3, 3]);
    let drawn = resample(
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        &[2, 0, 2],
        3,
        &[0.5, -1.0, 0.0, 9.0, 0.0, 0.0],
        0.5,
        (&[0.0, 1.0], &[8.0, 5.0]),
    );
    assert_eq!(drawn, [6.0, 5.0, 1.0, 5.0, 5.0, 5.0]);
}
