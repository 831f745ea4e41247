//! Values that statements bind.

use std::borrow::Cow;

/// A value of a type that every database has; `None` is null of that type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Value<'q> {
    /// Numbers and instants.
    Int(Option<i64>),
    /// 0 and 1 where there are no booleans.
    Bool(Option<bool>),
    /// UTF-8.
    Text(Option<Cow<'q, str>>),
    /// Anything.
    Bytes(Option<Cow<'q, [u8]>>),
}

/// `From` for the type and for an `Option` of it.
macro_rules! from {
    ($($type:ty, $value:ident => $variant:ident($made:expr);)*) => {$(
        impl<'q> From<$type> for Value<'q> {
            fn from($value: $type) -> Self {
                Self::$variant(Some($made))
            }
        }

        impl<'q> From<Option<$type>> for Value<'q> {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(|$value| $made))
            }
        }
    )*};
}

from! {
    i64, value => Int(value);
    u32, value => Int(i64::from(value));
    u16, value => Int(i64::from(value));
    bool, value => Bool(value);
    &'q str, value => Text(Cow::Borrowed(value));
    &'q String, value => Text(Cow::Borrowed(value.as_str()));
    String, value => Text(Cow::Owned(value));
    &'q [u8], value => Bytes(Cow::Borrowed(value));
    &'q Vec<u8>, value => Bytes(Cow::Borrowed(value.as_slice()));
}
