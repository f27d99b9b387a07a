//! Weights of PyTorch models: files made byte by byte, networks that compute what the raw matrices
//! say, round trips, and files that do not fit.

use crate::common::{self, data, lavapipe, wide};
use gibbs::gpu::{Bindings, DType, Recording, Tensor};
use gibbs::nn::network::pytorch;
use gibbs::nn::network::pytorch::Names;
use gibbs::nn::{
    Activation, Input, Keep, Layer as NetworkLayer, LayerNorm, Model, Network, Normalizer, Norms,
};
use gibbs::{Error, Gpu};
use gibbs_reference::compose::{Layer, Mlp};

/// A tensor as it lies in a file.
#[derive(Clone)]
struct Stored {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn f32s(name: &str, shape: &[usize], values: &[f32]) -> Stored {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored { name: name.into(), dtype: "F32", shape: shape.to_vec(), bytes }
}

/// A safetensors file: length of the header, header, data.
fn file(tensors: &[Stored]) -> Vec<u8> {
    let mut at = 0;
    let entries: Vec<String> = tensors
        .iter()
        .map(|tensor| {
            let begin = at;
            at += tensor.bytes.len();
            let Stored { name, dtype, shape, .. } = tensor;
            format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{at}]}}"#)
        })
        .collect();
    let mut header = format!(r#"{{"__metadata__":{{"format":"pt"}},{}}}"#, entries.join(",")).into_bytes();
    while !header.len().is_multiple_of(8) {
        header.push(b' ');
    }
    let data = tensors.iter().flat_map(|tensor| &tensor.bytes).copied();
    (header.len() as u64).to_le_bytes().into_iter().chain(header).chain(data).collect()
}

const WIDTHS: [usize; 4] = [3 + 5, 7, 6, 2];

fn network() -> Network {
    let shifted = Normalizer { shift: vec![0.5, -0.25, 0.125], scale: vec![2.0, 0.5, 4.0] };
    let inputs = vec![Input::normalized("x", shifted), Input::new("y", 5)];
    Network::mlp(inputs, &[7, 6], Activation::Silu, 2)
}

/// Weights `[outputs, inputs]` and biases of the three layers.
fn raw() -> Vec<(Vec<f32>, Vec<f32>)> {
    let pairs = WIDTHS.windows(2).enumerate();
    pairs.map(|(at, pair)| (data(10 + at as u32, pair[0] * pair[1]), data(20 + at as u32, pair[1]))).collect()
}

/// The tensors of `Sequential(Linear, SiLU, Linear, SiLU, Linear)`, or under other module names.
fn tensors(names: [&str; 3]) -> Vec<Stored> {
    let each = names.iter().zip(raw()).zip(WIDTHS.windows(2));
    each.flat_map(|((name, (weight, bias)), widths)| {
        [
            f32s(&format!("{name}.weight"), &[widths[1], widths[0]], &weight),
            f32s(&format!("{name}.bias"), &[widths[1]], &bias),
        ]
    })
    .collect()
}

const SEQUENTIAL: [&str; 3] = ["net.0", "net.2", "net.4"];

#[track_caller]
fn refused<T>(result: gibbs::Result<T>, words: &[&str]) -> Error {
    let error = result.err().expect("an error");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
    assert!(text.len() < 800, "{text}");
    error
}

/// What a network computes on the device.
fn forward(gpu: &Gpu, model: &Model, rows: usize, x: &[f32], y: &[f32]) -> Vec<f32> {
    let mut recording = Recording::new("forward");
    let parameters = model.value(&mut recording).unwrap();
    let [x, y] = [("x", 3, x), ("y", 5, y)]
        .map(|(name, width, values)| Tensor::from_slice(gpu, name, [rows, width], values).unwrap());
    let inputs = [&x, &y].map(|t| recording.slot(t.label(), DType::F32, t.shape().clone()).unwrap());
    let named = [("x", inputs[0]), ("y", inputs[1])];
    let forward = model.network().record_forward(&mut recording, parameters, &named, Keep::Output).unwrap();
    recording.expose(forward.packed_output, "output").unwrap();
    let output = common::poisoned(gpu, "output", DType::F32, [rows, 2]);
    let bindings = Bindings::new().with("x", &x).with("y", &y).with("output", &output);
    recording.compile(gpu, &bindings.merge(&model.bindings())).unwrap().run(1).unwrap();
    gpu.read(&output).unwrap()
}

#[test]
fn a_loaded_network_computes_what_the_raw_matrices_say() {
    let gpu = &lavapipe().gpu;
    let network = network();
    let flat = pytorch::read(&file(&tensors(SEQUENTIAL)), &network, &Names::sequential("net.")).unwrap();
    let model = Model::zeros(gpu, "loaded", network).unwrap();
    model.set_parameters(gpu, &flat).unwrap();
    let rows = 9;
    let (x, y) = (data(1, rows * 3), data(2, rows * 5));
    let found = forward(gpu, &model, rows, &x, &y);

    // In f64, straight from the file's rows: nothing of the library's layout.
    let silu = |v: f64| v / (1.0 + (-v).exp());
    for row in 0..rows {
        let normalizer = &model.network().inputs[0].normalizer;
        let normalized =
            (0..3).map(|at| f64::from((x[row * 3 + at] - normalizer.shift[at]) * normalizer.scale[at]));
        let mut h: Vec<f64> = normalized.chain(wide(&y[row * 5..][..5])).collect();
        for (at, (weight, bias)) in raw().iter().enumerate() {
            let outputs = bias.iter().zip(weight.chunks_exact(h.len()));
            let next = outputs.map(|(bias, weights)| {
                f64::from(*bias) + weights.iter().zip(&h).map(|(w, h)| f64::from(*w) * h).sum::<f64>()
            });
            h = next.map(|v| if at < 2 { silu(v) } else { v }).collect();
        }
        for (found, expected) in found[row * 2..][..2].iter().zip(h) {
            assert!(
                (f64::from(*found) - expected).abs() < 2e-5 * (1.0 + expected.abs()),
                "{found} {expected}"
            );
        }
    }
    // And the library's own reference agrees on the plain part, so that the test above is not wrong
    // by itself.
    let layers =
        raw().into_iter().zip(WIDTHS.windows(2)).enumerate().map(|(at, ((weight, bias), widths))| {
            let [inputs, outputs] = [widths[0], widths[1]];
            let weights =
                (0..inputs * outputs).map(|e| f64::from(weight[e % outputs * inputs + e / outputs]));
            let activation = match at {
                2 => gibbs_reference::nn::Activation::Identity,
                _ => gibbs_reference::nn::Activation::Silu,
            };
            Layer { inputs, outputs, weights: weights.collect(), bias: wide(&bias), activation }
        });
    let twin = Mlp { layers: layers.collect() };
    let normalizer = &model.network().inputs[0].normalizer;
    let first: Vec<f64> = (0..3)
        .map(|at| f64::from((x[at] - normalizer.shift[at]) * normalizer.scale[at]))
        .chain(wide(&y[..5]))
        .collect();
    for (found, expected) in found.iter().zip(twin.forward(&first).output()) {
        assert!((f64::from(*found) - expected).abs() < 2e-5 * (1.0 + expected.abs()), "{found} {expected}");
    }
}

#[test]
fn a_round_trip_keeps_every_bit() {
    let network = network();
    let names = Names::sequential("net.");
    let stored = tensors(SEQUENTIAL);
    let flat = pytorch::read(&file(&stored), &network, &names).unwrap();
    let written = pytorch::write(&network, &flat, &names).unwrap();
    assert_eq!(pytorch::read(&written, &network, &names).unwrap(), flat);
    let again = safetensors::SafeTensors::deserialize(&written).unwrap();
    assert_eq!(again.len(), stored.len());
    for tensor in &stored {
        let view = again.tensor(&tensor.name).unwrap();
        assert_eq!((view.shape(), view.data()), (&tensor.shape[..], &tensor.bytes[..]), "{}", tensor.name);
    }
    // Under other names the numbers are the same.
    let custom = Names::modules("policy.", ["input", "middle", "head"]);
    let renamed = file(&tensors(["policy.input", "policy.middle", "policy.head"]));
    assert_eq!(pytorch::read(&renamed, &network, &custom).unwrap(), flat);
    assert_eq!(
        pytorch::read(&pytorch::write(&network, &flat, &custom).unwrap(), &network, &custom).unwrap(),
        flat
    );
}

/// `Sequential(Linear(8, 7), LayerNorm(7), SiLU(), Linear(7, 2))`.
fn with_norm() -> (Network, Vec<Stored>) {
    let network = Network::mlp(network().inputs, &[7], Activation::Silu, 2)
        .with_norms(Norms::BeforeActivations(LayerNorm { epsilon: 1e-5 }));
    let stored = vec![
        f32s("0.weight", &[7, 8], &data(31, 56)),
        f32s("0.bias", &[7], &data(32, 7)),
        f32s("1.weight", &[7], &data(33, 7)),
        f32s("1.bias", &[7], &data(34, 7)),
        f32s("3.weight", &[2, 7], &data(35, 14)),
        f32s("3.bias", &[2], &data(36, 2)),
    ];
    (network, stored)
}

#[test]
fn norms_take_their_weight_as_gain() {
    let gpu = &lavapipe().gpu;
    let (network, stored) = with_norm();
    let names = Names::sequential("");
    let flat = pytorch::read(&file(&stored), &network, &names).unwrap();
    assert_eq!(
        pytorch::read(&pytorch::write(&network, &flat, &names).unwrap(), &network, &names).unwrap(),
        flat
    );
    let model = Model::zeros(gpu, "normed", network).unwrap();
    model.set_parameters(gpu, &flat).unwrap();
    let rows = 3;
    let (x, y) = (data(1, rows * 3), data(2, rows * 5));
    let found = forward(gpu, &model, rows, &x, &y);
    let linear = |weight: &[f32], bias: &[f32], h: &[f64]| -> Vec<f64> {
        let row = |(bias, weights): (&f32, &[f32])| {
            f64::from(*bias) + weights.iter().zip(h).map(|(w, h)| f64::from(*w) * h).sum::<f64>()
        };
        bias.iter().zip(weight.chunks_exact(h.len())).map(row).collect()
    };
    for row in 0..rows {
        let normalizer = &model.network().inputs[0].normalizer;
        let first =
            (0..3).map(|at| f64::from((x[row * 3 + at] - normalizer.shift[at]) * normalizer.scale[at]));
        let input: Vec<f64> = first.chain(wide(&y[row * 5..][..5])).collect();
        let h = linear(&data(31, 56), &data(32, 7), &input);
        let mean = h.iter().sum::<f64>() / 7.0;
        let variance = h.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 7.0;
        let scaled = h.iter().map(|v| (v - mean) / (variance + 1e-5).sqrt());
        let (gain, bias) = (data(33, 7), data(34, 7));
        let normed = scaled.zip(gain.iter().zip(&bias)).map(|(v, (g, b))| v * f64::from(*g) + f64::from(*b));
        let active: Vec<f64> = normed.map(|v| v / (1.0 + (-v).exp())).collect();
        for (found, expected) in
            found[row * 2..][..2].iter().zip(linear(&data(35, 14), &data(36, 2), &active))
        {
            assert!(
                (f64::from(*found) - expected).abs() < 3e-5 * (1.0 + expected.abs()),
                "{found} {expected}"
            );
        }
    }
}

#[test]
fn residual_blocks_want_names_of_their_own() {
    let network = Network::preactivation(vec![Input::new("odd.bias", 2)], 4, 2, Activation::Relu, 1);
    let names = Names::modules("", ["stem", "a.first", "a.second", "b.first", "b.second", "head"]);
    assert!(matches!(network.layers[1], NetworkLayer::Residual(_)));
    let mut stored = Vec::new();
    let shapes =
        [("stem", 4, 2), ("a.first", 4, 4), ("a.second", 4, 4), ("b.first", 4, 4), ("b.second", 4, 4)];
    for (at, (name, outputs, inputs)) in shapes.into_iter().chain([("head", 1, 4)]).enumerate() {
        let values = data(40 + at as u32, outputs * inputs);
        stored.push(f32s(&format!("{name}.weight"), &[outputs, inputs], &values));
        stored.push(f32s(&format!("{name}.bias"), &[outputs], &data(50 + at as u32, outputs)));
    }
    let flat = pytorch::read(&file(&stored), &network, &names).unwrap();
    let layout = network.layout();
    let second = layout.slice("layers.1.3.weight").expect("the second dense layer of the first block");
    let transposed = layout.extract(second, &flat);
    let raw = data(42, 16);
    for at in 0..16 {
        assert_eq!(transposed[at], raw[at % 4 * 4 + at / 4]);
    }
    let written = pytorch::write(&network, &flat, &names).unwrap();
    assert_eq!(pytorch::read(&written, &network, &names).unwrap(), flat);
    let refusal = pytorch::read(&written, &network, &Names::sequential(""));
    refused(refusal, &["layers.1", "residual", "Names::modules"]);
}

/// A `torch.cat` of `x`, which goes through `Linear(3, 4)`, `LayerNorm(4)`, SiLU, and of `y` as it
/// is, in front of `Linear(9, 2)`.
#[test]
fn layers_of_inputs_want_names_of_their_own() {
    let gpu = &lavapipe().gpu;
    let own = vec![
        NetworkLayer::dense(4, Activation::Identity),
        NetworkLayer::Norm(LayerNorm { epsilon: 1e-5 }),
        NetworkLayer::Activate(Activation::Silu),
    ];
    let inputs = vec![Input::new("x", 3).embedded(own), Input::new("y", 5)];
    let network = Network::mlp(inputs, &[], Activation::Silu, 2);
    let names = Names::modules("", ["x_embed.0", "x_embed.1", "head"]);
    let stored = vec![
        f32s("x_embed.0.weight", &[4, 3], &data(61, 12)),
        f32s("x_embed.0.bias", &[4], &data(62, 4)),
        f32s("x_embed.1.weight", &[4], &data(63, 4)),
        f32s("x_embed.1.bias", &[4], &data(64, 4)),
        f32s("head.weight", &[2, 9], &data(65, 18)),
        f32s("head.bias", &[2], &data(66, 2)),
    ];
    let flat = pytorch::read(&file(&stored), &network, &names).unwrap();
    let written = pytorch::write(&network, &flat, &names).unwrap();
    assert_eq!(pytorch::read(&written, &network, &names).unwrap(), flat);
    let again = safetensors::SafeTensors::deserialize(&written).unwrap();
    assert_eq!(again.len(), stored.len());
    for tensor in &stored {
        let view = again.tensor(&tensor.name).unwrap();
        assert_eq!((view.shape(), view.data()), (&tensor.shape[..], &tensor.bytes[..]), "{}", tensor.name);
    }
    let model = Model::zeros(gpu, "embedded", network.clone()).unwrap();
    model.set_parameters(gpu, &flat).unwrap();
    let rows = 5;
    let (x, y) = (data(1, rows * 3), data(2, rows * 5));
    let found = forward(gpu, &model, rows, &x, &y);
    let linear = |weight: &[f32], bias: &[f32], h: &[f64]| -> Vec<f64> {
        let row = |(bias, weights): (&f32, &[f32])| {
            f64::from(*bias) + weights.iter().zip(h).map(|(w, h)| f64::from(*w) * h).sum::<f64>()
        };
        bias.iter().zip(weight.chunks_exact(h.len())).map(row).collect()
    };
    let (gain, shift) = (wide(&data(63, 4)), wide(&data(64, 4)));
    for row in 0..rows {
        let h = linear(&data(61, 12), &data(62, 4), &wide(&x[row * 3..][..3]));
        let mean = h.iter().sum::<f64>() / 4.0;
        let deviation = (h.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4.0 + 1e-5).sqrt();
        let normed = h.iter().zip(gain.iter().zip(&shift)).map(|(v, (g, b))| (v - mean) / deviation * g + b);
        let joined: Vec<f64> =
            normed.map(|v| v / (1.0 + (-v).exp())).chain(wide(&y[row * 5..][..5])).collect();
        let expected = linear(&data(65, 18), &data(66, 2), &joined);
        for (found, expected) in found[row * 2..][..2].iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 3e-5 * (1.0 + expected.abs()),
                "{found} {expected}"
            );
        }
    }
    // Names of inputs that look like those of parameters, and a norm in front of everything.
    let odd = |name: &str| Input::new(name, 3).embedded(vec![NetworkLayer::Norm(LayerNorm::default())]);
    let odd = Network::mlp(vec![odd("a.gain"), odd("a.bias")], &[], Activation::Silu, 1);
    let names = Names::modules("", ["first", "second", "head"]);
    let flat: Vec<f32> = {
        let layout = odd.layout();
        let mut flat = vec![0.0; layout.len];
        for (at, slice) in layout.slices.iter().enumerate() {
            layout.insert(slice, &data(70 + at as u32, slice.rows * slice.columns), &mut flat);
        }
        flat
    };
    let written = pytorch::write(&odd, &flat, &names).unwrap();
    let again = safetensors::SafeTensors::deserialize(&written).unwrap();
    assert_eq!(again.tensor("second.weight").unwrap().shape(), [3]);
    assert_eq!(again.tensor("head.weight").unwrap().shape(), [1, 6]);
    assert_eq!(pytorch::read(&written, &odd, &names).unwrap(), flat);
    // Numbers alone do not tell which module belongs to which input.
    let refusal = pytorch::read(&written, &network, &Names::sequential(""));
    refused(refusal, &["input `x`", "layers of its own", "Names::modules"]);
    let inferred = pytorch::infer(&written, "", network.inputs.clone(), Activation::Silu);
    refused(inferred, &["input `x`", "layers of its own", "Names::modules"]);
}

/// The first layer takes what inputs are encoded to.
#[test]
fn a_network_over_fourier_features_is_inferred() {
    let fourier = gibbs::nn::Fourier::new(vec![1.0, 2.0, 4.0, 8.0]);
    let time = Input::new("time", 1).encoded(fourier);
    let stored = [f32s("0.weight", &[1, 8], &data(1, 8)), f32s("0.bias", &[1], &data(2, 1))];
    let (found, names) = pytorch::infer(&file(&stored), "", vec![time], Activation::Silu).unwrap();
    assert_eq!((found.input_width(), found.outputs()), (8, 1));
    assert!(pytorch::read(&file(&stored), &found, &names).is_ok());
}

#[test]
fn other_precisions_are_converted() {
    let network = Network::mlp(vec![Input::new("x", 2)], &[], Activation::Tanh, 1);
    let names = Names::sequential("");
    let of = |dtype, weight: Vec<u8>, bias: Vec<u8>| {
        file(&[
            Stored { name: "0.weight".into(), dtype, shape: vec![1, 2], bytes: weight },
            Stored { name: "0.bias".into(), dtype, shape: vec![1], bytes: bias },
        ])
    };
    let values = |bytes: Vec<u8>| {
        let flat = pytorch::read(&bytes, &network, &names)?;
        let layout = network.layout();
        let all = layout.slices.iter().flat_map(|slice| layout.extract(slice, &flat));
        Ok::<_, Error>(all.collect::<Vec<_>>())
    };
    let f64s = |numbers: &[f64]| numbers.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let halves = |bits: &[u16]| bits.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let expected = [1.5, -0.75, 3.0];
    assert_eq!(values(of("F64", f64s(&[1.5, -0.75]), f64s(&[3.0]))).unwrap(), expected);
    assert_eq!(values(of("F16", halves(&[0x3e00, 0xba00]), halves(&[0x4200]))).unwrap(), expected);
    assert_eq!(values(of("BF16", halves(&[0x3fc0, 0xbf40]), halves(&[0x4040]))).unwrap(), expected);
    refused(values(of("F64", f64s(&[1e300, 0.0]), f64s(&[0.0]))), &["0.weight", "inf", "element 0"]);
    refused(values(of("F32", vec![0, 0, 192, 127, 0, 0, 0, 0], vec![0; 4])), &["0.weight", "NaN"]);
    refused(values(of("I32", vec![0; 8], vec![0; 4])), &["I32", ".float()"]);
}

#[test]
fn files_that_do_not_fit_are_refused_by_name_and_shape() {
    let network = network();
    let names = Names::sequential("net.");
    let good = tensors(SEQUENTIAL);
    let read = |stored: &[Stored]| pytorch::read(&file(stored), &network, &names);
    for missing in 0..good.len() {
        let mut stored = good.clone();
        let name = stored.remove(missing).name;
        // A bias may be left out, unless something is there instead.
        let may = name.ends_with(".bias");
        assert_eq!(read(&stored).is_ok(), may, "{name}");
        if may {
            stored.push(f32s("net.bias", &[1], &[0.0]));
        }
        refused(read(&stored), &[&name, "missing"]);
    }
    let mut extra = good.clone();
    extra.push(f32s("net.6.bias", &[1], &[0.0]));
    refused(read(&extra), &["net.6.bias", "left over"]);
    // Not behind the prefix: somebody else's.
    *extra.last_mut().unwrap() = f32s("critic.0.bias", &[1], &[0.0]);
    assert_eq!(read(&extra).unwrap(), read(&good).unwrap());
    // Ours are [inputs, outputs]: a file saved the wrong way round.
    let mut turned = good.clone();
    turned[0].shape.reverse();
    let error = refused(read(&turned), &["net.0.weight", "[8, 7]", "[7, 8]", "outputs, inputs"]);
    assert!(matches!(error, Error::Shape { .. }), "{error:?}");
    let mut flat = good.clone();
    flat[3].shape = vec![1, 6];
    refused(read(&flat), &["net.2.bias", "[1, 6]", "[6]"]);
    refused(pytorch::read(&file(&good), &network, &Names::sequential("")), &["0.weight", "missing"]);
    refused(
        pytorch::read(&file(&good), &network, &Names::modules("net.", ["0", "2"])),
        &["are 2", "3 layers"],
    );
    let twice = Names::modules("net.", ["0", "2", "2"]);
    refused(pytorch::read(&file(&good), &network, &twice), &["`2`", "twice"]);
    refused(pytorch::read(b"PK\x03\x04 a pickle in a zip", &network, &names), &["safetensors", "torch.save"]);
    refused(pytorch::read(&[], &network, &names), &["safetensors"]);
    let flat = read(&good).unwrap();
    refused(pytorch::write(&network, &flat[1..], &names), &["parameters", &flat.len().to_string()]);
    let mut bad = flat.clone();
    bad[0] = f32::NAN;
    refused(pytorch::write(&network, &bad, &names), &["NaN", "element 0"]);

    let gpu = &lavapipe().gpu;
    let model = Model::zeros(gpu, "model", network.clone()).unwrap();
    refused(model.set_parameters(gpu, &flat[1..]), &["`model`", &flat.len().to_string()]);
    refused(model.set_parameters(gpu, &bad), &["`model`", "NaN"]);
    let mut padded = flat.clone();
    padded[7] = 1.0;
    refused(model.set_parameters(gpu, &padded), &["`model`", "element 7", "padding"]);
    assert!(gpu.read::<f32>(model.parameters()).unwrap().iter().all(|&v| v == 0.0), "nothing was written");
    model.set_parameters(gpu, &flat).unwrap();
    assert_eq!(gpu.read::<f32>(model.parameters()).unwrap(), flat);
}

/// `h W^T + b` of a row, straight from the file's rows.
fn linear(weight: &[f32], bias: Option<&[f32]>, h: &[f64]) -> Vec<f64> {
    let row = |(at, weights): (usize, &[f32])| {
        let sum: f64 = weights.iter().zip(h).map(|(w, h)| f64::from(*w) * h).sum();
        sum + bias.map_or(0.0, |bias| f64::from(bias[at]))
    };
    weight.chunks_exact(h.len()).enumerate().map(row).collect()
}

/// `Sequential(Linear(8, 7, bias=False), Dropout, LayerNorm(7, elementwise_affine=False), Mish,
/// Dropout, Linear(7, 2), Tanh)`, in numbers from 0 on.
fn with_gaps() -> (Network, Vec<Stored>) {
    let layers = vec![
        NetworkLayer::dense(7, Activation::Identity),
        NetworkLayer::Norm(LayerNorm { epsilon: 1e-5 }),
        NetworkLayer::Activate(Activation::Mish),
        NetworkLayer::dense(2, Activation::Tanh),
    ];
    let stored = vec![
        f32s("0.weight", &[7, 8], &data(31, 56)),
        f32s("5.weight", &[2, 7], &data(35, 14)),
        f32s("5.bias", &[2], &data(36, 2)),
    ];
    (Network { layers, ..network() }, stored)
}

#[test]
fn modules_without_parameters_and_parts_without_some_are_taken_as_they_are() {
    let gpu = &lavapipe().gpu;
    let (network, mut stored) = with_gaps();
    let counter =
        Stored { name: "2.num_batches_tracked".into(), dtype: "I64", shape: Vec::new(), bytes: vec![0; 8] };
    stored.push(counter);
    let names = Names::sequential("");
    let flat = pytorch::read(&file(&stored), &network, &names).unwrap();
    let named = Names::modules("", ["0", "norm", "5"]);
    assert_eq!(pytorch::read(&file(&stored), &network, &named).unwrap(), flat);
    let model = Model::zeros(gpu, "gaps", network.clone()).unwrap();
    model.set_parameters(gpu, &flat).unwrap();
    let rows = 3;
    let (x, y) = (data(1, rows * 3), data(2, rows * 5));
    let found = forward(gpu, &model, rows, &x, &y);
    for row in 0..rows {
        let normalizer = &model.network().inputs[0].normalizer;
        let first =
            (0..3).map(|at| f64::from((x[row * 3 + at] - normalizer.shift[at]) * normalizer.scale[at]));
        let input: Vec<f64> = first.chain(wide(&y[row * 5..][..5])).collect();
        let h = linear(&data(31, 56), None, &input);
        let mean = h.iter().sum::<f64>() / 7.0;
        let variance = h.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 7.0;
        let mish = |v: f64| v * v.exp().ln_1p().tanh();
        let active: Vec<f64> = h.iter().map(|v| mish((v - mean) / (variance + 1e-5).sqrt())).collect();
        let expected = linear(&data(35, 14), Some(&data(36, 2)), &active);
        for (found, expected) in found[row * 2..][..2].iter().zip(expected) {
            assert!((f64::from(*found) - expected.tanh()).abs() < 3e-5, "{found} {}", expected.tanh());
        }
    }
    // What is written has everything, and the network's own numbers.
    let written = pytorch::write(&network, &flat, &names).unwrap();
    assert_eq!(pytorch::read(&written, &network, &names).unwrap(), flat);
    assert_eq!(safetensors::SafeTensors::deserialize(&written).unwrap().len(), 6);

    // No room for the activation that the network has in between.
    let mut tight = stored.clone();
    tight[1].name = "2.weight".into();
    tight[2].name = "2.bias".into();
    refused(pytorch::read(&file(&tight), &network, &names), &["missing"]);
    // Layers that the network does not have.
    let mut more = stored.clone();
    more.push(f32s("9.weight", &[2, 2], &data(1, 4)));
    refused(pytorch::read(&file(&more), &network, &names), &["missing", "network does not have"]);
    // A gain without its network's norm, or the other way round.
    let mut half = stored.clone();
    half.push(f32s("1.bias", &[7], &data(3, 7)));
    refused(pytorch::read(&file(&half), &network, &Names::modules("", ["0", "1", "5"])), &["1.weight"]);
}

#[test]
fn tensors_of_others_are_passed_over_by_name_alone() {
    let names = Names::sequential("net.");
    let mut stored = tensors(SEQUENTIAL);
    stored.push(f32s("net.1.running_mean", &[7], &[0.0; 7]));
    stored.push(f32s("net.critic.0.weight", &[1, 1], &[0.0]));
    let read = |names: &Names| pytorch::read(&file(&stored), &network(), names);
    let plain = pytorch::read(&file(&tensors(SEQUENTIAL)), &network(), &names).unwrap();
    refused(read(&names), &["net.1.running_mean", "batch norms"]);
    refused(read(&names.clone().ignoring(["running_mean"])), &["net.critic.0.weight", "Names::ignoring"]);
    assert_eq!(read(&names.clone().ignoring(["running_mean", "critic"])).unwrap(), plain);
    assert!(read(&names.ignoring(["running", "crit"])).is_err(), "whole parts of a name");
}

#[test]
fn a_wrong_prefix_is_answered_with_those_that_are_there() {
    let mut stored = tensors(["actor.net.0", "actor.net.2", "actor.net.4"]);
    stored.push(f32s("critic.0.weight", &[1, 1], &[0.0]));
    stored.push(f32s("log_std", &[1], &[0.0]));
    let bytes = file(&stored);
    for prefix in ["net.", "actor.", "", "actor.net"] {
        let words = ["missing", "prefixes there", "`actor.net.`", "`critic.`", "``"];
        refused(pytorch::read(&bytes, &network(), &Names::sequential(prefix)), &words);
    }
    let inferred = pytorch::infer(&bytes, "net.", network().inputs, Activation::Silu);
    refused(inferred, &["`net.N.weight`", "prefixes there", "`actor.net.`"]);
    assert!(pytorch::read(&bytes, &network(), &Names::sequential("actor.net.")).is_ok());
}

#[test]
fn a_network_is_inferred_from_its_weights() {
    let inputs = || network().inputs;
    let stored = tensors(["net.0", "net.3", "net.11"]);
    let bytes = file(&stored);
    // Numbers in order, not names in order, whatever lies between them.
    let (found, names) = pytorch::infer(&bytes, "net.", inputs(), Activation::Silu).unwrap();
    assert_eq!(found, network());
    let flat = pytorch::read(&bytes, &found, &names).unwrap();
    let plain = Names::sequential("net.");
    assert_eq!(flat, pytorch::read(&file(&tensors(SEQUENTIAL)), &network(), &plain).unwrap());

    let infer = |bytes: &[u8], inputs| pytorch::infer(bytes, "net.", inputs, Activation::Silu);
    refused(infer(&bytes, vec![Input::new("x", 3)]), &["net.0.weight", "[7, 8]", "[_, 3]", "inputs"]);
    refused(infer(&bytes, Vec::new()), &["net.0.weight", "[_, 0]"]);
    refused(pytorch::infer(&bytes, "other.", inputs(), Activation::Silu), &["other.N.weight"]);
    let mut broken = stored.clone();
    broken[2].shape = vec![7, 6];
    refused(infer(&file(&broken), inputs()), &["net.3.weight", "[7, 6]", "[_, 7]", "before it"]);
    refused(infer(b"no file", inputs()), &["safetensors"]);
}
