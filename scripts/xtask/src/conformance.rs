//! What a guest hypervisor is offered, and the test that shows each piece of it: `docs/conformance.md`, from one table.
//!
//! A row names tests, or the field of an ID register by which L1 learns that it is not there. That the tests exist, that
//! the fields are denied, and that the page is that of the table are tests of their own.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};

use crate::project::Project;

/// What there is to say of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Tests that fail when it is not so: trials of `tests/system`, or tests of the crates.
    Tests(&'static [&'static str]),
    /// Not offered: a feature register, the lowest bit of the field, and the least value that would mean "there".
    Hidden(&'static str, &'static str, u8, u8),
}

use Evidence::{Hidden, Tests};

/// An area, and its pieces.
type Area = (&'static str, &'static [(&'static str, Evidence)]);

/// The table.
pub const AREAS: [Area; 10] = [
    (
        "What L1 is shown",
        &[
            (
                "VHE, by default: `HCR_EL2.E2H` is 1, and `ID_AA64MMFR4_EL1.E2H0` says so",
                Tests(&[
                    "cpu_max_is_shown_field_by_field",
                    "state_idregs_are_what_l1s_kernel_found",
                ]),
            ),
            (
                "ID registers are an allow-list, and never more than the machine",
                Tests(&[
                    "never_more_than_the_hardware",
                    "aarch32_and_unallocated_registers_read_as_zero",
                ]),
            ),
            (
                "Every encoding of a register or instruction is there, or undefined, as at the real EL2",
                Tests(&["conform_registers_are_as_the_table_says"]),
            ),
            (
                "A register of a hidden feature is undefined",
                Tests(&[
                    "a_feature_is_hidden_if_its_field_is",
                    "conform_registers_are_as_the_table_says",
                ]),
            ),
            (
                "Bits of controls that mean nothing for what is shown have no effect",
                Tests(&["no_value_of_l1_escapes"]),
            ),
            (
                "`HCR_EL2.E2H` is what it is fixed to, whatever is written there",
                Tests(&[
                    "e2h_is_what_it_is_fixed_to_whatever_l1_wrote",
                    "conform_exceptions_and_returns",
                ]),
            ),
            ("AArch32", Hidden("ID_AA64PFR0_EL1", "EL1", 4, 2)),
            ("Secure EL2", Hidden("ID_AA64PFR0_EL1", "SEL2", 36, 1)),
            ("SME", Hidden("ID_AA64PFR1_EL1", "SME", 24, 1)),
            ("MTE", Hidden("ID_AA64PFR1_EL1", "MTE", 8, 1)),
            ("Non-maskable interrupts", Hidden("ID_AA64PFR1_EL1", "NMI", 36, 1)),
            ("Activity monitors", Hidden("ID_AA64PFR0_EL1", "AMU", 44, 1)),
            ("MPAM", Hidden("ID_AA64PFR0_EL1", "MPAM", 40, 1)),
            ("Statistical profiling", Hidden("ID_AA64DFR0_EL1", "PMSVer", 32, 1)),
            ("Trace filters", Hidden("ID_AA64DFR0_EL1", "TraceFilt", 40, 1)),
            ("Branch records", Hidden("ID_AA64DFR0_EL1", "BRBE", 52, 1)),
            (
                "Fine-grained traps, with the option `fgt=1`",
                Tests(&[
                    "fine_grained_traps_are_shown_if_they_are_asked_for",
                    "l2_boots_with_fine_grained_traps",
                ]),
            ),
            (
                "Permission indirection and overlays",
                Hidden("ID_AA64MMFR3_EL1", "S1PIE", 8, 1),
            ),
        ],
    ),
    (
        "Registers of EL2",
        &[
            (
                "Those that FEAT_NV2 keeps in the VNCR page",
                Tests(&[
                    "state_regs_and_vncr_agree_on_the_page",
                    "vhe_guest_reaches_its_guest_by_alias_and_non_vhe_by_name",
                ]),
            ),
            (
                "Those in the place of an EL1 register, by trap or redirected",
                Tests(&[
                    "what_stands_in_the_place_of_an_el1_register_has_its_name",
                    "conform_registers_are_as_the_table_says",
                ]),
            ),
            (
                "Aliases of its guest's registers",
                Tests(&[
                    "aliases_are_the_el12_or_el02_names_of_their_registers",
                    "conform_registers_are_as_the_table_says",
                ]),
            ),
        ],
    ),
    (
        "Exceptions and returns",
        &[
            (
                "Vectors, syndromes and processor state of exceptions from EL2, EL1 and EL0",
                Tests(&[
                    "conform_exceptions_and_returns",
                    "vector_is_chosen_by_virtual_source_and_kind",
                ]),
            ),
            (
                "Illegal returns, mode by mode",
                Tests(&["conform_exceptions_and_returns", "every_mode_of_a_return_is_judged"]),
            ),
            (
                "`ERETAA`, `ERETAB`, and FPAC",
                Tests(&["conform_exceptions_and_returns", "what_was_not_is_not"]),
            ),
            (
                "Virtual IRQ, FIQ and SError, and what an ESB does",
                Tests(&["conform_exceptions_and_returns"]),
            ),
            ("External aborts of an L2", Tests(&["conform_exceptions_and_returns"])),
            (
                "External aborts on a walk of stage 1, of L1 itself and of an L2, with the level",
                Tests(&[
                    "conform_exceptions_and_returns",
                    "external_abort_keeps_that_it_was_a_write_or_maintenance_alone",
                ]),
            ),
            (
                "Single steps, breakpoints and watchpoints that L1 routes to itself",
                Tests(&["conform_exceptions_and_returns"]),
            ),
            (
                "HVC of L1 itself and of its guest",
                Tests(&["conform_exceptions_and_returns", "hvc_goes_to_l1_or_is_undefined"]),
            ),
        ],
    ),
    (
        "Traps of an L2",
        &[
            (
                "Each control of `HCR_EL2`, `HCRX_EL2` (memory copies), `MDCR_EL2`, `CPTR_EL2`, `CNTHCTL_EL2` and `ICH_HCR_EL2`, alone",
                Tests(&["conform_trap_forwarding"]),
            ),
            (
                "Each bit of the fine-grained traps, and `HCRX_EL2.FGTnXS`",
                Tests(&[
                    "conform_fine_grained_traps",
                    "each_bit_traps_what_belongs_together_or_nothing_that_is_there",
                ]),
            ),
            (
                "Controls of both hypervisors at once",
                Tests(&[
                    "traps_are_ored_and_enables_anded",
                    "no_value_of_l1_escapes",
                    "no_fine_trap_of_l1_is_lost_and_no_other_bit_gets_through",
                ]),
            ),
            (
                "WFI and WFE, SMC, floating point, pointer authentication",
                Tests(&["conform_trap_forwarding", "waits_are_two_controls"]),
            ),
        ],
    ),
    (
        "Stage 2",
        &[
            (
                "4, 16 and 64 KiB granules, every start level, up to 16 concatenated tables",
                Tests(&[
                    "conform_stage_2_of_every_shape",
                    "every_shape_maps_its_leaves_at_every_level_and_faults_elsewhere",
                ]),
            ),
            (
                "Sizes and start levels that contradict each other",
                Tests(&["conform_stage_2_of_every_shape", "start_level_must_fit_the_input_size"]),
            ),
            (
                "Translation, permission, Access flag and address size faults, with level, `FAR_EL2` and `HPFAR_EL2`",
                Tests(&["conform_stage_2_of_every_shape"]),
            ),
            (
                "External aborts on a table",
                Tests(&[
                    "conform_stage_2_of_every_shape",
                    "a_table_outside_memory_is_an_external_abort_on_the_walk",
                ]),
            ),
            (
                "Execution by EL1 and by EL0 apart (FEAT_XNX)",
                Tests(&["conform_stage_2_of_every_shape"]),
            ),
            (
                "The Access flag, by software and by hardware",
                Tests(&[
                    "conform_stage_2_of_every_shape",
                    "hardware_access_flag_is_set_in_l1s_descriptor",
                ]),
            ),
            ("Big-endian tables", Tests(&["big_endian_tables_are_swapped"])),
            (
                "Memory types and shareability of both stages",
                Tests(&[
                    "stricter_memory_type_wins",
                    "a_leaf_never_allows_or_relaxes_more_than_either_stage",
                ]),
            ),
            (
                "The composition is that of both stages",
                Tests(&[
                    "a_shadow_is_the_composition_of_both_stages",
                    "while_l2_is_up_the_shadow_agrees_with_guest_and_host",
                ]),
            ),
            (
                "Stage 2 off",
                Tests(&["with_stage_2_off_an_l2_address_is_an_l1_address", "conform_at"]),
            ),
            (
                "More guests than shadows",
                Tests(&["console_dumps_while_vms_come_and_go_on_8_cpus"]),
            ),
            ("Dirty state by hardware", Hidden("ID_AA64MMFR1_EL1", "HAFDBS", 0, 2)),
            ("Small tables", Hidden("ID_AA64MMFR2_EL1", "ST", 28, 1)),
            (
                "Block size changes without break-before-make",
                Hidden("ID_AA64MMFR2_EL1", "BBM", 52, 1),
            ),
            ("52-bit addresses", Hidden("ID_AA64MMFR0_EL1", "PARange", 0, 6)),
        ],
    ),
    (
        "TLBI and AT",
        &[
            (
                "Every TLBI of stage 2, local, inner and outer shareable, with and without `nXS`",
                Tests(&["conform_tlbi"]),
            ),
            (
                "Two sets of tables under one VMID",
                Tests(&["conform_tlbi", "every_shadow_with_the_vmid_is_hit_and_no_other"]),
            ),
            (
                "The size of what a TLBI by IPA covers",
                Tests(&["a_hint_tells_the_size", "without_a_hint_the_noted_level_tells_the_size"]),
            ),
            (
                "Every AT, with stage 1 and stage 2 on and off, and for a host",
                Tests(&["conform_at"]),
            ),
            (
                "The same with PAN, `EPD0`, `E0PD0`, `HPD0`, `TBI0`, `HA`, `WXN`, big-endian tables, `HCR_EL2.DC`, \
                 `APTable`, and tables that are read-only or nowhere",
                Tests(&["conform_at", "conform_without_vhe_at"]),
            ),
            ("`AT S1E1A`", Hidden("ID_AA64ISAR2_EL1", "ATS1A", 60, 1)),
        ],
    ),
    (
        "Interrupts",
        &[
            (
                "List registers: acknowledge, end, deactivate, both EOI modes, maintenance conditions",
                Tests(&[
                    "conform_virtual_cpu_interface",
                    "no_pending_does_not_count_pending_and_active_as_pending",
                ]),
            ),
            (
                "Links to physical interrupts, translated",
                Tests(&["a_link_is_translated_or_cleared", "the_end_in_the_guest_ends_it_in_l1"]),
            ),
            (
                "L1's GIC: distributor and redistributors",
                Tests(&[
                    "no_interrupt_is_lost_duplicated_or_left_active",
                    "state_vgic_has_the_interrupts_linux_enabled",
                ]),
            ),
        ],
    ),
    (
        "Timers and counters",
        &[
            (
                "Four timers, from both sides",
                Tests(&["conform_timers", "state_timers_are_due_within_sight"]),
            ),
            ("`CNTVOFF_EL2`", Tests(&["conform_timers"])),
            ("`CNTPOFF_EL2`", Hidden("ID_AA64MMFR0_EL1", "ECV", 60, 2)),
            ("SVE and the performance monitors", Tests(&["features_are_as_natively"])),
        ],
    ),
    (
        "Without VHE (`e2h=0`)",
        &[
            (
                "Registers and instructions; those that come with VHE are undefined",
                Tests(&["conform_without_vhe_registers_are_as_the_table_says"]),
            ),
            (
                "Exceptions and returns",
                Tests(&["conform_without_vhe_exceptions_and_returns"]),
            ),
            (
                "An EL0 without an EL1 (`HCR_EL2.TGE`): whatever it does, and interrupts",
                Tests(&[
                    "conform_without_vhe_exceptions_and_returns",
                    "with_tge_every_exception_is_l1s",
                    "l1_may_route_all_of_el0_to_el2_and_never_have_another_regime",
                    "el0_has_what_a_bit_says_and_nothing_that_is_no_counters",
                ]),
            ),
            (
                "Each trap control, alone",
                Tests(&["conform_without_vhe_trap_forwarding"]),
            ),
            (
                "Stage 2, TLBI and AT",
                Tests(&[
                    "conform_without_vhe_stage_2_of_every_shape",
                    "conform_without_vhe_tlbi",
                    "conform_without_vhe_at",
                ]),
            ),
            (
                "Interrupts and timers",
                Tests(&[
                    "conform_without_vhe_virtual_cpu_interface",
                    "conform_without_vhe_timers",
                ]),
            ),
        ],
    ),
    (
        "Whole systems",
        &[
            (
                "Linux with KVM as L1, an L2 with QEMU, on 1, 2 and 4 CPUs",
                Tests(&[
                    "l2_boots_on_2_cpus",
                    "l2_boots_on_1_cpu_in_1_gib",
                    "l2_boots_on_4_cpus_and_the_console_socket_shows_its_shadow",
                ]),
            ),
            (
                "L1 without VHE, and a protected one",
                Tests(&["l2_boots_when_l1_is_nvhe", "l2_boots_when_l1_is_protected"]),
            ),
            (
                "An L2 that is a hypervisor",
                Tests(&[
                    "nested_l2_says_the_same_natively",
                    "what_is_taken_from_a_nested_l2_is_taken_on_every_cpu",
                ]),
            ),
            (
                "Linux with KVM as L2 at a virtual EL2, on one CPU and on two, and a Linux as L3",
                Tests(&["l3_runs_on_an_l2_that_is_a_hypervisor", "a_linux_runs_as_l3"]),
            ),
            (
                "The same on an L1 without VHE, with and without `NV1`",
                Tests(&["nested_l2_without_vhe_says_the_same_natively"]),
            ),
            (
                "gnomon as L1, Linux with KVM as L2, and an L3",
                Tests(&["gnomon_in_gnomon_runs_linux_with_kvm_and_an_l3"]),
            ),
            (
                "The same lines with and without gnomon",
                Tests(&["native_prints_the_same_lines"]),
            ),
            (
                "Several VMs at once on four CPUs",
                Tests(&["stress_l1_goes_on_and_its_guests_read_what_they_wrote"]),
            ),
        ],
    ),
];

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Conformance\n\n\
         What a guest hypervisor is offered, and what shows it. Names that begin with `conform_`, `l2_`, `state_` and the like\n\
         are trials of `tests/system` ([testing.md](testing.md)), others are host tests of the crates. What is hidden reads as\n\
         absent in the field that is named, and its registers are undefined.\n\n\
         `cargo xtask conformance` writes this page from `scripts/xtask/src/conformance.rs`.\n",
    );
    for (area, pieces) in AREAS {
        let _ = write!(page, "\n## {area}\n\n| what | shown by |\n|---|---|\n");
        for (what, evidence) in pieces {
            let _ = writeln!(page, "| {what} | {} |", cell(evidence));
        }
    }
    page
}

fn cell(evidence: &Evidence) -> String {
    match evidence {
        Tests(names) => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Hidden(register, field, ..) => format!("hidden by `{register}.{field}`"),
    }
}

/// Writes the page.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(project: &Project) -> Result<()> {
    let path = project.root().join("docs/conformance.md");
    fs::write(&path, page()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syndrome::SysReg;
    use syndrome::idreg::{self, Offer};

    #[test]
    fn the_page_is_that_of_the_table() {
        let path = Project::new().root().join("docs/conformance.md");
        let written = fs::read_to_string(&path).expect("docs/conformance.md");
        assert!(
            written == page(),
            "docs/conformance.md is out of date: cargo xtask conformance"
        );
    }

    #[test]
    fn every_test_that_is_named_exists() {
        let tests = crate::evidence::Tests::read();
        for (_, pieces) in AREAS {
            for (what, evidence) in pieces {
                let Tests(names) = evidence else { continue };
                for name in *names {
                    assert!(tests.have(name), "{what}: {name}");
                }
            }
        }
    }

    #[test]
    fn what_is_called_hidden_is_denied() {
        for (_, pieces) in AREAS {
            for (what, evidence) in pieces {
                let Hidden(register, field, low, least) = *evidence else {
                    continue;
                };
                let reg = SysReg::from_name(register).expect("a register");
                assert_eq!(idreg::field_name(reg, low), Some(field), "{what}");
                let shown = idreg::visible(reg, u64::MAX, Offer::default()) >> low & 0xf;
                assert!(shown < u64::from(least), "{what} is shown");
            }
        }
    }
}
