//! What a checkpoint is good for without its data set.

use gibbs::Error;
use gibbs::energy::{NetworkEnergy, evaluate_energy};
use gibbs::gpu::Points;
use gibbs::gpu::RunState;
use gibbs::nn::{ACTION, CONTEXT};
use gibbs::proposal::{Mixture, Proposal, UniformBox, draw, evaluate_log_density, load_proposal};
use gibbs::store::{StoredFile, Weights};
use gibbs::tasks::density::Density;
use gibbs::train::{Dataset, Objective, RunDescription, Trainer};
use tempfile::TempDir;

use super::parts::Parts;
use super::runs::{fresh, gpu, nce, pinwheel, run_of, tiny, train, uniform};

const POINTS: [f32; 8] = [0.5, -0.5, 1.0, 0.25, -1.5, 0.75, 0.0, 0.0];

/// Energies and log-densities of points in one context, or without one.
fn values(energy: &NetworkEnergy, proposal: &dyn Proposal, context: &[f32]) -> [Vec<f32>; 2] {
    let points = Points { context, contexts: 1, y: &POINTS, dims: 2 };
    [
        evaluate_energy(gpu(), energy, &points).unwrap(),
        evaluate_log_density(gpu(), proposal, &points).unwrap(),
    ]
}

#[test]
fn energy_and_proposal_load_without_data_and_give_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.safetensors");
    let of_pinwheel = pinwheel(300, 1);
    let standard = Density::Moons.standard_samples(300, 1).into_flattened();
    let alone = Dataset::unconditional(standard, 2).unwrap();
    for (data, context) in [(&of_pinwheel, &[0.3f32][..]), (&alone, &[])] {
        let mut trainer = fresh(data, &tiny(20));
        train(&mut trainer, 12, u64::MAX).unwrap();
        trainer.save(&path).unwrap();
        let energy = trainer.averaged_energy().unwrap();
        let wanted = values(&energy, trainer.averaged_proposal().unwrap().as_ref(), context);
        let loaded = NetworkEnergy::load(gpu(), &path).unwrap();
        let mixture = Mixture::load(gpu(), &path).unwrap();
        assert_eq!(values(&loaded, &mixture, context), wanted);
        assert_eq!(mixture.is_conditional(), !context.is_empty());
        assert_eq!(values(&energy, &mixture, context), wanted);
        assert_eq!(values(&energy, load_proposal(gpu(), &path).unwrap().as_ref(), context), wanted);
        let run = RunState::new(gpu(), 3).unwrap();
        let draws = |proposal: &dyn Proposal| draw(gpu(), proposal, context, 1, 5, &run).unwrap();
        assert_eq!(draws(&mixture), draws(trainer.averaged_proposal().unwrap().as_ref()));
        // Raw weights are others, and the file has them too.
        let stored = StoredFile::read(&path).unwrap();
        let raw = NetworkEnergy::new(stored.model(gpu(), "energy", Weights::Raw).unwrap()).unwrap();
        assert_eq!(
            values(&raw, &mixture, context),
            values(&trainer.raw_energy().unwrap(), &mixture, context)
        );
        assert_ne!(values(&raw, &mixture, context), wanted);

        let description = RunDescription::read(&path).unwrap();
        assert_eq!((description.step, &description.data), (12, &data.description()));
        assert_eq!(description.data.context_width, context.len());
        let inputs = &trainer.raw_model("energy").unwrap().network().inputs.clone();
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, if context.is_empty() { vec![ACTION] } else { vec![CONTEXT, ACTION] });
    }
}

#[test]
fn a_run_without_contexts_learns_and_goes_on_with_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let data = Dataset::unconditional(Density::Moons.standard_samples(500, 1).into_flattened(), 2).unwrap();
    for proposal in [nce().proposal, uniform()] {
        let options = run_of(nce().with_proposal(proposal), 60);
        let mut straight = fresh(&data, &options);
        let records = train(&mut straight, 60, u64::MAX).unwrap();
        let mean = |range: std::ops::Range<usize>| -> f32 {
            let losses = records[range.clone()].iter().filter_map(|record| record.value("energy_loss"));
            losses.sum::<f32>() / range.len() as f32
        };
        assert!(mean(50..60) < mean(0..10), "{} then {}", mean(0..10), mean(50..60));
        straight.save(path("straight")).unwrap();
        let mut first = fresh(&data, &options);
        train(&mut first, 25, u64::MAX).unwrap();
        first.save(path("stop")).unwrap();
        let mut second = Trainer::resume(gpu(), &data, path("stop")).unwrap();
        train(&mut second, 60, u64::MAX).unwrap();
        second.save(path("resumed")).unwrap();
        super::parts::assert_same_run(&path("straight"), &path("resumed"));
    }
}

#[test]
fn averaged_weights_are_the_initial_ones_before_their_first_step() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("warm.safetensors");
    let data = pinwheel(300, 1);
    let options = run_of(nce().with_warmup(10), 30);
    let mut trainer = fresh(&data, &options);
    let read = |model: gibbs::nn::Model| gpu().read::<f32>(model.parameters()).unwrap();
    let initial = read(trainer.raw_model("energy").unwrap());
    train(&mut trainer, 10, u64::MAX).unwrap();
    assert_eq!(read(trainer.averaged_model("energy").unwrap()), initial);
    assert_ne!(
        read(trainer.averaged_model("proposal").unwrap()),
        read(trainer.raw_model("proposal").unwrap())
    );
    trainer.save(&path).unwrap();
    assert_eq!(read(NetworkEnergy::load(gpu(), &path).unwrap().model().clone()), initial);
    train(&mut trainer, 30, u64::MAX).unwrap();
    assert_ne!(read(trainer.averaged_model("energy").unwrap()), initial);
    let error = trainer.raw_model("score").unwrap_err().to_string();
    assert!(error.contains("`score`") && error.contains("energy, proposal"), "{error}");
    let error = trainer.averaged_score().unwrap_err().to_string();
    assert!(error.contains("ranking_nce"), "{error}");
}

#[test]
fn a_file_that_does_not_hold_what_is_asked_for_is_refused_in_one_sentence() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.safetensors");
    let data = pinwheel(300, 1);
    let mut trainer = fresh(&data, &run_of(nce().with_proposal(uniform()), 5));
    trainer.save(&path).unwrap();
    let error = Mixture::load(gpu(), &path).unwrap_err().to_string();
    assert!(error.contains("uniform box") && error.contains("load_proposal"), "{error}");
    let low_and_high = UniformBox::new(&[-6.0; 2], &[6.0; 2]).unwrap();
    let energy = trainer.averaged_energy().unwrap();
    let loaded = load_proposal(gpu(), &path).unwrap();
    assert_eq!(values(&energy, loaded.as_ref(), &[0.0]), values(&energy, &low_and_high, &[0.0]));
    let missing = folder.path().join("missing");
    assert!(matches!(NetworkEnergy::load(gpu(), missing), Err(Error::Io { .. })));
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(matches!(NetworkEnergy::load(gpu(), &path), Err(Error::Checkpoint { .. })), "{length} bytes");
    }
    std::fs::write(&path, &bytes).unwrap();
    let parts = Parts::read(&path);
    std::fs::write(&path, parts.described(|d| d["kind"] = "policy".into())).unwrap();
    let error = NetworkEnergy::load(gpu(), &path).unwrap_err().to_string();
    assert!(error.contains("`policy`") && error.contains("`ranking_nce`"), "{error}");
    assert!(RunDescription::read(&path).is_err());
    std::fs::write(&path, parts.without("energy.average.layers.0.bias")).unwrap();
    let error = NetworkEnergy::load(gpu(), &path).unwrap_err().to_string();
    assert!(error.contains("energy.average.layers.0.bias"), "{error}");
    assert!(matches!(Trainer::options_of(&path).unwrap().objective, Objective::RankingNce(_)));
}
