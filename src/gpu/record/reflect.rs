//! What a kernel's text says about itself: bindings by name, parameters, workgroup size and memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use naga::{AddressSpace, ScalarKind, StorageAccess, TypeInner};

use super::shape::DType;
use super::source::{Define, KernelSource, Linked, link};
use crate::{Error, Result};

/// A kernel's text with the choices that make it one pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Specialization {
    pub source: KernelSource,
    pub defines: Vec<Define>,
    /// Values of WGSL `override`s, as the bits of an f64.
    pub overrides: Vec<(String, u64)>,
}

/// How a kernel uses one binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
    /// A uniform buffer bound from a tensor.
    Uniform,
}

/// One binding of a kernel that takes a tensor.
#[derive(Clone, Debug)]
pub(crate) struct BindingInfo {
    pub name: String,
    pub binding: u32,
    pub access: Access,
    pub dtype: DType,
    /// Bytes the shader needs at least.
    pub min_bytes: u64,
    /// Bytes of one element of the outermost runtime-sized array; 0 for fixed sizes.
    pub stride: u64,
}

/// A uniform struct that is filled by member name: `params` at record time, `knobs` between
/// submits.
#[derive(Clone, Debug)]
pub(crate) struct UniformInfo {
    pub binding: u32,
    pub bytes: u64,
    pub members: Vec<(String, u32, DType)>,
}

/// A kernel's interface.
#[derive(Debug)]
pub(crate) struct Interface {
    pub module: naga::Module,
    pub bindings: Vec<BindingInfo>,
    pub params: Option<UniformInfo>,
    pub knobs: Option<UniformInfo>,
    pub workgroup_size: [u32; 3],
    pub workgroup_bytes: u64,
}

type Cache = Mutex<HashMap<Specialization, Arc<Interface>>>;

/// Parses, validates and reflects a kernel; cached for the life of the process.
pub(crate) fn reflect(special: &Specialization) -> Result<Arc<Interface>> {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let cache = CACHE.get_or_init(Cache::default);
    if let Some(known) = cache.lock().unwrap_or_else(PoisonError::into_inner).get(special) {
        return Ok(known.clone());
    }
    let fresh = Arc::new(analyse(special)?);
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(cache.entry(special.clone()).or_insert(fresh).clone())
}

fn analyse(special: &Specialization) -> Result<Interface> {
    let source = &special.source;
    let linked = link(source, &special.defines)?;
    let fail = |message: String| fault(source.stem(), source.path(), &linked, None, message);
    let (module, info) = parse(source.stem(), source.path(), &linked)?;
    let entry = source.stem();
    if !module.entry_points.iter().any(|point| point.name == entry) {
        return Err(fail(format!("has no entry point `{entry}`; name it like the file")));
    }
    let mut constants = naga::back::PipelineConstants::default();
    for (name, bits) in &special.overrides {
        check_override(&module, name, f64::from_bits(*bits)).map_err(fail)?;
        constants.insert(name.clone(), f64::from_bits(*bits));
    }
    let stage = Some((naga::ShaderStage::Compute, entry));
    let (module, _) = naga::back::pipeline_constants::process_overrides(&module, &info, stage, &constants)
        .map_err(|error| fail(error.to_string()))?;
    let module = module.into_owned();
    describe(module, entry).map_err(fail)
}

/// An error at a place of the linked text, told as the place a person wrote; without a place, line
/// 1 of `path`.
fn fault(
    kernel: &str,
    path: &str,
    linked: &Linked,
    location: Option<naga::SourceLocation>,
    message: String,
) -> Error {
    let (file, line) = match &location {
        Some(at) => linked.origin(at.line_number),
        None => (path, 1),
    };
    Error::Shader {
        kernel: kernel.into(),
        file: file.into(),
        line,
        column: location.map_or(1, |at| at.line_position),
        message,
    }
}

fn parse(kernel: &str, path: &str, linked: &Linked) -> Result<(naga::Module, naga::valid::ModuleInfo)> {
    let module = naga::front::wgsl::parse_str(&linked.text).map_err(|error| {
        let details: Vec<_> = error.labels().map(|(_, words)| words.to_owned()).collect();
        let message = format!("{} ({})", error.message(), details.join("; "));
        fault(kernel, path, linked, error.location(&linked.text), message)
    })?;
    let info = validator().validate(&module).map_err(|error| {
        let mut message = error.as_inner().to_string();
        let mut cause = std::error::Error::source(error.as_inner());
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        // The first place is the whole function; the narrowest says more.
        let length = |span: &naga::Span| span.to_range().map_or(usize::MAX, |range| range.len());
        let narrowest = error.spans().map(|(span, _)| *span).min_by_key(length);
        fault(kernel, path, linked, narrowest.map(|span| span.location(&linked.text)), message)
    })?;
    Ok((module, info))
}

/// Functions of a user's that a kernel of ours will call, alone: parsed and validated, not yet part
/// of a kernel.
pub(crate) struct Library {
    pub module: naga::Module,
    kernel: String,
    path: String,
    linked: Linked,
}

impl Library {
    /// `kernel` names what the library is for in messages; `path` is the user's file.
    pub fn new(kernel: &str, path: &str, source: &KernelSource, defines: &[Define]) -> Result<Self> {
        let linked = link(source, defines)?;
        let (module, _) = parse(kernel, path, &linked)?;
        Ok(Self { module, kernel: kernel.into(), path: path.into(), linked })
    }

    /// An error at a place in the library.
    pub fn fault(&self, span: Option<naga::Span>, message: String) -> Error {
        let location = span.filter(naga::Span::is_defined).map(|span| span.location(&self.linked.text));
        fault(&self.kernel, &self.path, &self.linked, location, message)
    }
}

fn validator() -> naga::valid::Validator {
    // What a device lacks of these is an error of its pipeline.
    let capabilities = naga::valid::Capabilities::IMMEDIATES | naga::valid::Capabilities::SUBGROUP;
    naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
}

/// naga accepts 1.5 for a `u32` override; we do not.
fn check_override(module: &naga::Module, name: &str, value: f64) -> Result<(), String> {
    let Some((_, found)) = module.overrides.iter().find(|(_, item)| item.name.as_deref() == Some(name))
    else {
        return Err(format!("has no override `{name}`"));
    };
    let TypeInner::Scalar(scalar) = module.types[found.ty].inner else {
        return Err(format!("override `{name}` is not a scalar"));
    };
    let range = match scalar.kind {
        ScalarKind::Uint => 0.0..=f64::from(u32::MAX),
        ScalarKind::Sint => f64::from(i32::MIN)..=f64::from(i32::MAX),
        _ => return Ok(()),
    };
    if value.fract() != 0.0 || !range.contains(&value) {
        return Err(format!("override `{name}` cannot take {value}: it is an integer"));
    }
    Ok(())
}

fn describe(module: naga::Module, entry: &str) -> Result<Interface, String> {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| error.to_string())?;
    let point = module
        .entry_points
        .iter()
        .find(|point| point.name == entry)
        .ok_or_else(|| format!("has no entry point `{entry}`"))?;
    let workgroup_size = point.workgroup_size;
    let mut interface = Interface {
        bindings: Vec::new(),
        params: None,
        knobs: None,
        workgroup_size,
        workgroup_bytes: 0,
        module: naga::Module::default(),
    };
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.clone().unwrap_or_default();
        let size = u64::from(layouter[variable.ty].size);
        if variable.space == AddressSpace::WorkGroup {
            interface.workgroup_bytes += size.next_multiple_of(16);
            continue;
        }
        let Some(place) = &variable.binding else {
            if matches!(variable.space, AddressSpace::Immediate) {
                return Err(format!("`{name}`: immediates are not supported, use `params`"));
            }
            continue;
        };
        if place.group != 0 {
            return Err(format!("`{name}` is in group {}, use group 0", place.group));
        }
        let uniform = matches!(variable.space, AddressSpace::Uniform);
        if uniform && (name == "params" || name == "knobs") {
            let info = UniformInfo {
                binding: place.binding,
                bytes: size.next_multiple_of(16),
                members: members(&module, variable.ty)
                    .ok_or_else(|| format!("`{name}` must be a struct of scalars"))?,
            };
            *(if name == "params" { &mut interface.params } else { &mut interface.knobs }) = Some(info);
            continue;
        }
        let access = match variable.space {
            AddressSpace::Uniform => Access::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Access::ReadWrite,
            AddressSpace::Storage { .. } => Access::Read,
            _ => return Err(format!("`{name}`: only storage and uniform buffers can be bound")),
        };
        let (dtype, stride) = element(&module, variable.ty)
            .ok_or_else(|| format!("`{name}` must hold one kind of 32-bit scalar"))?;
        interface.bindings.push(BindingInfo {
            name,
            binding: place.binding,
            access,
            dtype,
            min_bytes: size.max(stride),
            stride,
        });
    }
    interface.bindings.sort_by_key(|info| info.binding);
    interface.module = module;
    Ok(interface)
}

fn scalar(scalar: naga::Scalar) -> Option<DType> {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Some(DType::F32),
        (ScalarKind::Uint, 4) => Some(DType::U32),
        (ScalarKind::Sint, 4) => Some(DType::I32),
        _ => None,
    }
}

/// Names, offsets and types of a struct of scalars.
fn members(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Option<Vec<(String, u32, DType)>> {
    let TypeInner::Struct { members, .. } = &module.types[ty].inner else { return None };
    members
        .iter()
        .map(|member| match module.types[member.ty].inner {
            TypeInner::Scalar(kind) => Some((member.name.clone()?, member.offset, scalar(kind)?)),
            _ => None,
        })
        .collect()
}

/// The one scalar type in a binding, and the byte stride of its runtime-sized array (0 if none).
fn element(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Option<(DType, u64)> {
    match &module.types[ty].inner {
        TypeInner::Scalar(kind) | TypeInner::Vector { scalar: kind, .. } => Some((scalar(*kind)?, 0)),
        TypeInner::Atomic(kind) => Some((scalar(*kind)?, 0)),
        TypeInner::Array { base, size, stride } => {
            let (dtype, _) = element(module, *base)?;
            let dynamic = matches!(size, naga::ArraySize::Dynamic);
            Some((dtype, if dynamic { u64::from(*stride) } else { 0 }))
        }
        TypeInner::Struct { members, .. } => {
            let kinds: Option<Vec<_>> = members.iter().map(|member| element(module, member.ty)).collect();
            let kinds = kinds?;
            let first = kinds.first()?.0;
            let stride = kinds.last()?.1;
            kinds.iter().all(|(kind, _)| *kind == first).then_some((first, stride))
        }
        _ => None,
    }
}
