//! What commands reach of the machine, and under which conditions.

use alloc::boxed::Box;

use hyp::{lock::MutexGuard, shadow_mmu::Mmu, vm::Vm};
use shadow::{Shadow, SlotId};
use vgic::Vgic;

use super::error::CommandError;

/// The machine, and whether it still works.
#[derive(Clone, Copy)]
pub struct System {
    /// The machine.
    pub vm: &'static Vm,
    /// Whether this is the aftermath of a panic: no lock may be waited for, and nothing runs.
    pub has_panicked: bool,
}

impl System {
    /// A machine that runs, or is stopped by `stop`.
    pub fn running(vm: &'static Vm) -> Self {
        Self {
            vm,
            has_panicked: false,
        }
    }

    /// What a panic left behind.
    pub fn after_panic(vm: &'static Vm) -> Self {
        Self { vm, has_panicked: true }
    }

    /// Host stage 2 and shadows, locked. To be given back after a bounded amount of work, before anything is sent.
    #[inline(never)]
    pub fn mmu(&self) -> Result<MutexGuard<'static, Mmu>, CommandError<'static>> {
        if self.has_panicked {
            self.vm.mmu.try_lock().ok_or(CommandError::Locked)
        } else {
            Ok(self.vm.mmu.lock())
        }
    }

    /// L1's GIC, locked. As for [`System::mmu`].
    #[inline(never)]
    pub fn vgic(&self) -> Result<MutexGuard<'static, Box<Vgic>>, CommandError<'static>> {
        if self.has_panicked {
            self.vm.vgic.try_lock().ok_or(CommandError::Locked)
        } else {
            Ok(self.vm.vgic.lock())
        }
    }

    /// What `f` says of the first shadow whose number is at least `number`, if there is one. For going over all of them
    /// without holding the lock all the time.
    pub fn shadow_from<T>(
        &self,
        number: u16,
        f: impl FnOnce(SlotId, &Shadow) -> T,
    ) -> Result<Option<T>, CommandError<'static>> {
        let mmu = self.mmu()?;
        let found = mmu.shadows.iter().find(|(slot, _)| slot.number() >= number);
        Ok(found.map(|(slot, shadow)| f(slot, shadow)))
    }
}
