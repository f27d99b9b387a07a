//! Boxes, candidates and chains.

use gibbs::Result;
use gibbs::energy::{Energy, NetworkEnergy};
use gibbs::gpu::{Bindings, DType, Recording, Value};
use gibbs::loss::{RankingObjective, record_ranking_nce};
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::{ChainOptions, ChainSampler, Dynamics, Hamiltonian, Langevin, Mala, StepSchedule};
use gibbs::nn::Model;
use gibbs::proposal::UniformBox;

use super::expectation::{energy_network, expect};
use crate::common::lavapipe;

#[test]
fn bad_samplers_and_boxes_are_named() {
    let gpu = &lavapipe().gpu;
    for (low, high) in [
        (vec![0.0, 0.0], vec![1.0, 0.0]),
        (vec![0.0], vec![1.0, 1.0]),
        (vec![], vec![]),
        (vec![f32::NAN], vec![1.0]),
        (vec![-f32::MAX], vec![f32::MAX]),
        (vec![0.0], vec![f32::INFINITY]),
    ] {
        expect(UniformBox::new(&low, &high), "Argument", &["uniform box", "low < high"]);
    }
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", energy_network()).unwrap()).unwrap();
    let bounds = UniformBox::new(&[0.0; 3], &[1.0; 3]).unwrap();
    let good = Langevin::default()
        .with_steps(2)
        .with_step_sizes(StepSchedule::Constant { value: 0.1 })
        .with_quiet_last(true);
    let make = |proposal: &UniformBox, (contexts, context_width), chains, langevin: &Langevin| {
        let options = ChainOptions::default()
            .with_contexts(contexts)
            .with_context_width(context_width)
            .with_chains(chains)
            .with_dynamics(langevin.clone());
        ChainSampler::new(gpu, &energy, proposal, &options)
    };
    let with = |steps, step_sizes| good.clone().with_steps(steps).with_step_sizes(step_sizes);
    let constant = StepSchedule::Constant { value: 0.1 };
    expect(make(&bounds, (4, 2), 5, &with(0, constant)), "Argument", &["langevin", "steps", "is 0"]);
    expect(make(&bounds, (4, 2), 5, &with(65536, constant)), "Argument", &["langevin", "steps", "65535"]);
    for sizes in [
        StepSchedule::Constant { value: -0.1 },
        StepSchedule::Constant { value: f64::NAN },
        StepSchedule::Geometric { first: 0.1, last: 0.0 },
        StepSchedule::Polynomial { first: 0.1, last: f64::INFINITY, power: 1.0 },
    ] {
        expect(
            make(&bounds, (4, 2), 5, &with(4, sizes)),
            "Argument",
            &["langevin", "step sizes", "positive"],
        );
    }
    let flat = UniformBox::new(&[0.0; 2], &[1.0; 2]).unwrap();
    expect(make(&flat, (4, 2), 5, &good), "Argument", &["sampler", "2 dimensions", "energy 3"]);
    let boxed = good.clone().with_bounds(Bounds::from(flat));
    expect(make(&bounds, (4, 2), 5, &boxed), "Argument", &["langevin", "box", "2 dimensions", "energy 3"]);
    let scaled = good.clone().with_scales(Scales::new(&[1.0; 2]).unwrap());
    expect(
        make(&bounds, (4, 2), 5, &scaled),
        "Argument",
        &["langevin", "scales", "2 dimensions", "energy 3"],
    );
    expect(make(&bounds, (4, 2), 0, &good), "Argument", &["draws per context", "is 0"]);
    expect(make(&bounds, (0, 2), 5, &good), "Argument", &["sampler", "contexts", "are none"]);
    expect(make(&bounds, (4, 7), 5, &good), "Shape", &["[4, 7]", "2"]);
    let random = "number of random elements";
    expect(make(&bounds, (1 << 20, 2), 1 << 20, &good), "Argument", &["uniform sample", random, "2^32"]);
    expect(make(&bounds, (1 << 16, 2), 1 << 14, &good), "Limit", &["gibbs/sample", "fewer rows"]);
    let mut sampler = make(&bounds, (4, 2), 5, &good).unwrap();
    expect(sampler.sample(&[0.0; 7]), "Shape", &["7 values", "8 for [4, 2]"]);
    expect(sampler.tune(-1.0, 1.0), "Argument", &["sampler", "negative"]);
    expect(sampler.tune(f32::NAN, 1.0), "Argument", &["step_scale", "finite"]);
    assert_eq!(sampler.sample(&[0.0; 8]).unwrap().len(), 60);
}

#[test]
fn candidates_of_other_contexts_are_refused() {
    let gpu = &lavapipe().gpu;
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", energy_network()).unwrap()).unwrap();
    let mut recording = Recording::new("run");
    // 12 rows divide by 2 contexts, but they belong to 4.
    let context = recording.slot("x", DType::F32, [2, 2]).unwrap();
    let y = recording.slot("y", DType::F32, [4, 3, 3]).unwrap();
    let value = energy.record_value(&mut recording, Some(context), y);
    expect(value, "Shape", &["energy `energy`", "[4, 3, 3]", "[2, candidates, 3]"]);
    let gradient = energy.record_gradient(&mut recording, Some(context), y);
    expect(gradient, "Shape", &["energy `energy`", "[4, 3, 3]"]);
    expect(energy.record_value(&mut recording, None, y), "Argument", &["context", "missing"]);
}

#[test]
fn chains_and_candidates_must_hold_something() {
    let gpu = &lavapipe().gpu;
    let energy = NetworkEnergy::new(Model::zeros(gpu, "energy", energy_network()).unwrap()).unwrap();
    let bounds = UniformBox::new(&[-1.0; 3], &[1.0; 3]).unwrap();
    let mut recording = Recording::new("run");
    let context = recording.slot("x", DType::F32, [4, 2]).unwrap();
    let y = recording.scratch("chains", DType::F32, [4, 5, 3]);
    let chain = Langevin::default().with_steps(2).with_step_sizes(StepSchedule::Constant { value: 0.1 });
    let recorded = chain.record(&mut recording, &energy, Some(context), y, "chain");
    expect(recorded, "Argument", &["langevin", "y", "starts"]);
    let drawn = (context, y);
    let step =
        record_ranking_nce(&mut recording, RankingObjective::Rnce, &energy, &bounds, drawn, "negatives");
    expect(step, "Argument", &["ranking NCE", "demonstrations"]);
    let huge = chain.with_step_sizes(StepSchedule::Constant { value: 1e60 });
    let y = recording.slot("y", DType::F32, [4, 5, 3]).unwrap();
    let recorded = huge.record(&mut recording, &energy, Some(context), y, "chain");
    expect(recorded, "Argument", &["langevin", "step sizes"]);
}

/// An energy whose gradient has too few columns, with walls or without.
struct Short {
    walls: bool,
}

impl Energy for Short {
    fn dims(&self) -> usize {
        3
    }

    fn record_value(&self, recording: &mut Recording, _: Option<Value>, _: Value) -> Result<Value> {
        recording.constant("energy", [1, 2, 1], &[0.0f32; 2])
    }

    fn record_gradient(&self, recording: &mut Recording, _: Option<Value>, _: Value) -> Result<Value> {
        recording.constant("short", [1, 2, 2], &[0.0f32; 4])
    }

    fn has_walls(&self) -> bool {
        self.walls
    }

    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

#[test]
fn a_gradient_of_another_width_is_refused_by_all_chains() {
    let all: [(Dynamics, bool, &str); 4] = [
        (Langevin::default().into(), false, "langevin"),
        (Langevin::default().into(), true, "settle move"),
        (Mala::default().into(), true, "begin chains"),
        (Hamiltonian::default().into(), true, "begin chains"),
    ];
    for (dynamics, walls, operation) in all {
        let options = ChainOptions::default().with_chains(2).with_dynamics(dynamics);
        let sampler = ChainSampler::from_points(&lavapipe().gpu, &Short { walls }, &options);
        expect(sampler, "Shape", &[operation, "short", "2]", "3]"]);
    }
}
