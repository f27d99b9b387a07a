//! Whatever is not finite shows in every loss, and the run that has it stops: on adapters as well
//! whose logarithms, exponentials and minima make numbers of it.

use gibbs::gpu::DType;
use gibbs::loss::{
    IntermediateEnergyLoss, Labels, RankingObjective, Regression, contrastive_energy_prediction,
    denoising_loss, energy_regression, ranking_nce, ranking_network,
};
use gibbs::nn::{
    ACTION, Activation, FlatGradient, Fusion, Input, Keep, Model as Trained, Network, Normalizer, TIME,
};
use gibbs::proposal::{
    Draws, MixtureShape, Proposal, UniformBox, mixture_likelihood, mixture_log_density, mixture_sample,
};
use gibbs::train::{
    Dataset, EnergyOptions, IntermediateEnergyOptions, Objective, ProposalOptions, RankingNceOptions,
    ScoreOptions, TrainOptions, Trainer,
};
use gibbs::{Error, Result};

use super::contrastive::labeled;
use super::network::{ACTION as ACTION_WIDTH, CONTEXT, Model, parameters};
use crate::common::{Adapter, Case, Results, data, every_adapter};

every_adapter!(
    activations_hand_on_what_is_no_number,
    ranking_losses_see_it,
    ranking_losses_of_whole_networks_see_it,
    contrastive_losses_and_regressions_see_it,
    losses_of_mixtures_see_it,
    densities_of_mixtures_see_it,
    densities_of_boxes_see_it,
    denoising_losses_see_it,
    runs_stop_at_a_weight_that_is_no_number,
);

const BAD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// A copy with `bad` at one place.
fn with(values: &[f32], at: usize, bad: f32) -> Vec<f32> {
    let mut values = values.to_vec();
    values[at] = bad;
    values
}

/// Exactly row `spoiled` of `rows` equal rows is not finite, in its first element at least.
#[track_caller]
fn shows(what: &str, values: &[f32], rows: usize, spoiled: usize) {
    let width = values.len() / rows;
    for (row, values) in values.chunks_exact(width).enumerate() {
        let sound = values.iter().all(|value| value.is_finite());
        assert_eq!(sound, row != spoiled, "{what}: row {row} of {rows}: {values:?}");
    }
}

fn activations_hand_on_what_is_no_number(adapter: &Adapter) {
    for &activation in Activation::ALL {
        let network = Network::mlp(vec![Input::new(ACTION, 2)], &[5], activation, 1);
        let layout = network.layout();
        let flat = parameters(&layout);
        let mut case = Case::new(adapter, format!("no number through {activation:?}"));
        let weights = case.input("parameters", [layout.len], &flat);
        let y = with(&data(12, 6), 2, f32::NAN);
        let y = case.input("y", [3, 2], &y);
        let forward =
            network.record_forward(&mut case.recording, weights, &[(ACTION, y)], Keep::Output).unwrap();
        case.output("out", forward.packed_output);
        // Padding included: 0 times NaN.
        shows(&format!("{}: {activation:?}", adapter.name), &case.run().get("out"), 3, 1);
    }
}

/// Three contexts, of which the middle one is spoiled.
fn ranked(
    adapter: &Adapter,
    objective: RankingObjective,
    candidates: usize,
    energy: &[f32],
    log_q: &[f32],
) -> Results {
    let mut case = Case::new(adapter, format!("{objective:?} of {candidates}"));
    let energy = case.packed("energy", energy.len(), 1, energy);
    let log_q = case.input("log_q", [3, candidates], log_q);
    let written = ranking_nce::record(&mut case.recording, objective, energy, log_q).unwrap();
    case.output("loss", written.loss);
    case.output("output_gradient", written.output_gradient);
    case.output("ess", written.ess);
    case.expect_kernels(&["ranking_nce"]);
    case.run()
}

fn ranking_losses_see_it(adapter: &Adapter) {
    for candidates in [5, 65] {
        let (energy, log_q) = (data(31, 3 * candidates), data(32, 3 * candidates));
        for objective in [RankingObjective::Rnce, RankingObjective::InfoNce] {
            for at in [0, 2, candidates - 1].map(|at| candidates + at) {
                for bad in BAD {
                    for of_energy in [true, false] {
                        let results = match of_energy {
                            true => ranked(adapter, objective, candidates, &with(&energy, at, bad), &log_q),
                            false => ranked(adapter, objective, candidates, &energy, &with(&log_q, at, bad)),
                        };
                        // InfoNCE looks at no density.
                        let unseen = !of_energy && objective == RankingObjective::InfoNce;
                        let spoiled = if unseen { 3 } else { 1 };
                        let what = format!("{}: {objective:?}, {bad} at {at}, {of_energy}", adapter.name);
                        shows(&what, &results.get("loss"), 3, spoiled);
                        shows(&what, &results.get("ess"), 3, spoiled);
                        shows(&what, &results.packed("output_gradient"), 3, spoiled);
                    }
                }
            }
        }
    }
}

fn ranking_losses_of_whole_networks_see_it(adapter: &Adapter) {
    let (contexts, candidates) = (3, 7);
    // Activations that could swallow a NaN.
    for activation in [Activation::Relu, Activation::Tanh] {
        let model = Model::new(contexts, candidates, &[8, 5], activation, 1);
        let log_q = data(97, contexts * candidates);
        let run = |flat: &[f32], x: &[f32], y: &[f32], log_q: &[f32]| -> (Vec<f32>, Vec<f32>) {
            let mut case = Case::new(adapter, format!("ranked network of {activation:?}"));
            let parameters = case.input("parameters", [flat.len()], flat);
            let x = case.input("x", [contexts, CONTEXT], x);
            let y = case.input("y", [contexts, candidates, ACTION_WIDTH], y);
            let q = case.input("log_q", [contexts, candidates], log_q);
            let (recording, rnce) = (&mut case.recording, RankingObjective::Rnce);
            let ranked =
                ranking_network::record(recording, rnce, &model.network, parameters, (Some(x), y), q)
                    .unwrap()
                    .expect("a network that the kernel holds");
            case.output("ranks", ranked.loss.value);
            let (FlatGradient::Partials(gradient) | FlatGradient::Whole(gradient)) = ranked.gradient;
            case.output("gradient", gradient);
            let results = case.run();
            let ranks: Vec<f32> = results.get("ranks");
            let loss = ranked.loss;
            let losses = (0..contexts).map(|b| ranks[loss.first + b * loss.stride]).collect();
            (losses, results.get("gradient"))
        };
        for bad in [f32::NAN, f32::INFINITY] {
            let what = format!("{}: {activation:?}, {bad}", adapter.name);
            let q = run(&model.flat, &model.x, &model.y, &with(&log_q, candidates + 3, bad));
            shows(&format!("{what} in a density"), &q.0, contexts, 1);
            assert!(q.1.iter().any(|v| !v.is_finite()), "{what}: the gradient is finite");
        }
        let what = format!("{}: {activation:?}, NaN", adapter.name);
        let at = (candidates + 2) * ACTION_WIDTH;
        let y = run(&model.flat, &model.x, &with(&model.y, at, f32::NAN), &log_q);
        shows(&format!("{what} in an action"), &y.0, contexts, 1);
        let x = with(&model.x, CONTEXT, f32::NAN);
        shows(&format!("{what} in a context"), &run(&model.flat, &x, &model.y, &log_q).0, contexts, 1);
        // A weight is everybody's.
        for slice in &model.layout.slices {
            let own = vec![f32::NAN; slice.rows * slice.columns];
            let mut flat = model.flat.clone();
            model.layout.insert(slice, &own, &mut flat);
            let (losses, _) = run(&flat, &model.x, &model.y, &log_q);
            assert!(losses.iter().all(|loss| !loss.is_finite()), "{what} in {}: {losses:?}", slice.name);
        }
    }
}

fn contrastive_losses_and_regressions_see_it(adapter: &Adapter) {
    let labels = [Labels::Normalized, Labels::Unnormalized { reference: -0.75 }];
    let regressions = [Regression::Energy, Regression::Exponential { reference: -0.75 }];
    let size = 5;
    let (energy, output) = (data(51, 3 * size), data(52, 3 * size));
    for bad in BAD {
        for of_label in [true, false] {
            let spoil =
                |values: &[f32], own: bool| if own { with(values, size + 2, bad) } else { values.into() };
            let (energy, output) = (spoil(&energy, of_label), spoil(&output, !of_label));
            let what = format!("{}: {bad}, of a label: {of_label}", adapter.name);
            for labels in labels {
                let mut case = Case::new(adapter, format!("contrastive {labels:?}"));
                let targets = labeled(&mut case, &energy, &output, 2.0, true);
                let written =
                    contrastive_energy_prediction::record(&mut case.recording, labels, (3, size), &targets)
                        .unwrap();
                case.output("loss", written.loss);
                case.output("output_gradient", written.output_gradient);
                let results = case.run();
                shows(&what, &results.get("loss"), 3, 1);
                shows(&what, &results.packed("output_gradient"), 3, 1);
            }
            for regression in regressions {
                let mut case = Case::new(adapter, format!("{regression:?}"));
                let targets = labeled(&mut case, &energy, &output, 2.0, true);
                let written =
                    energy_regression::record(&mut case.recording, regression, 3 * size, &targets).unwrap();
                case.output("loss", written.loss);
                case.output("output_gradient", written.output_gradient);
                let results = case.run();
                shows(&what, &results.get("loss"), 3 * size, size + 2);
                shows(&what, &results.packed("output_gradient"), 3 * size, size + 2);
            }
        }
    }
}

/// Components, dimensions.
const MIXTURES: [(usize, usize); 3] = [(1, 1), (1, 3), (4, 2)];

fn mixture_shape(components: usize, dims: usize) -> MixtureShape {
    let scale = data(81, dims).iter().map(|v| 1.5 + v).collect();
    MixtureShape {
        low: -1.25,
        high: 0.75,
        ..MixtureShape::new(components, Normalizer { shift: data(80, dims), scale })
    }
}

fn losses_of_mixtures_see_it(adapter: &Adapter) {
    for (components, dims) in MIXTURES {
        let shape = mixture_shape(components, dims);
        let (outputs, y) = (data(82, 3 * shape.outputs()), data(83, 3 * dims));
        let check = |what: String, outputs: &[f32], y: &[f32]| {
            let mut case = Case::new(adapter, format!("likelihood, {what}"));
            let outputs = case.packed("outputs", 3, shape.outputs(), outputs);
            let y = case.input("y", [3, 1, dims], y);
            let written = mixture_likelihood::record(&mut case.recording, outputs, &shape, y).unwrap();
            case.output("loss", written.loss);
            case.output("output_gradient", written.output_gradient);
            let results = case.run();
            let what = format!("{}: {components} components, {dims} dims, {what}", adapter.name);
            shows(&what, &results.get("loss"), 3, 1);
            shows(&what, &results.packed("output_gradient"), 3, 1);
        };
        for bad in BAD {
            for at in 0..shape.outputs() {
                check(format!("{bad} at output {at}"), &with(&outputs, shape.outputs() + at, bad), &y);
            }
            check(format!("{bad} in an action"), &outputs, &with(&y, 2 * dims - 1, bad));
        }
        // An action too far away for any density.
        check("far away".into(), &outputs, &with(&y, 2 * dims - 1, 1e30));
    }
}

fn densities_of_mixtures_see_it(adapter: &Adapter) {
    for (components, dims) in MIXTURES {
        let shape = mixture_shape(components, dims);
        let (outputs, y) = (data(82, 3 * shape.outputs()), data(83, 3 * 2 * dims));
        let density = |outputs: &[f32], y: &[f32]| -> (Vec<f32>, Vec<f32>) {
            let mut case = Case::new(adapter, "densities and draws");
            case.run_state(3, 1);
            let outputs = case.packed("outputs", 3, shape.outputs(), outputs);
            let y = case.input("y", [3, 2, dims], y);
            let log_q = mixture_log_density::record(&mut case.recording, outputs, &shape, y).unwrap();
            case.output("log_q", log_q);
            let drawn = case.poisoned("drawn", DType::F32, [3, 1, dims]);
            let draws = Draws { candidates: drawn, first: 0, count: 1, stream: "test/finite", inner: 0 };
            mixture_sample::record(&mut case.recording, outputs, &shape, &draws).unwrap();
            let results = case.run();
            (results.get("log_q"), results.get("drawn"))
        };
        let place = format!("{}: {components} components, {dims} dims", adapter.name);
        for bad in BAD {
            for at in 0..shape.outputs() {
                let (log_q, drawn) = density(&with(&outputs, shape.outputs() + at, bad), &y);
                shows(&format!("{place}: {bad} at output {at}"), &log_q, 3, 1);
                // A draw looks at the component that it chose, and at all logits.
                if at < components && components > 1 {
                    shows(&format!("{place}: draws, {bad} at output {at}"), &drawn, 3, 1);
                }
            }
            let (log_q, _) = density(&outputs, &with(&y, 3 * dims - 1, bad));
            shows(&format!("{place}: {bad} in an action"), &log_q, 6, 2);
        }
        let (log_q, _) = density(&outputs, &with(&y, 3 * dims - 1, 1e30));
        assert_eq!(log_q[2], f32::NEG_INFINITY, "{place}: beyond any density");
    }
    // The kernel with the network in it, with a NaN in each of its matrices.
    let shape = mixture_shape(2, 2);
    let network = Network::mlp(vec![Input::new("context", 3)], &[6], Activation::Relu, shape.outputs());
    let layout = network.layout();
    let healthy = parameters(&layout);
    for slice in &layout.slices {
        let mut flat = healthy.clone();
        layout.insert(slice, &vec![f32::NAN; slice.rows * slice.columns], &mut flat);
        let model = Trained::zeros(&adapter.gpu, "proposal", network.clone()).unwrap();
        model.parameters().write(&adapter.gpu, &flat).unwrap();
        let mixture = gibbs::proposal::Mixture::new(model, shape.clone()).unwrap();
        for fusion in [Fusion::Auto, Fusion::Never] {
            let mut case = Case::new(adapter, format!("NaN in {}, {fusion:?}", slice.name));
            case.run_state(3, 1);
            case.bind(&mixture.model().slot(), mixture.model().parameters());
            let x = case.input("x", [2, 3], &data(70, 6));
            let y = case.input("y", [2, 3, 2], &data(71, 12));
            let draws = Draws { candidates: y, first: 1, count: 2, stream: "test/finite", inner: 0 };
            let log_q = mixture.record_propose(&mut case.recording, x, &draws, fusion).unwrap();
            case.output("log_q", log_q);
            let log_q: Vec<f32> = case.run().get("log_q");
            let what = format!("{}: {fusion:?}, {}", adapter.name, slice.name);
            assert!(log_q.iter().all(|v| !v.is_finite()), "{what}: {log_q:?}");
        }
    }
}

fn densities_of_boxes_see_it(adapter: &Adapter) {
    let square = UniformBox::new(&[-1.0; 2], &[1.0; 2]).unwrap();
    for bad in BAD {
        for fusion in [Fusion::Auto, Fusion::Never] {
            let mut case = Case::new(adapter, format!("box, {bad}, {fusion:?}"));
            case.run_state(3, 1);
            let x = case.input("x", [3, 1], &[0.0; 3]);
            let y = case.input("y", [3, 2, 2], &with(&data(72, 12), 5, bad));
            let draws = Draws { candidates: y, first: 1, count: 1, stream: "test/finite", inner: 0 };
            let log_q = square.record_propose(&mut case.recording, x, &draws, fusion).unwrap();
            case.output("log_q", log_q);
            shows(&format!("{}: {bad}", adapter.name), &case.run().get("log_q"), 6, 2);
        }
    }
}

fn denoising_losses_see_it(adapter: &Adapter) {
    for bad in BAD {
        for of_target in [true, false] {
            let values = |seed, own: bool| {
                let values = data(seed, 15);
                if own { with(&values, 7, bad) } else { values }
            };
            let mut case = Case::new(adapter, format!("denoising, {bad} of target {of_target}"));
            let prediction = case.packed("prediction", 3, 5, &values(21, !of_target));
            let target = case.packed("target", 3, 5, &values(22, of_target));
            let written = denoising_loss::record(&mut case.recording, prediction, target).unwrap();
            case.output("loss", written.loss);
            case.output("output_gradient", written.output_gradient);
            case.expect_kernels(&["denoising_loss"]);
            let results = case.run();
            let what = format!("{}: {bad}, of the target: {of_target}", adapter.name);
            shows(&what, &results.get("loss"), 3, 1);
            shows(&what, &results.packed("output_gradient"), 3, 1);
        }
    }
}

const HIDDEN: [usize; 2] = [8, 5];

/// Every loss that a run can have, over networks that could swallow a NaN.
fn objectives() -> Vec<(Objective, &'static [&'static str])> {
    let energy = EnergyOptions::default().with_hidden(HIDDEN.to_vec()).with_activation(Activation::Relu);
    let nce = RankingNceOptions::default().with_negatives(7).with_energy(energy).with_fusion(Fusion::Never);
    let hidden = HIDDEN.to_vec();
    let mixture = ProposalOptions::Mixture { components: 2, hidden, optimizer: Default::default() };
    let square = ProposalOptions::Uniform { low: vec![-3.0; 2], high: vec![3.0; 2] };
    let timed = |outputs: usize| {
        let inputs = vec![Input::new(ACTION, 2), Input::new(TIME, 1)];
        Network::mlp(inputs, &HIDDEN, Activation::Relu, outputs)
    };
    let of_energy =
        |loss| Objective::from(IntermediateEnergyOptions::new(timed(1), 2.0).with_loss(loss).with_group(8));
    let contrastive = |labels| of_energy(IntermediateEnergyLoss::Contrastive { labels });
    vec![
        (nce.clone().with_proposal(mixture).into(), &["energy", "proposal"]),
        (nce.with_proposal(square).with_loss(RankingObjective::InfoNce).into(), &["energy"]),
        (ScoreOptions::new(timed(2)).into(), &["score"]),
        (contrastive(Labels::Normalized), &["energy"]),
        (contrastive(Labels::Unnormalized { reference: -1.0 }), &["energy"]),
        (of_energy(IntermediateEnergyLoss::Mse), &["energy"]),
        (of_energy(IntermediateEnergyLoss::ExponentialMse { reference: -1.0 }), &["energy"]),
    ]
}

fn runs_stop_at_a_weight_that_is_no_number(adapter: &Adapter) {
    for (objective, models) in objectives() {
        let rows = 64;
        let plain = match &objective {
            Objective::RankingNce(_) => Dataset::new(data(1, rows), 1, data(2, 2 * rows), 2),
            _ => Dataset::unconditional(data(2, 2 * rows), 2)
                .and_then(|data| data.with_energies(vec![0.5; rows])),
        };
        let options = TrainOptions::new(objective).with_batch(16).with_steps(4);
        for (index, name) in models.iter().enumerate() {
            let mut trainer = Trainer::new(&adapter.gpu, plain.as_ref().unwrap(), options.clone()).unwrap();
            let model = trainer.raw_model(name).unwrap();
            let layout = model.layout().clone();
            // In the first layer, then in the last.
            let slice = if index == 0 { layout.slices.first() } else { layout.slices.last() }.unwrap();
            let mut flat: Vec<f32> = adapter.gpu.read(model.parameters()).unwrap();
            let mut own = layout.extract(slice, &flat);
            own[0] = f32::NAN;
            layout.insert(slice, &own, &mut flat);
            model.parameters().write(&adapter.gpu, &flat).unwrap();
            let stopped: Result<()> = trainer.train(4, 4, &mut ());
            let what = format!("{}: {name} of {:?}", adapter.name, options.objective);
            assert!(matches!(stopped, Err(Error::NonFinite { step: 0, .. })), "{what}: {stopped:?}");
        }
    }
}
