use super::*;
use crate::diffusion::{NoiseLevel, NoiseSchedule};

const TIMES: [f64; 6] = [1e-3, 0.01, 0.1, 0.3, 0.6, 1.0];

fn level(time: f64) -> NoiseLevel {
    NoiseSchedule::default().at(time)
}

/// Noised data: where oracles are used.
fn noised(task: Task, level: NoiseLevel, count: usize) -> Vec<[f64; 2]> {
    let noise = Task::EightGaussians.draw(count, 71);
    task.draw(count, 70)
        .iter()
        .zip(noise)
        .map(|(point, other)| {
            // Eight Gaussians have a deviation of 2.03 along each axis: divided by it, they serve
            // as noise.
            [0, 1]
                .map(|i| level.alpha() * f64::from(point.x[i]) + level.sigma() * f64::from(other.x[i]) / 2.03)
        })
        .collect()
}

#[test]
fn quadrature_agrees_with_a_much_finer_rule() {
    for task in Task::ALL {
        let fine = shapes::atoms(task, 4.0);
        for beta in [3.0, 20.0] {
            let oracle = task.oracle(beta).unwrap();
            let finer = Oracle::new(fine.clone(), beta).unwrap();
            let mut worst = [0.0f64; 3];
            for time in TIMES {
                let (coarse, fine) = (oracle.at(level(time)).unwrap(), finer.at(level(time)).unwrap());
                let mut points = noised(task, level(time), 40);
                points.extend([[0.0, 0.0], [3.9, -3.9], [-2.0, 3.5]]);
                for x in points {
                    let (a, b) = (coarse.evaluate(x), fine.evaluate(x));
                    let gap = |a: f64, b: f64| (a - b).abs() / b.abs().max(1.0);
                    let vector = |a: [f64; 2], b: [f64; 2]| {
                        (a[0] - b[0]).hypot(a[1] - b[1]) / b[0].hypot(b[1]).max(1.0)
                    };
                    worst[0] = worst[0].max(gap(a.energy, b.energy));
                    worst[1] = worst[1].max(vector(a.gradient, b.gradient));
                    worst[2] = worst[2].max(vector(a.score, b.score));
                    assert!(gap(a.log_density, b.log_density) < 1e-6, "{task} {time} {x:?}");
                    assert!(gap(a.mean_energy, b.mean_energy) < 1e-6, "{task} {time} {x:?}");
                }
            }
            assert!(worst.iter().all(|gap| *gap < 1e-6), "{task} beta {beta}: {worst:?}");
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    for task in Task::ALL {
        let oracle = task.oracle(10.0).unwrap();
        for time in TIMES {
            let level = level(time);
            let at = oracle.at(level).unwrap();
            // A step that is small beside the noise.
            let h = 1e-4 * level.sigma();
            for x in noised(task, level, 12) {
                let here = at.evaluate(x);
                let differences = |value: &dyn Fn([f64; 2]) -> f64| {
                    [[h, 0.0], [0.0, h]]
                        .map(|[u, v]| (value([x[0] + u, x[1] + v]) - value([x[0] - u, x[1] - v])) / (2.0 * h))
                };
                let mut pairs = vec![
                    (here.gradient, differences(&|x| at.energy(x))),
                    (here.score, differences(&|x| at.evaluate(x).log_density)),
                    (here.mean_energy_gradient, differences(&|x| at.evaluate(x).mean_energy)),
                ];
                if let Some((_, gradient)) = at.denoised(x) {
                    pairs.push((gradient, differences(&|x| at.denoised(x).unwrap().0)));
                }
                for (kind, (found, wanted)) in pairs.into_iter().enumerate() {
                    let scale = wanted[0].hypot(wanted[1]).max(1.0) / level.sigma();
                    let gap = (found[0] - wanted[0]).hypot(found[1] - wanted[1]);
                    assert!(gap < 1e-6 * scale, "{task} {time} {x:?}, {kind}: {found:?} {wanted:?}");
                }
            }
        }
    }
}

#[test]
fn values_far_from_all_data_stay_finite_and_gradients_small_at_the_end() {
    for task in Task::ALL {
        let oracle = task.oracle(20.0).unwrap();
        for time in TIMES {
            let at = oracle.at(level(time)).unwrap();
            for x in [[40.0, -30.0], [0.0, 200.0], [-1e3, 1e3]] {
                let found = at.evaluate(x);
                let vectors = [found.score, found.gradient, found.mean_energy_gradient];
                let finite = found.energy.is_finite() && vectors.iter().flatten().all(|v| v.is_finite());
                assert!(finite && found.log_density.is_finite(), "{task} {time} {x:?}: {found:?}");
            }
        }
        // Identity c: at the end E_t is nearly the constant -log Z.
        let at = oracle.at(level(1.0)).unwrap();
        let log_z = task.target(20.0).unwrap().log_z();
        let found = at.evaluate([0.3, -0.4]);
        assert!((found.energy + log_z).abs() < 0.03, "{task}: {} {log_z}", found.energy);
        assert!(found.gradient[0].hypot(found.gradient[1]) < 0.06, "{task}: {:?}", found.gradient);
    }
}

/// The generators against the densities they are said to have, label by label.
#[test]
fn drawn_points_have_the_densities_and_energies_of_the_oracle() {
    let count = 200_000;
    for task in Task::ALL {
        let points = task.draw(count, 5);
        let places: Vec<[f32; 2]> = points.iter().map(|point| point.x).collect();
        for beta in [0.0, 1.0, 3.0] {
            let target = task.target(beta).unwrap();
            let tilts: Vec<f64> =
                points.iter().map(|point| (-beta * f64::from(point.energy)).exp()).collect();
            let mean = tilts.iter().sum::<f64>() / count as f64;
            let square = tilts.iter().map(|tilt| tilt * tilt).sum::<f64>() / count as f64;
            let error = ((square - mean * mean) / count as f64).sqrt() / mean;
            assert!((mean.ln() - target.log_z()).abs() < 4.0 * error + 1e-9, "{task} {beta}: log Z");
            // Weighted counts of the labeled draws are the tilted bins.
            let (half_width, cells) = (task.half_width(), Task::BINS);
            let bins = target.bins(half_width, cells);
            let mut found = vec![0.0; cells * cells];
            for (x, tilt) in places.iter().zip(&tilts) {
                let [column, row] =
                    x.map(|v| (f64::from(v) + half_width) * cells as f64 / (2.0 * half_width));
                if (0.0..cells as f64).contains(&column) && (0.0..cells as f64).contains(&row) {
                    found[row as usize * cells + column as usize] += tilt / (mean * count as f64);
                }
            }
            let gap = 0.5 * found.iter().zip(&bins.probabilities).map(|(p, q)| (p - q).abs()).sum::<f64>();
            let floor =
                0.4 * bins.probabilities.iter().map(|p| p.sqrt()).sum::<f64>() / (count as f64).sqrt();
            assert!(gap < 1.6 * floor * (square / (mean * mean)).sqrt(), "{task} {beta}: {gap} {floor}");
            assert!(bins.outside < 2e-3, "{task} {beta}: {}", bins.outside);
        }
        assert!(points.iter().all(|point| point.energy <= 0.0));
        let below = points.iter().filter(|point| f64::from(point.energy) < task.lowest_energy()).count();
        assert!(below as f64 <= 1e-3 * count as f64, "{task}: {below}");
    }
}

#[test]
fn draws_from_the_target_are_its_own_sample() {
    for task in Task::ALL {
        for beta in [0.0, 3.0, 20.0] {
            let target = task.target(beta).unwrap();
            let sample = target.draw(10_000, 9);
            let (few, many) =
                (target.total_variation(&sample), target.total_variation(&target.draw(160_000, 8)));
            assert!(few < 0.055 && many < 0.3 * few + 0.004, "{task} {beta}: {few} {many}");
            assert_eq!(sample, target.draw(10_000, 9));
            let wrong = task
                .target(if beta > 0.0 { 0.3 * beta.min(3.0) } else { 3.0 })
                .unwrap()
                .total_variation(&sample);
            assert!(wrong > 2.0 * few, "{task} {beta}: {wrong} {few}");
        }
    }
}

/// Identity b for the tasks: the integral of `q_t exp(-E_t)` is `Z` at every time.
#[test]
fn the_tilted_mass_is_the_same_at_every_time() {
    for task in Task::ALL {
        let oracle = task.oracle(3.0).unwrap();
        let z = task.target(3.0).unwrap().log_z().exp();
        for time in [0.1, 0.4] {
            let at = oracle.at(level(time)).unwrap();
            let (half, count) = (6.0, 81);
            let step = 2.0 * half / f64::from(count - 1);
            let sum: f64 = (0..count * count)
                .map(|cell| {
                    let x = [f64::from(cell % count), f64::from(cell / count)].map(|v| v * step - half);
                    let found = at.evaluate(x);
                    (found.log_density - found.energy).exp()
                })
                .sum();
            let mass = sum * step * step;
            assert!((mass / z - 1.0).abs() < 1e-6, "{task} {time}: {mass} {z}");
        }
    }
}

/// C10: a constant added to the energy changes nothing but the value.
#[test]
fn c10_a_constant_in_the_energy_leaves_the_gradient() {
    let points = Task::TwoSpirals.draw(300, 3);
    let moved: Vec<LabeledPoint> =
        points.iter().map(|point| LabeledPoint { energy: point.energy + 8.0, ..*point }).collect();
    let energies_kept = points.iter().zip(&moved).all(|(a, b)| ((b.energy - 8.0) - a.energy).abs() < 1e-6);
    assert!(energies_kept);
    let (a, b) = (Oracle::finite(&points, 3.0).unwrap(), Oracle::finite(&moved, 3.0).unwrap());
    for time in TIMES {
        let (a, b) = (a.at(level(time)).unwrap(), b.at(level(time)).unwrap());
        for x in [[0.3, 1.1], [-2.0, 0.4]] {
            let (a, b) = (a.evaluate(x), b.evaluate(x));
            // Labels are f32: their rounding after the shift is all that differs.
            assert!((b.energy - a.energy - 24.0).abs() < 3e-6, "{time} {x:?}");
            let scale = a.gradient[0].hypot(a.gradient[1]).max(1.0) * 1e-5;
            assert!((0..2).all(|i| (a.gradient[i] - b.gradient[i]).abs() < scale), "{time} {x:?}");
        }
    }
}

#[test]
fn energies_are_those_of_the_places_where_places_decide() {
    for point in Task::SwissRoll.draw(1000, 1) {
        let [u, v] = point.x.map(f64::from);
        assert!((f64::from(point.energy) + (u * u + v * v) / 9.0).abs() < 1e-6);
        let quadratic = Task::SwissRoll.quadratic().unwrap();
        assert!((quadratic.energy([u, v]) - f64::from(point.energy)).abs() < 1e-6);
    }
    for point in Task::Checkerboard.draw(1000, 1) {
        let wanted = (point.x[0] > 0.0 && point.x[0] <= 2.0) || point.x[0] <= -2.0;
        assert_eq!(point.energy, if wanted { -1.0 } else { 0.0 });
    }
    for task in Task::ALL {
        assert_eq!(task.has_gradient(), task == Task::SwissRoll);
        let denoised = task.oracle(1.0).unwrap().at(level(0.3)).unwrap().denoised([0.1, 0.2]).is_some();
        assert_eq!(denoised, task.has_gradient());
    }
    // Labels are those of the Gaussian a point was drawn from, which is nearly always the nearest.
    let centers = shapes::gaussian_centers();
    assert!(
        centers[0][0].abs() < 1e-12 && centers[0][1] > 2.8 && centers[2][0] < -2.8 && centers[6][0] > 2.8
    );
    let points = Task::EightGaussians.draw(2000, 4);
    let near = points.iter().filter(|point| {
        let center = centers[(-7.0 * point.energy).round() as usize];
        (f64::from(point.x[0]) - center[0]).hypot(f64::from(point.x[1]) - center[1]) < 1.2
    });
    assert!(near.count() > 1980);
}

#[test]
fn requests_without_sense_are_refused() {
    for task in Task::ALL {
        for beta in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(task.oracle(beta).is_err() && task.target(beta).is_err(), "{task} {beta}");
        }
    }
    let error = Task::SwissRoll.oracle(113.0).unwrap_err().to_string();
    assert!(error.contains("112.5"), "{error}");
    assert!(Task::SwissRoll.oracle(112.0).is_ok());
    assert!(Oracle::finite(&[], 1.0).is_err());
    assert!(Oracle::finite(&[LabeledPoint { x: [0.0, f32::NAN], energy: 0.0 }], 1.0).is_err());
    let start = level(0.0);
    assert!(Task::Checkerboard.oracle(1.0).unwrap().at(start).is_err());
    assert!(Task::Moons.oracle(1.0).unwrap().at(start).is_ok());
    let wrong = NoiseLevel { time: 0.5, log_alpha: 0.1 };
    assert!(Task::Moons.oracle(1.0).unwrap().at(wrong).is_err());
}

#[test]
fn names_travel() {
    for task in Task::ALL {
        assert_eq!(task.to_string().parse(), Ok(task));
        assert_eq!(serde_json::to_string(&task).unwrap(), format!("\"{task}\""));
    }
    let error = "8gaussians".parse::<Task>().unwrap_err().to_string();
    assert!(error.contains("`8gaussians`") && error.contains("swiss_roll, eight_gaussians"), "{error}");
}
