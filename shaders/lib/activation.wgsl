// Activations and their derivatives, finite for every finite input.
//
//   code 0: identity    1: ReLU    2: SiLU x sigmoid(x)    3: tanh
//   SiLU'(x) = s + x s (1 - s), s = sigmoid(x)    tanh'(x) = 1 - tanh(x)^2    ReLU'(0) = 0
//
// Numerics: exp only of clamped non-positive arguments; no native tanh (NaN at 500 on some drivers).
// Largest relative error of tanh about 5e-7, of sigmoid about 4e-6 (the error of exp itself).

fn sigmoid_safe(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-min(abs(x), vec4<f32>(87.0)));
    let r = 1.0 / (1.0 + e);
    return select(e * r, r, x >= vec4<f32>(0.0));
}

fn tanh_safe(x: vec4<f32>) -> vec4<f32> {
    let a = min(abs(x), vec4<f32>(9.02)); // tanh(9.02) rounds to 1
    let e = exp(-2.0 * a);
    let s = a * a;
    // Odd series below 0.3, where the quotient cancels.
    let small = a * (1.0 + s * (-0.33333333 + s * (0.13333333 + s * (-0.053968254 + s * 0.021869488))));
    let t = select((1.0 - e) / (1.0 + e), small, a < vec4<f32>(0.3));
    return select(t, -t, x < vec4<f32>(0.0));
}

struct Activated {
    value: vec4<f32>,
    slope: vec4<f32>,
}

fn activate(code: u32, z: vec4<f32>) -> Activated {
    if (code == 1u) {
        let on = z > vec4<f32>(0.0);
        return Activated(max(z, vec4<f32>(0.0)), select(vec4<f32>(0.0), vec4<f32>(1.0), on));
    }
    if (code == 2u) {
        let s = sigmoid_safe(z);
        // Below -87 the clamped exponent would let z grow past its vanishing sigmoid.
        let v = select(z * s, vec4<f32>(0.0), z < vec4<f32>(-87.0));
        return Activated(v, s + v * (1.0 - s));
    }
    if (code == 3u) {
        let t = tanh_safe(z);
        return Activated(t, 1.0 - t * t);
    }
    return Activated(z, vec4<f32>(1.0));
}
