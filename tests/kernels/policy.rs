//! Floor 8: what agents remember and which action they get. Nothing is computed but clamps, so all
//! is equal.

use gibbs::gpu::DType;
use gibbs::math::Bounds;
use gibbs::policy::choose_action;
use gibbs::policy::choose_action::Predictions;
use gibbs::policy::{AgentLayout, AgentState, AgentValues, observe};
use gibbs_reference::policy::Agent;
use gibbs_reference::policy::choose_action::choose_action as reference_action;
use gibbs_reference::policy::observe::observe as reference_observe;

use crate::common::{Adapter, Case, POISON, data, every_adapter, wide};

every_adapter!(
    observations_enter_histories_as_in_the_reference,
    actions_are_chosen_as_in_the_reference,
    counters_stop_at_their_end,
);

/// Capacity, present agents; numbers per observation, observations; numbers per action, predicted
/// and executed actions.
const SHAPES: [[usize; 7]; 7] = [
    [1, 1, 1, 1, 1, 1, 1],
    [7, 5, 3, 2, 5, 4, 2],
    [65, 65, 64, 1, 1, 1, 1],
    [3, 2, 257, 3, 70, 3, 3],
    [130, 129, 1, 5, 2, 7, 1],
    [9, 9, 65, 4, 65, 2, 1],
    [257, 1, 2, 2, 3, 5, 4],
];

fn layout([capacity, _, observation, history, action, predict, execute]: [usize; 7]) -> AgentLayout {
    AgentLayout { capacity, observation, history, action, predict, execute }
}

/// Agents in all the states that there are.
fn agents(layout: &AgentLayout, seed: u32) -> Vec<Agent> {
    let AgentLayout { capacity, observation, history, action, predict, execute } = *layout;
    let histories = data(seed, capacity * history * observation);
    let chunks = data(seed + 1, capacity * predict * action);
    let last = data(seed + 2, capacity * action);
    (0..capacity)
        .map(|at| Agent {
            stage: (at % 3) as u32,
            observed: at % 4 != 1,
            position: (at % (execute + 1)) as u32,
            bad_observations: at as u32,
            bad_predictions: 2 * at as u32,
            lost_chains: 3 * at as u32,
            history: wide(&histories[at * history * observation..][..history * observation]),
            chunk: wide(&chunks[at * predict * action..][..predict * action]),
            last: wide(&last[at * action..][..action]),
        })
        .collect()
}

fn narrow(values: impl Iterator<Item = f64>) -> Vec<f32> {
    values.map(|value| value as f32).collect()
}

fn words(agent: &Agent) -> [u32; AgentState::WORDS] {
    let state = AgentState {
        observed: u32::from(agent.observed),
        position: agent.position,
        bad_observations: agent.bad_observations,
        bad_predictions: agent.bad_predictions,
        lost_chains: agent.lost_chains,
    };
    bytemuck::cast(state)
}

/// Puts agents into a case.
fn place(case: &mut Case, layout: &AgentLayout, agents: &[Agent]) -> AgentValues {
    let rows = layout.capacity;
    let stages: Vec<u32> = agents.iter().map(|agent| agent.stage).collect();
    let states: Vec<u32> = agents.iter().flat_map(words).collect();
    case.input("policy/stage", [rows, 1], &stages);
    case.input("policy/agents", [rows, AgentState::WORDS], &states);
    let numbers = |of: fn(&Agent) -> &Vec<f64>| narrow(agents.iter().flat_map(|agent| of(agent).clone()));
    case.input(
        "policy/history",
        [rows, layout.history * layout.observation],
        &numbers(|agent| &agent.history),
    );
    case.input("policy/chunk", [rows, layout.predict * layout.action], &numbers(|agent| &agent.chunk));
    case.input("policy/last", [rows, layout.action], &numbers(|agent| &agent.last));
    AgentValues::new(&mut case.recording, layout).unwrap()
}

fn expect(results: &crate::common::Results, agents: &[Agent]) {
    let stages: Vec<u32> = agents.iter().map(|agent| agent.stage).collect();
    let states: Vec<u32> = agents.iter().flat_map(words).collect();
    results.expect_words("stage", &results.get::<u32>("policy/stage"), &stages);
    results.expect_words("agents", &results.get::<u32>("policy/agents"), &states);
    let numbers = |of: fn(&Agent) -> &Vec<f64>| -> Vec<f64> {
        agents.iter().flat_map(|agent| of(agent).clone()).collect()
    };
    results.expect(
        "history",
        &results.get("policy/history"),
        &numbers(|agent| &agent.history),
        |_: usize| 0.0,
    );
    results.expect("chunk", &results.get("policy/chunk"), &numbers(|agent| &agent.chunk), |_: usize| 0.0);
    results.expect("last", &results.get("policy/last"), &numbers(|agent| &agent.last), |_: usize| 0.0);
}

fn observations_enter_histories_as_in_the_reference(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let (layout, present) = (layout(shape), shape[1]);
        let AgentLayout { capacity, observation: width, action, execute, .. } = layout;
        let mut expected = agents(&layout, 10 * index as u32);
        let mut case = Case::new(adapter, format!("observe {shape:?}"));
        let values = place(&mut case, &layout, &expected);
        let mut observations = data(77, capacity * width);
        for agent in (0..capacity).filter(|agent| agent % 5 == 3) {
            // The place differs, so that every lane meets one.
            observations[agent * width + agent % width] =
                [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][agent % 3];
        }
        let resets: Vec<u32> =
            (0..capacity).map(|agent| if agent % 7 == 2 { 1 << (agent % 32) } else { 0 }).collect();
        let resting = data(78, action);
        let observation = case.input("observation", [capacity, width], &observations);
        let reset = case.input("reset", [capacity], &resets);
        let knob = case.recording.knob("agents", capacity as f32);
        observe::record(&mut case.recording, &layout, &values, (observation, reset), &resting, knob).unwrap();
        case.knob(knob, present as f32);
        case.expect_kernels(&["observe"]);
        let results = case.run();
        for (at, agent) in expected.iter_mut().enumerate() {
            if at >= present {
                agent.stage = 0;
                continue;
            }
            let observation = wide(&observations[at * width..][..width]);
            reference_observe(agent, &observation, resets[at] != 0, &wide(&resting), execute as u32);
        }
        expect(&results, &expected);
    }
}

fn actions_are_chosen_as_in_the_reference(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let (layout, present) = (layout(shape), shape[1]);
        let AgentLayout { capacity, action, execute, .. } = layout;
        let numbers = layout.prediction();
        let (low, high): (Vec<f32>, Vec<f32>) =
            data(79, numbers).iter().map(|v| (-0.6 + 0.2 * v, 0.5 + 0.2 * v)).unzip();
        for predicts in [true, false] {
            for bounded in [true, false] {
                let mut expected = agents(&layout, 10 * index as u32 + 5);
                let mut case = Case::new(adapter, format!("choose action {shape:?}, {predicts}, {bounded}"));
                let values = place(&mut case, &layout, &expected);
                let stride = numbers + index % 3;
                let mut predictions = data(80, capacity * stride);
                for agent in (0..capacity).filter(|agent| agent % 6 == 4) {
                    predictions[agent * stride + agent % numbers] = [f32::NAN, f32::INFINITY][agent % 2];
                }
                let value = case.input("prediction", [capacity, stride], &predictions);
                let counts: Vec<f32> = (0..capacity).map(|agent| (agent % 5) as f32).collect();
                let lost = (index % 2 == 0).then(|| case.input("lost", [capacity], &counts));
                let out = case.poisoned("action", DType::F32, [capacity, action]);
                let knob = case.recording.knob("agents", capacity as f32);
                let bounds = bounded.then(|| Bounds::new(&low, &high).unwrap());
                choose_action::record(
                    &mut case.recording,
                    &layout,
                    &values,
                    predicts.then_some(Predictions { value, stride, lost }),
                    out,
                    bounds.as_ref(),
                    knob,
                )
                .unwrap();
                case.knob(knob, present as f32);
                case.expect_kernels(&["choose_action"]);
                let results = case.run();
                let (low, high) = match bounded {
                    true => (wide(&low), wide(&high)),
                    false => (vec![f64::NEG_INFINITY; numbers], vec![f64::INFINITY; numbers]),
                };
                let mut actions = Vec::new();
                for (at, agent) in expected.iter_mut().enumerate().take(present) {
                    let prediction = wide(&predictions[at * stride..][..numbers]);
                    let lost = if lost.is_some() { (at % 5) as u32 } else { 0 };
                    let prediction = predicts.then_some((&prediction[..], lost));
                    actions.extend(reference_action(agent, prediction, (&low, &high), execute as u32));
                }
                let found: Vec<f32> = results.get("action");
                results.expect("action", &found[..present * action], &actions, |_: usize| 0.0);
                results.expect_untouched("action", present * action..capacity * action);
                expect(&results, &expected);
            }
        }
    }
}

fn counters_stop_at_their_end(adapter: &Adapter) {
    let layout = AgentLayout { capacity: 2, observation: 1, history: 1, action: 1, predict: 1, execute: 1 };
    let mut expected = agents(&layout, 1);
    for agent in &mut expected {
        (agent.stage, agent.position) = (2, 1);
        (agent.bad_observations, agent.bad_predictions, agent.lost_chains) =
            (u32::MAX, u32::MAX, u32::MAX - 2);
    }
    let mut case = Case::new(adapter, "counters");
    let values = place(&mut case, &layout, &expected);
    let observations = [f32::NAN, 0.5];
    let observation = case.input("observation", [2, 1], &observations);
    let reset = case.input("reset", [2], &[0u32; 2]);
    let value = case.input("prediction", [2, 1], &[f32::from_bits(POISON), f32::NAN]);
    let lost_counts = case.input("lost", [2], &[3.0f32; 2]);
    let out = case.poisoned("action", DType::F32, [2, 1]);
    let knob = case.recording.knob("agents", 2.0);
    let recording = &mut case.recording;
    observe::record(recording, &layout, &values, (observation, reset), &[0.0], knob).unwrap();
    let lost = Some(lost_counts);
    let predictions = Some(Predictions { value, stride: 1, lost });
    choose_action::record(recording, &layout, &values, predictions, out, None, knob).unwrap();
    case.expect_kernels(&["observe", "choose_action"]);
    let results = case.run();
    for (agent, observation) in expected.iter_mut().zip(observations) {
        reference_observe(agent, &[observation.into()], false, &[0.0], 1);
        reference_action(agent, Some((&[f64::NAN], 3)), (&[-1.0], &[1.0]), 1);
    }
    assert!(
        expected.iter().all(|agent| agent.bad_observations == u32::MAX && agent.bad_predictions == u32::MAX)
    );
    assert_eq!([expected[0].lost_chains, expected[1].lost_chains], [u32::MAX - 2, u32::MAX]);
    expect(&results, &expected);
}
