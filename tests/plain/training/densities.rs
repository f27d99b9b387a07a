//! The density that comes out.

use gibbs::energy::{Energy, evaluate_energy};
use gibbs::gpu::Points;
use gibbs::loss::RankingObjective;
use gibbs::math::Normalize;
use gibbs::nn::{Activation, AdamOptions, Schedule};
use gibbs::tasks::density::{Density, histogram};
use gibbs::train::{Dataset, EnergyOptions, ProposalOptions, RankingNceOptions, TrainOptions, Trainer};

use super::runs::{Watch, adam, fresh, gpu, pinwheel, train};
use crate::common;

/// Normalized `exp(-E)` on the pinwheel's grid and the exact density, per context.
fn learned_densities(energy: &dyn Energy, cells: usize) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let density = Density::Pinwheel;
    let (contexts, half_width) = (density.contexts(), density.half_width());
    let centers: Vec<[f64; 2]> = histogram::cell_centers(half_width, cells).collect();
    let area = histogram::cell_area(half_width, cells);
    let points: Vec<f32> = centers.iter().flatten().map(|&v| v as f32).collect();
    let y = points.repeat(contexts.len());
    let points = Points { context: contexts, contexts: contexts.len(), y: &y, dims: 2 };
    let energies = evaluate_energy(gpu(), energy, &points).unwrap();
    let each = contexts.iter().zip(energies.chunks_exact(centers.len())).map(|(&context, energies)| {
        let exact = density.conditional(context.into());
        let truth: Vec<f64> = centers.iter().map(|&y| exact.log_density(y)).collect();
        let learned: Vec<f64> = energies.iter().map(|&e| -f64::from(e)).collect();
        let [truth, learned] = [truth, learned].map(|values| histogram::normalize_log_density(&values, area));
        (learned, truth)
    });
    each.unzip()
}

/// Bhattacharyya coefficient of `exp(-E)` with the exact pinwheel, mean over contexts.
fn coefficient(energy: &dyn Energy, cells: usize) -> f64 {
    let area = histogram::cell_area(Density::Pinwheel.half_width(), cells);
    let (learned, truth) = learned_densities(energy, cells);
    let each =
        truth.iter().zip(&learned).map(|(truth, learned)| histogram::bhattacharyya(truth, learned, area));
    each.sum::<f64>() / truth.len() as f64
}

#[test]
fn a_short_run_learns_most_of_the_pinwheel() {
    let adam = |rate| {
        AdamOptions::default()
            .with_schedule(Schedule::Cosine { rate, warmup: 20, floor: 0.0 })
            .with_average_decay(0.98)
    };
    let energy = EnergyOptions::default()
        .with_hidden(vec![64; 3])
        .with_activation(Activation::Silu)
        .with_optimizer(adam(1e-2));
    let proposal = ProposalOptions::Mixture { components: 8, hidden: vec![48], optimizer: adam(1e-2) };
    let nce = RankingNceOptions::default()
        .with_negatives(31)
        .with_action(Normalize::Standard { deviation: 2.2 })
        .with_energy(energy)
        .with_proposal(proposal);
    let options = TrainOptions::new(nce).with_batch(64).with_steps(400);
    let data = pinwheel(20_000, 3);
    let mut trainer = fresh(&data, &options);
    let start = coefficient(&trainer.raw_energy().unwrap(), 64);
    let mut halves = Vec::new();
    let mut watch = Watch::new(|trainer: &mut Trainer| {
        halves.push(coefficient(&trainer.averaged_energy()?, 64));
        Ok(())
    });
    trainer.train(400, 200, &mut watch).unwrap();
    assert_eq!(watch.records.len(), 400);
    common::say(&format!("pinwheel: coefficient {start:.3} at first, then {halves:.3?}"));
    assert!(start < 0.5, "{start}");
    assert!(halves[1] > 0.8, "{halves:?}");
    assert!(start + 0.2 < halves[0] && halves[0] < halves[1], "{start} to {halves:?}");
}

/// A run of the demo's configuration.
fn demo_run(objective: RankingObjective, components: usize, seed: u64) -> Trainer {
    let adam = |rate| {
        AdamOptions::default()
            .with_schedule(Schedule::Cosine { rate, warmup: 100, floor: 0.0 })
            .with_average_decay(0.995)
    };
    let energy = EnergyOptions::default()
        .with_hidden(vec![128; 3])
        .with_activation(Activation::Silu)
        .with_optimizer(adam(3e-3));
    let proposal = ProposalOptions::Mixture { components, hidden: vec![64; 2], optimizer: adam(2e-3) };
    let nce = RankingNceOptions::default()
        .with_loss(objective)
        .with_action(Normalize::Standard { deviation: 2.2 })
        .with_energy(energy)
        .with_proposal(proposal);
    let options = TrainOptions::new(nce).with_seed(seed);
    let mut trainer = fresh(&pinwheel(100_000, 1000 + seed), &options);
    train(&mut trainer, options.steps, 500).unwrap();
    trainer
}

/// The end of such a run, on the demo's grid.
fn demo_coefficient(objective: RankingObjective, components: usize, seed: u64) -> f64 {
    let trainer = demo_run(objective, components, seed);
    let found = coefficient(&trainer.averaged_energy().unwrap(), Density::Pinwheel.cells());
    common::say(&format!("R17: {objective:?}, {components} components, seed {seed}: {found:.4}"));
    found
}

/// `-E` on a grid of cells over `[-half_width, half_width]`, one action, one context, as a density.
fn line_density(energy: &dyn Energy, half_width: f64, cells: usize) -> Vec<f64> {
    let width = 2.0 * half_width / cells as f64;
    let center = |at: usize| -half_width + (at as f64 + 0.5) * width;
    let y: Vec<f32> = (0..cells).map(|at| center(at) as f32).collect();
    let points = Points { context: &[0.0], contexts: 1, y: &y, dims: 1 };
    let energies = evaluate_energy(gpu(), energy, &points).unwrap();
    let learned: Vec<f64> = energies.iter().map(|&e| -f64::from(e)).collect();
    histogram::normalize_log_density(&learned, width)
}

/// What one proposal leads to: two humps of unequal height on a line.
fn line_run(
    objective: RankingObjective,
    proposal: ProposalOptions,
    (half_width, cells): (f64, usize),
) -> Vec<f64> {
    let adam = |rate| {
        AdamOptions::default()
            .with_schedule(Schedule::Cosine { rate, warmup: 20, floor: 0.0 })
            .with_average_decay(0.98)
    };
    let proposal = match proposal {
        ProposalOptions::Mixture { components, hidden, .. } => {
            ProposalOptions::Mixture { components, hidden, optimizer: adam(1e-2) }
        }
        fixed => fixed,
    };
    let energy = EnergyOptions::default()
        .with_hidden(vec![32; 2])
        .with_activation(Activation::Silu)
        .with_optimizer(adam(1e-2));
    let nce = RankingNceOptions::default()
        .with_loss(objective)
        .with_negatives(31)
        .with_energy(energy)
        .with_proposal(proposal);
    let options = TrainOptions::new(nce).with_batch(64).with_steps(400);
    // Quantiles of two humps, 0.7 of them around -1 and 0.3 around 1.2: even data, no sampling
    // noise of its own.
    let rows = 4096;
    let hump = |share: f64, mean: f64, spread: f64| mean + spread * (share / (1.0 - share)).ln() * 0.5513;
    let y: Vec<f32> = (0..rows)
        .map(|row| {
            let share = (row as f64 + 0.5) / rows as f64;
            let value = match share < 0.7 {
                true => hump(share / 0.7, -1.0, 0.35),
                false => hump((share - 0.7) / 0.3, 1.2, 0.5),
            };
            value.clamp(-half_width, half_width) as f32
        })
        .collect();
    let data = Dataset::new(vec![0.0; rows], 1, y, 1).unwrap();
    let mut trainer = fresh(&data, &options);
    train(&mut trainer, options.steps, u64::MAX).unwrap();
    line_density(&trainer.averaged_energy().unwrap(), half_width, cells)
}

#[test]
fn r11_ranking_nce_learns_one_density_from_any_proposal_and_infonce_another_from_each() {
    let (half_width, cells) = (4.0, 400);
    let gaussian = || ProposalOptions::Mixture { components: 1, hidden: vec![8], optimizer: adam(1e-2) };
    let wide = || ProposalOptions::Uniform { low: vec![-4.0], high: vec![4.0] };
    let agreement = |objective| {
        let [a, b] = [gaussian(), wide()].map(|p| line_run(objective, p, (half_width, cells)));
        histogram::bhattacharyya(&a, &b, 2.0 * half_width / cells as f64)
    };
    let (rnce, infonce) = (agreement(RankingObjective::Rnce), agreement(RankingObjective::InfoNce));
    common::say(&format!("R11: coefficient of two proposals, ranking NCE {rnce:.4}, InfoNCE {infonce:.4}"));
    assert!(rnce >= 0.99, "{rnce}");
    assert!(infonce <= 0.95, "{infonce}");
}

/// Learned densities of a run of the demo's configuration, one per context.
fn demo_densities(objective: RankingObjective, components: usize) -> Vec<Vec<f64>> {
    let trainer = demo_run(objective, components, 0);
    learned_densities(&trainer.averaged_energy().unwrap(), Density::Pinwheel.cells()).0
}

#[test]
#[ignore = "long: four runs of the demo's length"]
fn r11_on_the_pinwheel_ranking_nce_agrees_for_two_proposals_and_infonce_does_not() {
    let density = Density::Pinwheel;
    let area = histogram::cell_area(density.half_width(), density.cells());
    let agreement = |objective| {
        let (a, b) = (demo_densities(objective, 8), demo_densities(objective, 1));
        let each = a.iter().zip(&b).map(|(a, b)| histogram::bhattacharyya(a, b, area));
        each.sum::<f64>() / a.len() as f64
    };
    let (rnce, infonce) = (agreement(RankingObjective::Rnce), agreement(RankingObjective::InfoNce));
    common::say(&format!("R11 on the pinwheel: ranking NCE {rnce:.4}, InfoNCE {infonce:.4}"));
    assert!(rnce >= 0.98, "{rnce}");
    assert!(infonce <= 0.9, "{infonce}");
}

#[test]
#[ignore = "long: four runs of the demo's length"]
fn r17_with_a_mixture_ranking_nce_learns_the_pinwheel_and_infonce_collapses() {
    for seed in 0..3 {
        let found = demo_coefficient(RankingObjective::Rnce, 8, seed);
        assert!(found >= 0.98, "seed {seed}: {found}");
    }
    let found = demo_coefficient(RankingObjective::InfoNce, 8, 0);
    assert!(found <= 0.80, "{found}");
}

#[test]
#[ignore = "long: two runs of the demo's length"]
fn r17_with_a_gaussian_infonce_stays_behind_ranking_nce() {
    let rnce = demo_coefficient(RankingObjective::Rnce, 1, 0);
    assert!(rnce >= 0.97, "{rnce}");
    let infonce = demo_coefficient(RankingObjective::InfoNce, 1, 0);
    assert!(infonce <= rnce - 0.03, "{infonce} against {rnce}");
}
