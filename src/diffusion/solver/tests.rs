use super::*;

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
    let (mut points, mut models) = (vec![x], vec![0.0, 0.0]);
    for step in options.steps().unwrap() {
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
