//! Harness of our own tests: [`gibbs::testing`] under the names they use.
//!
//! A test body of `tests/kernels` takes an [`Adapter`]; [`every_adapter!`] registers it.
#![allow(dead_code, reason = "each test file uses its own part of this module")]
#![allow(unused_macros, unused_imports, reason = "as above")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use gibbs::gpu::{DType, DeviceClass, Gpu, Shape, Tensor};
pub use gibbs::testing::{
    Adapter, Bound, Case, POISON, Results, compare, compare_words, data, first_adapter as lavapipe, pack,
    say, unpack, wide,
};

/// All classes of devices that kernel variants are chosen for.
pub const CLASSES: [DeviceClass; 2] = [DeviceClass::Cpu, DeviceClass::Gpu];

/// Every adapter that tests run on.
pub fn adapters() -> &'static [Adapter] {
    gibbs::testing::try_adapters().unwrap_or_else(|failure| {
        panic!(
            "{failure}; `scripts/adapters.sh need NAME` installs lavapipe or swiftshader, `scripts/adapters.sh run \
             COMMAND` runs COMMAND with them"
        )
    })
}

/// A tensor full of [`POISON`].
pub fn poisoned(gpu: &Gpu, name: &str, dtype: DType, shape: impl Into<Shape>) -> Tensor {
    gibbs::testing::poisoned(gpu, name, dtype, shape).expect(name)
}

/// Runs a test body on the adapters of a group: `lavapipe`, `swiftshader` or `others`.
pub fn run_on(group: &str, test: &str, body: fn(&Adapter)) {
    let known = |name: &str| ["lavapipe", "swiftshader"].contains(&name);
    let chosen: Vec<_> = adapters()
        .iter()
        .filter(|adapter| adapter.name == group || (group == "others" && !known(adapter.name)))
        .collect();
    if chosen.is_empty() && group != "others" {
        say(&format!("SKIPPED, no {group}: {test}"));
    }
    for adapter in chosen {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(adapter))) {
            eprintln!("failed on {}", adapter.gpu.adapter_name());
            resume_unwind(panic);
        }
    }
}

/// Makes tests of functions `fn(&Adapter)` of the surrounding module, one per function and group of adapters.
macro_rules! every_adapter {
    ($($body:ident),+ $(,)?) => {
        crate::common::every_adapter!(@group lavapipe $($body),+);
        crate::common::every_adapter!(@group swiftshader $($body),+);
        crate::common::every_adapter!(@group others $($body),+);
    };
    (@group $group:ident $($body:ident),+) => {
        mod $group {
            $(
                #[test]
                fn $body() {
                    let test = concat!(module_path!(), "::", stringify!($body));
                    crate::common::run_on(stringify!($group), test, super::$body);
                }
            )+
        }
    };
}
pub(crate) use every_adapter;
