use super::*;
use crate::math::log_sum_exp;

const SOLVERS: [Solver; 6] = [
    Solver::Ddpm,
    Solver::Ddim,
    Solver::DpmSolverPlusPlus2M,
    Solver::DpmSolverPlusPlus3M,
    Solver::DpmSolverPlusPlus2S,
    Solver::DpmSolver2M,
];

fn options(solver: Solver, grid: TimeGrid, evaluations: usize) -> SolverOptions {
    SolverOptions { solver, grid, evaluations, ..SolverOptions::default() }
}

/// Walks one number from `x` with the noise at each point.
fn walk(options: &SolverOptions, x: f64, noise: impl Fn(f64, NoiseLevel) -> f64) -> f64 {
    walk_along(&options.steps().unwrap(), x, noise)
}

fn walk_along(steps: &[SolverStep], x: f64, noise: impl Fn(f64, NoiseLevel) -> f64) -> f64 {
    let (mut points, mut models) = (vec![x], vec![0.0, 0.0]);
    for step in steps {
        let here = points[points.len() - 1];
        let base = if step.from_previous { points[points.len() - 2] } else { here };
        models.push(step.point * here + step.noise * noise(here, step.level));
        let last = models.iter().rev();
        let sum: f64 = last.zip(step.model).map(|(model, factor)| model * factor).sum();
        points.push(step.start * base + sum);
    }
    points[points.len() - 1]
}

/// Noise drawn with a point mass at `x0` is the noise that was added: the deterministic solvers
/// must return to `x0` whatever their steps, in one evaluation as in many.
#[test]
fn c18_a_point_mass_is_reproduced_by_every_solver() {
    let (x0, z) = (0.7, -1.3);
    for solver in SOLVERS.into_iter().filter(|solver| *solver != Solver::Ddpm) {
        for evaluations in [1, 2, 3, 4, 15, 16] {
            let options = options(solver, TimeGrid::LogSnr, evaluations);
            let levels = options.steps().unwrap();
            let start = levels[0].level.alpha() * x0 + levels[0].level.sigma() * z;
            let end = walk(&options, start, |x, level| (x - level.alpha() * x0) / level.sigma());
            let last = options.schedule.at(options.last_time);
            let exact = last.alpha() * x0 + last.sigma() * z;
            assert!((end - exact).abs() < 1e-6, "{solver:?} {evaluations}: {end} {exact}");
        }
    }
}

/// The ancestral steps keep the forward marginals: mean `alpha x0`, variance `sigma^2`.
#[test]
fn ancestral_steps_keep_the_marginals_of_a_point_mass() {
    let x0 = 0.7;
    for grid in [TimeGrid::Time, TimeGrid::LogSnr, TimeGrid::Quadratic] {
        let steps = options(Solver::Ddpm, grid, 40).steps().unwrap();
        let (mut mean, mut variance) = (steps[0].level.alpha() * x0, steps[0].level.sigma().powi(2));
        for step in steps {
            // The predicted data are x0 itself.
            mean = step.start * mean + step.model[0] * x0;
            variance = step.start.powi(2) * variance + step.fresh.powi(2);
            assert!((mean / (step.next.alpha() * x0) - 1.0).abs() < 1e-9, "{grid:?} {step:?}");
            assert!((variance / step.next.sigma().powi(2) - 1.0).abs() < 1e-9, "{grid:?} {step:?}");
        }
    }
}

/// For Gaussian data N(m, v) the flow is known: it keeps the standard score of a point.
#[test]
fn orders_of_convergence_on_a_gaussian() {
    let (m, v) = (0.4, 0.3);
    let spread = |level: NoiseLevel| (level.alpha().powi(2) * v + level.sigma().powi(2)).sqrt();
    let noise = |x: f64, level: NoiseLevel| level.sigma() * (x - level.alpha() * m) / spread(level).powi(2);
    let error = |solver: Solver, evaluations: usize| {
        let options = options(solver, TimeGrid::LogSnr, evaluations);
        let [first, last] = [1.0, options.last_time].map(|time| options.schedule.at(time));
        let start = 1.2;
        let exact = last.alpha() * m + spread(last) / spread(first) * (start - first.alpha() * m);
        (walk(&options, start, noise) - exact).abs()
    };
    for (solver, evaluations, least) in [
        (Solver::Ddim, 200, 0.95),
        (Solver::DpmSolverPlusPlus2M, 200, 1.9),
        (Solver::DpmSolver2M, 200, 1.9),
        (Solver::DpmSolverPlusPlus2S, 200, 1.8),
        (Solver::DpmSolverPlusPlus3M, 100, 2.7),
    ] {
        let order = (error(solver, evaluations) / error(solver, 2 * evaluations)).log2();
        assert!(order > least, "{solver:?}: order {order}");
    }
}

#[test]
fn options_without_sense_are_refused() {
    let good = SolverOptions::default();
    good.check().unwrap();
    assert_eq!(SolverOptions::paper().evaluations, 15);
    for bad in [
        SolverOptions { evaluations: 0, ..good },
        SolverOptions { evaluations: 10_001, ..good },
        SolverOptions { last_time: 0.0, ..good },
        SolverOptions { last_time: 1.0, ..good },
        SolverOptions { last_time: f64::NAN, ..good },
        SolverOptions { schedule: NoiseSchedule::Linear { start: -1.0, end: 1.0 }, ..good },
    ] {
        assert!(bad.steps().is_err(), "{bad:?}");
    }
    assert_eq!(options(Solver::DpmSolverPlusPlus2S, TimeGrid::Time, 15).steps().unwrap().len(), 15);
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<SolverOptions>(&text).unwrap(), good);
}

/// Weight, mean and deviation of normal densities.
type Mixture = &'static [[f64; 3]];

const TWO_MODES: Mixture = &[[0.5, -1.0, 0.2], [0.5, 1.0, 0.2]];
const MIXTURES: [Mixture; 4] = [
    TWO_MODES,
    &[[0.5, -1.0, 0.05], [0.5, 1.0, 0.05]],
    &[[0.5, 2.0, 0.5], [0.3, -1.0, 0.6], [0.2, 0.0, 0.4]],
    &[[0.2, -2.0, 0.1], [0.2, -1.0, 0.1], [0.2, 0.0, 0.1], [0.2, 1.0, 0.1], [0.2, 2.0, 0.1]],
];

/// Points of the normal distribution from which samples start.
fn starts() -> impl Iterator<Item = f64> {
    (-200..=200).map(|at| 0.025 * f64::from(at))
}

/// Mean over the normal distribution of a value at each start.
fn mean_over_starts(values: impl Iterator<Item = f64>) -> f64 {
    let density = |z: f64| (-0.5 * z * z).exp();
    let sum = starts().zip(values).map(|(z, value)| density(z) * value).sum::<f64>();
    sum / starts().map(density).sum::<f64>()
}

/// Where the exact score leads each start.
fn ends(options: &SolverOptions, mixture: Mixture) -> Vec<f64> {
    let noise = |x: f64, level: NoiseLevel| {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let terms = mixture.iter().map(|[weight, mean, deviation]| {
            let variance = (alpha * deviation).powi(2) + sigma * sigma;
            let away = x - alpha * mean;
            (weight.ln() - 0.5 * variance.ln() - 0.5 * away * away / variance, away / variance)
        });
        let total = log_sum_exp(terms.clone().map(|(log_weight, _)| log_weight));
        sigma * terms.map(|(log_weight, slope)| (log_weight - total).exp() * slope).sum::<f64>()
    };
    let steps = options.steps().unwrap();
    starts().map(|z| walk_along(&steps, z, noise)).collect()
}

fn variance(options: &SolverOptions) -> f64 {
    let ends = ends(options, TWO_MODES);
    let mean = mean_over_starts(ends.iter().copied());
    mean_over_starts(ends.iter().map(|end| (end - mean).powi(2)))
}

/// The tables of docs/results.md, and that the default is near the better choice throughout.
#[test]
fn few_evaluations_by_the_order_of_the_last_steps() {
    const EVALUATIONS: [usize; 8] = [4, 5, 6, 8, 10, 15, 25, 50];
    let fine =
        MIXTURES.map(|mixture| ends(&options(Solver::DpmSolverPlusPlus3M, TimeGrid::LogSnr, 3000), mixture));
    let apart = |options: &SolverOptions| {
        let squares = MIXTURES.iter().zip(&fine).map(|(mixture, fine)| {
            mean_over_starts(ends(options, mixture).iter().zip(fine).map(|(end, fine)| (end - fine).powi(2)))
        });
        (squares.sum::<f64>() / 4.0).sqrt()
    };
    let both = both_orders();
    let mut wrong = Vec::new();
    for solver in [Solver::DpmSolverPlusPlus2M, Solver::DpmSolverPlusPlus3M, Solver::DpmSolver2M] {
        for grid in [TimeGrid::Time, TimeGrid::Quadratic, TimeGrid::LogSnr] {
            let mut lines = [(); 2].map(|()| format!("| `{solver:?}` | {grid} |"));
            for evaluations in EVALUATIONS {
                let usual = options(solver, grid, evaluations);
                let found = both.map(|last| apart(&usual.with_last_steps(last)));
                let variances = both.map(|last| variance(&usual.with_last_steps(last)));
                for (line, [full, lowered]) in lines.iter_mut().zip([variances, found]) {
                    *line += &match usual.lowers_last_steps() {
                        true => format!(" {full:.3} / **{lowered:.3}** |"),
                        false => format!(" **{full:.3}** / {lowered:.3} |"),
                    };
                }
                let chosen = found[usize::from(usual.lowers_last_steps())];
                let best = found[0].min(found[1]);
                if chosen > 1.1 * best + 0.005 {
                    wrong.push(format!("{solver} {grid} {evaluations}: {chosen} {best}"));
                }
            }
            println!("variance {}\napart    {}", lines[0], lines[1]);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (solver, evaluations, in_full) in [
        (Solver::DpmSolverPlusPlus3M, 15, 2.5),
        (Solver::DpmSolverPlusPlus3M, 5, 10.0),
        (Solver::DpmSolverPlusPlus2M, 5, 2.5),
    ] {
        let usual = options(solver, TimeGrid::Time, evaluations);
        let [full, now] = [usual.with_last_steps(LastSteps::Full), usual].map(|options| variance(&options));
        assert!(full > in_full && (0.65..1.1).contains(&now), "{solver} {evaluations}: {full}, {now}");
    }
}

#[test]
fn the_order_falls_with_the_steps_that_are_left() {
    let steps = |last| {
        let third = options(Solver::DpmSolverPlusPlus3M, TimeGrid::Time, 6);
        third.with_last_steps(last).steps().unwrap()
    };
    let orders = |steps: &[SolverStep]| -> Vec<usize> {
        steps.iter().map(|step| step.model.iter().filter(|factor| **factor != 0.0).count()).collect()
    };
    let [full, lowered] = both_orders().map(steps);
    assert_eq!(orders(&full), [1, 2, 3, 3, 3, 3]);
    assert_eq!(orders(&lowered), [1, 2, 3, 3, 2, 1]);
    assert_eq!(full[..4], lowered[..4]);
    // Solvers of one step know no other order.
    for solver in [Solver::Ddpm, Solver::Ddim, Solver::DpmSolverPlusPlus2S] {
        let [full, lowered] = both_orders()
            .map(|last| options(solver, TimeGrid::Time, 7).with_last_steps(last).steps().unwrap());
        assert_eq!(full, lowered, "{solver}");
    }
}

fn both_orders() -> [LastSteps; 2] {
    [LastSteps::Full, LastSteps::Lowered]
}

#[test]
fn the_order_of_the_last_steps_depends_on_grid_and_evaluations_where_nothing_is_said() {
    let usual = SolverOptions::default();
    assert!(!usual.lowers_last_steps());
    assert_eq!(usual.steps().unwrap(), usual.with_last_steps(LastSteps::Full).steps().unwrap());
    for (grid, most) in [(TimeGrid::Time, 100), (TimeGrid::Quadratic, 15), (TimeGrid::LogSnr, 6)] {
        for (evaluations, lowers) in [(most, true), (most + 1, false)] {
            let options = usual.with_grid(grid).with_evaluations(evaluations);
            assert_eq!(options.lowers_last_steps(), lowers, "{grid} {evaluations}");
        }
    }
    // As published.
    for paper in [SolverOptions::paper(), SolverOptions::paper_policy()] {
        assert_eq!((paper.last_steps, paper.lowers_last_steps()), (LastSteps::Full, false));
    }
    // Files say it; those from before there was a choice had the full order.
    let mut file = serde_json::to_value(usual.with_grid(TimeGrid::Time)).unwrap();
    assert_eq!(serde_json::from_value::<SolverOptions>(file.clone()).unwrap().last_steps, LastSteps::Auto);
    file.as_object_mut().unwrap().remove("last_steps").unwrap();
    assert_eq!(serde_json::from_value::<SolverOptions>(file).unwrap().last_steps, LastSteps::Full);
}
