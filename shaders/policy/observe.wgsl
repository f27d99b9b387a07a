// Takes the observations of a tick into the agents' histories.
//
//   new agent    : prediction due, last = resting
//   finite       : new or waiting: all rows of history = observation
//                  else: rows move up by one, the last row = observation
//   not finite   : history stays, an agent that was new waits, counted
//
// observation : [capacity, width], read      reset : [capacity], not 0 makes an agent new, read
// resting : [dims], read                     agents : [capacity] AgentState, written
// stage : [capacity] written: 0 new, 1 waiting for a finite observation, 2 has one
// history : [capacity, history, width] written, the oldest row first
// last : [capacity, dims] written, rows of new agents alone
// Agents from knobs.agents on are absent: they become new, nothing else of them is touched.
// Workgroup 64, 256 bytes. Grid: one workgroup per agent, folded over x and y; lanes stride
// columns.
//#include "lib/agent_state.wgsl"
//#include "lib/finite.wgsl"

struct Params {
    capacity: u32,
    width: u32,
    history: u32,
    dims: u32,
    execute: u32,
}

struct Knobs {
    agents: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> observation: array<f32>;
@group(0) @binding(3) var<storage, read> reset: array<u32>;
@group(0) @binding(4) var<storage, read> resting: array<f32>;
@group(0) @binding(5) var<storage, read_write> stage: array<u32>;
@group(0) @binding(6) var<storage, read_write> agents: array<AgentState>;
@group(0) @binding(7) var<storage, read_write> history: array<f32>;
@group(0) @binding(8) var<storage, read_write> last: array<f32>;

const NEW: u32 = 0u;
const WAITING: u32 = 1u;
const RUNNING: u32 = 2u;

// 1 where a lane met a number that is not finite.
var<workgroup> bad: array<u32, 64>;

@compute @workgroup_size(64, 1, 1)
fn observe(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let agent = id.y * groups.x + id.x;
    let present = agent < params.capacity && f32(agent) < knobs.agents;
    let row = min(agent, params.capacity - 1u);
    var found = 0u;
    for (var j = lane; j < params.width; j += 64u) {
        found |= select(1u, 0u, is_finite(observation[row * params.width + j]));
    }
    bad[lane] = found;
    let before = stage[row];
    let asked = reset[row];
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach = reach / 2u) {
        if (lane < reach) {
            bad[lane] |= bad[lane + reach];
        }
        workgroupBarrier();
    }
    if (agent >= params.capacity) {
        return;
    }
    if (!present) {
        if (lane == 0u) {
            stage[row] = NEW;
        }
        return;
    }
    let fresh = before == NEW || asked != 0u;
    let finite = bad[0] == 0u;
    if (fresh) {
        for (var j = lane; j < params.dims; j += 64u) {
            last[row * params.dims + j] = resting[j];
        }
    }
    if (finite) {
        let first = row * params.history * params.width;
        for (var j = lane; j < params.width; j += 64u) {
            let value = observation[row * params.width + j];
            for (var age = 0u; age < params.history; age++) {
                let at = first + age * params.width + j;
                var next = value;
                if (!fresh && before == RUNNING && age + 1u < params.history) {
                    next = history[at + params.width];
                }
                history[at] = next;
            }
        }
    }
    if (lane == 0u) {
        var agent_state = agents[row];
        agent_state.observed = select(0u, 1u, finite);
        if (fresh) {
            agent_state.position = params.execute;
        }
        if (!finite) {
            agent_state.bad_observations = counted(agent_state.bad_observations);
        }
        agents[row] = agent_state;
        stage[row] = select(select(before, WAITING, fresh), RUNNING, finite);
    }
}
