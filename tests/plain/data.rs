//! Data sets in whole runs on lavapipe: weights, epochs, data without contexts, files.

mod offsets;

use std::collections::BTreeMap;
use std::path::Path;

use crate::common;
use gibbs::mcmc::{ChainOptions, ChainSampler, Langevin, Return, StepSchedule};
use gibbs::nn::ACTION;
use gibbs::nn::AdamOptions;
use gibbs::policy::Policy;
use gibbs::tasks::density::Density;
use gibbs::train::{Dataset, Draw, EnergyOptions, ProposalOptions, RankingNceOptions, TrainOptions, Trainer};
use gibbs::{Error, Gpu};
use safetensors::SafeTensors;

fn gpu() -> &'static Gpu {
    &common::lavapipe().gpu
}

fn tiny(draw: Draw) -> TrainOptions {
    let mut options = RankingNceOptions::default().with_negatives(7);
    options.energy = EnergyOptions::default().with_hidden(vec![12, 9]);
    options.proposal =
        ProposalOptions::Mixture { components: 3, hidden: vec![10], optimizer: AdamOptions::default() };
    TrainOptions::new(options).with_batch(17).with_steps(12).with_draw(draw).with_seed(5)
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    all.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

/// The tensors of a run over `data`, saved and loaded after `stop` steps if there is one.
fn trained(data: &Dataset, options: TrainOptions, stop: Option<u64>) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut trainer = Trainer::new(gpu(), data, options.clone()).unwrap();
    if let Some(stop) = stop {
        trainer.train(stop, u64::MAX, &mut ()).unwrap();
        trainer.save(&path).unwrap();
        trainer = Trainer::resume(gpu(), data, &path).unwrap();
        assert_eq!(trainer.options(), &options);
    }
    trainer.train(options.steps, u64::MAX, &mut ()).unwrap();
    trainer.save(&path).unwrap();
    tensors(&path)
}

fn rows() -> (Vec<f32>, Vec<f32>) {
    let (x, y) = Density::Moons.samples(100, 3);
    (x, y.into_flattened())
}

#[test]
fn rows_without_weight_never_reach_a_run() {
    let (x, y) = rows();
    let weights: Vec<f32> =
        (0..100).map(|row| if row % 3 == 0 { 0.0 } else { 1.0 + (row % 4) as f32 }).collect();
    let data = |stray: f32, weights: &[f32]| {
        let change = |values: &[f32], width: usize| -> Vec<f32> {
            let of = |(at, value): (usize, &f32)| if (at / width).is_multiple_of(3) { stray } else { *value };
            values.iter().enumerate().map(of).collect()
        };
        Dataset::new(change(&x, 1), 1, change(&y, 2), 2).unwrap().with_weights(weights.to_vec()).unwrap()
    };
    let run = |stray, weights: &[f32]| trained(&data(stray, weights), tiny(Draw::Replacement), None);
    assert_eq!(run(0.5, &weights), run(-7e3, &weights));
    let mut one = weights.clone();
    one[0] = 9.0;
    assert_ne!(run(0.5, &one), run(0.5, &weights), "the weights do nothing");
    assert_ne!(run(0.5, &one), run(-7.0, &one), "the comparison cannot tell");

    // Nor do they make other data of a run.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut trainer = Trainer::new(gpu(), &data(-999.0, &weights), tiny(Draw::Replacement)).unwrap();
    trainer.save(&path).unwrap();
    Trainer::resume(gpu(), &data(0.5, &weights), &path).unwrap();
    assert!(Trainer::resume(gpu(), &data(0.5, &one), &path).is_err());
    let policy = Policy::load(gpu(), &path).unwrap();
    let bounds = policy.description().bounds.clone().unwrap();
    assert!(bounds.low().iter().chain(bounds.high()).all(|border| border.abs() < 10.0), "{bounds:?}");
}

#[test]
fn a_policy_acts_on_the_scale_of_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let save = |scale: f32| {
        let y = (0..200).map(|row| scale * (row as f32).sin()).collect();
        let data = Dataset::unconditional(y, 1).unwrap();
        let mut trainer = Trainer::new(gpu(), &data, tiny(Draw::Replacement)).unwrap();
        trainer.train(12, u64::MAX, &mut ()).unwrap();
        trainer.save(&path).unwrap();
    };
    // Squares of the second scale are beyond 32-bit numbers.
    for scale in [1e-9, 1e-30] {
        save(scale);
        let mut policy = Policy::load(gpu(), &path).unwrap();
        let bounds = policy.description().bounds.clone().unwrap();
        assert!((1.05 * scale..1.15 * scale).contains(&bounds.high()[0]), "{bounds:?}");
        let action = policy.act_for(1).unwrap()[0];
        assert!(action.abs() > 1e-4 * scale && action.abs() < 1.15 * scale, "{action:e}");
    }
}

#[test]
fn a_run_by_epochs_goes_on_with_the_same_bits_and_differs_from_one_with_replacement() {
    let (x, y) = rows();
    let data = Dataset::new(x, 1, y, 2).unwrap();
    let straight = trained(&data, tiny(Draw::Epochs), None);
    assert_eq!(trained(&data, tiny(Draw::Epochs), Some(5)), straight);
    assert_ne!(trained(&data, tiny(Draw::Replacement), None), straight);
}

#[test]
fn weights_do_not_go_with_epochs() {
    let (x, y) = rows();
    let data = Dataset::new(x, 1, y, 2).unwrap().with_weights(vec![1.0; 100]).unwrap();
    let error = Trainer::new(gpu(), &data, tiny(Draw::Epochs)).unwrap_err();
    assert!(matches!(error, Error::Argument { .. }), "{error}");
    assert!(error.to_string().contains("weights"), "{error}");
}

#[test]
fn a_model_of_a_file_without_contexts_is_sampled_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    let y = Density::Moons.standard_samples(100, 3);
    let lines: Vec<String> = y.iter().map(|y| format!("{},{}", y[0], y[1])).collect();
    std::fs::write(&path, format!("y0,y1\r\n{}\r\n", lines.join("\r\n"))).unwrap();
    let data = Dataset::load(&path).unwrap();
    assert_eq!(data.y(), y.as_flattened(), "what was printed is read again");
    assert!(data.is_unconditional());

    let mut trainer = Trainer::new(gpu(), &data, tiny(Draw::Epochs)).unwrap();
    trainer.train(12, u64::MAX, &mut ()).unwrap();
    let options = ChainOptions::default()
        .with_contexts(1)
        .with_context_width(0)
        .with_chains(33)
        .with_dynamics(
            Langevin::default()
                .with_steps(3)
                .with_step_sizes(StepSchedule::Geometric { first: 3e-3, last: 3e-5 }),
        )
        .with_returns(Return::All)
        .with_seed(1);
    let energy = trainer.averaged_energy().unwrap();
    assert!(energy.model().network().inputs.iter().all(|input| input.name == ACTION));
    let proposal = trainer.raw_proposal().unwrap();
    let mut sampler = ChainSampler::new(gpu(), &energy, proposal.as_ref(), &options).unwrap();
    let samples = sampler.sample(&[]).unwrap();
    assert_eq!(samples.len(), 66);
    assert!(samples.iter().all(|value| value.is_finite()));

    // A checkpoint belongs to its data, weights included.
    let checkpoint = folder.path().join("run.safetensors");
    trainer.save(&checkpoint).unwrap();
    assert!(Trainer::resume(gpu(), &data, &checkpoint).is_ok());
    let weighted = data.with_weights(vec![1.0; 100]).unwrap();
    let error = Trainer::resume(gpu(), &weighted, &checkpoint).unwrap_err().to_string();
    assert!(error.contains("other data"), "{error}");
}

/// A folder opens like a file on some systems and is read like none.
#[test]
fn a_folder_in_place_of_a_file_is_named_as_what_could_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    std::fs::create_dir(&path).unwrap();
    let results = [
        Dataset::load(&path).map(|_| ()),
        gibbs::energy::NetworkEnergy::load(gpu(), &path).map(|_| ()),
        Trainer::options_of(&path).map(|_| ()),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, gibbs::Error::Io { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()) && !text.contains("shorter"), "{text}");
    }
}
