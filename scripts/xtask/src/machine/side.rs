//! What runs below L1.

use std::fmt;

/// What is below L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// QEMU's own EL2.
    Native,
    /// gnomon.
    Gnomon,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Gnomon => "gnomon",
        })
    }
}
