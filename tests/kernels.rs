//! Every kernel against its f64 reference, on every adapter and in every configuration that changes
//! its variant, on awkward shapes, with poisoned outputs.
//!
//! Tests are named `adapter::configuration::module::test` and take the options of any Rust test
//! binary. Tolerances follow the operation: reference magnitudes (sums of absolute terms) times the
//! spacing of f32 times a factor stated in each test. Random kernels are compared with references
//! fed the same counters. The table at the end goes into the file that `GIBBS_TEST_TABLE` names,
//! too.

mod common;
#[path = "kernels/mod.rs"]
mod kernels;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Instant;

use common::alive::Alive;
use common::suite::{Row, Suite, execute, runs, table};
use common::{Adapter, Case, POISON, adapters, data, known, lavapipe, pack, say, wide};
use gibbs::gpu::run::random;
use gibbs::gpu::run::random::Distribution;
use gibbs::gpu::{DType, DeviceClass, Shape};
use gibbs::testing::{Configuration, Expect, Verdict, stale};
use kernels::EPS;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let suites = kernels::suites();
    let rows = Arc::new(Mutex::new(Vec::new()));
    let threads = arguments.test_threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let devices = if arguments.list { 1 } else { threads.min(MAX_DEVICES) };
    let trials = trials(&suites, known::failures(), &rows, devices);
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let missing = gibbs::testing::missing_adapters().unwrap_or_default();
        let table = table(&rows.lock().unwrap_or_else(PoisonError::into_inner), &missing);
        println!("{table}");
        if let Some(path) = std::env::var_os("GIBBS_TEST_TABLE") {
            std::fs::write(&path, table).expect("GIBBS_TEST_TABLE names a file that can be written");
        }
    }
    conclusion.exit_code()
}

/// Devices that one software renderer is opened as, in each configuration.
const MAX_DEVICES: usize = 4;

/// All trials. A software renderer is opened `devices` times in each configuration, and a trial
/// takes a device that no other uses if there is one: lavapipe compiles on one thread per device,
/// and trials that share it would wait for each other most of the time.
fn trials(
    suites: &[Suite],
    expectations: Vec<Expect>,
    rows: &Arc<Mutex<Vec<Row>>>,
    devices: usize,
) -> Vec<Trial> {
    let mut all = alone(suites, &expectations);
    let expectations = Arc::new(expectations);
    for adapter in adapters() {
        let software = adapter.gpu.capabilities().class == DeviceClass::Cpu;
        let devices = if software { devices } else { 1 };
        let more = (1..devices).map(|_| adapter.with(Configuration::Default));
        let mut opened: Vec<_> = std::iter::once(Ok(adapter.clone()))
            .chain(more)
            .map(|adapter| adapter.and_then(|adapter| runs(&adapter, suites)))
            .map(|runs| runs.expect("an adapter that opened opens again").into_iter())
            .collect();
        while let Some(run) = opened[0].next() {
            let others = opened[1..].iter_mut().filter_map(Iterator::next).map(|run| run.adapter);
            let free: Vec<Adapter> = others.chain([run.adapter.clone()]).collect();
            let free = Arc::new(Mutex::new(free));
            let row = {
                let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                rows.push(Row::new(&run));
                rows.len() - 1
            };
            let place = format!("{}::{}", run.adapter.name.replace(' ', "-"), run.adapter.configuration());
            for (test, body) in run.tests {
                let (free, first) = (free.clone(), run.adapter.clone());
                let (rows, expectations) = (rows.clone(), expectations.clone());
                let name = format!("{place}::{test}");
                all.push(Trial::test(name.clone(), move || {
                    let (begun, _alive) = (Instant::now(), Alive::new(&name));
                    let taken = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let adapter = taken.as_ref().unwrap_or(&first);
                    let verdict = execute(&expectations, &test, adapter, body);
                    free.lock().unwrap_or_else(PoisonError::into_inner).extend(taken);
                    rows.lock().unwrap_or_else(PoisonError::into_inner)[row].count(&verdict, begun);
                    match verdict {
                        Ok(Verdict::Passed) => Ok(()),
                        Ok(Verdict::ExpectedFailure(reason)) => {
                            say(&format!("{}: {test} failed as expected: {reason}", first.name));
                            Ok(())
                        }
                        Err(failure) => Err(failure.to_string().into()),
                    }
                }));
            }
        }
    }
    all
}

/// Tests that belong to no adapter.
fn alone(suites: &[Suite], expectations: &[Expect]) -> Vec<Trial> {
    let check = |name: &str, problem: Option<String>| {
        Trial::test(name, move || problem.map_or(Ok(()), |problem| Err(Failed::from(problem))))
    };
    let cases: Vec<String> = suites.iter().flat_map(common::suite::bodies).map(|(test, _)| test).collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    let useless = stale(expectations, &cases);
    let unknown: Vec<&&str> =
        known::SLOW_ON_LAVAPIPE_25.iter().filter(|test| !cases.contains(*test)).collect();
    let mut all = vec![
        Trial::test("the_harness_rejects_wrong_answers", || {
            the_harness_rejects_wrong_answers();
            Ok(())
        }),
        check("every_kernel_has_a_test", untested(suites)),
        check("every_test_is_registered", unregistered(suites)),
        check(
            "every_expected_failure_can_occur",
            (!useless.is_empty()).then(|| format!("no such test, or on no adapter: {useless:?}")),
        ),
        check(
            "everything_left_out_is_there",
            (!unknown.is_empty()).then(|| format!("no such test: {unknown:?}")),
        ),
    ];
    for suite in suites {
        let once = suite.once.iter().map(|test| (test, false));
        for (&(name, body), long) in once.chain(suite.long.iter().map(|test| (test, true))) {
            let name = format!("{}::{name}", suite.name());
            let trial = Trial::test(name.clone(), move || {
                let _alive = Alive::new(&name);
                body();
                Ok(())
            });
            all.push(trial.with_ignored_flag(long));
        }
    }
    all
}

/// What the tests here rely on must fail when it should; the comparators themselves are tested
/// beside their source.
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
fn untested(suites: &[Suite]) -> Option<String> {
    let expected: std::collections::BTreeSet<&str> = suites.iter().flat_map(Suite::kernels).collect();
    let all = gibbs::kernels();
    let missing: Vec<&str> =
        all.iter().map(|variant| variant.source.stem()).filter(|stem| !expected.contains(stem)).collect();
    match (expected.len() > 10, missing.is_empty()) {
        (false, _) => Some(format!("the search found only {expected:?}")),
        (_, false) => Some(format!("no test for {missing:?}")),
        _ => None,
    }
}

/// Without the standard harness `#[test]` does nothing, and a file without its line in
/// `tests/kernels/mod.rs` neither.
fn unregistered(suites: &[Suite]) -> Option<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels");
    let files = std::fs::read_dir(folder).expect("tests/kernels").map(|entry| entry.expect("a file").path());
    let stems = files.filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    let absent: Vec<String> =
        stems.filter(|stem| stem != "mod" && !suites.iter().any(|suite| suite.name() == stem)).collect();
    let plain: Vec<&str> =
        suites.iter().filter(|suite| suite.text.contains("#[test]")).map(Suite::name).collect();
    match (absent.is_empty(), plain.is_empty()) {
        (true, true) => None,
        _ => Some(format!(
            "not in tests/kernels/mod.rs: {absent:?}; `#[test]` in {plain:?}: use `every_adapter!`"
        )),
    }
}
