//! Floor 4: resampling, by derivative-free search.

use gibbs::gpu::DType;
use gibbs::gpu::run::random::stream_id;
use gibbs::math::Bounds;
use gibbs::mcmc::resample::Round;
use gibbs::mcmc::{ChainInputs, DerivativeFreeOptimizer, cumulative_weights, resample, usable_energy};
use gibbs_reference::mcmc as reference;
use gibbs_reference::mcmc::resample::pick;

use super::chains::{SEED, STEP, bounds, noise, uniforms};
use super::whole_chains::Given;

use crate::EPS;
use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(
    running_sums_equal_the_reference,
    samples_are_drawn_as_in_the_reference,
    a_context_without_a_finite_energy_shows,
    rounds_of_resampling_end_where_the_chains_are,
);

const SAMPLES: [[usize; 2]; 9] =
    [[1, 1], [7, 2], [3, 7], [5, 63], [1, 64], [65, 65], [3, 257], [2, 5001], [1, 16384]];

fn running_sums_equal_the_reference(adapter: &Adapter) {
    for (index, [contexts, samples]) in SAMPLES.into_iter().enumerate() {
        // Up to 300 apart, and a shift that would overflow or underflow were it not taken out.
        for (scale, shift) in [(2.0, 0.0), (150.0, 4e4), (1e37, -2e38)] {
            let energies: Vec<f32> = data(61, contexts * samples).iter().map(|v| scale * v + shift).collect();
            let mut case = Case::new(adapter, format!("cumulative_weights {contexts} x {samples}, {scale}"));
            let energy = match index % 2 {
                0 => case.input("energy", [contexts * samples, 1], &energies),
                _ => case.packed("energy", contexts * samples, 1, &energies),
            };
            let knob = case.recording.knob("temperature", 1.0);
            let shape = [contexts, samples];
            let sums = cumulative_weights::record(&mut case.recording, energy, knob, shape).unwrap();
            case.knob(knob, 1.5);
            case.output("sums", sums);
            case.expect_kernels(&["cumulative_weights"]);
            let results = case.run();
            let expected = reference::cumulative_weights(&wide(&energies), samples, 1.5);
            // Sums of a lane's share and over 256 lanes; the exponential, and its argument's
            // rounding, up to 87.
            let relative = EPS * (samples as f64 / 256.0 + 256.0 + 90.0) + 8e-6;
            results
                .expect("sums", &results.get("sums"), &expected, |at: usize| relative * expected[at] + 1e-30);
            for row in results.get::<f32>("sums").chunks_exact(samples) {
                assert!(row.windows(2).all(|pair| pair[0] <= pair[1]), "{}: not monotone", adapter.name);
            }
        }
    }
    // Energies that are not finite weigh nothing, to the bit.
    let mut energies = data(62, 700);
    let mut masked = wide(&energies);
    for at in (0..700).filter(|at| at % 3 == 1 || (300..420).contains(at)) {
        energies[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][at % 2 + usize::from(at % 5 == 0)];
        masked[at] = f64::INFINITY;
    }
    let mut case = Case::new(adapter, "cumulative_weights with faults");
    let energy = case.input("energy", [700, 1], &energies);
    let knob = case.recording.knob("temperature", 1.0);
    let sums = cumulative_weights::record(&mut case.recording, energy, knob, [1, 700]).unwrap();
    case.knob(knob, 1.0);
    case.output("sums", sums);
    let results = case.run();
    let found: Vec<f32> = results.get("sums");
    let expected = reference::cumulative_weights(&masked, 700, 1.0);
    results.expect("sums", &found, &expected, |at: usize| 5e-5 * expected[at] + 1e-30);
    for at in (1..700).filter(|&at| masked[at].is_infinite()) {
        assert_eq!(
            found[at].to_bits(),
            found[at - 1].to_bits(),
            "{}: sample {at} has a weight",
            adapter.name
        );
    }
}

fn samples_are_drawn_as_in_the_reference(adapter: &Adapter) {
    for (index, [contexts, samples]) in SAMPLES.into_iter().enumerate() {
        let dims = [1, 2, 5, 7][index % 4];
        let rows = contexts * samples;
        let y: Vec<f32> = data(63, rows * dims).iter().map(|v| 1.2 * v).collect();
        let energies = data(64, rows);
        let sums: Vec<f32> = reference::cumulative_weights(&wide(&energies), samples, 0.3)
            .iter()
            .map(|sum| *sum as f32)
            .collect();
        let (bounds, low, high) = bounds(dims);
        for (share, scale) in [(0.0, 1.0), (0.25, 0.5)] {
            let round = Round {
                picks: u32::from(stream_id("pick")),
                stream: u32::from(stream_id("noise")),
                inner: 4,
                noise: share,
            };
            let shape = [contexts, samples, dims];
            let mut case = Case::new(adapter, format!("resample {shape:?}, noise {share}"));
            case.run_state(SEED, STEP);
            let cumulative = case.input("cumulative", [contexts, samples], &sums);
            let value = case.input("y", shape, &y);
            let out = case.poisoned("out", DType::F32, shape);
            let knob = case.recording.knob("step_scale", 1.0);
            resample::record(&mut case.recording, &round, knob, &bounds, cumulative, (value, out)).unwrap();
            case.knob(knob, scale);
            case.expect_kernels(&["resample"]);
            let results = case.run();
            let u = uniforms("pick", 4, rows);
            let picked = pick(&wide(&sums), samples, &u);
            let close: Vec<bool> =
                (0..rows).map(|row| close_to_a_border(&sums, samples, row, u[row])).collect();
            let ties = close.iter().filter(|&&tie| tie).count();
            assert!(ties * 50 <= rows, "{ties} of {rows} draws are ties");
            let n = noise("noise", 4, rows, dims);
            let share = share * f64::from(scale);
            let expected = reference::resample(&wide(&y), &picked, samples, &n, share, (&low, &high));
            let bound = |at: usize| {
                if close[at / dims] { 3.0 } else { share * 24.0 * EPS + 2.0 * EPS * share.ceil() }
            };
            results.expect("out", &results.get("out"), &expected, bound);
        }
    }
}

/// Whether the rounding of `u * total` may pick a neighbor.
fn close_to_a_border(sums: &[f32], samples: usize, row: usize, u: f64) -> bool {
    let sums = &sums[row / samples * samples..][..samples];
    let total = f64::from(sums[samples - 1]);
    sums[..samples - 1].iter().any(|&sum| (f64::from(sum) - u * total).abs() < EPS * total)
}

fn a_context_without_a_finite_energy_shows(adapter: &Adapter) {
    let mut case = Case::new(adapter, "resample without weights");
    case.run_state(SEED, STEP);
    let energies = [f32::NAN, f32::INFINITY, f32::NAN, 1.0, f32::NAN, 500.0, 0.0, 1.0, 2.0];
    let energy = case.input("energy", [9, 1], &energies);
    let y = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, f32::NAN, f32::INFINITY, f32::NAN];
    let y = case.input("y", [3, 3, 1], &y);
    let out = case.poisoned("out", DType::F32, [3, 3, 1]);
    let recording = &mut case.recording;
    let knobs = [recording.knob("step_scale", 1.0), recording.knob("temperature", 1.0)];
    let energy = usable_energy::record(recording, energy, y).unwrap();
    let sums = cumulative_weights::record(recording, energy, knobs[1], [3, 3]).unwrap();
    let round = Round { picks: 1, stream: 2, inner: 0, noise: 0.0 };
    let bounds = Bounds::new(&[0.0], &[1.0]).unwrap();
    resample::record(recording, &round, knobs[0], &bounds, sums, (y, out)).unwrap();
    let out: Vec<f32> = case.run().get("out");
    assert!(out[..3].iter().all(|v| !v.is_finite()), "{}: {out:?}", adapter.name);
    assert_eq!(out[3..6], [0.4; 3], "{}", adapter.name);
    assert!(out[6..].iter().all(|v| !v.is_finite()), "{}: {out:?}", adapter.name);
}

fn rounds_of_resampling_end_where_the_chains_are(adapter: &Adapter) {
    for steps in [1, 2, 3] {
        let shape = [3, 65, 2];
        let rows = shape[0] * shape[1];
        let y: Vec<f32> = data(81, rows * 2).iter().map(|v| 1.4 * v).collect();
        let energies = data(82, rows);
        let (bounds, low, high) = bounds(2);
        let mut case = Case::new(adapter, format!("dfo, {steps} rounds"));
        case.run_state(SEED, STEP);
        case.input("energy", [rows, 1], &energies);
        let value = case.input("y", shape, &y);
        let energy = Given { shape };
        let inputs = ChainInputs { energy: &energy, context: None, y: value, stream: "test", trace: None };
        let dfo = DerivativeFreeOptimizer::new(bounds).with_steps(steps).with_noise(0.5).with_shrink(0.25);
        let walked = dfo.record(&mut case.recording, &inputs).unwrap();
        case.knob(walked.step_scale, 1.0);
        case.knob(walked.temperature, 1.0);
        let mut stems = vec!["clip_chains"];
        stems.extend(["usable_energy", "cumulative_weights", "resample"].repeat(steps));
        if steps % 2 == 1 {
            stems.push("keep_sample");
        }
        case.expect_kernels(&stems);
        let results = case.run();
        let mut expected = gibbs_reference::math::clip_chains(&wide(&y), &low, &high);
        let sums = reference::cumulative_weights(&wide(&energies), shape[1], 1.0);
        let fusable: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
        // A tie moves all that descends from its sample.
        let mut close = vec![false; rows];
        for round in 0..steps {
            let u = uniforms("test/pick", round, rows);
            let picked = pick(&sums, shape[1], &u);
            let near = |row: usize| {
                let row_sums = &fusable[row / 65 * 65..][..65];
                row_sums.iter().any(|&sum| (f64::from(sum) - u[row] * f64::from(row_sums[64])).abs() < 1e-3)
            };
            close = (0..rows).map(|row| close[row / 65 * 65 + picked[row]] || near(row)).collect();
            let share = 0.5 * 0.25f64.powi(round as i32);
            let n = noise("test/noise", round, rows, 2);
            expected = reference::resample(&expected, &picked, shape[1], &n, share, (&low, &high));
        }
        let ties = close.iter().filter(|&&tie| tie).count();
        assert!(ties * 10 <= rows, "{ties} of {rows} samples met a tie");
        let bound = |at: usize| if close[at / 2] { 3.0 } else { 2e-5 };
        results.expect("y", &results.get("y"), &expected, bound);
    }
}
