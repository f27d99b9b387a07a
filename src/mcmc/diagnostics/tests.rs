use super::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Chains with `y' = rho y + sqrt(1 - rho^2) n`, stationary with variance 1, `n` uniform with
/// variance 1.
fn autoregressive(rho: f64, chains: usize, draws: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut noise = move || 12f64.sqrt() * (rng.random::<f64>() - 0.5);
    let mut chain = || {
        let mut y = noise();
        let mut next = || {
            y = rho * y + (1.0 - rho * rho).sqrt() * noise();
            y
        };
        for _ in 0..200 {
            next();
        }
        (0..draws).map(|_| next()).collect()
    };
    (0..chains).map(|_| chain()).collect()
}

#[test]
fn autoregressive_chains_have_their_known_effective_sample_size() {
    for (rho, bound) in [(0.0, 0.08), (0.5, 0.08), (0.9, 0.12), (-0.3, 0.08)] {
        let (chains, draws) = (8, 20_000);
        let series = autoregressive(rho, chains, draws, 7);
        let expected = (chains * draws) as f64 * (1.0 - rho) / (1.0 + rho);
        let found = effective_sample_size(&series).unwrap();
        assert!((found / expected - 1.0).abs() < bound, "rho {rho}: {found}, expected {expected}");
        let r_hat = split_r_hat(&series).unwrap();
        assert!((0.999..1.005).contains(&r_hat), "rho {rho}: {r_hat}");
    }
}

#[test]
fn small_chains_have_the_hand_computed_numbers() {
    // Halves (1, 2) and (4, 3): means 1.5 and 3.5, variances 0.5; W = 0.5, B / n = 2, marginal =
    // 0.25 + 2.
    let chains = [[1.0, 2.0, 4.0, 3.0]];
    assert!((split_r_hat(&chains).unwrap() - 4.5f64.sqrt()).abs() < 1e-12);
    // Lag 1: mean covariance -0.125, rho = 1 - 0.625 / 2.25; tau = 2 (1 + rho) - 1.
    let tau = 1.0 + 2.0 * (1.0 - 0.625 / 2.25);
    assert!((effective_sample_size(&chains).unwrap() - 4.0 / tau).abs() < 1e-12);
}

#[test]
fn chains_in_different_places_do_not_pass() {
    let mut series = autoregressive(0.5, 4, 1000, 3);
    for (index, chain) in series.iter_mut().enumerate() {
        chain.iter_mut().for_each(|y| *y += 10.0 * index as f64);
    }
    assert!(split_r_hat(&series).unwrap() > 5.0);
    assert!(effective_sample_size(&series).unwrap() < 10.0);
    // A drift shows within a single chain.
    let drift: Vec<f64> =
        autoregressive(0.0, 1, 1000, 4)[0].iter().zip(0..).map(|(y, t)| y + 0.01 * f64::from(t)).collect();
    assert!(split_r_hat(&[drift]).unwrap() > 1.5);
    let still = [[1.0; 8], [2.0; 8]];
    assert_eq!(split_r_hat(&still).unwrap(), f64::INFINITY);
    assert!(effective_sample_size(&still).unwrap() < 4.0);
}

#[test]
fn what_cannot_be_diagnosed_is_an_error() {
    let text = |result: Result<f64>| result.expect_err("an error").to_string();
    assert!(text(split_r_hat(&[[1.0; 9], [1.0; 9]])).contains("stand still"));
    // The draw in the middle of an odd number belongs to no half.
    for stuck in [[1.0, 1.0, 2.0, 1.0, 1.0], [0.0, 1e200, 0.0, -1e200, 0.0]] {
        assert!(text(split_r_hat(&[stuck])).contains("variance"));
        assert!(text(effective_sample_size(&[stuck])).contains("variance"));
    }
    assert!(text(split_r_hat(&[[1.0, 2.0, 3.0]])).contains("3 draws"));
    assert!(text(effective_sample_size::<Vec<f64>>(&[])).contains("0 draws"));
    assert!(text(effective_sample_size(&[vec![1.0, 2.0, 3.0, 4.0], vec![1.0; 5]])).contains("4 and 5"));
    assert!(text(split_r_hat(&[[1.0, f64::NAN, 3.0, 4.0]])).contains("not finite"));
}

#[test]
fn a_trace_is_taken_apart_by_context_chain_and_dimension() {
    let (kept, contexts, chains, dims) = (2001, 3, 2, 2);
    let series = autoregressive(0.2, contexts * chains * dims, kept, 5);
    let place = |at: usize| series[at % (contexts * chains * dims)][at / (contexts * chains * dims)];
    let trace: Vec<f32> = (0..kept * contexts * chains * dims).map(|at| place(at) as f32).collect();
    let found = summarize(&trace, [kept, contexts, chains, dims], 1).unwrap();
    assert_eq!(found.dims.len(), dims);
    assert!(found.has_mixed(1.01) && found.lost.is_empty() && found.frozen.is_empty());
    for (j, summary) in found.dims.iter().enumerate() {
        let own = [series[chains * dims + j].clone(), series[(chains + 1) * dims + j].clone()];
        assert!((summary.ess.unwrap() / effective_sample_size(&own).unwrap() - 1.0).abs() < 1e-3);
        assert!((summary.r_hat.unwrap() - split_r_hat(&own).unwrap()).abs() < 1e-5);
        let (mean, variance) = moments(&own.concat());
        assert!((summary.mean - mean).abs() < 1e-5 && (summary.std - variance.sqrt()).abs() < 1e-5);
    }
    assert!(summarize(&trace[1..], [kept, contexts, chains, dims], 1).is_err());
    assert!(summarize(&trace, [kept, contexts, chains, dims], 3).is_err());
}

/// A trace of one context from `[chains][dims]` series.
fn trace_of(series: &[Vec<Vec<f64>>]) -> (Vec<f32>, [usize; 4]) {
    let (chains, dims, kept) = (series.len(), series[0].len(), series[0][0].len());
    let trace = (0..kept)
        .flat_map(|t| series.iter().flat_map(move |chain| chain.iter().map(move |values| values[t] as f32)))
        .collect();
    (trace, [kept, 1, chains, dims])
}

#[test]
fn a_constant_dimension_and_a_lost_chain_are_named_beside_the_others_numbers() {
    let moving = autoregressive(0.2, 3, 1000, 11);
    let still = vec![2.5; 1000];
    let mut lost = moving[2].clone();
    lost[999] = f64::NAN;
    let series = [vec![moving[0].clone(), still.clone()], vec![moving[1].clone(), still.clone()]];
    let (trace, shape) = trace_of(&[series[0].clone(), vec![lost, still.clone()], series[1].clone()]);
    let found = summarize(&trace, shape, 0).unwrap();
    assert_eq!((found.lost.clone(), found.constant()), (vec![1], vec![1]));
    assert!(found.frozen.is_empty() && !found.has_mixed(1.01));
    assert_eq!((found.dims[1].mean, found.dims[1].r_hat, found.dims[1].ess), (2.5, None, None));
    let (trace, shape) = trace_of(&series);
    let alone = summarize(&trace, shape, 0).unwrap();
    assert_eq!(found.dims, alone.dims);
    assert!(alone.has_mixed(1.01) && alone.dims[0].ess.unwrap() > 500.0, "{alone:?}");
    let (trace, shape) = trace_of(&[vec![vec![f64::NAN; 9]], vec![vec![f64::INFINITY; 9]]]);
    assert!(summarize(&trace, shape, 0).unwrap_err().to_string().contains("of 2"));
}

#[test]
fn a_frozen_chain_among_hundreds_fails() {
    let mut series: Vec<Vec<Vec<f64>>> =
        autoregressive(0.0, 200, 100, 12).into_iter().map(|chain| vec![chain]).collect();
    let (trace, shape) = trace_of(&series);
    assert!(summarize(&trace, shape, 0).unwrap().has_mixed(1.05));
    // At the mean, where the formulas without this rule would not see it.
    series[77] = vec![vec![0.0; 100]];
    let (trace, shape) = trace_of(&series);
    let found = summarize(&trace, shape, 0).unwrap();
    assert_eq!((found.frozen.clone(), found.dims[0].r_hat), (vec![77], Some(f64::INFINITY)));
    assert!(!found.has_mixed(1.05) && found.dims[0].ess.unwrap() > 5000.0, "{found:?}");
    let flat: Vec<Vec<f64>> = series.into_iter().flatten().collect();
    assert_eq!(split_r_hat(&flat).unwrap(), f64::INFINITY);
    let error = effective_sample_size(&flat).unwrap_err().to_string();
    assert!(error.contains("1 of 200") && error.contains("first is 77"), "{error}");
}
