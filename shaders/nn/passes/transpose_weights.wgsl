// The flat parameters of a network, and behind them the weights of some layers transposed.
//
//   out[t] = parameters[t], t < len4
//   out[destination + o inputs4 + c] = (W[4 c, o], .. W[4 c + 3, o])
//
// parameters : flat, W k-major [4 inputs4, 4 outputs4], read
// layers : [layers] of TransposedLayer, destinations ascending and without gaps from len4 on, read
// out : [total4] vec4 written
// Workgroup 64. Grid over total4 invocations, folded over x and y; one invocation writes one vec4.

struct Params {
    len4: u32,
    total4: u32,
    layers: u32,
}

// Where a weight lies and where its transpose goes, in vec4s.
// Shared with the host.
struct TransposedLayer {
    weight: u32,
    inputs4: u32,
    outputs4: u32,
    destination: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> layers: array<TransposedLayer>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn transpose_weights(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.total4) {
        return;
    }
    if (at < params.len4) {
        out[at] = parameters[at];
        return;
    }
    var layer = layers[0];
    for (var index = 1u; index < params.layers; index++) {
        let next = layers[index];
        if (at >= next.destination) {
            layer = next;
        }
    }
    let place = at - layer.destination;
    let o = place / layer.inputs4;
    let source = layer.weight + 4u * (place % layer.inputs4) * layer.outputs4 + o / 4u;
    let lane = o % 4u;
    out[at] = vec4<f32>(
        parameters[source][lane], parameters[source + layer.outputs4][lane],
        parameters[source + 2u * layer.outputs4][lane], parameters[source + 3u * layer.outputs4][lane]);
}
