//! What commands reach of the machine, and under which conditions.

use alloc::boxed::Box;

use hyp::{
    lock::{MutexGuard, Spin},
    shadow_mmu::{AllTables, Shadows},
    vm::Vm,
};
use shadow::{Held, Shadow, SlotId};
use vgic::Vgic;
use vmsa::stage2::Stage2Table;

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

    /// Host stage 2 and all shadows, locked. To be given back after a bounded amount of work, before anything is sent.
    #[inline(never)]
    pub fn mmu(&self) -> Result<AllTables, CommandError<'static>> {
        if self.has_panicked {
            return Err(CommandError::HasPanicked);
        }
        Ok(self.vm.mmu.lock())
    }

    /// Host stage 2, locked. As for [`System::mmu`].
    #[inline(never)]
    pub fn host(&self) -> Result<MutexGuard<'static, Stage2Table>, CommandError<'static>> {
        let host = &self.vm.mmu.host;
        if self.has_panicked {
            host.try_lock().ok_or(CommandError::Locked)
        } else {
            Ok(host.lock())
        }
    }

    /// One shadow, locked. As for [`System::mmu`]; who runs other guests notices nothing.
    #[inline(never)]
    pub fn slot(&self, slot: SlotId) -> Result<Held<'static, Spin>, CommandError<'static>> {
        let shadows = &self.vm.mmu.shadows;
        let held = if self.has_panicked {
            shadows.try_lock(slot)
        } else {
            shadows.lock(slot)
        };
        held.ok_or(CommandError::Locked)
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
    /// with one locked at a time.
    pub fn shadow_from<T>(
        &self,
        number: u16,
        f: impl FnOnce(SlotId, &Shadow) -> T,
    ) -> Result<Option<T>, CommandError<'static>> {
        let found = self.first_from(number)?;
        Ok(found.and_then(|(slot, held)| Some(f(slot, held.as_ref()?))))
    }

    #[inline(never)]
    fn first_from(&self, number: u16) -> Result<Option<(SlotId, Held<'static, Spin>)>, CommandError<'static>> {
        for slot in Shadows::slots().skip(number.into()) {
            let held = self.slot(slot)?;
            if held.is_some() {
                return Ok(Some((slot, held)));
            }
        }
        Ok(None)
    }
}
