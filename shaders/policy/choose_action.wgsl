// The action of each agent: the next one of its chunk, or the first one of a new chunk.
//
//   chunk in progress             : action = chunk[position]
//   due, PREDICTED 1, all good    : chunk = prediction in the box, action = chunk[0]
//   due, PREDICTED 1, not good    : chunk = the last action throughout, action = chunk[0]
//   due, PREDICTED 0              : action = the last action, still due
//
// Good: this tick's observation was taken and the prediction is finite. A prediction that is not is
// counted. One is due once `execute` actions of the chunk were executed.
// prediction : row i at i * stride, predict * dims numbers, read (PREDICTED 0: any buffer)
// box : [2, predict * dims], low then high, read       agents : [capacity] AgentState, written
// chunk : [capacity, predict, dims] written            last : [capacity, dims] written
// action : [capacity, dims] written; rows from knobs.agents on stay
// lost : [capacity] read, how many chains or samples the prediction was chosen from that are not
// finite; counted where the prediction is taken (PREDICTED 0: any buffer)
// Workgroup 64, 256 bytes. Grid: one workgroup per agent, folded over x and y; lanes stride
// numbers.
//#include "lib/agent_state.wgsl"
//#include "lib/finite.wgsl"

struct Params {
    capacity: u32,
    predict: u32,
    execute: u32,
    dims: u32,
    stride: u32,
}

struct Knobs {
    agents: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> prediction: array<f32>;
@group(0) @binding(3) var<storage, read> box: array<f32>;
@group(0) @binding(4) var<storage, read_write> agents: array<AgentState>;
@group(0) @binding(5) var<storage, read_write> chunk: array<f32>;
@group(0) @binding(6) var<storage, read_write> last: array<f32>;
@group(0) @binding(7) var<storage, read_write> action: array<f32>;
@group(0) @binding(8) var<storage, read> lost: array<f32>;

// 1 where a lane met a number that is not finite.
var<workgroup> bad: array<u32, 64>;

@compute @workgroup_size(64, 1, 1)
fn choose_action(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let agent = id.y * groups.x + id.x;
    let row = min(agent, params.capacity - 1u);
    let numbers = params.predict * params.dims;
    var found = 0u;
    if (PREDICTED == 1u) {
        for (var j = lane; j < numbers; j += 64u) {
            found |= select(1u, 0u, is_finite(prediction[row * params.stride + j]));
        }
    }
    bad[lane] = found;
    let before = agents[row];
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach = reach / 2u) {
        if (lane < reach) {
            bad[lane] |= bad[lane + reach];
        }
        workgroupBarrier();
    }
    if (agent >= params.capacity || f32(agent) >= knobs.agents) {
        return;
    }
    let due = before.position >= params.execute;
    let finite = bad[0] == 0u;
    let good = before.observed == 1u && finite;
    // Each number of an action, and the same number of the chunk's other actions, is one lane's
    // alone.
    for (var j = lane; j < params.dims; j += 64u) {
        let held = last[row * params.dims + j];
        var value = held;
        if (due && PREDICTED == 1u) {
            for (var at = j; at < numbers; at += params.dims) {
                var next = held;
                if (good) {
                    next = clamp(prediction[row * params.stride + at], box[at], box[numbers + at]);
                }
                chunk[row * numbers + at] = next;
                value = select(value, next, at == j);
            }
        } else if (!due) {
            value = chunk[row * numbers + before.position * params.dims + j];
        }
        action[row * params.dims + j] = value;
        last[row * params.dims + j] = value;
    }
    if (lane == 0u) {
        var after = before;
        if (due && PREDICTED == 1u) {
            after.position = 1u;
            if (before.observed == 1u) {
                after.lost_chains = counted_more(before.lost_chains, u32(lost[row]));
            }
            if (before.observed == 1u && !finite) {
                after.bad_predictions = counted(before.bad_predictions);
            }
        } else if (!due) {
            after.position = before.position + 1u;
        }
        agents[row] = after;
    }
}
