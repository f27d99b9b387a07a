//! What options and enums of all rooms are given alike.

/// `ALL`, `name`, `Display` and `FromStr` of an enum without fields. The names are those of files
/// and command lines; `kind` says in errors what they name.
macro_rules! named {
    ($kind:literal, $type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Each of them once.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// Its name in files and on command lines.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::Error;

            /// Takes one of the names.
            ///
            /// # Errors
            /// [`crate::Error::Argument`] that lists them.
            fn from_str(name: &str) -> $crate::Result<Self> {
                match name {
                    $($name => Ok($type::$variant),)+
                    _ => Err($crate::Error::unknown_name($kind, name, &[$($name),+])),
                }
            }
        }
    };
}

/// Setters of options, each in the form `setter => field: type`; `into` in front of the type takes
/// what converts to it.
macro_rules! setters {
    ($type:ident {}) => {};
    ($type:ident { $setter:ident => $field:ident: into $value:ty, $($rest:tt)* }) => {
        impl $type {
            #[doc = concat!("The same with this [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, $field: impl Into<$value>) -> Self {
                self.$field = $field.into();
                self
            }
        }
        $crate::error::setters!($type { $($rest)* });
    };
    ($type:ident { $setter:ident => $field:ident: $value:ty, $($rest:tt)* }) => {
        impl $type {
            #[doc = concat!("The same with this [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, $field: $value) -> Self {
                self.$field = $field;
                self
            }
        }
        $crate::error::setters!($type { $($rest)* });
    };
}

pub(crate) use {named, setters};
