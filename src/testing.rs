//! Tests of kernels against f64 references, for kernels of your own as for ours; uses
//! [`crate::gpu`] alone.
//!
//! * [`on_every_adapter`] runs a test on each adapter of the machine, known failures being data
//!   ([`Expect`]).
//! * [`Case`] is one recording with its tensors: inputs uploaded, outputs full of [`POISON`],
//!   results by name.
//! * [`compare`] and [`compare_words`] accept nothing that is not finite, empty or of another
//!   length; a [`Bound`] follows the operation.
//! * [`check_gradient`] and [`check_gradient_on_device`] hold a backward pass to difference
//!   quotients in the middle of a graph.
//!
//! What can fail returns [`Failure`]; the wrappers that tests call for brevity (`run`, `get`,
//! `expect`) panic with the same words.
//!
//! ```no_run
//! use gibbs::gpu::{DType, KernelSource};
//! use gibbs::testing::{self, Bound, Case, data, wide};
//!
//! # const TWICE: &str = "";
//! testing::on_every_adapter("twice", &[], |adapter| {
//!     let x = data(1, 257);
//!     let mut case = Case::new(adapter, "twice");
//!     let input = case.input("x", [257], &x);
//!     let output = case.poisoned("y", DType::F32, [257]);
//!     case.recording
//!         .dispatch(&KernelSource::new("my/twice.wgsl", TWICE), "twice")
//!         .bind("x", input)
//!         .bind("y", output)
//!         .invocations(257)
//!         .finish()?;
//!     let results = case.try_run()?;
//!     let expected: Vec<f64> = wide(&x).iter().map(|x| 2.0 * x).collect();
//!     results.check("y", &results.read("y")?, &expected, Bound::relative(0.0, 0.0))
//! })?;
//! # Ok::<(), testing::Failure>(())
//! ```

mod adapter;
mod case;
mod compare;
mod data;
mod expect;
mod failure;
mod gradient;

pub use adapter::{
    Adapter, Configuration, adapters, first_adapter, missing_adapters, on_every_adapter, say, try_adapters,
};
pub use case::{Case, Results};
pub use compare::{Bound, Deviation, Mismatch, Tolerance, compare, compare_words};
pub use data::{POISON, coefficients, data, pack, poisoned, unpack, wide};
pub use expect::{Expect, Match, Verdict, judge, stale};
pub use failure::{Failure, Problem};
pub use gradient::{GradientCheck, check_gradient, check_gradient_on_device};
