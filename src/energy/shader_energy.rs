//! A user's own energy in WGSL (`shaders/energy/shader_energy.wgsl`).

use naga::{AddressSpace, ScalarKind, TypeInner};

use super::energy_rows::EnergyRows;
use super::{Energy, Gradient, ShaderEnergyOptions, shader_differences};
use crate::gpu::{
    Bindings, Define, KernelSource, KernelVariant, Knob, Library, Recording, Value, embedded_kernel,
};
use crate::nn::{Mode, Outputs, energy_by_mode};
use crate::{Error, Result};

/// The kernel, complete with a user's `energy` and `energy_gradient` behind it.
pub const KERNEL: KernelSource = embedded_kernel!("energy/shader_energy.wgsl");

/// Names at module scope that the kernels around a user's text take.
const TAKEN: [&str; 11] = [
    "Params",
    "params",
    "context_rows",
    "y_rows",
    "energy_rows",
    "gradient_rows",
    "context_of_row",
    "point_of_row",
    "MODE",
    "shader_energy",
    "shader_differences",
];

/// An energy that a user wrote as a WGSL function: a simulator's cost, an analytic density.
///
/// The text defines, at module scope,
///
/// ```wgsl
/// fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32
/// ```
///
/// and, with [`Gradient::Written`], `dE/dy` in 1 / data units:
///
/// ```wgsl
/// fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS>
/// ```
///
/// `x` is the context, `y` the point, both in data units; an unconditional energy gets
/// `CONTEXT = 1` and `x[0] = 0`. Lower is likelier. Next to them the text may use helper functions,
/// fragments (`//#include "lib/philox.wgsl"`) and the names that [`ShaderEnergyOptions`] declares.
/// The energy may be infinite or NaN beyond a wall (with central differences the inside ends one
/// step before it); where there are no walls, [`ShaderEnergyOptions::without_walls`] makes chains
/// cheaper.
///
/// The text runs once per row (with central differences per coordinate, twice) and is compiled with
/// every runtime check. Its loops may take 65535 rounds per invocation in all, with central
/// differences three times an evaluation's: lavapipe ends them silently beyond. What else differs
/// between renderers is in `docs/writing-wgsl.md`. Energies, gradients or both are one dispatch.
///
/// Runtime checks do not reach all that WGSL promises. Through OpenGL a remainder or quotient of
/// negative integers, an integer division by zero and the conversion of a float to an integer that
/// cannot hold it give whatever the driver makes of them: clamp first. On some drivers `log`,
/// `exp`, `min` and `max` turn NaN and infinity into numbers, SwiftShader's `log(NaN)` into 89.13
/// for one: an energy that may get there tests what it puts in, with `is_finite` of
/// `lib/finite.wgsl`.
///
/// ```
/// use gibbs::energy::{Gradient, ShaderEnergy, ShaderEnergyOptions};
///
/// let text = "
/// fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
///     return stiffness * (y[0] - x[0]) * (y[0] - x[0]) + abs(y[1]);
/// }
/// ";
/// let differences = Gradient::CentralDifferences { step: 5e-3 };
/// let options = ShaderEnergyOptions::new(1, 2, differences).number("stiffness", 2.0f32);
/// let cost = ShaderEnergy::new("cost", "my/cost.wgsl", text, options)?;
/// # Ok::<(), gibbs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShaderEnergy {
    name: String,
    options: ShaderEnergyOptions,
    kernel: KernelSource,
}

impl ShaderEnergy {
    /// Takes a user's text as an energy. `name` is the first part of its slots' and knobs' names,
    /// `path` names the text in messages.
    ///
    /// # Errors
    /// [`Error::Argument`] for sizes, names or numbers outside their domain; [`Error::Shader`] with
    /// the user's file and line if the text does not compile, lacks a function or has it with
    /// another signature, declares bindings or entry points of its own, or takes a name of ours.
    pub fn new(name: &str, path: &str, text: &str, options: ShaderEnergyOptions) -> Result<Self> {
        let operation = format!("energy `{name}`");
        options.check(&operation)?;
        let declared = format!("declarations of `{name}`");
        let alone = KernelSource::new(&declared, options.declarations()).with_part(path, text);
        check_alone(&Library::new(name, path, &alone, &sizes(&options))?, &options)?;
        let kernel = compose(&options, &declared, path, text);
        let energy = Self { name: name.into(), options, kernel };
        for mode in Mode::ALL {
            KernelVariant::new(&energy.kernel, &energy.defines(mode)).module().map_err(
                |error| match error {
                    Error::Shader { kernel, file, line, column, message } => {
                        let message =
                            format!("{message}; names of the kernel around it are {}", TAKEN.join(", "));
                        Error::Shader { kernel, file, line, column, message }
                    }
                    other => other,
                },
            )?;
        }
        Ok(energy)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of the slot that holds the tensor declared as `tensor`.
    pub fn slot(&self, tensor: &str) -> String {
        format!("{}/{tensor}", self.name)
    }

    /// The knob declared as `name`, in a recording of this energy.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none of that name.
    pub fn knob(&self, recording: &mut Recording, name: &str) -> Result<Knob> {
        match self.options.knobs.iter().find(|(known, _)| known == name) {
            Some(&(_, initial)) => Ok(recording.knob(&self.slot(name), initial)),
            None => Err(Error::argument(
                format!("energy `{}`", self.name),
                format!("the knob `{name}`"),
                "is not declared in its options",
            )),
        }
    }

    fn defines(&self, mode: Mode) -> Vec<(&'static str, u32)> {
        let sizes = sizes(&self.options).map(|define| (define.name, define.value));
        sizes.into_iter().chain([("MODE", mode.code())]).collect()
    }

    fn record(
        &self,
        recording: &mut Recording,
        mode: Mode,
        context: Option<Value>,
        y: Value,
    ) -> Result<Outputs> {
        let operation = format!("energy `{}`", self.name);
        let (dims, width) = (self.options.dims, self.options.context);
        let rows = EnergyRows::new(recording, &operation, (context, width), (y, dims))?;
        let outputs = rows.outputs(recording, mode);
        let no_context = recording.constant("no context", [1], &[0.0f32])?;
        let mut tensors = Vec::new();
        for tensor in &self.options.tensors {
            let slot = recording.slot(&self.slot(&tensor.name), tensor.dtype, tensor.shape.clone())?;
            if let Some(given) = &tensor.tensor {
                recording.provide(&self.slot(&tensor.name), given);
            }
            tensors.push((&tensor.name, slot));
        }
        let mut knobs = Vec::new();
        for (name, _) in &self.options.knobs {
            knobs.push((name, self.knob(recording, name)?));
        }
        let (step, lanes) = match self.options.gradient {
            Gradient::Written => (0.0, 1),
            Gradient::CentralDifferences { step } => {
                (step as f32, if mode.has_gradient() { dims } else { 1 })
            }
        };
        let mut dispatch = recording
            .dispatch(&self.kernel, &operation)
            .defines(&self.defines(mode))
            .bind("context_rows", rows.context.unwrap_or(no_context))
            .bind("y_rows", rows.y)
            .bind("energy_rows", outputs.value)
            .bind("gradient_rows", outputs.gradient)
            .set("rows", rows.rows as u32)
            .set("chains", rows.chains as u32)
            .set("width", width as u32)
            .set("step", step);
        for (name, slot) in tensors {
            dispatch = dispatch.bind(name, slot);
        }
        for (name, knob) in knobs {
            dispatch = dispatch.knob(name, knob);
        }
        dispatch.invocations(rows.rows * lanes).finish()?;
        Ok(outputs)
    }
}

impl Energy for ShaderEnergy {
    fn dims(&self) -> usize {
        self.options.dims
    }

    energy_by_mode!();

    fn has_walls(&self) -> bool {
        self.options.walls
    }

    fn bindings(&self) -> Bindings {
        let given = self
            .options
            .tensors
            .iter()
            .filter_map(|item| Some((self.slot(&item.name), item.tensor.as_ref()?)));
        given.fold(Bindings::new(), |bindings, (slot, tensor)| bindings.with(&slot, tensor))
    }
}

fn sizes(options: &ShaderEnergyOptions) -> [Define; 2] {
    let define = |name, value: usize| Define { name, value: value as u32 };
    [define("DIMS", options.dims), define("CONTEXT", options.context.max(1))]
}

fn compose(options: &ShaderEnergyOptions, declared: &str, path: &str, text: &str) -> KernelSource {
    let kernel = match options.gradient {
        Gradient::Written => KERNEL,
        Gradient::CentralDifferences { .. } => shader_differences::KERNEL,
    };
    kernel.with_part(declared, options.declarations()).with_part(path, text)
}

/// Checks that a text defines what the kernels call, and nothing that changes the kernel.
fn check_alone(library: &Library, options: &ShaderEnergyOptions) -> Result<()> {
    let module = &library.module;
    if let Some(point) = module.entry_points.first() {
        return Err(
            library.fault(None, format!("has an entry point, `{}`; leave functions only", point.name))
        );
    }
    if let Some((handle, _)) = module.overrides.iter().next() {
        let span = module.overrides.get_span(handle);
        return Err(
            library.fault(Some(span), "`override`s cannot be set here; use a `const` or a number".into())
        );
    }
    for (handle, variable) in module.global_variables.iter() {
        let name = variable.name.as_deref().unwrap_or_default();
        if variable.space != AddressSpace::Private && !options.bindings().any(|known| known == name) {
            let words = format!(
                "`{name}` is shared memory of the text's own; declare tensors and knobs in the options"
            );
            return Err(library.fault(Some(module.global_variables.get_span(handle)), words));
        }
    }
    let [dims, context] = sizes(options).map(|define| define.value);
    let array = |ty: naga::Handle<naga::Type>, length: u32| match module.types[ty].inner {
        TypeInner::Array { base, size: naga::ArraySize::Constant(size), .. } => {
            size.get() == length && is_f32(&module.types[base].inner)
        }
        _ => false,
    };
    let check = |name: &str, result: &str, hint: &str, fits: &dyn Fn(naga::Handle<naga::Type>) -> bool| {
        let expected = format!("`fn {name}(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> {result}`");
        let sized = format!("with CONTEXT = {context} and DIMS = {dims}");
        let Some((handle, function)) =
            module.functions.iter().find(|(_, function)| function.name.as_deref() == Some(name))
        else {
            return Err(
                library.fault(None, format!("defines no function `{name}`; write {expected} {sized}{hint}"))
            );
        };
        let arguments: Vec<_> = function.arguments.iter().map(|argument| argument.ty).collect();
        let takes = matches!(arguments[..], [x, y] if array(x, context) && array(y, dims));
        if takes && function.result.as_ref().is_some_and(|result| fits(result.ty)) {
            return Ok(());
        }
        let words = format!("`{name}` has another signature; it must be {expected} {sized}");
        Err(library.fault(Some(module.functions.get_span(handle)), words))
    };
    check("energy", "f32", "", &|ty| is_f32(&module.types[ty].inner))?;
    if options.gradient == Gradient::Written {
        let hint = ", or ask for central differences";
        check("energy_gradient", "array<f32, DIMS>", hint, &|ty| array(ty, dims))?;
    }
    Ok(())
}

fn is_f32(ty: &TypeInner) -> bool {
    matches!(ty, TypeInner::Scalar(scalar) if scalar.kind == ScalarKind::Float && scalar.width == 4)
}

/// Stands in for a user's text where the kernels must be complete without one.
const STAND_IN: &str = "
fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
    var sum = knobs.gain * weights[0] + offsets[0] + f32(count[0]);
    for (var j = 0u; j < DIMS; j++) {
        sum += 0.5 * scale * (y[j] - x[0]) * (y[j] - x[0]);
    }
    return sum;
}

fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
    var slopes: array<f32, DIMS>;
    for (var j = 0u; j < DIMS; j++) {
        slopes[j] = scale * (y[j] - x[0]);
    }
    return slopes;
}
";

/// Both kernels around a text that uses all that options can declare, at the smallest and largest
/// sizes.
pub(crate) fn variants() -> Vec<KernelVariant> {
    let mut all = Vec::new();
    for gradient in [Gradient::Written, Gradient::CentralDifferences { step: 1.0 }] {
        for size in [1, 3, 64] {
            let options = ShaderEnergyOptions::new(size, size, gradient)
                .number("scale", 2.0f32)
                .knob("gain", 1.0)
                .slot::<f32>("weights", [1])
                .slot::<f32>("offsets", [1])
                .slot::<u32>("count", [1]);
            let kernel = compose(&options, "stand-in's declarations", "stand-in.wgsl", STAND_IN);
            let energy = ShaderEnergy { name: "stand-in".into(), options, kernel };
            all.extend(Mode::ALL.map(|mode| KernelVariant::new(&energy.kernel, &energy.defines(mode))));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_taken_name_is_refused_at_the_users_line() {
        for name in TAKEN {
            for gradient in [Gradient::Written, Gradient::CentralDifferences { step: 1.0 }] {
                let other = match gradient {
                    Gradient::Written => "shader_differences",
                    Gradient::CentralDifferences { .. } => "shader_energy",
                };
                let text = "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 { return y[0]; }\n\
                            fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> { return y; }\n";
                let clash = format!("{text}const {name}: u32 = 1u;\n");
                let options = ShaderEnergyOptions::new(0, 2, gradient);
                let energy = ShaderEnergy::new("clash", "my/clash.wgsl", &clash, options);
                match energy {
                    Ok(_) => assert_eq!(name, other),
                    Err(error) => {
                        let words = error.to_string();
                        assert!(
                            words.starts_with(&format!("my/clash.wgsl:3:7: redefinition of `{name}`")),
                            "{words}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_list_of_taken_names_is_complete() {
        for kernel in variants() {
            let module = kernel.module().unwrap();
            let variables = module.global_variables.iter().filter_map(|(_, item)| item.name.clone());
            let functions = module.functions.iter().filter_map(|(_, item)| item.name.clone());
            let constants = module.constants.iter().filter_map(|(_, item)| item.name.clone());
            let own = [
                "energy",
                "energy_gradient",
                "weights",
                "offsets",
                "count",
                "knobs",
                "scale",
                "DIMS",
                "CONTEXT",
            ];
            for name in
                variables.chain(functions).chain(constants).filter(|name| !own.contains(&name.as_str()))
            {
                assert!(TAKEN.contains(&name.as_str()), "{name}");
            }
        }
    }
}
