//! Which of L1's controls trap which encodings.
//!
//! One row a block of encodings, ascending, disjoint; a block whose bounds are
//! not registers is a whole piece of the space. Sources: DDI 0487, the
//! descriptions of the controls in `HCR_EL2`, `MDCR_EL2`, `CPTR_EL2` and
//! `CNTHCTL_EL2`; IHI 0069 for `ICH_HCR_EL2`.

use super::{Access, Control, Row, Source};
use crate::{
    SysReg,
    regs::{cnthctl_el2, cpacr, hcr_el2, ich_hcr_el2, mdcr_el2},
};

/// A control that traps reads and writes when set.
const fn set(source: Source, mask: u64) -> Control {
    Control {
        source,
        mask,
        traps_when_set: true,
        access: Access::Any,
    }
}

/// A control that traps reads and writes when clear.
const fn clear(source: Source, mask: u64) -> Control {
    Control {
        source,
        mask,
        traps_when_set: false,
        access: Access::Any,
    }
}

/// A bit of `HCR_EL2` that traps one direction when set.
const fn hcr_on(access: Access, mask: u64) -> Control {
    Control {
        source: Source::Hcr,
        mask,
        traps_when_set: true,
        access,
    }
}

/// The virtual memory control registers of EL1.
const VM: &[Control] = &[hcr_on(Access::Write, hcr_el2::TVM), hcr_on(Access::Read, hcr_el2::TRVM)];
const TACR: &[Control] = &[set(Source::Hcr, hcr_el2::TACR)];
const TID1: &[Control] = &[hcr_on(Access::Read, hcr_el2::TID1)];
const TID2: &[Control] = &[set(Source::Hcr, hcr_el2::TID2)];
const TID3: &[Control] = &[hcr_on(Access::Read, hcr_el2::TID3)];
/// The cache ID registers.
const TID2_TID4: &[Control] = &[set(Source::Hcr, hcr_el2::TID2 | hcr_el2::TID4)];
const TSW: &[Control] = &[set(Source::Hcr, hcr_el2::TSW)];
const TPCP: &[Control] = &[set(Source::Hcr, hcr_el2::TPCP)];
const TPU_TICAB: &[Control] = &[set(Source::Hcr, hcr_el2::TPU | hcr_el2::TICAB)];
const TPU_TOCU: &[Control] = &[set(Source::Hcr, hcr_el2::TPU | hcr_el2::TOCU)];
const TDZ: &[Control] = &[set(Source::Hcr, hcr_el2::TDZ)];
const TTLB: &[Control] = &[set(Source::Hcr, hcr_el2::TTLB)];
const TTLB_TTLBIS: &[Control] = &[set(Source::Hcr, hcr_el2::TTLB | hcr_el2::TTLBIS)];
const TTLB_TTLBOS: &[Control] = &[set(Source::Hcr, hcr_el2::TTLB | hcr_el2::TTLBOS)];
const TLOR: &[Control] = &[set(Source::Hcr, hcr_el2::TLOR)];
const TERR: &[Control] = &[set(Source::Hcr, hcr_el2::TERR)];
const APK: &[Control] = &[clear(Source::Hcr, hcr_el2::APK)];
const ENSCXT: &[Control] = &[clear(Source::Hcr, hcr_el2::EnSCXT)];

const TDA: &[Control] = &[set(Source::Mdcr, mdcr_el2::TDE | mdcr_el2::TDA)];
const TDA_TDCC: &[Control] = &[set(Source::Mdcr, mdcr_el2::TDE | mdcr_el2::TDA | mdcr_el2::TDCC)];
const TDRA: &[Control] = &[set(Source::Mdcr, mdcr_el2::TDE | mdcr_el2::TDRA)];
const TDOSA: &[Control] = &[set(Source::Mdcr, mdcr_el2::TDE | mdcr_el2::TDOSA)];
const TPM: &[Control] = &[set(Source::Mdcr, mdcr_el2::TPM)];
const TPM_TPMCR: &[Control] = &[set(Source::Mdcr, mdcr_el2::TPM | mdcr_el2::TPMCR)];
const TPMS: &[Control] = &[set(Source::Mdcr, mdcr_el2::TPMS)];
const TTRF: &[Control] = &[set(Source::Mdcr, mdcr_el2::TTRF)];

const TCPAC: &[Control] = &[set(Source::Cptr, cpacr::TCPAC)];
const TTA: &[Control] = &[set(Source::Cptr, cpacr::TTA)];
const TAM: &[Control] = &[set(Source::Cptr, cpacr::TAM)];

const EL1PCTEN: &[Control] = &[clear(Source::Cnthctl, cnthctl_el2::EL1PCTEN)];
const EL1PTEN: &[Control] = &[clear(Source::Cnthctl, cnthctl_el2::EL1PTEN)];
const EL1TVT: &[Control] = &[set(Source::Cnthctl, cnthctl_el2::EL1TVT)];
const EL1TVCT: &[Control] = &[set(Source::Cnthctl, cnthctl_el2::EL1TVCT)];

const TC: &[Control] = &[set(Source::IchHcr, ich_hcr_el2::TC)];
const TC_TDIR: &[Control] = &[set(Source::IchHcr, ich_hcr_el2::TC | ich_hcr_el2::TDIR)];
const TALL0: &[Control] = &[set(Source::IchHcr, ich_hcr_el2::TALL0)];
const TALL1: &[Control] = &[set(Source::IchHcr, ich_hcr_el2::TALL1)];
/// Generation of software interrupts: a virtual CPU interface cannot do it.
const SGI: &[Control] = &[
    hcr_on(Access::Write, hcr_el2::IMO | hcr_el2::FMO),
    Control {
        source: Source::IchHcr,
        mask: ich_hcr_el2::TC,
        traps_when_set: true,
        access: Access::Write,
    },
];

/// A row for one register.
const fn one(reg: SysReg, controls: &'static [Control]) -> Row {
    Row {
        first: reg,
        last: reg,
        controls,
    }
}

/// A row for a block, both ends included.
const fn block(first: SysReg, last: SysReg, controls: &'static [Control]) -> Row {
    Row { first, last, controls }
}

/// All `TLBI` encodings of EL1 with this `CRn` and `CRm`.
const fn tlbi(crn: u8, crm: u8, controls: &'static [Control]) -> Row {
    block(SysReg::new(1, 0, crn, crm, 0), SysReg::new(1, 0, crn, crm, 7), controls)
}

/// The table, ascending by encoding.
pub(super) static ROWS: &[Row] = &[
    // Instructions of EL1.
    one(SysReg::IC_IALLUIS, TPU_TICAB),
    one(SysReg::IC_IALLU, TPU_TOCU),
    one(SysReg::DC_IVAC, TPCP),
    one(SysReg::DC_ISW, TSW),
    one(SysReg::DC_IGVAC, TPCP),
    one(SysReg::DC_IGSW, TSW),
    one(SysReg::DC_IGDVAC, TPCP),
    one(SysReg::DC_IGDSW, TSW),
    block(SysReg::DC_CSW, SysReg::DC_CGDSW, TSW),
    block(SysReg::DC_CISW, SysReg::DC_CIGDSW, TSW),
    tlbi(8, 1, TTLB_TTLBOS),
    tlbi(8, 2, TTLB_TTLBIS),
    tlbi(8, 3, TTLB_TTLBIS),
    tlbi(8, 5, TTLB_TTLBOS),
    tlbi(8, 6, TTLB),
    tlbi(8, 7, TTLB),
    tlbi(9, 1, TTLB_TTLBOS),
    tlbi(9, 2, TTLB_TTLBIS),
    tlbi(9, 3, TTLB_TTLBIS),
    tlbi(9, 5, TTLB_TTLBOS),
    tlbi(9, 6, TTLB),
    tlbi(9, 7, TTLB),
    // Instructions of EL0.
    block(SysReg::DC_ZVA, SysReg::DC_GZVA, TDZ),
    one(SysReg::IC_IVAU, TPU_TOCU),
    block(SysReg::DC_CVAC, SysReg::DC_CGDVAC, TPCP),
    one(SysReg::DC_CVAU, TPU_TOCU),
    block(SysReg::DC_CVAP, SysReg::DC_CGDVAP, TPCP),
    block(SysReg::DC_CVADP, SysReg::DC_CGDVADP, TPCP),
    block(SysReg::DC_CIVAC, SysReg::DC_CIGDVAC, TPCP),
    // Debug. Breakpoints and watchpoints are op2 4 to 7 of each `CRm`.
    one(SysReg::OSDTRRX_EL1, TDA_TDCC),
    block(SysReg::DBGBVR0_EL1, SysReg::DBGWCR1_EL1, TDA),
    one(SysReg::MDCCINT_EL1, TDA_TDCC),
    block(SysReg::MDSCR_EL1, SysReg::DBGWCR2_EL1, TDA),
    one(SysReg::OSDTRTX_EL1, TDA_TDCC),
    block(SysReg::DBGBVR3_EL1, SysReg::DBGWCR15_EL1, TDA),
    one(SysReg::MDRAR_EL1, TDRA),
    block(SysReg::OSLAR_EL1, SysReg::DBGPRCR_EL1, TDOSA),
    block(SysReg::DBGCLAIMSET_EL1, SysReg::DBGAUTHSTATUS_EL1, TDA),
    // Trace unit.
    block(SysReg::new(2, 1, 0, 0, 0), SysReg::new(2, 1, 7, 15, 7), TTA),
    block(SysReg::MDCCSR_EL0, SysReg::DBGDTRRX_EL0, TDA_TDCC),
    // EL1.
    one(SysReg::REVIDR_EL1, TID1),
    block(SysReg::new(3, 0, 0, 1, 0), SysReg::new(3, 0, 0, 7, 7), TID3),
    one(SysReg::SCTLR_EL1, VM),
    one(SysReg::ACTLR_EL1, TACR),
    one(SysReg::CPACR_EL1, TCPAC),
    one(SysReg::TRFCR_EL1, TTRF),
    block(SysReg::TTBR0_EL1, SysReg::TCR_EL1, VM),
    block(SysReg::APIAKEYLO_EL1, SysReg::APGAKEYHI_EL1, APK),
    one(SysReg::ICC_PMR_EL1, TC),
    block(SysReg::AFSR0_EL1, SysReg::AFSR1_EL1, VM),
    one(SysReg::ESR_EL1, VM),
    block(SysReg::ERRIDR_EL1, SysReg::ERXADDR_EL1, TERR),
    block(SysReg::ERXMISC0_EL1, SysReg::ERXMISC3_EL1, TERR),
    one(SysReg::FAR_EL1, VM),
    block(SysReg::PMSCR_EL1, SysReg::PMSIDR_EL1, TPMS),
    block(SysReg::PMINTENSET_EL1, SysReg::PMMIR_EL1, TPM),
    one(SysReg::MAIR_EL1, VM),
    one(SysReg::AMAIR_EL1, VM),
    block(SysReg::LORSA_EL1, SysReg::LORC_EL1, TLOR),
    one(SysReg::LORID_EL1, TLOR),
    // The GIC's CPU interface.
    block(SysReg::ICC_IAR0_EL1, SysReg::ICC_AP0R3_EL1, TALL0),
    block(SysReg::ICC_AP1R0_EL1, SysReg::ICC_NMIAR1_EL1, TALL1),
    one(SysReg::ICC_DIR_EL1, TC_TDIR),
    one(SysReg::ICC_RPR_EL1, TC),
    block(SysReg::ICC_SGI1R_EL1, SysReg::ICC_SGI0R_EL1, SGI),
    block(SysReg::ICC_IAR1_EL1, SysReg::ICC_BPR1_EL1, TALL1),
    one(SysReg::ICC_CTLR_EL1, TC),
    one(SysReg::ICC_IGRPEN0_EL1, TALL0),
    one(SysReg::ICC_IGRPEN1_EL1, TALL1),
    one(SysReg::CONTEXTIDR_EL1, VM),
    one(SysReg::SCXTNUM_EL1, ENSCXT),
    block(SysReg::CCSIDR_EL1, SysReg::CCSIDR2_EL1, TID2_TID4),
    block(SysReg::SMIDR_EL1, SysReg::AIDR_EL1, TID1),
    one(SysReg::CSSELR_EL1, TID2_TID4),
    // EL0.
    one(SysReg::CTR_EL0, TID2),
    one(SysReg::PMCR_EL0, TPM_TPMCR),
    block(SysReg::PMCNTENSET_EL0, SysReg::PMOVSSET_EL0, TPM),
    one(SysReg::SCXTNUM_EL0, ENSCXT),
    block(SysReg::AMCR_EL0, SysReg::AMEVTYPER115_EL0, TAM),
    one(SysReg::CNTPCT_EL0, EL1PCTEN),
    one(SysReg::CNTVCT_EL0, EL1TVCT),
    one(SysReg::CNTPCTSS_EL0, EL1PCTEN),
    one(SysReg::CNTVCTSS_EL0, EL1TVCT),
    block(SysReg::CNTP_TVAL_EL0, SysReg::CNTP_CVAL_EL0, EL1PTEN),
    block(SysReg::CNTV_TVAL_EL0, SysReg::CNTV_CVAL_EL0, EL1TVT),
    block(SysReg::PMEVCNTR0_EL0, SysReg::PMCCFILTR_EL0, TPM),
];
