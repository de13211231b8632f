//! The sentence of every situation, and that looking at real tables gives these situations.

use super::*;
use shadow::{
    FaultAction,
    testing::{AF, BLOCK, GuestTables, K4, PAGE, ShadowPool, WRITE, World, touch},
};
use std::{
    string::{String, ToString},
    vec::Vec,
};
use vmsa::{
    stage2::{Stage2Attrs, Stage2Desc},
    testing::LIMITS,
};

const IPA: u64 = 0x4000_5000;
const L1_IPA: u64 = 0x8000_5000;
const READ_ONLY: Perms = Perms {
    write: false,
    exec_el1: false,
    exec_el0: false,
    ..Perms::ALL
};

fn attrs(perms: Perms) -> Stage2Attrs {
    Stage2Attrs {
        perms,
        ..Stage2Attrs::RAM
    }
}

/// A page that leads to `output`.
fn page<O>(output: u64, perms: Perms) -> Mapping<O> {
    let raw = Stage2Desc::leaf(Level::THREE, Pa::new(output), &attrs(perms), 3).raw();
    Mapping {
        output: vmsa::Addr::new(output),
        level: Level::THREE,
        size: 0x1000,
        attrs: attrs(perms),
        desc_at: vmsa::Addr::new(0x5000),
        raw,
    }
}

fn maps(perms: Perms) -> GuestStage {
    GuestStage::Maps {
        mapping: page(L1_IPA, perms),
        hardware_af: false,
    }
}

fn without_af(hardware_af: bool) -> GuestStage {
    let mut mapping = page(L1_IPA, Perms::ALL);
    mapping.attrs.af = false;
    GuestStage::Maps { mapping, hardware_af }
}

fn lacks(place: Place) -> Option<HostStage> {
    let fault = Fault::Translation(Level::ONE);
    Some(HostStage::Lacks { fault, place })
}

fn host() -> Option<HostStage> {
    Some(HostStage::Maps(page(L1_IPA, Perms::ALL)))
}

const EMPTY: Result<Mapping<Phys>, Fault> = Err(Fault::Translation(Level::TWO));

fn sentence(
    guest: GuestStage,
    host: Option<HostStage>,
    shadow: Result<Mapping<Phys>, Fault>,
    access: Option<Access>,
) -> String {
    let situation = Situation {
        ipa: Ipa::new(IPA),
        guest,
        host,
        shadow,
    };
    Sentence {
        situation: &situation,
        access,
    }
    .to_string()
}

/// Name, guest, host, shadow, sentence.
type Row = (
    &'static str,
    GuestStage,
    Option<HostStage>,
    Result<Mapping<Phys>, Fault>,
    &'static str,
);

#[test]
fn each_situation_has_its_sentence() {
    let table: [Row; 15] = [
        (
            "unmapped in the guest",
            GuestStage::Faults(Fault::Translation(Level::TWO)),
            None,
            EMPTY,
            "L1 does not map IPA 0x40005000 at level 2; the shadow has nothing there either; \
             any access faults to L1 (translation fault, level 2).",
        ),
        (
            "read-only in the guest",
            maps(READ_ONLY),
            host(),
            Ok(page(L1_IPA, READ_ONLY)),
            "L1 maps IPA 0x40005000 read-only at level 3 to 0x80005000; the shadow follows; \
             a write or a fetch faults to L1 (permission fault, level 3).",
        ),
        (
            "Access flag clear",
            without_af(false),
            host(),
            EMPTY,
            "L1 maps IPA 0x40005000 with all permissions at level 3 to 0x80005000 with the Access flag clear; \
             the shadow has nothing there either; any access faults to L1 (access flag fault, level 3).",
        ),
        (
            "Access flag clear, hardware sets it",
            without_af(true),
            host(),
            EMPTY,
            "L1 maps IPA 0x40005000 with all permissions at level 3 to 0x80005000 with the Access flag clear, \
             which is set on the next access; the shadow has nothing there yet and is filled on demand; \
             every access reaches PA 0x80005000.",
        ),
        (
            "output not in the host",
            maps(Perms::ALL),
            lacks(Place::Nothing),
            EMPTY,
            "L1 maps IPA 0x40005000 with all permissions at level 3 to 0x80005000, where there is no memory; \
             the shadow has nothing there either; any access takes an external abort.",
        ),
        (
            "output in gnomon's memory",
            maps(Perms::ALL),
            lacks(Place::Hypervisor),
            EMPTY,
            "L1 maps IPA 0x40005000 with all permissions at level 3 to 0x80005000, where there is gnomon's own memory; \
             the shadow has nothing there either; any access takes an external abort.",
        ),
        (
            "an emulated device",
            maps(Perms::READ_WRITE),
            lacks(Place::Device),
            EMPTY,
            "L1 maps IPA 0x40005000 read-write at level 3 to 0x80005000, where there is the emulated interrupt \
             controller; the shadow has nothing there either; a read or a write is emulated by gnomon, \
             a fetch faults to L1 (permission fault, level 3).",
        ),
        (
            "shadow empty but would fill",
            maps(Perms::ALL),
            host(),
            EMPTY,
            "L1 maps IPA 0x40005000 with all permissions at level 3 to 0x80005000; \
             the shadow has nothing there yet and is filled on demand; every access reaches PA 0x80005000.",
        ),
        (
            "shadow narrower",
            maps(Perms::ALL),
            host(),
            Ok(page(L1_IPA, READ_ONLY)),
            "L1 maps IPA 0x40005000 with all permissions at level 3 to 0x80005000; \
             the shadow has it read-only so far and is widened on demand; every access reaches PA 0x80005000.",
        ),
        (
            "shadow wider than the guest",
            maps(READ_ONLY),
            host(),
            Ok(page(L1_IPA, Perms::ALL)),
            "L1 maps IPA 0x40005000 read-only at level 3 to 0x80005000; \
             the shadow has it with all permissions, wider than that, which is a bug unless L1 has yet to invalidate it; \
             what the shadow allows still reaches PA 0x80005000.",
        ),
        (
            "shadow stale",
            GuestStage::Faults(Fault::Translation(Level::THREE)),
            None,
            Ok(page(0x9000_0000, Perms::ALL)),
            "L1 does not map IPA 0x40005000 at level 3; \
             the shadow still has it with all permissions, which is a bug unless L1 has yet to invalidate it; \
             what the shadow allows still reaches PA 0x90000000.",
        ),
        (
            "shadow of what the host lacks",
            maps(Perms::ALL),
            lacks(Place::Hypervisor),
            Ok(page(L1_IPA, Perms::ALL)),
            "L1 maps IPA 0x40005000 with all permissions at level 3 to 0x80005000, where there is gnomon's own memory; \
             the shadow has it with all permissions although the host does not, which is a bug; \
             what the shadow allows still reaches PA 0x80005000.",
        ),
        (
            "start level does not fit T0SZ",
            GuestStage::Unwalkable(Unwalkable::StartLevelMismatch {
                start_level: Level::ONE,
                ipa_bits: 44,
            }),
            None,
            EMPTY,
            "L1's VTCR_EL2 and VTTBR_EL2 cannot be walked: a start at level 1 (SL0) does not fit 44-bit IPAs (T0SZ); \
             the shadow has nothing there either; any access faults to L1 (translation fault, level 0).",
        ),
        (
            "unreadable table",
            GuestStage::Unreadable {
                fault: Fault::ExternalAbortOnWalk(Level::TWO),
                table: Ipa::new(0x7f00_0000),
                place: Place::Hypervisor,
            },
            None,
            EMPTY,
            "L1's table of level 2 for IPA 0x40005000 is at 0x7f000000, where there is gnomon's own memory; \
             the shadow has nothing there either; any access faults to L1 (external abort on walk, level 2).",
        ),
        (
            "stage 2 off",
            GuestStage::Off,
            Some(HostStage::Maps(page(IPA, Perms::ALL))),
            EMPTY,
            "L1 has stage 2 off, so that IPA 0x40005000 is L1's own 0x40005000; \
             the shadow has nothing there yet and is filled on demand; every access reaches PA 0x40005000.",
        ),
    ];
    for (row, guest, host, shadow, expected) in table {
        assert_eq!(sentence(guest, host, shadow, None), expected, "{row}");
    }
}

#[test]
fn one_access_has_one_end() {
    let read_only = |access| sentence(maps(READ_ONLY), host(), Ok(page(L1_IPA, READ_ONLY)), Some(access));
    assert!(read_only(Access::Read).ends_with("; a read reaches PA 0x80005000."));
    assert!(read_only(Access::Write).ends_with("; a write faults to L1 (permission fault, level 3)."));
    let fetch = Access::Execute { el0: true };
    assert!(read_only(fetch).ends_with("; a fetch at EL0 faults to L1 (permission fault, level 3)."));
    let wider = sentence(
        maps(READ_ONLY),
        host(),
        Ok(page(L1_IPA, Perms::ALL)),
        Some(Access::Write),
    );
    assert!(wider.ends_with("; a write still reaches PA 0x80005000."));
}

#[test]
fn addresses_beyond_the_input_or_the_output_size_are_told_apart() {
    let beyond = sentence(GuestStage::Beyond { ipa_bits: 40 }, None, EMPTY, None);
    assert!(beyond.starts_with("IPA 0x40005000 is beyond L1's 40-bit IPA size; "));
    let fault = GuestStage::Faults(Fault::AddressSize(Level::TWO));
    let start = "L1's descriptor of level 2 for IPA 0x40005000 points beyond its output size; ";
    assert!(sentence(fault, None, EMPTY, None).starts_with(start));
}

#[test]
fn the_host_alone_has_a_sentence_of_its_own() {
    let l1 = Ipa::new(L1_IPA);
    let of = |host: Option<HostStage>, access| {
        let host = host.unwrap();
        HostSentence { l1, host, access }.to_string()
    };
    let expected = "gnomon maps L1's 0x80005000 with all permissions at level 3; every access reaches PA 0x80005000.";
    assert_eq!(of(host(), None), expected);
    let expected = "gnomon maps nothing at L1's 0x80005000, where there is the emulated interrupt controller; \
                    a read or a write is emulated by gnomon, a fetch takes an external abort.";
    assert_eq!(of(lacks(Place::Device), None), expected);
    let expected = "gnomon maps nothing at L1's 0x80005000, where there is no memory; a write takes an external abort.";
    assert_eq!(of(lacks(Place::Nothing), Some(Access::Write)), expected);
}

/// A guest with a page, and what is seen of it.
struct Case {
    world: World,
    tables: GuestTables,
    pool: ShadowPool<1>,
}

impl Case {
    fn new(bits: u64) -> Self {
        let mut world = World::with_ram(100);
        let mut tables = GuestTables::new(K4, 1, 0x1000_0000, &mut world);
        tables.map(IPA, 0x8000_0000, Level::THREE, bits, &mut world);
        Self {
            world,
            tables,
            pool: ShadowPool::new(),
        }
    }

    fn look(&mut self, ipa: u64) -> (Situation, Vec<&'static str>) {
        let slot = self.pool.acquire(self.tables.key(), &mut self.world).unwrap().0;
        let all = self.pool.all();
        let shadow = all.get(slot).unwrap();
        let tables = Tables {
            l1: &self.world.l1,
            shadow: &self.world.arena,
            host: self.world.host_tables(),
            host_config: self.world.host.config(),
        };
        let mut seen = Vec::new();
        let place = |_| Place::Nothing;
        let situation = look(
            &NestedStage2::of(shadow, LIMITS),
            Ipa::new(ipa),
            &tables,
            &place,
            &mut |observed| {
                seen.push(match observed {
                    Observed::Guest(..) => "guest",
                    Observed::Host(..) => "host",
                    Observed::Shadow(..) => "shadow",
                });
            },
        );
        (situation, seen)
    }

    fn touch(&mut self) {
        let slot = self.pool.acquire(self.tables.key(), &mut self.world).unwrap().0;
        touch(&self.pool, slot, IPA, Access::Read, &mut self.world);
    }
}

#[test]
fn looking_changes_nothing_and_reads_a_bounded_number_of_descriptors() {
    let mut case = Case::new(BLOCK);
    let (before, seen) = case.look(IPA);
    assert_eq!(before.shadow_state(), ShadowState::Empty);
    assert_eq!(seen.iter().filter(|&&stage| stage == "guest").count(), 4);
    assert!(seen.len() <= 15 && seen.contains(&"host") && seen.contains(&"shadow"));
    assert_eq!(case.look(IPA).0, before);
}

#[test]
fn the_situation_is_that_of_the_next_fault() {
    let mut case = Case::new(BLOCK & !WRITE);
    case.touch();
    let (situation, _) = case.look(IPA);
    assert_eq!(situation.shadow_state(), ShadowState::Follows);
    assert_eq!(situation.outcome(Access::Read), Outcome::Reaches(Pa::new(0x8000_0000)));
    let fault = Fault::Permission(Level::THREE);
    assert_eq!(situation.outcome(Access::Write), Outcome::FaultsToL1(fault));
    let mut case = Case::new(BLOCK & !AF);
    let fault = Fault::AccessFlag(Level::THREE);
    assert_eq!(case.look(IPA).0.outcome(Access::Read), Outcome::FaultsToL1(fault));
    let hole = case.look(IPA + 0x1000).0;
    assert_eq!(hole.guest, GuestStage::Faults(Fault::Translation(Level::THREE)));
}

#[test]
fn what_is_said_is_what_the_fault_handler_does() {
    const READ: u64 = 1 << 6;
    const ACCESSES: [Access; 4] = [
        Access::Read,
        Access::Write,
        Access::Execute { el0: false },
        Access::Execute { el0: true },
    ];
    let kinds = [0, READ, WRITE, READ | WRITE, AF, 1];
    for (clear, xn, output, hardware_af) in kinds.into_iter().flat_map(|clear| {
        let outputs = [L1_IPA & !0xfff, 0x80_0900_0000];
        (0..4u64)
            .flat_map(move |xn| outputs.map(|output| [(clear, xn, output, false), (clear, xn, output, true)]))
            .flatten()
    }) {
        for access in ACCESSES {
            let mut case = Case::new(0);
            case.tables.vtcr_bits = u64::from(hardware_af) << 21;
            let entry = case.tables.entry(IPA, Level::THREE, &mut case.world);
            case.world.l1.set(entry, output | (PAGE | xn << 53) & !clear);
            let (situation, _) = case.look(IPA);
            let slot = case.pool.acquire(case.tables.key(), &mut case.world).unwrap().0;
            let action = touch(&case.pool, slot, IPA, access, &mut case.world);
            let row = std::format!("clear {clear:#x}, XN {xn}, {output:#x}, HA {hardware_af}, {access:?}");
            match situation.outcome(access) {
                Outcome::Reaches(pa) => {
                    assert_eq!(action, FaultAction::Retry, "{row}");
                    let leaf = case.world.shadow_of(&case.pool, slot, IPA).unwrap();
                    assert_eq!(leaf.output, pa, "{row}");
                    assert!(access.is_allowed(leaf.attrs.perms), "{row}");
                }
                Outcome::FaultsToL1(fault) => assert_eq!(action, FaultAction::Inject(fault), "{row}"),
                Outcome::Emulated | Outcome::ExternalAbort => {
                    assert_eq!(action, FaultAction::NotMemory { l1: Ipa::new(output) }, "{row}");
                }
            }
        }
    }
}

#[test]
fn what_l1_took_back_without_a_tlbi_is_stale() {
    let mut case = Case::new(BLOCK);
    case.touch();
    let entry = case.tables.entry(IPA, Level::THREE, &mut case.world);
    case.world.l1.set(entry, 0);
    let offence = Offence::NotInGuest(Fault::Translation(Level::THREE));
    assert_eq!(case.look(IPA).0.shadow_state(), ShadowState::Stale(offence));
}

#[test]
fn a_table_where_l1_has_no_memory_is_named() {
    let mut case = Case::new(BLOCK);
    let entry = case.tables.entry(IPA, Level::ONE, &mut case.world);
    case.world.l1.set(entry, 0x66_6000_0000 | 3);
    let unreadable = GuestStage::Unreadable {
        fault: Fault::ExternalAbortOnWalk(Level::TWO),
        table: Ipa::new(0x66_6000_0000),
        place: Place::Nothing,
    };
    assert_eq!(case.look(IPA).0.guest, unreadable);
}
