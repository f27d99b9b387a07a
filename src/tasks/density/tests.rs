use std::f64::consts::TAU;

use super::histogram::{bhattacharyya, cell_area, cell_centers, histogram};
use super::*;

/// Chi-square of counted draws against a density, in standard deviations from what an exact density
/// gives; cells are integrated with 3 x 3 points, those that expect fewer than 10 draws are pooled.
fn chi_square_deviations(
    points: &[[f32; 2]],
    half_width: f64,
    cells: usize,
    density: impl Fn([f64; 2]) -> f64,
) -> f64 {
    let (area, side) = (cell_area(half_width, cells), 2.0 * half_width / cells as f64);
    let total = points.len() as f64;
    let counted = histogram(points, half_width, cells);
    let (mut sum, mut degrees) = (0.0, 0.0);
    let (mut pooled_count, mut pooled_expected) = (total, total);
    for (center, found) in cell_centers(half_width, cells).zip(counted) {
        let expected = (0..9)
            .map(|i| {
                let shift = |k: i32| (f64::from(k) - 1.0) / 3.0 * side;
                density([center[0] + shift(i % 3), center[1] + shift(i / 3)])
            })
            .sum::<f64>()
            * total
            * area
            / 9.0;
        let count = found * total * area;
        if expected >= 10.0 {
            sum += (count - expected).powi(2) / expected;
            degrees += 1.0;
            pooled_count -= count;
            pooled_expected -= expected;
        }
    }
    sum += (pooled_count - pooled_expected).powi(2) / pooled_expected.abs().max(1.0);
    (sum - degrees) / f64::sqrt(2.0 * degrees)
}

#[test]
fn densities_integrate_to_one_and_members_of_a_family_differ() {
    for density in Density::ALL {
        let grids: Vec<Grid> =
            density.contexts().iter().map(|&context| density.grid(context.into())).collect();
        for (grid, &context) in grids.iter().zip(density.contexts()) {
            let mass = grid.values.iter().sum::<f64>() * grid.cell_area();
            assert!((mass - 1.0).abs() < 1e-12, "{density} at {context}: {mass}");
            // The grid was divided by the mass that the exact values have on it.
            let (cell, highest) = (0..).zip(&grid.values).max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            let center = cell_centers(grid.half_width, grid.cells).nth(cell).unwrap();
            let mass = density.log_density(context.into(), center).exp() / highest;
            assert!((mass - 1.0).abs() < 1e-5, "{density} at {context}: {mass}");
        }
        for (at, a) in grids.iter().enumerate() {
            for b in &grids[..at] {
                let same = bhattacharyya(&a.values, &b.values, a.cell_area());
                assert!(same < 0.985, "{density}: two members have the coefficient {same}");
            }
        }
    }
}

#[test]
fn draws_follow_the_density_and_the_comparison_can_tell() {
    for density in Density::ALL {
        for &context in density.contexts().iter().step_by(2).take(2) {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
            let points = density.sample(context, 200_000, &mut rng);
            let conditional = density.conditional(context.into());
            let deviations = |wrong: &dyn Fn([f64; 2]) -> f64| {
                chi_square_deviations(&points, density.half_width(), 64, wrong)
            };
            let exact = |y| conditional.log_density(y).exp();
            let seen = deviations(&exact);
            assert!(seen.abs() < 4.0, "{density} at {context}: {seen}");

            let next =
                density.conditional(f64::from(if context > 0.0 { context - 0.67 } else { context + 0.67 }));
            let (sin, cos) = f64::sin_cos(0.02);
            type Wrong<'a> = (&'a str, &'a dyn Fn([f64; 2]) -> f64);
            let flat = |y| match &conditional {
                Conditional::Pinwheel(pinwheel) => {
                    let mut sum = 0.0;
                    pinwheel.for_each_source(y, |f, _| sum += pinwheel::source_density(f));
                    sum / f64::from(pinwheel.arms())
                }
                _ => 0.9 * exact(y) + 0.1 / (2.0 * density.half_width()).powi(2),
            };
            let wrongs: [Wrong<'_>; 7] = [
                ("mirrored", &|y| exact([y[0], -y[1]])),
                ("swapped", &|y| exact([y[1], y[0]])),
                ("one per cent too wide", &|y| exact(y.map(|v| v / 1.01)) / 1.01f64.powi(2)),
                ("turned by 0.02", &|y| exact([cos * y[0] - sin * y[1], sin * y[0] + cos * y[1]])),
                ("another context", &|y| next.log_density(y).exp()),
                ("five per cent short", &|y| 0.95 * exact(y)),
                ("without its Jacobian, or with a floor", &flat),
            ];
            // What leaves a shape as it is cannot be told from it.
            let symmetries: &[&str] = match density {
                Density::Rings => &["mirrored", "swapped", "turned by 0.02"],
                Density::EightGaussians if context == -1.0 || context == 0.0 => &["mirrored", "swapped"],
                Density::Checkerboard => &["swapped"],
                _ => &[],
            };
            for (name, wrong) in wrongs {
                if symmetries.contains(&name) {
                    continue;
                }
                let seen = deviations(wrong);
                assert!(seen > 8.0, "{density} at {context} accepted {name}: {seen}");
            }
        }
    }
}

#[test]
fn exact_pinwheel_draws_reach_the_known_coefficients() {
    let density = Density::Pinwheel;
    let mean_over_contexts = |count: usize, cells: usize| {
        let sum: f64 = density
            .contexts()
            .iter()
            .zip(0..)
            .map(|(&context, seed)| {
                let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
                let drawn = histogram(&density.sample(context, count, &mut rng), 3.0, cells);
                let conditional = density.conditional(context.into());
                let exact: Vec<f64> =
                    cell_centers(3.0, cells).map(|y| conditional.log_density(y).exp()).collect();
                bhattacharyya(&drawn, &exact, cell_area(3.0, cells))
            })
            .sum();
        sum / density.contexts().len() as f64
    };
    // The bias of a histogram with so many draws, from an implementation in another language.
    let known = [(16384, 128, 0.975), (16384, 64, 0.993)];
    for (count, cells, wanted) in known {
        let found = mean_over_contexts(count, cells);
        assert!((found - wanted).abs() < 0.004, "{count} draws, {cells} cells: {found}, not {wanted}");
    }
}

#[test]
fn pinwheel_looks_the_same_from_every_arm() {
    for &context in Density::Pinwheel.contexts() {
        let pinwheel = Pinwheel::at(context.into());
        let turned = |y: [f64; 2], arms: u32| {
            let (sin, cos) = (TAU / f64::from(arms)).sin_cos();
            pinwheel.log_density([cos * y[0] - sin * y[1], sin * y[0] + cos * y[1]])
        };
        for y in [[0.7, 0.2], [-1.1, 0.4], [0.05, -0.02], [1.4, 1.3], [-0.3, -2.1]] {
            let (here, there) = (pinwheel.log_density(y), turned(y, pinwheel.arms()));
            assert!((here - there).abs() < 1e-8, "{pinwheel:?} at {y:?}: {here} {there}");
            let wrong = turned(y, pinwheel.arms() + 1);
            assert!(y[0] == 0.05 || (here - wrong).abs() > 1e-3, "{pinwheel:?} at {y:?}");
        }
    }
}

#[test]
fn data_sets_repeat_and_cover_the_contexts() {
    for density in Density::ALL {
        let (x, y) = density.samples(4000, 3);
        assert_eq!((&x, &y), (&density.samples(4000, 3).0, &density.samples(4000, 3).1));
        assert_ne!(x, density.samples(4000, 4).0);
        assert!(x.iter().all(|x| (-1.0..=1.0).contains(x)));
        let half_width = density.half_width() as f32;
        assert!(y.iter().flatten().all(|v| v.abs() < half_width));
        let mean = x.iter().sum::<f32>() / 4000.0;
        assert!(mean.abs() < 0.05, "{density}: {mean}");
    }
    let (x, _) = Density::Pinwheel.samples(4000, 5);
    for &context in Density::Pinwheel.contexts() {
        let count = x.iter().filter(|x| **x == context).count();
        assert!((850..1150).contains(&count), "{context}: {count}");
    }
}

#[test]
fn unconditional_data_are_the_textbook_shape() {
    for density in Density::ALL {
        let context = density.standard_context();
        assert!(density.contexts().contains(&context), "{density}");
        let points = density.standard_samples(50_000, 3);
        assert_eq!(points, density.standard_samples(50_000, 3));
        assert_ne!(points[..100], density.standard_samples(100, 4));
        let conditional = density.conditional(context.into());
        let exact = |y| conditional.log_density(y).exp();
        let seen = chi_square_deviations(&points, density.half_width(), 64, exact);
        assert!(seen.abs() < 4.0, "{density}: {seen}");
        let of = |points: &[[f32; 2]]| {
            let count = points.len() as f64;
            let mean = |k: usize| points.iter().map(|p| f64::from(p[k])).sum::<f64>() / count;
            let square = |k: usize| points.iter().map(|p| f64::from(p[k]).powi(2)).sum::<f64>() / count;
            [mean(0), mean(1), square(0), square(1)]
        };
        let known = match density {
            // Center and mean squares of the generators, worked out by hand.
            Density::EightGaussians => Some([0.0, 0.0, 8.25 / 1.414f64.powi(2), 8.25 / 1.414f64.powi(2)]),
            Density::Checkerboard => Some([0.0, 0.0, 16.0 / 3.0, 16.0 / 3.0]),
            Density::Rings => Some([0.0, 0.0, 9.0 * 1.875 / 8.0 + 0.0064, 9.0 * 1.875 / 8.0 + 0.0064]),
            Density::Moons => {
                // 2 c + (-1, -0.2): the moons' means are (0, 2/pi) and (1, 1/2 - 2/pi).
                let y = |c: f64, sign: f64| {
                    (2.0 * c - 0.2).powi(2)
                        + 4.0 * 0.5
                        + 2.0 * (2.0 * c - 0.2) * 2.0 * sign * 2.0 / std::f64::consts::PI
                };
                Some([0.0, 0.3, 2.0 + 1.0 + 0.04, 0.5 * (y(0.0, 1.0) + y(0.5, -1.0)) + 0.04])
            }
            _ => None,
        };
        let found = of(&points);
        for (at, wanted) in known.iter().flatten().enumerate() {
            assert!((found[at] - wanted).abs() < 0.06, "{density}, moment {at}: {} {wanted}", found[at]);
        }
    }
}

#[test]
fn contexts_have_their_labels_and_those_outside_are_the_nearest_member() {
    for density in Density::ALL {
        let labels: Vec<String> = density.contexts().iter().map(|&x| density.label(x)).collect();
        assert!((1..labels.len()).all(|at| !labels[..at].contains(&labels[at])), "{labels:?}");
        for (outside, nearest) in [(-7.0, -1.0), (7.0, 1.0)] {
            for y in [[0.3, -0.8], [1.9, 2.2], [-2.1, 0.1]] {
                assert_eq!(density.log_density(outside, y), density.log_density(nearest, y), "{density}");
            }
        }
    }
}

#[test]
fn the_textbook_checkerboard_has_its_cells() {
    // x1 in (-2, 2), x2 = U(0, 1) - 2 Bernoulli + floor(x1) mod 2, times 2: the columns' lower
    // cells.
    let board = Checkerboard::at(f64::from(Density::Checkerboard.standard_context()));
    for (column, cells) in [(-2.0, [-2.0, 0.0]), (-1.0, [-1.0, 1.0]), (0.0, [-2.0, 0.0]), (1.0, [-1.0, 1.0])]
    {
        for row in [-2.0, -1.0, 0.0, 1.0] {
            let found = board.log_density([2.0 * column + 0.7, 2.0 * row + 1.1]).exp();
            let wanted = if cells.contains(&row) { 1.0 / 32.0 } else { 0.0 };
            assert!((found - wanted).abs() < 1e-12, "column {column}, row {row}");
        }
    }
    for y in [[4.5, 0.5], [0.5, -4.5], [f64::NAN, 0.0], [f64::INFINITY, 0.0]] {
        assert_eq!(board.log_density(y), f64::NEG_INFINITY);
    }
}

/// Data sets are part of every recorded result: a change of this stream is a change of all figures.
#[test]
fn stream_of_draws_is_fixed() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let words: Vec<u64> = (0..2).map(|_| rng.next_u64()).collect();
    assert_eq!(words, [0x53175d61490b23df, 0x61da6f3dc380d507]);
}

#[test]
fn names_and_labels() {
    for density in Density::ALL {
        assert_eq!(density.to_string().parse(), Ok(density));
        let json = serde_json::to_string(&density).expect("a unit variant");
        assert_eq!(json, format!("\"{density}\""));
    }
    let error = "Pinwheel".parse::<Density>().expect_err("names are lower case");
    assert!(error.to_string().contains("`Pinwheel`") && error.to_string().contains("spiral"));
    assert_eq!(Density::Pinwheel.label(1.0 / 3.0), "5 arms");
    assert_eq!(Density::Spiral.label(0.5), "length 1.25");
    assert_eq!(Density::Rings.label(-1.0), "1 ring");
    assert!(
        error.to_string().contains("eight_gaussians, checkerboard, rings, moons, two_spirals"),
        "{error}"
    );
}
