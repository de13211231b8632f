//! What a [`Vgic`](crate::Vgic) is made for.

use core::fmt;

use crate::{MAX_LIST_REGISTERS, MAX_VCPUS};

/// What the machine and L1's device tree say about the GIC.
#[derive(Clone, Debug)]
pub struct VgicConfig {
    /// vCPUs, at most [`MAX_VCPUS`].
    pub cpus: usize,
    /// `MPIDR_EL1` of each vCPU as L1 reads it; only the affinity fields count.
    pub mpidr: [u64; MAX_VCPUS],
    /// SPIs: a multiple of 32, at most 992, as the physical `GICD_TYPER.ITLinesNumber` says.
    pub spi_count: u32,
    /// List registers of the machine, 1 to 16 (`ICH_VTR_EL2.ListRegs` + 1).
    pub lr_count: usize,
    /// INTID bits for `GICD_TYPER.IDbits`, 10 to 24.
    pub id_bits: u32,
}

/// Why a [`VgicConfig`] cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No vCPU, or more than [`MAX_VCPUS`].
    Cpus(usize),
    /// Not a multiple of 32, or more than 992.
    SpiCount(u32),
    /// None, or more than 16.
    ListRegisters(usize),
    /// Fewer than 10 or more than 24.
    IdBits(u32),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpus(count) => write!(f, "the GIC cannot serve {count} vCPUs (1 to {MAX_VCPUS})"),
            Self::SpiCount(count) => {
                write!(f, "{count} SPIs are not a multiple of 32 up to 992")
            }
            Self::ListRegisters(count) => write!(f, "{count} list registers are not 1 to 16"),
            Self::IdBits(bits) => write!(f, "{bits} INTID bits are not 10 to 24"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl VgicConfig {
    /// Whether a GIC like this can be.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.cpus == 0 || self.cpus > MAX_VCPUS {
            return Err(ConfigError::Cpus(self.cpus));
        }
        if !self.spi_count.is_multiple_of(32) || self.spi_count > 992 {
            return Err(ConfigError::SpiCount(self.spi_count));
        }
        if self.lr_count == 0 || self.lr_count > MAX_LIST_REGISTERS {
            return Err(ConfigError::ListRegisters(self.lr_count));
        }
        if !(10..=24).contains(&self.id_bits) {
            return Err(ConfigError::IdBits(self.id_bits));
        }
        Ok(())
    }
}
