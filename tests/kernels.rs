//! Every kernel against its f64 reference, on every adapter, on awkward shapes, with poisoned outputs.
//!
//! Tolerances follow the operation: reference magnitudes (sums of absolute terms) times the spacing of f32 times a
//! factor stated in each test. Random kernels are compared with references fed the same counters.

mod common;

#[path = "kernels/energy.rs"]
mod energy;
#[path = "kernels/gpu.rs"]
mod gpu;
#[path = "kernels/network.rs"]
mod network;
#[path = "kernels/nn.rs"]
mod nn;
#[path = "kernels/proposal.rs"]
mod proposal;
#[path = "kernels/rows.rs"]
mod rows;
#[path = "kernels/sampler.rs"]
mod sampler;
#[path = "kernels/train.rs"]
mod train;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Case, POISON, data, lavapipe, pack, wide};
use gibbs::gpu::random::{self, Distribution};
use gibbs::gpu::{DType, Shape};

/// Spacing of f32 at 1.
const EPS: f64 = f32::EPSILON as f64;

/// What the tests here rely on must fail when it should; the comparators themselves are tested beside their source.
#[test]
fn the_harness_rejects_wrong_answers() {
    let (rows, width) = (7, 5);
    let values = data(1, rows * width);
    let run = |stray: Option<usize>| {
        let mut case = Case::new(lavapipe(), "harness");
        let mut flat = pack(&values, rows, width);
        if let Some(at) = stray {
            flat[at] = 1e-20;
        }
        let out = case.input("out", Shape::packed(rows, width), &flat);
        let other = case.poisoned("other", DType::F32, [4]);
        random::record(&mut case.recording, Distribution::Uniform, 1, 0, other).unwrap();
        case.run_state(1, 1);
        assert_eq!(case.recording.shape(out).unwrap().stride(), 8);
        case
    };
    let results = run(None).run();
    let good = wide(&values);
    let mut shifted = good.clone();
    shifted.rotate_left(width);
    let mut stale = good.clone();
    stale[rows * width - 1] = f64::from(f32::from_bits(POISON));
    let rejects = |what: &str, check: &dyn Fn()| {
        assert!(catch_unwind(AssertUnwindSafe(check)).is_err(), "the harness accepted {what}");
    };
    results.expect("good", &results.packed("out"), &good, |_: usize| 0.0);
    for (what, wrong) in [("rows shifted", &shifted), ("a stale element", &stale), ("zeros", &vec![0.0; 35])]
    {
        rejects(what, &|| results.expect(what, &results.packed("out"), wrong, |_: usize| 1e-3));
    }
    rejects("a tensor that was not there", &|| drop(results.get::<f32>("none")));
    rejects("a written element as untouched", &|| results.expect_untouched("other", 0..4));
    rejects("padding that is not zero", &|| drop(run(Some(6)).run().packed("out")));
    rejects("another kernel", &|| run(None).expect_kernels(&["random_words"]));
    rejects("one kernel too many", &|| run(None).expect_kernels(&["random", "random"]));
    run(None).expect_kernels(&["random"]);
}

/// Each kernel must be named in an `expect_kernels` of a test here.
#[test]
fn every_kernel_has_a_test() {
    let text = [
        include_str!("kernels/energy.rs"),
        include_str!("kernels/gpu.rs"),
        include_str!("kernels/nn.rs"),
        include_str!("kernels/proposal.rs"),
        include_str!("kernels/sampler.rs"),
        include_str!("kernels/train.rs"),
    ]
    .concat();
    let expected: String =
        text.split("expect_kernels(").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    let missing: Vec<String> = gibbs::kernels()
        .iter()
        .map(|variant| variant.source.stem().to_owned())
        .filter(|stem| !expected.contains(&format!("\"{stem}\"")))
        .collect();
    assert!(expected.len() > 100, "the search found no tests");
    assert!(missing.is_empty(), "no test for {missing:?}");
}
