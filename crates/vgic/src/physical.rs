//! What the virtual GIC asks of the physical one.

/// Effects on the machine's GIC, and the one question it is asked.
///
/// The firmware implements it over the physical distributor and redistributors; tests implement it
/// over a model. Physical SPIs have the number L1 knows them by; a physical PPI may differ from the
/// virtual one (timers change places with the context), so PPIs are named by their physical number
/// and a CPU. For an SPI the `cpu` argument says nothing.
///
/// Calls are made only for changes. The firmware starts with every SPI of L1 disabled,
/// level-sensitive and routed to the CPU whose affinity is 0.
pub trait PhysicalGic {
    /// Enables or disables SPI `pintid` (`GICD_ISENABLER`, `GICD_ICENABLER`).
    fn set_enabled(&mut self, pintid: u32, enabled: bool);

    /// Makes SPI `pintid` edge-triggered or level-sensitive (`GICD_ICFGR`).
    fn set_edge(&mut self, pintid: u32, edge: bool);

    /// Routes SPI `pintid` to CPU number `cpu` (`GICD_IROUTER`).
    fn set_route(&mut self, pintid: u32, cpu: usize);

    /// Sets or clears the active state of an SPI, or of a PPI of CPU `cpu` (`ISACTIVER`,
    /// `ICACTIVER`; `ICC_DIR_EL1` will do to clear it on the calling CPU).
    fn set_active(&mut self, cpu: usize, pintid: u32, active: bool);

    /// Sets or clears the pending latch of SPI `pintid` (`GICD_ISPENDR`, `GICD_ICPENDR`).
    fn set_pending(&mut self, pintid: u32, pending: bool);

    /// Whether an SPI, or a PPI of CPU `cpu`, is pending (`ISPENDR`). For a level-sensitive
    /// interrupt that is the level of its line, also while the interrupt is active.
    fn is_pending(&self, cpu: usize, pintid: u32) -> bool;

    /// Asks vCPU `cpu` to look at its interrupts again before it next runs L1: to leave the guest
    /// if it is in it. For the calling CPU this may do nothing, if it always checks
    /// [`Vgic::needs_load`](crate::Vgic::needs_load) on its way back.
    fn kick(&mut self, cpu: usize);
}
