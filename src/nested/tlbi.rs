//! TLBI at virtual EL2.
//!
//! What names EL2 invalidates L1's own stage 1, which physically is the EL1&0 regime under the host VMID. What names EL1
//! does so too while L1 is a host (`{E2H,TGE}` = `{1,1}`); otherwise it means L1's guest, that is every shadow whose guest
//! VMID is the one in L1's `VTTBR_EL2`. What names stage 2 removes entries from those shadows.
//!
//! Local forms are done for all CPUs: a guest cannot tell. An `nXS` form need not wait for accesses with the XS attribute;
//! it is done as the form that does.

use ::trace::Event;
use shadow::{IpaOperand, Origin, RangeOperand, Reach, Tlbi, vmid_of};
use syndrome::{SysReg, exception, regs::vtcr_el2, vncr};

use crate::{
    arch::{barrier, tlbi},
    nested::{l2_page, timer},
    shadow_mmu, trace,
    vcpu::VCpu,
};

/// A stage-1 invalidation of the EL1&0 regime.
type Stage1 = fn(u64);

/// Executes `instruction` with operand `operand` for L1. Says whether it is a TLBI that L1 has.
pub fn execute(vcpu: &mut VCpu, instruction: SysReg, operand: u64) -> bool {
    if !instruction.is_tlbi() {
        return false;
    }
    let instruction = instruction.with_xs();
    trace::record(vcpu.cpu, || Event::Tlbi {
        reg: instruction,
        operand,
        vmid: guest_vmid(vcpu),
    });
    if let Some(maintenance) = stage1_of_el2(instruction) {
        stage1_of_l1(instruction, maintenance, operand);
        return true;
    }
    if let Some(maintenance) = stage1_of_el1(instruction) {
        stage1(vcpu, instruction, maintenance, operand);
        return true;
    }
    stage2(vcpu, instruction, operand)
}

/// L1's own regime: the hardware's TLB, and what is made in software of L1's tables.
#[inline(always)]
fn stage1_of_l1(instruction: SysReg, maintenance: Stage1, operand: u64) {
    maintenance(operand);
    barrier::dsb_ish();
    l2_page::invalidate(instruction, operand);
}

fn vmalle1(_operand: u64) {
    tlbi::vmalle1is();
}

/// EL2's own regime. With `E2H` = 1 its entries have ASIDs, as EL1&0's do.
fn stage1_of_el2(instruction: SysReg) -> Option<Stage1> {
    Some(match instruction {
        SysReg::TLBI_ALLE2 | SysReg::TLBI_ALLE2IS | SysReg::TLBI_ALLE2OS => vmalle1,
        SysReg::TLBI_VAE2 | SysReg::TLBI_VAE2IS | SysReg::TLBI_VAE2OS => tlbi::vae1is,
        SysReg::TLBI_VALE2 | SysReg::TLBI_VALE2IS | SysReg::TLBI_VALE2OS => tlbi::vale1is,
        SysReg::TLBI_RVAE2 | SysReg::TLBI_RVAE2IS | SysReg::TLBI_RVAE2OS => tlbi::range_vae1is,
        SysReg::TLBI_RVALE2 | SysReg::TLBI_RVALE2IS | SysReg::TLBI_RVALE2OS => tlbi::range_vale1is,
        _ => return None,
    })
}

fn stage1_of_el1(instruction: SysReg) -> Option<Stage1> {
    Some(match instruction {
        SysReg::TLBI_VMALLE1 | SysReg::TLBI_VMALLE1IS | SysReg::TLBI_VMALLE1OS => vmalle1,
        SysReg::TLBI_VAE1 | SysReg::TLBI_VAE1IS | SysReg::TLBI_VAE1OS => tlbi::vae1is,
        SysReg::TLBI_ASIDE1 | SysReg::TLBI_ASIDE1IS | SysReg::TLBI_ASIDE1OS => tlbi::aside1is,
        SysReg::TLBI_VAAE1 | SysReg::TLBI_VAAE1IS | SysReg::TLBI_VAAE1OS => tlbi::vaae1is,
        SysReg::TLBI_VALE1 | SysReg::TLBI_VALE1IS | SysReg::TLBI_VALE1OS => tlbi::vale1is,
        SysReg::TLBI_VAALE1 | SysReg::TLBI_VAALE1IS | SysReg::TLBI_VAALE1OS => tlbi::vaale1is,
        SysReg::TLBI_RVAE1 | SysReg::TLBI_RVAE1IS | SysReg::TLBI_RVAE1OS => tlbi::range_vae1is,
        SysReg::TLBI_RVAAE1 | SysReg::TLBI_RVAAE1IS | SysReg::TLBI_RVAAE1OS => tlbi::range_vaae1is,
        SysReg::TLBI_RVALE1 | SysReg::TLBI_RVALE1IS | SysReg::TLBI_RVALE1OS => tlbi::range_vale1is,
        SysReg::TLBI_RVAALE1 | SysReg::TLBI_RVAALE1IS | SysReg::TLBI_RVAALE1OS => tlbi::range_vaale1is,
        _ => return None,
    })
}

#[inline(never)]
fn stage1(vcpu: &VCpu, instruction: SysReg, maintenance: Stage1, operand: u64) {
    if exception::is_host(vcpu.vncr.get(vncr::HCR_EL2), vcpu.vm.is_e2h0) {
        stage1_of_l1(instruction, maintenance, operand);
        return;
    }
    // The unit of a range's address depends on TCR_EL1.DS, and it is L1's own that the hardware has.
    let maintenance = if vcpu.vm.offer.lpa2 && instruction.is_range_of_stage1() {
        vmalle1
    } else {
        maintenance
    };
    let vmid = guest_vmid(vcpu);
    let shadows = &vcpu.vm.mmu.shadows;
    let event = shadows.begin_tlbi();
    let stats = shadows.for_each_vttbr(vmid, |vttbr| shadow_mmu::under(vttbr, || maintenance(operand)));
    shadows.note_tlbi_in_few_bytes(&Tlbi {
        event,
        origin: origin(vcpu, instruction, operand),
        vmid: Some(vmid),
        is_stage2: false,
        stats,
    });
}

/// What the console is to know of the instruction.
fn origin(vcpu: &VCpu, instruction: SysReg, operand: u64) -> Origin {
    Origin {
        time: timer::now(),
        // There are not as many.
        cpu: vcpu.cpu as u16,
        instruction: instruction.bits(),
        operand,
    }
}

/// The VMID that L1's TLBIs act on.
fn guest_vmid(vcpu: &VCpu) -> u16 {
    vmid_of(vcpu.vncr.get(vncr::VTTBR_EL2), vcpu.vncr.get(vncr::VTCR_EL2))
}

#[inline(never)]
fn stage2(vcpu: &VCpu, instruction: SysReg, operand: u64) -> bool {
    let vmid = guest_vmid(vcpu);
    let (vmid, reach) = match instruction {
        SysReg::TLBI_IPAS2E1
        | SysReg::TLBI_IPAS2E1IS
        | SysReg::TLBI_IPAS2E1OS
        | SysReg::TLBI_IPAS2LE1
        | SysReg::TLBI_IPAS2LE1IS
        | SysReg::TLBI_IPAS2LE1OS => {
            let operand = IpaOperand::decode(operand);
            (Some(vmid), Reach::Leaf(operand.ipa, operand.ttl))
        }
        SysReg::TLBI_RIPAS2E1
        | SysReg::TLBI_RIPAS2E1IS
        | SysReg::TLBI_RIPAS2E1OS
        | SysReg::TLBI_RIPAS2LE1
        | SysReg::TLBI_RIPAS2LE1IS
        | SysReg::TLBI_RIPAS2LE1OS => {
            let has_ds = vcpu.vm.offer.lpa2 && vcpu.vncr.get(vncr::VTCR_EL2) & vtcr_el2::DS != 0;
            (Some(vmid), Reach::Range(RangeOperand::decode(operand, has_ds).range()))
        }
        SysReg::TLBI_VMALLS12E1 | SysReg::TLBI_VMALLS12E1IS | SysReg::TLBI_VMALLS12E1OS => {
            (Some(vmid), Reach::Everything)
        }
        SysReg::TLBI_ALLE1 | SysReg::TLBI_ALLE1IS | SysReg::TLBI_ALLE1OS => (None, Reach::Everything),
        _ => return false,
    };
    let mmu = &vcpu.vm.mmu;
    let event = mmu.shadows.begin_tlbi();
    let stats = mmu.shadows.invalidate(vmid, &reach, &mut mmu.env());
    mmu.shadows.note_tlbi(&Tlbi {
        event,
        origin: origin(vcpu, instruction, operand),
        vmid,
        is_stage2: true,
        stats,
    });
    true
}
