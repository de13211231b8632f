//! Why a machine cannot be used.

use alloc::string::String;
use core::fmt;

/// Why a machine cannot be used; each says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineError {
    /// No flattened device tree at the address given.
    NoDeviceTree(u64),
    /// The tree breaks the rules of its format, or says what cannot be.
    Malformed(String),
    /// A node or property that must be there is not.
    Missing(&'static str),
    /// More CPUs than the image has stacks for.
    TooManyCpus {
        /// CPUs in the tree.
        count: usize,
        /// CPUs supported.
        max: usize,
    },
    /// More separate banks of RAM than the image keeps track of.
    TooManyBanks(usize),
    /// No second UART.
    NoDebugUart,
    /// The bank that holds the image is too small (bytes of it, bytes needed).
    TooLittleMemory(u64, u64),
}

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDeviceTree(at) => {
                write!(
                    f,
                    "no device tree at {at:#x}: start gnomon with QEMU's -kernel on the virt machine"
                )
            }
            Self::Malformed(why) => write!(f, "malformed device tree ({why}): let QEMU make it, without -dtb"),
            Self::Missing(what) => {
                write!(
                    f,
                    "the device tree has no {what}: start QEMU with -machine virt,virtualization=on,gic-version=3"
                )
            }
            Self::TooManyCpus { count, max } => {
                write!(f, "{count} CPUs, at most {max} are supported: lower QEMU's -smp")
            }
            Self::TooManyBanks(count) => write!(
                f,
                "{count} separate banks of RAM, at most {} are supported: give QEMU fewer memory devices",
                crate::RAM_BANKS_MAX
            ),
            Self::NoDebugUart => f.write_str(
                "no second UART for the debug console: give QEMU a second -serial option, or gnomon console=none",
            ),
            Self::TooLittleMemory(have, need) => {
                write!(
                    f,
                    "{} MiB of RAM, at least {} MiB are needed: raise QEMU's -m",
                    have >> 20,
                    need >> 20
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_message_says_what_to_do() {
        let cases = [
            (
                MachineError::NoDeviceTree(0x4000_0000),
                "no device tree at 0x40000000: start gnomon with QEMU's -kernel on the virt machine",
            ),
            (
                MachineError::Malformed("why".into()),
                "malformed device tree (why): let QEMU make it, without -dtb",
            ),
            (
                MachineError::Missing("GICv3"),
                "the device tree has no GICv3: start QEMU with -machine virt,virtualization=on,gic-version=3",
            ),
            (
                MachineError::TooManyCpus { count: 9, max: 8 },
                "9 CPUs, at most 8 are supported: lower QEMU's -smp",
            ),
            (
                MachineError::TooManyBanks(9),
                "9 separate banks of RAM, at most 8 are supported: give QEMU fewer memory devices",
            ),
            (
                MachineError::NoDebugUart,
                "no second UART for the debug console: give QEMU a second -serial option, or gnomon console=none",
            ),
            (
                MachineError::TooLittleMemory(128 << 20, 194 << 20),
                "128 MiB of RAM, at least 194 MiB are needed: raise QEMU's -m",
            ),
        ];
        for (error, message) in cases {
            assert_eq!(error.to_string(), message);
        }
    }
}
