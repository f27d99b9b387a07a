//! Harness of our own tests: [`gibbs::testing`] under the names they use.
//!
//! A test body of `tests/kernels` takes an [`Adapter`]; [`every_adapter!`] registers it.
#![allow(dead_code, reason = "each binary uses its own part of this module")]
#![allow(unused_macros, unused_imports, reason = "as above")]

pub mod alive;
pub mod known;
pub mod points;
pub mod suite;

use gibbs::gpu::{DType, DeviceClass, Gpu, Shape, Tensor};
pub use gibbs::testing::{
    Adapter, Bound, Case, POISON, Results, compare, compare_words, data, pack, say, unpack, wide,
};

/// All classes of devices that kernel variants are chosen for.
pub const CLASSES: [DeviceClass; 2] = [DeviceClass::Cpu, DeviceClass::Gpu];

/// Every adapter that tests run on.
pub fn adapters() -> &'static [Adapter] {
    alive::watch();
    gibbs::testing::try_adapters().unwrap_or_else(|failure| {
        panic!(
            "{failure}; `scripts/adapters.sh need NAME` installs lavapipe or swiftshader, `scripts/adapters.sh run \
             COMMAND` runs COMMAND with them"
        )
    })
}

/// Lavapipe, or the first adapter where it is absent.
pub fn lavapipe() -> &'static Adapter {
    alive::watch();
    gibbs::testing::first_adapter()
}

/// A tensor full of [`POISON`].
pub fn poisoned(gpu: &Gpu, name: &str, dtype: DType, shape: impl Into<Shape>) -> Tensor {
    gibbs::testing::poisoned(gpu, name, dtype, shape).expect(name)
}

/// Makes `suite()` of the surrounding file of `tests/kernels`, from functions `fn(&Adapter)` and,
/// behind `once:`, functions `fn()` that look after the adapters themselves; those behind `long:`
/// run only when ignored tests are asked for.
macro_rules! every_adapter {
    ($($body:ident),+ $(,)? $(; once: $($single:ident),+ $(,)?)? $(; long: $($slow:ident),+ $(,)?)?) => {
        pub fn suite() -> crate::common::suite::Suite {
            crate::common::suite::Suite {
                module: module_path!(),
                text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", file!())),
                each: &[$((stringify!($body), $body as crate::common::suite::Body)),+],
                once: &[$($((stringify!($single), $single as fn())),+)?],
                long: &[$($((stringify!($slow), $slow as fn())),+)?],
            }
        }
    };
}
pub(crate) use every_adapter;
