//! Structs and constants that kernels and host know by the same name, declared on both sides and
//! held together by a test (`tests/shaders.rs`). In a shader, a line `// Shared with the host.`
//! stands above each of them.

/// What a struct member holds, as WGSL and Rust both have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberType {
    /// A 32-bit scalar: `f32`, `u32` or `i32`.
    Scalar(&'static str),
    /// A struct that is shared, too, by name.
    Struct(&'static str),
    /// So many elements; none stands for the runtime-sized array at the end of a struct. A WGSL
    /// vector counts as one.
    Array(Box<MemberType>, usize),
}

/// Types that shared structs may hold.
pub trait SharedType {
    /// The type's description.
    fn member_type() -> MemberType;
}

impl SharedType for f32 {
    fn member_type() -> MemberType {
        MemberType::Scalar("f32")
    }
}

impl SharedType for u32 {
    fn member_type() -> MemberType {
        MemberType::Scalar("u32")
    }
}

impl<T: SharedType, const N: usize> SharedType for [T; N] {
    fn member_type() -> MemberType {
        MemberType::Array(Box::new(T::member_type()), N)
    }
}

/// A struct's layout on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructLayout {
    /// Its name.
    pub name: &'static str,
    /// The shader or fragment that declares its twin, below `shaders/`.
    pub path: &'static str,
    /// Bytes; those of a runtime-sized array do not count.
    pub size: usize,
    /// Name, byte offset and type of each member, in order.
    pub members: Vec<(&'static str, usize, MemberType)>,
}

/// A constant on the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharedConstant {
    /// Its name in the shader.
    pub name: &'static str,
    /// The shader or fragment that declares its twin, below `shaders/`.
    pub path: &'static str,
    /// Its value.
    pub value: f64,
}

/// Declares a struct that has a twin of the same name in the shader or fragment behind `in`.
macro_rules! shared_struct {
    ($(#[$meta:meta])* $visible:vis struct $name:ident in $path:literal {
        $($(#[$member_meta:meta])* $member:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        $visible struct $name {
            $($(#[$member_meta])* pub $member: $type,)*
        }

        impl $name {
            /// Elements of 32 bits in front of a runtime-sized array, if it ends in one.
            #[allow(dead_code, reason = "not every struct is a value of its own")]
            pub const WORDS: usize = size_of::<Self>() / 4;

            pub(crate) fn layout() -> $crate::gpu::StructLayout {
                $crate::gpu::StructLayout {
                    name: stringify!($name),
                    path: $path,
                    size: size_of::<Self>(),
                    members: vec![$((
                        stringify!($member),
                        std::mem::offset_of!(Self, $member),
                        <$type as $crate::gpu::SharedType>::member_type(),
                    )),*],
                }
            }
        }

        impl $crate::gpu::SharedType for $name {
            fn member_type() -> $crate::gpu::MemberType {
                $crate::gpu::MemberType::Struct(stringify!($name))
            }
        }
    };
}
pub(crate) use shared_struct;

/// A constant of the host's with its twin's place.
pub(crate) const fn shared_constant(path: &'static str, name: &'static str, value: f64) -> SharedConstant {
    SharedConstant { name, path, value }
}
