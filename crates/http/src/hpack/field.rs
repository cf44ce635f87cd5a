//! One field of a list, as it came.

/// A name and a value. Neither is checked: they are whatever bytes the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, pseudo fields with their colon.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// It came as *never indexed*: whoever passes it on must send it so, too (RFC 7541 6.2.3).
    pub is_sensitive: bool,
}

impl Field<'_> {
    /// Bytes it counts for in a table and in a list (RFC 7541 4.1, RFC 9113 6.5.2): an overhead of
    /// 32 is part of it.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of_field(self.name, self.value)
    }
}

/// What a field of this name and value counts for, in bytes.
pub(super) fn size_of_field(name: &[u8], value: &[u8]) -> usize {
    name.len() + value.len() + 32
}
