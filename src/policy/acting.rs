//! A policy at work: a tick of all agents, for hosts that want numbers and for simulators that stay
//! on the device.

use super::agents::{AgentLayout, AgentState, AgentTensors, Clock};
use super::options::PolicyDescription;
use super::parts::Parts;
use super::tick;
use super::tick::{Place, Tick};
use crate::gpu::{Bindings, DType, Gpu, Plan, Recording, RunState, Tensor, Value};
use crate::{Error, Result};

/// Slots of a policy's plans that a simulator fills.
const OBSERVATION: &str = "observation";
const ACTION: &str = "action";
const RESET: &str = "reset";

/// A trained model packed to act: networks with their normalizers, how they come to an action, a
/// box of actions, and what is kept of each agent.
///
/// A **tick** takes one observation per agent and gives one action each. Per agent:
///
/// * The last `history` observations are what the network sees, the oldest first. An agent's first
///   observation fills them all.
/// * A prediction has `predict` actions, of which `execute` are executed, one per tick, before the
///   next prediction.
/// * An agent that is *new* begins with this tick's observation and a prediction of its own: at
///   first, after a reset, and after ticks in which it was absent.
/// * An observation that is not finite is not taken; the history stays as it is (and begins with
///   the first that is finite).
/// * If a prediction is due and this tick's observation was not taken, or the prediction is not
///   finite, the agent goes on with its last action for `execute` ticks; a new agent has the
///   *resting* action for its last. Both are counted ([`Policy::stats`]).
/// * Every action lies in the box, if there is one.
///
/// Random numbers depend on the seed, the number of the tick and the place of the agent alone: tick
/// `k` draws what run `k` of a
/// [`crate::mcmc::ChainSampler`] or [`crate::diffusion::DiffusionSampler`] with as many contexts
/// draws, and gives the same actions, where the same kernels are chosen.
///
/// A tick costs what one of all the agents that there is room for costs, however many are present.
/// With `execute` above 1 a tick in which nobody is due leaves the networks out; ticks with a reset
/// mask always run them, since the host cannot know.
#[derive(Debug)]
pub struct Policy {
    gpu: Gpu,
    parts: Parts,
    description: PolicyDescription,
    layout: AgentLayout,
    tensors: AgentTensors,
    run: RunState,
    observation: Option<Tensor>,
    action: Tensor,
    no_reset: Tensor,
    clock: Clock,
    /// Agents that are present.
    agents: usize,
    predicting: Tick,
    /// A tick in which nobody is due, where there are such.
    executing: Option<Tick>,
}

/// A simulator's tensors for a tick. All have a row for each agent that there is room for, present
/// or not; numbers are relative to [`Policy::offsets`].
#[derive(Clone, Copy, Debug)]
pub struct PolicyTensors<'a> {
    /// `[agents, width]`; none for a policy that takes no observation.
    pub observation: Option<&'a Tensor>,
    /// `[agents, width]`, written in the rows of agents that are present.
    pub action: &'a Tensor,
    /// `[agents]` u32: agents where it is not 0 begin anew. None: nobody does.
    pub reset: Option<&'a Tensor>,
}

/// What went wrong since a policy was made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PolicyStats {
    /// Observations that were not finite, of all agents.
    pub bad_observations: u64,
    /// Predictions from finite observations that were not finite, of all agents.
    pub bad_predictions: u64,
    /// Chains, or samples, of which predictions take that of lowest energy and which were lost: not
    /// finite. The others decided; where none is left, the prediction is bad.
    pub lost_chains: u64,
    /// What is kept of each agent.
    pub agents: Vec<AgentState>,
}

fn fail<T>(what: &str, problem: String) -> Result<T> {
    Err(Error::argument("policy", what, problem))
}

impl Policy {
    /// Compiles the plans round given networks.
    pub(super) fn compile(gpu: &Gpu, parts: Parts, mut description: PolicyDescription) -> Result<Self> {
        let [context, prediction] = parts.widths()?;
        let layout = description.layout(context, prediction)?;
        parts.check(&description)?;
        parts.describe(&mut description);
        let capacity = layout.capacity;
        let tensors = AgentTensors::new(gpu, &layout)?;
        let run = RunState::new(gpu, description.seed)?;
        let observation = match layout.observation {
            0 => None,
            width => Some(Tensor::zeros(gpu, OBSERVATION, DType::F32, [capacity, width])?),
        };
        let action = Tensor::zeros(gpu, ACTION, DType::F32, [capacity, layout.action])?;
        let no_reset = Tensor::zeros(gpu, RESET, DType::U32, [capacity])?;
        let bindings = tensors.bindings().merge(&run.bindings()).merge(&parts.bindings());
        let own = [Some(&action), Some(&no_reset), observation.as_ref()];
        let bindings =
            own.into_iter().flatten().fold(bindings, |all, tensor| all.with(tensor.label(), tensor));
        let tick = |label: &str, predicts: bool| -> Result<Tick> {
            let mut recording = Recording::tuned(label, gpu.target());
            let observation = match layout.observation {
                0 => None,
                width => Some(recording.slot(OBSERVATION, DType::F32, [capacity, width])?),
            };
            let action = recording.slot(ACTION, DType::F32, [capacity, layout.action])?;
            let reset = recording.slot(RESET, DType::U32, [capacity])?;
            let place = Place { observation, reset, action };
            let agents = tick::record(&mut recording, &parts, &description, &layout, &place, predicts)?;
            RunState::record_advance(&mut recording)?;
            Tick::compile(gpu, &recording, &bindings, agents)
        };
        let predicting = tick("gibbs/policy", true)?;
        let executing = match layout.execute {
            1 => None,
            _ => Some(tick("gibbs/policy/execute", false)?),
        };
        Ok(Self {
            gpu: gpu.clone(),
            clock: Clock::new(&layout),
            agents: capacity,
            parts,
            description,
            layout,
            tensors,
            run,
            observation,
            action,
            no_reset,
            predicting,
            executing,
        })
    }

    /// The device it runs on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// How it comes to its actions, and all that was decided about it.
    pub fn description(&self) -> &PolicyDescription {
        &self.description
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Agents that there is room for.
    pub fn capacity(&self) -> usize {
        self.layout.capacity
    }

    /// Numbers per observation; 0 for a policy that takes none.
    pub fn observation_width(&self) -> usize {
        self.layout.observation
    }

    /// Numbers per action.
    pub fn action_width(&self) -> usize {
        self.layout.action
    }

    /// The plan of a tick with predictions.
    pub fn plan(&self) -> &Plan {
        &self.predicting.plan
    }

    /// The run state that numbers the draws: each tick advances it.
    pub fn run_state(&self) -> &RunState {
        &self.run
    }

    /// One tick of as many agents as there are observations, the first ones; the others are absent.
    /// Waits for the actions, `[agents, action_width]` row by row, in data units. A policy with
    /// [`Policy::offsets`] acts by [`Policy::act_f64`].
    ///
    /// * `observations`: `[agents, observation_width]`, row by row, in data units.
    ///
    /// # Errors
    /// [`Error::Argument`] for a policy with offsets, no observations, more agents than there is
    /// room for, or a number that is not finite; [`Error::Shape`] if they are no whole rows;
    /// [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn act(&mut self, observations: &[f32]) -> Result<Vec<f32>> {
        self.check_no_offsets("act_f64")?;
        self.act_relative(observations)
    }

    /// As [`Policy::act`], relative to the offsets.
    pub(super) fn act_relative(&mut self, observations: &[f32]) -> Result<Vec<f32>> {
        let width = self.layout.observation;
        if width == 0 {
            let problem = "are not taken by this policy; say how many agents act: `act_for(agents)`";
            return fail("observations", problem.into());
        }
        if observations.is_empty() {
            let problem = format!("are none; give a row of {width} numbers for each agent");
            return fail("the observations", problem);
        }
        if !observations.len().is_multiple_of(width) {
            let (found, expected) = (format!("{} numbers", observations.len()), format!("[agents, {width}]"));
            let hint = format!("give {width} numbers for each agent");
            return Err(Error::shape("policy", "observations", found, expected, hint));
        }
        self.check_agents(observations.len() / width)?;
        if let Some(at) = observations.iter().position(|value| !value.is_finite()) {
            let problem = format!(
                "of agent {} is {} at index {}; it must be finite",
                at / width,
                observations[at],
                at % width
            );
            return fail("the observation", problem);
        }
        if let Some(tensor) = &self.observation {
            self.gpu.write_buffer(tensor.buffer(), tensor.offset(), bytemuck::cast_slice(observations))?;
        }
        self.act_on_tensors(observations.len() / width)
    }

    /// As [`Policy::act`] for a policy that takes no observation; one with offsets acts by
    /// [`Policy::act_for_f64`].
    ///
    /// # Errors
    /// [`Error::Argument`] for no agents, more than there is room for, or a policy that takes
    /// observations; as there.
    pub fn act_for(&mut self, agents: usize) -> Result<Vec<f32>> {
        self.check_no_offsets("act_for_f64")?;
        self.act_for_relative(agents)
    }

    pub(super) fn act_for_relative(&mut self, agents: usize) -> Result<Vec<f32>> {
        if self.layout.observation > 0 {
            let problem = format!("are missing: give {} numbers for each agent", self.layout.observation);
            return fail("the observations", problem);
        }
        self.check_agents(agents)?;
        self.act_on_tensors(agents)
    }

    fn act_on_tensors(&mut self, agents: usize) -> Result<Vec<f32>> {
        self.set_agents(agents)?;
        self.next_tick().plan.run(1)?;
        let mut actions: Vec<f32> = self.gpu.read(&self.action)?;
        actions.truncate(agents * self.layout.action);
        Ok(actions)
    }

    /// The plan of the next tick; the clock goes on.
    fn next_tick(&mut self) -> &Tick {
        let due = self.clock.tick(self.agents);
        match &self.executing {
            Some(executing) if !due => executing,
            _ => &self.predicting,
        }
    }

    fn check_agents(&self, agents: usize) -> Result<()> {
        let capacity = self.layout.capacity;
        if agents == 0 {
            return fail("the agents", "are none; at least one must act".into());
        }
        if agents > capacity {
            let problem = format!(
                "are {agents}, this policy has room for {capacity}; make it with \
                 `PolicyOptions::new().with_agents({agents})`"
            );
            return fail("the agents", problem);
        }
        Ok(())
    }

    /// How many agents are present from the next submit on, the first ones; at first all are. Those
    /// who come are new. A few host writes if the number changes; nothing is compiled.
    ///
    /// # Errors
    /// [`Error::Argument`] for none, or more than there is room for; [`Error::DeviceLost`].
    pub fn set_agents(&mut self, agents: usize) -> Result<()> {
        self.check_agents(agents)?;
        if agents == self.agents {
            return Ok(());
        }
        for Tick { plan, agents: knob } in
            [Some(&self.predicting), self.executing.as_ref()].into_iter().flatten()
        {
            plan.set_knob(*knob, agents as f32)?;
        }
        self.agents = agents;
        Ok(())
    }

    /// Adds one tick to somebody's encoder: no readback, no host write, no submit. The encoder must
    /// be submitted, in the order of the calls.
    ///
    /// * `observation`: `[capacity, observation_width]`; `action`: `[capacity, action_width]`,
    ///   written in the rows of agents that are present. Both relative to [`Policy::offsets`].
    ///
    /// # Errors
    /// [`Error::Shape`] for other shapes, [`Error::Argument`] for a policy that takes no
    /// observation, [`Error::DeviceLost`].
    pub fn encode(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        observation: &Tensor,
        action: &Tensor,
    ) -> Result<()> {
        self.encode_with(encoder, &PolicyTensors { observation: Some(observation), action, reset: None })
    }

    /// As [`Policy::encode`], with a reset mask, or without an observation for a policy that takes
    /// none.
    ///
    /// Once a reset mask was given, every tick runs the networks, until [`Policy::reset_all`].
    ///
    /// # Errors
    /// As [`Policy::encode`]; [`Error::Argument`] if an observation is missing.
    pub fn encode_with(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        tensors: &PolicyTensors<'_>,
    ) -> Result<()> {
        let AgentLayout { capacity, observation: width, action, .. } = self.layout;
        let mut bindings = Bindings::new();
        let mut bind = |name: &str, tensor: &Tensor, expected: &[usize]| {
            if tensor.shape().dims() != expected || tensor.shape().is_padded() {
                let expected = format!("{expected:?}");
                let hint = "give a row for each agent that there is room for";
                return Err(Error::shape("policy", name, tensor.shape(), expected, hint));
            }
            bindings.insert(name, tensor);
            Ok(())
        };
        match (tensors.observation, width) {
            (None, 0) => {}
            (Some(_), 0) => {
                let problem = "is not taken by this policy; use `encode_with` without one";
                return fail("an observation", problem.into());
            }
            (None, _) => return fail("the observation", format!("is missing: give [{capacity}, {width}]")),
            (Some(tensor), _) => bind(OBSERVATION, tensor, &[capacity, width])?,
        }
        bind(ACTION, tensors.action, &[capacity, action])?;
        bind(RESET, tensors.reset.unwrap_or(&self.no_reset), &[capacity])?;
        if tensors.reset.is_some() {
            self.clock.lose_sight();
        }
        self.next_tick().plan.encode(encoder, &bindings)
    }

    /// Records one tick of all agents within somebody's recording; returns the actions, `[capacity,
    /// action_width]`.
    ///
    /// * `observation`: `[capacity, observation_width]`, relative to [`Policy::offsets`], as the
    ///   actions are; none for a policy that takes none.
    /// * Networks and what is kept of agents are slots ([`Policy::bindings`]); the knob `agents`
    ///   says how many are present.
    /// * Draws are numbered by the recording's run state, which its owner advances
    ///   ([`RunState::record_advance`]).
    /// * Two policies that draw cannot meet in one recording: they would draw the same numbers.
    ///   Give each its own plan.
    ///
    /// From then on [`Policy::encode`] and [`Policy::act`] run the networks in every tick, until
    /// [`Policy::reset_all`].
    ///
    /// # Errors
    /// [`Error::Shape`] if the observation does not fit, [`Error::Argument`] for one that is
    /// missing or not taken, or streams and slots that are in use.
    pub fn record(&mut self, recording: &mut Recording, observation: Option<Value>) -> Result<Value> {
        let AgentLayout { capacity, observation: width, action, .. } = self.layout;
        match (observation, width) {
            (None, 1..) => return fail("the observation", format!("is missing: give [{capacity}, {width}]")),
            (Some(_), 0) => return fail("an observation", "is not taken by this policy".into()),
            _ => {}
        }
        let observation =
            observation.map(|value| recording.plain_input("policy", value, [capacity, width])).transpose()?;
        let action = recording.scratch("action", DType::F32, [capacity, action]);
        let reset = recording.constant("no reset", [capacity], &vec![0u32; capacity])?;
        let place = Place { observation, reset, action };
        tick::record(recording, &self.parts, &self.description, &self.layout, &place, true)?;
        self.clock.lose_sight();
        Ok(action)
    }

    /// The tensors that the slots of [`Policy::record`] need, the policy's own run state included.
    pub fn bindings(&self) -> Bindings {
        self.tensors.bindings().merge(&self.run.bindings()).merge(&self.parts.bindings())
    }

    /// Makes an agent new from the next submit on: its next observation fills its history, its
    /// chunk is predicted anew. One host write.
    ///
    /// # Errors
    /// [`Error::Argument`] for an agent that there is no room for, [`Error::DeviceLost`].
    pub fn reset(&mut self, agent: usize) -> Result<()> {
        if agent >= self.layout.capacity {
            let problem = format!("is {agent}, there is room for {}", self.layout.capacity);
            return fail("the agent", problem);
        }
        self.tensors.reset(&self.gpu, agent, 1)?;
        self.clock.reset(agent, 1);
        Ok(())
    }

    /// Makes all agents new from the next submit on. Random numbers go on ([`Policy::seed`]). One
    /// host write.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn reset_all(&mut self) -> Result<()> {
        self.tensors.reset(&self.gpu, 0, self.layout.capacity)?;
        self.clock.reset(0, self.layout.capacity);
        Ok(())
    }

    /// Draws from the beginning of a seed from the next submit on: with [`Policy::reset_all`] the
    /// policy acts as if it had been made with it.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn seed(&mut self, seed: u64) -> Result<()> {
        self.run.tensor().write(&self.gpu, &[0, 0, seed as u32, (seed >> 32) as u32])?;
        self.description.seed = seed;
        Ok(())
    }

    /// What went wrong since the policy was made. A blocking readback.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::DeviceLost`].
    pub fn stats(&self) -> Result<PolicyStats> {
        let agents = self.tensors.states(&self.gpu)?;
        let sum = |of: fn(&AgentState) -> u32| agents.iter().map(|state| u64::from(of(state))).sum();
        Ok(PolicyStats {
            bad_observations: sum(|state| state.bad_observations),
            bad_predictions: sum(|state| state.bad_predictions),
            lost_chains: sum(|state| state.lost_chains),
            agents,
        })
    }
}
