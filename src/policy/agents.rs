//! What a policy keeps of its agents: on the device all of it, on the host what it takes to know
//! when a prediction is due.

use crate::Result;
use crate::gpu::{Bindings, DType, Gpu, Recording, Tensor, Value, shared_struct};

/// Numbers of a policy's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentLayout {
    /// Agents there is room for.
    pub capacity: usize,
    /// Numbers per observation; 0 for a policy that takes none.
    pub observation: usize,
    /// Observations that the network sees.
    pub history: usize,
    /// Numbers per action.
    pub action: usize,
    /// Actions of a prediction.
    pub predict: usize,
    /// Actions that are executed before the next prediction.
    pub execute: usize,
}

impl AgentLayout {
    /// Numbers per prediction.
    pub fn prediction(&self) -> usize {
        self.predict * self.action
    }
}

shared_struct! {
    /// What a policy keeps of each agent, beside its history and its chunk.
    pub struct AgentState in "lib/agent_state.wgsl" {
        /// 1 if this tick's observation is in the history.
        observed: u32,
        /// Actions of the chunk that were executed; a chunk's length or more: a prediction is due.
        position: u32,
        /// Observations that were not finite; stops at the largest `u32`.
        bad_observations: u32,
        /// Predictions from finite observations that were not finite; stops at the largest `u32`.
        bad_predictions: u32,
        /// Chains or samples that predictions were chosen from and that were not finite; stops at
        /// the largest `u32`.
        lost_chains: u32,
    }
}

/// The tensors of all agents, as values of a recording.
#[derive(Clone, Copy, Debug)]
pub struct AgentValues {
    /// `[capacity, 1]` u32: 0 new, 1 waiting for a finite observation, 2 has one.
    pub stage: Value,
    /// `[capacity, AgentState::WORDS]` u32: [`AgentState`].
    pub agents: Value,
    /// `[capacity, history * observation]`, the oldest observation first.
    pub history: Value,
    /// `[capacity, predict * action]`.
    pub chunk: Value,
    /// `[capacity, action]`.
    pub last: Value,
}

/// The tensors of all agents.
#[derive(Debug)]
pub(super) struct AgentTensors {
    all: [Tensor; 5],
}

/// Slots of a policy's recording, in the order of [`AgentValues`].
const SLOTS: [&str; 5] = ["policy/stage", "policy/agents", "policy/history", "policy/chunk", "policy/last"];

fn shapes(layout: &AgentLayout) -> [(DType, [usize; 2]); 5] {
    let rows = layout.capacity;
    [
        (DType::U32, [rows, 1]),
        (DType::U32, [rows, AgentState::WORDS]),
        (DType::F32, [rows, layout.history * layout.observation.max(1)]),
        (DType::F32, [rows, layout.prediction()]),
        (DType::F32, [rows, layout.action]),
    ]
}

impl AgentValues {
    /// The slots `policy/stage`, `policy/agents`, `policy/history`, `policy/chunk` and
    /// `policy/last` of a recording.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if something else took a slot's name.
    pub fn new(recording: &mut Recording, layout: &AgentLayout) -> Result<Self> {
        let mut values = Vec::new();
        for (name, (dtype, shape)) in SLOTS.iter().zip(shapes(layout)) {
            values.push(recording.slot(name, dtype, shape)?);
        }
        let [stage, agents, history, chunk, last] = [0, 1, 2, 3, 4].map(|at| values[at]);
        Ok(Self { stage, agents, history, chunk, last })
    }
}

impl AgentTensors {
    /// Those of agents that are all new.
    pub fn new(gpu: &Gpu, layout: &AgentLayout) -> Result<Self> {
        let shapes = shapes(layout);
        let tensor = |at: usize| Tensor::zeros(gpu, SLOTS[at], shapes[at].0, shapes[at].1);
        Ok(Self { all: [tensor(0)?, tensor(1)?, tensor(2)?, tensor(3)?, tensor(4)?] })
    }

    pub fn bindings(&self) -> Bindings {
        self.all.iter().fold(Bindings::new(), |all, tensor| all.with(tensor.label(), tensor))
    }

    /// Makes some agents new.
    pub fn reset(&self, gpu: &Gpu, first: usize, count: usize) -> Result<()> {
        let stage = &self.all[0];
        gpu.write_buffer(stage.buffer(), stage.offset() + 4 * first as u64, &vec![0; 4 * count])
    }

    /// Reads what is kept of each agent. A blocking readback.
    pub fn states(&self, gpu: &Gpu) -> Result<Vec<AgentState>> {
        let words: Vec<u32> = gpu.read(&self.all[1])?;
        Ok(bytemuck::cast_slice(&words).to_vec())
    }
}

/// Which agents are due for a prediction, as the host knows: it follows what the device does as
/// long as nobody else decides who begins anew.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    execute: usize,
    /// Actions executed of each agent's chunk; none for a new one.
    positions: Vec<Option<usize>>,
    /// Whether resets may have come that the host has not seen.
    blind: bool,
}

impl Clock {
    pub fn new(layout: &AgentLayout) -> Self {
        Self { execute: layout.execute, positions: vec![None; layout.capacity], blind: false }
    }

    /// Some agents begin anew. The host sees clearly again once all do.
    pub fn reset(&mut self, first: usize, count: usize) {
        self.positions[first..first + count].fill(None);
        if count == self.positions.len() {
            self.blind = false;
        }
    }

    /// Resets may come that the host does not see.
    pub fn lose_sight(&mut self) {
        self.blind = true;
    }

    /// One tick with `agents` present; returns whether a prediction is due.
    pub fn tick(&mut self, agents: usize) -> bool {
        let mut due = self.blind;
        for (agent, position) in self.positions.iter_mut().enumerate() {
            *position = match *position {
                _ if agent >= agents => None,
                Some(executed) if executed < self.execute => Some(executed + 1),
                _ => {
                    due = true;
                    Some(1)
                }
            };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_knows_when_a_prediction_is_due() {
        let layout =
            AgentLayout { capacity: 3, observation: 1, history: 1, action: 1, predict: 4, execute: 3 };
        let mut clock = Clock::new(&layout);
        let ticks = |clock: &mut Clock, agents: &[usize]| -> Vec<bool> {
            agents.iter().map(|&agents| clock.tick(agents)).collect()
        };
        assert_eq!(ticks(&mut clock, &[2; 7]), [true, false, false, true, false, false, true]);
        clock.reset(1, 1);
        // Agent 1 begins anew one tick behind agent 0.
        assert_eq!(ticks(&mut clock, &[2; 6]), [true, false, true, true, false, true]);
        // Agent 2 comes, goes, and is new when it comes back.
        clock.reset(0, 3);
        assert_eq!(ticks(&mut clock, &[3, 2, 3, 3]), [true, false, true, true]);
        clock.lose_sight();
        assert_eq!(ticks(&mut clock, &[1; 4]), [true; 4]);
        clock.reset(0, 3);
        assert_eq!(ticks(&mut clock, &[1; 4]), [true, false, false, true]);
    }

    #[test]
    fn an_agents_state_is_laid_out_as_its_shader_says() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/lib/agent_state.wgsl"));
        let members: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_suffix(": u32,")).collect();
        assert_eq!(members, ["observed", "position", "bad_observations", "bad_predictions", "lost_chains"]);
        let state =
            AgentState { observed: 1, position: 2, bad_observations: 3, bad_predictions: 4, lost_chains: 5 };
        assert_eq!(bytemuck::cast::<AgentState, [u32; AgentState::WORDS]>(state), [1, 2, 3, 4, 5]);
    }
}
