//! Drivers of the devices that gnomon keeps for itself.

pub mod gicv3;
pub mod mmio;
pub mod smmu;
pub mod uart;
