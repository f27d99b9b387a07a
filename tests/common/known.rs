//! What is known to fail, where and why. An entry that passes fails the run.

use gibbs::testing::Expect;

/// Expected failures of the tests in `tests/kernels`, by `module::test`.
pub fn failures() -> Vec<Expect> {
    Vec::new()
}
