// A dense layer of a narrow network as kernels that hold the whole network find it: offsets of its
// weight, [4 inputs4, 4 outputs4], and bias in the flat parameters, and its sizes; all but
// `outputs` in vec4s.

// Shared with the host.
struct PackedLayer {
    weight: u32,
    bias: u32,
    inputs4: u32,
    outputs4: u32,
    outputs: u32,
}
