//! All test bodies of `tests/kernels` on one adapter, several at a time.

use std::panic;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gibbs::testing::{Adapter, Expect, Failure, Verdict, stale};
use gibbs::wgpu;

use crate::common::known;
use crate::common::suite::{bodies, execute};
use crate::kernels;
use crate::shared::progress::Progress;

/// Runs them and prints what failed; false if anything did.
pub fn run(adapter: &Adapter) -> bool {
    let suites = kernels::suites();
    let tests: Vec<_> = suites.iter().flat_map(bodies).collect();
    let expectations: Vec<Expect> = known::failures();
    let names: Vec<&str> = tests.iter().map(|(name, _)| name.as_str()).collect();
    let useless = stale(&expectations, &names);
    let begun = Instant::now();
    let progress = Progress::new("self-test", tests.len() as u64);
    let verdicts = Mutex::new(Vec::new());
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let hook = panic::take_hook();
    // A failing body panics; its words are in the verdict.
    panic::set_hook(Box::new(|_| {}));
    // A GL context serves one thread at a time, and wgpu panics where one waits longer than a few
    // seconds.
    let serial = adapter.gpu.info().backend == wgpu::Backend::Gl;
    let threads = if serial { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((name, body)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    progress.set(done.load(Ordering::Relaxed), name.clone());
                    let verdict = execute(&expectations, name, adapter, *body);
                    verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((name.as_str(), verdict));
                    progress.set(done.fetch_add(1, Ordering::Relaxed) + 1, name.clone());
                }
            });
        }
    });
    panic::set_hook(hook);
    drop(progress);
    let verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(&verdicts, begun.elapsed());
    if !useless.is_empty() {
        println!("  expected failures of tests that do not exist: {}", useless.join(", "));
    }
    useless.is_empty() && verdicts.iter().all(|(_, verdict)| verdict.is_ok())
}

fn report(verdicts: &[(&str, Result<Verdict, Failure>)], time: Duration) {
    let mut passed = 0;
    for (name, verdict) in verdicts {
        match verdict {
            Ok(Verdict::Passed) => passed += 1,
            Ok(Verdict::ExpectedFailure(reason)) => println!("  {name} failed as expected: {reason}"),
            Err(failure) => println!("  FAILED {name}: {failure}"),
        }
    }
    let failed = verdicts.iter().filter(|(_, verdict)| verdict.is_err()).count();
    let expected = verdicts.len() - passed - failed;
    let expected = if expected == 0 { String::new() } else { format!(", {expected} failed as expected") };
    println!("self-test: {passed} tests passed{expected}, {failed} failed, {:.1} s", time.as_secs_f64());
}
