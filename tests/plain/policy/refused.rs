//! Files, observations and options that do not fit.

use std::path::Path;

use gibbs::diffusion::SolverOptions;
use gibbs::energy::NetworkEnergy;
use gibbs::gpu::{DType, Tensor};
use gibbs::math::{Bounds, Scales};
use gibbs::policy::{
    ChainInference, Choose, DiffusionInference, Inference, Policy, PolicyOptions, PolicyTensors,
};
use gibbs::{Error, wgpu};

use super::agents::Simulator;
use super::{CONTEXTS, contexts, gpu, options, runs};

#[track_caller]
fn refused<T>(result: gibbs::Result<T>, words: &[&str]) {
    let text = result.err().expect("an error").to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

fn load(path: &Path) -> gibbs::Result<Policy> {
    Policy::load(gpu(), path)
}

#[test]
fn files_that_cannot_act_are_refused_in_one_sentence() {
    let runs = runs();
    let missing = load(&runs.path("missing"));
    assert!(matches!(missing, Err(Error::Io { .. })));
    refused(missing, &["open", "missing"]);

    for name in ["ranking", "score"] {
        let whole = std::fs::read(runs.path(name)).expect("a file");
        for part in [whole.len() / 2, 100, 4] {
            let half = runs.path("half");
            std::fs::write(&half, &whole[..part]).expect("a file");
            let result = load(&half);
            assert!(matches!(result, Err(Error::Checkpoint { .. })), "{name}, {part} bytes");
            refused(result, &["half"]);
        }
    }

    let data = runs.path("data.safetensors");
    let bytes = safetensors::serialize(
        [(
            "x",
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4])
                .expect("a tensor"),
        )],
        None,
    );
    std::fs::write(&data, bytes.expect("bytes")).expect("a file");
    refused(load(&data), &["has no gibbs description"]);
    refused(load(&runs.path("energy")), &["holds an intermediate energy alone", "`Policy::guided"]);
    let swapped = Policy::guided(gpu(), runs.path("energy"), runs.path("score"));
    refused(swapped, &["is of the kind `intermediate_energy`", "`score`"]);
    refused(NetworkEnergy::load(gpu(), runs.path("score")), &["is of the kind `score`"]);
}

#[test]
fn observations_that_do_not_fit_are_refused_in_one_sentence() {
    let runs = runs();
    let mut policy = Policy::load_with(gpu(), runs.path("ranking"), &options()).expect("a policy");
    refused(policy.act(&[0.0; 5]), &["`observations` has shape 5 numbers, expected [agents, 2]"]);
    refused(policy.act(&[]), &["the observations are none; give a row of 2 numbers for each agent"]);
    refused(policy.act(&[0.0; 8]), &["the agents are 4, this policy has room for 3", "with_agents(4)"]);
    refused(
        policy.act(&[0.0, 1.0, 2.0, f32::NAN]),
        &["the observation of agent 1 is NaN at index 1; it must be finite"],
    );
    refused(policy.act_for(1), &["the observations are missing: give 2 numbers for each agent"]);
    refused(policy.set_agents(0), &["the agents are none"]);
    refused(policy.reset(3), &["the agent is 3, there is room for 3"]);
    // What was refused left nothing behind.
    let mut other = Policy::load_with(gpu(), runs.path("ranking"), &options()).expect("a policy");
    assert_eq!(policy.act(&contexts()).expect("actions"), other.act(&contexts()).expect("actions"));

    let wide = Tensor::zeros(gpu(), "wide", DType::F32, [CONTEXTS, 3]).expect("a tensor");
    let simulator = Simulator::new(gpu(), &policy);
    let mut encoder = gpu().device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    refused(
        policy.encode(&mut encoder, &wide, &simulator.action),
        &["`observation` has shape [3, 3], expected [3, 2]"],
    );
    refused(policy.encode(&mut encoder, &simulator.observation, &wide), &["`action` has shape [3, 3]"]);
    let nothing = PolicyTensors { observation: None, action: &simulator.action, reset: None };
    refused(policy.encode_with(&mut encoder, &nothing), &["the observation is missing: give [3, 2]"]);

    let bounds = Bounds::new(&[0.0], &[1.0]).expect("a box");
    let mut unconditional = Policy::proposal(gpu(), bounds, &PolicyOptions::new()).expect("a policy");
    refused(unconditional.act(&[0.5]), &["say how many agents act: `act_for(agents)`"]);
    refused(unconditional.act_for(0), &["the agents are none"]);
    refused(unconditional.act_for(2), &["room for 1"]);
}

#[test]
fn options_that_do_not_fit_are_refused_in_one_sentence() {
    let runs = runs();
    let path = runs.path("ranking");
    let with = |options: PolicyOptions| Policy::load_with(gpu(), &path, &options);
    let plain = PolicyOptions::new;
    refused(with(plain().with_agents(0)), &["the agents are 0"]);
    refused(with(plain().with_agents(usize::MAX)), &["the agents are"]);
    refused(with(plain().with_history(3)), &["the history is 3 observations", "2 numbers of a context"]);
    refused(with(plain().with_chunk(3, 1)), &["the actions of a chunk are 3", "2 numbers of a prediction"]);
    refused(with(plain().with_chunk(2, 3)), &["the executed actions of a chunk are 3 of 2"]);
    refused(
        with(plain().with_resting(vec![1.0])),
        &["the resting action is [1.0]; it needs 2 finite numbers"],
    );
    refused(
        with(plain().with_bounds(Bounds::new(&[0.0], &[1.0]).expect("a box"))),
        &["the box has 1 dimensions"],
    );
    refused(
        with(plain().with_inference(Inference::Network)),
        &["the output of a network", "an energy with its proposal"],
    );
    let many = ChainInference::suited(Scales::new(&[1.0, 1.0]).expect("scales"), None).with_chains(0);
    refused(with(plain().with_inference(many)), &["the chains are none"]);
    let cosine = SolverOptions::default().with_schedule(gibbs::diffusion::NoiseSchedule::cosine());
    let other = PolicyOptions::new().with_inference(DiffusionInference::new(cosine));
    refused(Policy::load_with(gpu(), runs.path("score"), &other), &["the score was trained on Linear"]);
    let best = DiffusionInference::new(SolverOptions::default()).with_choose(Choose::Lowest);
    let best = PolicyOptions::new().with_inference(best);
    refused(Policy::load_with(gpu(), runs.path("score"), &best), &["needs an intermediate energy"]);
}
