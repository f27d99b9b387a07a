// Noises samples in groups that share one time: the forward process of a training step.
//
//   level of group g drawn uniformly from `levels`
//   x_t[r] = alpha x_0[r] + sigma z[r], z normal
//   Source: arXiv 2011.13456, variance-preserving process; the table comes from the host in f64.
//
// samples : [rows] of `stride` elements, the first `dims` being x_0, read
// levels : [level_count] of LevelRow, read      state : RunState, read
// x : [rows, dims] written      time : [groups] written
// kept : packed [rows, dims] written, padding 0: z (KEEP = 1) or x_0 (KEEP = 2); KEEP = 0: any
// buffer, untouched
// Rows g * size .. (g + 1) * size are group g.
// Random: stream `time`: element g owns the block whose word 0 chooses the level, high 32 bits of
// word * level_count.
// Stream `stream`: element row * ceil(dims / 4) + j / 4 owns the normals of dimensions j .. j + 3.
// Numerics: one rounding per factor of the table, two per sample.
// Workgroup 64. Grid over rows * ceil(dims / 4) invocations, folded over x and y.
// Defines: KEEP 0, 1 or 2.
//#include "lib/philox.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    size: u32,
    stride: u32,
    level_count: u32,
    stream: u32,
    time_stream: u32,
}

// Shared with the host.
struct LevelRow {
    time: f32,
    alpha: f32,
    sigma: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> samples: array<f32>;
@group(0) @binding(2) var<storage, read> levels: array<LevelRow>;
@group(0) @binding(3) var<storage, read> state: RunState;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;
@group(0) @binding(5) var<storage, read_write> time: array<f32>;
@group(0) @binding(6) var<storage, read_write> kept: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn add_noise(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let blocks = (params.dims + 3u) / 4u;
    let element = id.y * groups.x * 64u + id.x;
    if (element >= params.rows * blocks) {
        return;
    }
    let row = element / blocks;
    let block = element % blocks;
    let group = row / params.size;
    let word = random_words4(state, group, params.time_stream, 0u).x;
    let level = levels[mul_high(word, params.level_count)];
    let z = normal4(random_words4(state, element, params.stream, 0u));
    var sample = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let j = 4u * block + lane;
        if (j < params.dims) {
            sample[lane] = samples[row * params.stride + j];
            x[row * params.dims + j] = level.alpha * sample[lane] + level.sigma * z[lane];
        }
    }
    if (KEEP == 1u) {
        let inside = vec4<u32>(4u * block) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.dims);
        kept[element] = select(vec4<f32>(0.0), z, inside);
    }
    if (KEEP == 2u) {
        kept[element] = sample;
    }
    if (block == 0u && row == group * params.size) {
        time[group] = level.time;
    }
}
