//! What naga's writer of GLSL leaves bare: a signed remainder or quotient, an integer division by
//! zero, a conversion of a float that the integer cannot hold. SPIR-V, MSL and HLSL get guards for
//! them, GL does what the driver likes. No shader of ours may need one.

use gibbs::gpu::{KernelSource, KernelVariant};
use naga::proc::TypeResolution;
use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, BinaryOperator, Block, Expression, Function, Handle, Literal, MathFunction, Module,
    ScalarKind, Statement,
};

use super::shaders::validated;

/// Numbers that the host gives a kernel and that are never 0: members of structs in uniform and
/// storage memory.
const POSITIVE: [&str; 16] = [
    "candidates",
    "chains",
    "columns",
    "dims",
    "draws",
    "inputs4",
    "out_stride",
    "output4",
    "outputs4",
    "rows",
    "samples",
    "size",
    "stride4",
    "width",
    "x_width",
    "y_width",
];

/// Floats that become integers and fit, by function, with the reason. One that is not needed fails.
const FITTING: [(&str, &str); 2] = [
    ("unit_circle", "quarter turns from 0 to 4: floor(4 u + 1/2), 0 < u < 1"),
    ("choose_action", "how many chains of an agent are lost, counted on the device"),
];

/// One function of a module.
#[derive(Clone, Copy)]
struct Place<'a> {
    module: &'a Module,
    function: &'a Function,
    /// `None` for an entry point, which nobody calls.
    handle: Option<Handle<Function>>,
}

fn places<'a>(module: &'a Module, info: &'a ModuleInfo) -> Vec<(Place<'a>, &'a FunctionInfo)> {
    let functions = module
        .functions
        .iter()
        .map(|(handle, function)| (Place { module, function, handle: Some(handle) }, &info[handle]));
    let points = module.entry_points.iter().enumerate().map(|(index, point)| {
        (Place { module, function: &point.function, handle: None }, info.get_entry_point(index))
    });
    functions.chain(points).collect()
}

/// What a block does, its inner blocks included.
fn statements<'a>(block: &'a Block, found: &mut Vec<&'a Statement>) {
    for statement in block.iter() {
        found.push(statement);
        match statement {
            Statement::Block(inner) => statements(inner, found),
            Statement::If { accept, reject, .. } => {
                statements(accept, found);
                statements(reject, found);
            }
            Statement::Loop { body, continuing, .. } => {
                statements(body, found);
                statements(continuing, found);
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| statements(&case.body, found)),
            _ => {}
        }
    }
}

fn all_statements(function: &Function) -> Vec<&Statement> {
    let mut found = Vec::new();
    statements(&function.body, &mut found);
    found
}

/// The integer that an expression is at compile time.
fn literal(module: &Module, arena: &naga::Arena<Expression>, at: Handle<Expression>) -> Option<i64> {
    match arena[at] {
        Expression::Literal(Literal::U32(value)) => Some(value.into()),
        Expression::Literal(Literal::I32(value)) => Some(value.into()),
        Expression::Constant(constant) => {
            literal(module, &module.global_expressions, module.constants[constant].init)
        }
        _ => None,
    }
}

impl Place<'_> {
    fn literal(&self, at: Handle<Expression>) -> Option<i64> {
        literal(self.module, &self.function.expressions, at)
    }

    /// The name of the member that a pointer into uniform or storage memory is of.
    fn member(&self, pointer: Handle<Expression>) -> Option<&str> {
        let expressions = &self.function.expressions;
        let Expression::AccessIndex { base, index } = expressions[pointer] else { return None };
        let mut ty = self.pointee(base)?;
        if let naga::TypeInner::Pointer { base, .. } = self.module.types[ty].inner {
            ty = base;
        }
        match &self.module.types[ty].inner {
            naga::TypeInner::Struct { members, .. } => members[index as usize].name.as_deref(),
            _ => None,
        }
    }

    /// The type behind a pointer to memory of the host, or of a value loaded from there.
    fn pointee(&self, at: Handle<Expression>) -> Option<Handle<naga::Type>> {
        let types = &self.module.types;
        match self.function.expressions[at] {
            Expression::GlobalVariable(variable) => {
                let variable = &self.module.global_variables[variable];
                let host = matches!(variable.space, AddressSpace::Uniform | AddressSpace::Storage { .. });
                host.then_some(variable.ty)
            }
            Expression::LocalVariable(variable) => Some(self.function.local_variables[variable].ty),
            Expression::FunctionArgument(index) => Some(self.function.arguments[index as usize].ty),
            Expression::CallResult(function) => {
                self.module.functions[function].result.as_ref().map(|result| result.ty)
            }
            Expression::Load { pointer } => self.pointee(pointer),
            Expression::AccessIndex { base, index } => match &types[self.pointee(base)?].inner {
                naga::TypeInner::Struct { members, .. } => Some(members[index as usize].ty),
                naga::TypeInner::Array { base, .. } => Some(*base),
                _ => None,
            },
            Expression::Access { base, .. } => match &types[self.pointee(base)?].inner {
                naga::TypeInner::Array { base, .. } => Some(*base),
                _ => None,
            },
            _ => None,
        }
    }

    /// What every call of this function gives for an argument.
    fn given(&self, all: &[(Place<'_>, &FunctionInfo)], index: u32, depth: u32) -> bool {
        let Some(own) = self.handle else { return false };
        let mut calls = all.iter().flat_map(|(place, _)| {
            all_statements(place.function).into_iter().filter_map(move |statement| match statement {
                Statement::Call { function, arguments, .. } if *function == own => {
                    Some((*place, arguments[index as usize]))
                }
                _ => None,
            })
        });
        calls.all(|(place, argument)| place.is_positive(all, argument, depth - 1))
    }

    /// Whether an unsigned number cannot be 0.
    fn is_positive(&self, all: &[(Place<'_>, &FunctionInfo)], at: Handle<Expression>, depth: u32) -> bool {
        if depth == 0 {
            return false;
        }
        if let Some(value) = self.literal(at) {
            return value > 0;
        }
        let positive = |at| self.is_positive(all, at, depth - 1);
        match self.function.expressions[at] {
            Expression::Binary { op, left, right } => match op {
                BinaryOperator::Add | BinaryOperator::InclusiveOr => positive(left) || positive(right),
                BinaryOperator::Multiply => positive(left) && positive(right),
                BinaryOperator::Divide => self.is_rounded_up(all, left, right, depth),
                _ => false,
            },
            Expression::Math { fun: MathFunction::Max, arg, arg1: Some(other), .. } => {
                positive(arg) || positive(other)
            }
            Expression::Math { fun: MathFunction::Min, arg, arg1: Some(other), .. } => {
                positive(arg) && positive(other)
            }
            Expression::Select { accept, reject, .. } => positive(accept) && positive(reject),
            Expression::Splat { value, .. } => positive(value),
            Expression::Load { pointer } => self.member(pointer).is_some_and(|name| POSITIVE.contains(&name)),
            Expression::AccessIndex { .. } => self.member(at).is_some_and(|name| POSITIVE.contains(&name)),
            Expression::FunctionArgument(index) => self.given(all, index, depth),
            _ => false,
        }
    }

    /// `(n + c - 1) / c` and `(n + 3) / 4` of a positive `n`.
    fn is_rounded_up(
        &self,
        all: &[(Place<'_>, &FunctionInfo)],
        sum: Handle<Expression>,
        divisor: Handle<Expression>,
        depth: u32,
    ) -> bool {
        let Some(divisor) = self.literal(divisor) else { return false };
        let binary = |at: Handle<Expression>| match self.function.expressions[at] {
            Expression::Binary { op, left, right } => Some((op, left, right)),
            _ => None,
        };
        let (sum, less) = match binary(sum) {
            Some((BinaryOperator::Subtract, sum, less)) => (sum, self.literal(less)),
            _ => (sum, Some(0)),
        };
        let Some((BinaryOperator::Add, number, more)) = binary(sum) else { return false };
        let added = self.literal(more).zip(less).map(|(more, less)| more - less);
        added.is_some_and(|added| added >= divisor - 1) && self.is_positive(all, number, depth - 1)
    }

    fn name(&self) -> &str {
        self.function.name.as_deref().unwrap_or_default()
    }
}

/// Operations of a variant that need a guard, by function. Functions whose conversions fit by the
/// list are noted in `used`.
fn bare(variant: &KernelVariant, used: &mut Vec<&'static str>) -> Vec<String> {
    let (module, info) = validated(variant).expect("checked by another test");
    let all = places(&module, &info);
    let mut faults = Vec::new();
    for (place, info) in &all {
        let kind = |at: Handle<Expression>| match &info[at].ty {
            TypeResolution::Handle(ty) => module.types[*ty].inner.scalar_kind(),
            TypeResolution::Value(inner) => inner.scalar_kind(),
        };
        for (_, expression) in place.function.expressions.iter() {
            let words = match *expression {
                Expression::Binary { op: BinaryOperator::Divide | BinaryOperator::Modulo, left, right } => {
                    match kind(left) {
                        Some(ScalarKind::Sint) => "a signed division or remainder",
                        Some(ScalarKind::Uint) if !place.is_positive(&all, right, 12) => {
                            "a division by what may be 0"
                        }
                        _ => continue,
                    }
                }
                Expression::As { expr, kind: to, convert: Some(_) } => {
                    let from_float = kind(expr) == Some(ScalarKind::Float);
                    if !from_float || !matches!(to, ScalarKind::Sint | ScalarKind::Uint) {
                        continue;
                    }
                    if let Some((name, _)) = FITTING.iter().find(|(name, _)| *name == place.name()) {
                        used.push(name);
                        continue;
                    }
                    "a float that becomes an integer"
                }
                _ => continue,
            };
            faults.push(format!("{}: `{}`: {words}", variant.source.path(), place.name()));
        }
    }
    faults
}

#[test]
fn no_shader_needs_a_guard_that_gl_leaves_out() {
    crate::common::alive::watch();
    let (mut faults, mut used) = (Vec::new(), Vec::new());
    for variant in gibbs::kernels() {
        faults.extend(bare(&variant, &mut used));
    }
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for (name, reason) in FITTING {
        assert!(used.contains(&name), "`{name}` converts no float: remove it from the list ({reason})");
    }
}

#[test]
fn planted_operations_without_a_guard_are_found() {
    let found = |body: &str| {
        let text = format!(
            "
struct Params {{ rows: u32, count: u32, shift: i32, scale: f32 }}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
const LANES: u32 = 8u;
const BLOCK: u32 = 64u / LANES;
fn by(x: u32, divisor: u32) -> u32 {{ return x / divisor; }}
@compute @workgroup_size(1)
fn planted(@builtin(global_invocation_id) id: vec3<u32>) {{
    let x = id.x;
    {body}
}}
"
        );
        let variant = KernelVariant::new(&KernelSource::new("test/planted.wgsl", &text), &[]);
        bare(&variant, &mut Vec::new())
    };
    for (body, words) in [
        ("out[0] = x / params.count;", "may be 0"),
        ("out[0] = x % out[1];", "may be 0"),
        ("out[0] = by(x, params.rows) + by(x, params.count);", "may be 0"),
        ("out[0] = x / ((params.count + 3u) / 4u);", "may be 0"),
        ("out[0] = x / ((params.rows + 2u) / 4u);", "may be 0"),
        ("out[0] = x / min(params.rows, params.count);", "may be 0"),
        ("var d = params.rows; d -= 1u; out[0] = x % d;", "may be 0"),
        ("out[0] = u32(i32(x) % params.shift);", "signed"),
        ("out[0] = u32(i32(x) / 3);", "signed"),
        ("out[0] = u32(params.scale);", "a float"),
        ("out[0] = u32(i32(floor(params.scale)));", "a float"),
        ("let v = vec2<u32>(vec2<f32>(params.scale)); out[0] = v.x;", "a float"),
    ] {
        let faults = found(body);
        assert!(faults.len() == 1 && faults[0].contains(words), "{body}: {faults:?}");
    }
    for body in [
        "out[0] = x / params.rows + x % params.rows;",
        "out[0] = x / LANES + x % BLOCK + x / 4u;",
        "out[0] = x / max(params.count, 1u);",
        "out[0] = x / (params.count + 1u) + x % (2u * params.rows);",
        "out[0] = x / ((params.rows + 3u) / 4u) + x % ((params.rows + LANES - 1u) / LANES);",
        "out[0] = by(x, params.rows) + by(x, 3u);",
        "let v = vec2<u32>(x) % vec2<u32>(params.rows); out[0] = v.x;",
        "out[0] = u32(i32(x) >> 1u) + u32(f32(x) / params.scale > 1.0);",
    ] {
        let faults = found(body);
        assert!(faults.is_empty(), "{body}: {faults:?}");
    }
}
