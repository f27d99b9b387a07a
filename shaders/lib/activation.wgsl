// Activations and their derivatives, finite for every finite input; the value of NaN is NaN.
//
//   code 0: identity    1: ReLU    2: SiLU x sigmoid(x)    3: tanh    4: GELU x Phi(x)
//   5: softplus log(1 + exp(x))
//   6: GELU by tanh, x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
//   7: Mish x tanh(softplus(x))    8: ELU x or exp(x) - 1    9: leaky ReLU x or 0.01 x
//   SiLU'(x) = s + x s (1 - s), s = sigmoid(x)    tanh'(x) = 1 - tanh(x)^2    ReLU'(0) = 0
//   Phi(x) = (1 + erf(x / sqrt 2)) / 2    GELU'(x) = Phi(x) + x phi(x), phi = Phi'
//   softplus'(x) = sigmoid(x)    (6)' = s + 2 x u' s (1 - s), s = sigmoid(2 u)
//   Mish'(x) = t + x (1 - t^2) sigmoid(x), t = tanh(softplus(x)), a quotient in e = exp(-|x|):
//     t = (1 + 2 e) / (1 + 2 e + 2 e^2) from 0 up, (e^2 + 2 e) / (e^2 + 2 e + 2) below
//   ELU'(0) = 1    leaky ReLU'(0) = 0.01
//
// Numerics: exp only of clamped non-positive arguments; no native tanh (NaN at 500 on some
// drivers). Largest relative error of tanh about 5e-7, of sigmoid about 4e-6 (the error of exp
// itself), of 1 - Phi(|x|) 4e-7 and the error of exp(-x^2 / 2); softplus 2e-6, its tail exp(x)
// included; GELU by tanh 3e-5 far below 0, where the argument of exp is rounded first; Mish 1e-5;
// ELU 1e-6. All but softplus map 0 to 0.

// Shared with the host.
const ACTIVATION_IDENTITY: u32 = 0u;
// Shared with the host.
const ACTIVATION_RELU: u32 = 1u;
// Shared with the host.
const ACTIVATION_SILU: u32 = 2u;
// Shared with the host.
const ACTIVATION_TANH: u32 = 3u;
// Shared with the host.
const ACTIVATION_GELU: u32 = 4u;
// Shared with the host.
const ACTIVATION_SOFTPLUS: u32 = 5u;
// Shared with the host.
const ACTIVATION_GELU_TANH: u32 = 6u;
// Shared with the host.
const ACTIVATION_MISH: u32 = 7u;
// Shared with the host.
const ACTIVATION_ELU: u32 = 8u;
// Shared with the host.
const ACTIVATION_LEAKY_RELU: u32 = 9u;

// min(|x|, top), max(x, 0) and min(x, 0) that hand on a NaN, which min and max need not.
fn magnitude_to(x: vec4<f32>, top: f32) -> vec4<f32> {
    return select(abs(x), vec4<f32>(top), abs(x) > vec4<f32>(top));
}

fn positive_part(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(0.0), x <= vec4<f32>(0.0));
}

fn negative_part(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(0.0), x >= vec4<f32>(0.0));
}

fn sigmoid_safe(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-magnitude_to(x, 87.0));
    let r = 1.0 / (1.0 + e);
    return select(e * r, r, x >= vec4<f32>(0.0));
}

fn tanh_safe(x: vec4<f32>) -> vec4<f32> {
    let a = magnitude_to(x, 9.02); // tanh(9.02) rounds to 1
    let e = exp(-2.0 * a);
    let s = a * a;
    // Odd series below 0.3, where the quotient cancels.
    let small = a * (1.0 + s * (-0.33333333 + s * (0.13333333 + s * (-0.053968254 + s * 0.021869488))));
    let t = select((1.0 - e) / (1.0 + e), small, a < vec4<f32>(0.3));
    return select(t, -t, x < vec4<f32>(0.0));
}

// 1 - Phi(a) over exp(-a^2 / 2) for 0 <= a <= 13: minimax polynomial in t = 1 / (1 + 0.3 a),
// relative error 1.2e-7.
fn normal_tail_scaled(a: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.3 * a);
    var sum = t * 0.03619482 - 0.159378171;
    sum = sum * t + 0.210118189;
    sum = sum * t - 0.0571671911;
    sum = sum * t + 0.130416378;
    sum = sum * t + 0.0993471444;
    sum = sum * t + 0.120845526;
    sum = sum * t + 0.119623266;
    return sum * t;
}

// log(1 + e) for 0 <= e <= 1: odd series of the inverse hyperbolic tangent in e / (2 + e) <= 1/3.
fn log1p_unit(e: vec4<f32>) -> vec4<f32> {
    let s = e / (2.0 + e);
    let q = s * s;
    var sum = q * 0.07692308 + 0.09090909;
    sum = sum * q + 0.11111111;
    sum = sum * q + 0.14285714;
    sum = sum * q + 0.2;
    sum = sum * q + 0.33333333;
    return 2.0 * (s + s * q * sum);
}

struct Activated {
    value: vec4<f32>,
    slope: vec4<f32>,
}

fn activate(code: u32, z: vec4<f32>) -> Activated {
    if (code == ACTIVATION_RELU) {
        let on = z > vec4<f32>(0.0);
        return Activated(positive_part(z), select(vec4<f32>(0.0), vec4<f32>(1.0), on));
    }
    if (code == ACTIVATION_SILU) {
        let s = sigmoid_safe(z);
        // Below -87 the clamped exponent would let z grow past its vanishing sigmoid.
        let v = select(z * s, vec4<f32>(0.0), z < vec4<f32>(-87.0));
        return Activated(v, s + v * (1.0 - s));
    }
    if (code == ACTIVATION_TANH) {
        let t = tanh_safe(z);
        return Activated(t, 1.0 - t * t);
    }
    if (code == ACTIVATION_GELU) {
        let a = magnitude_to(z, 13.0); // the tail at 13 is below 1e-37
        let bell = exp(-0.5 * a * a);
        let tail = normal_tail_scaled(a) * bell;
        // x Phi(x) = max(x, 0) - |x| (1 - Phi(|x|)): no cancellation on either side.
        let below = z < vec4<f32>(0.0);
        let rise = 0.39894228 * a * bell;
        return Activated(positive_part(z) - a * tail, select(1.0 - tail + rise, tail - rise, below));
    }
    if (code == ACTIVATION_SOFTPLUS) {
        let e = exp(-magnitude_to(z, 87.0));
        return Activated(positive_part(z) + log1p_unit(e), sigmoid_safe(z));
    }
    if (code == ACTIVATION_GELU_TANH) {
        let a = magnitude_to(z, 10.0); // the tail at 10 is below 1e-37
        let e = exp(-min(1.5957691 * a * (1.0 + 0.044715 * a * a), vec4<f32>(87.0)));
        let tail = e / (1.0 + e);
        let below = z < vec4<f32>(0.0);
        let rise = 1.5957691 * a * (1.0 + 0.134145 * a * a) * tail / (1.0 + e);
        return Activated(positive_part(z) - a * tail, select(1.0 - tail + rise, tail - rise, below));
    }
    if (code == ACTIVATION_MISH) {
        let below = z < vec4<f32>(0.0);
        let e = exp(-magnitude_to(z, 87.0));
        let square = e * e;
        let r = 1.0 / select(1.0 + 2.0 * e + 2.0 * square, square + 2.0 * e + 2.0, below);
        let t = select(1.0 + 2.0 * e, square + 2.0 * e, below) * r;
        // 1 - t without the difference.
        let rest = 2.0 * select(square, vec4<f32>(1.0), below) * r;
        let s = select(vec4<f32>(1.0), e, below) / (1.0 + e);
        // Below -87 the clamped exponent would let z grow past what vanishes.
        let gone = z < vec4<f32>(-87.0);
        let value = select(z * t, vec4<f32>(0.0), gone);
        return Activated(value, select(t + z * rest * (1.0 + t) * s, vec4<f32>(0.0), gone));
    }
    if (code == ACTIVATION_ELU) {
        let above = z > vec4<f32>(0.0);
        // exp(z) - 1 = 2 t / (1 - t), t = tanh(z / 2) <= 0: no difference of almost equal numbers.
        let t = tanh_safe(0.5 * negative_part(z));
        let e = exp(-magnitude_to(z, 87.0));
        return Activated(select(2.0 * t / (1.0 - t), z, above), select(e, vec4<f32>(1.0), above));
    }
    if (code == ACTIVATION_LEAKY_RELU) {
        let slope = select(vec4<f32>(0.01), vec4<f32>(1.0), z > vec4<f32>(0.0));
        return Activated(z * slope, slope);
    }
    return Activated(z, vec4<f32>(1.0));
}
