// Copies vec4s: the bandwidth of memory.
//
//   copied[i] = origin[i]
//
// origin : [count] vec4s read     copied : [count] vec4s written
// Workgroup 64. Grid: count / 8 invocations, folded over x and y; each copies eight vec4s,
// neighbors side by side.

struct Params {
    count: u32,
    eighth: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> origin: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> copied: array<vec4<f32>>;

fn copy_one(at: u32) {
    if (at < params.count) {
        copied[at] = origin[at];
    }
}

@compute @workgroup_size(64)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    if (index >= params.eighth) {
        return;
    }
    copy_one(index);
    copy_one(params.eighth + index);
    copy_one(2u * params.eighth + index);
    copy_one(3u * params.eighth + index);
    copy_one(4u * params.eighth + index);
    copy_one(5u * params.eighth + index);
    copy_one(6u * params.eighth + index);
    copy_one(7u * params.eighth + index);
}
