use super::*;
use crate::ShadowKey;
use crate::testing::{AF, BLOCK, GuestTables, K4, PAGE, ShadowPool, WRITE, World, fault, touch};
use vmsa::testing::LIMITS;

const ROOT: u64 = 0x1000_0000;
const IPA: u64 = 0x4000_5000;

struct Case {
    world: World,
    pool: ShadowPool<2>,
    tables: GuestTables,
}

impl Case {
    fn new() -> Self {
        let mut world = World::with_ram(100);
        let tables = GuestTables::new(K4, 7, ROOT, &mut world);
        Self {
            world,
            pool: ShadowPool::new(),
            tables,
        }
    }

    /// A 4 KiB leaf for `IPA` with these bits changed.
    fn with_page(clear: u64) -> Self {
        let mut case = Self::new();
        case.tables
            .map(IPA, 0x8000_0000, Level::THREE, BLOCK & !clear, &mut case.world);
        case
    }

    fn touch(&mut self, access: Access) -> FaultAction {
        let slot = self.pool.acquire(self.tables.key(), &mut self.world).unwrap().0;
        let guest = self.tables.guest();
        self.pool
            .handle_fault(slot, &fault(IPA, access), &guest, &mut self.world)
    }

    fn shadow(&mut self) -> Option<Mapping<vmsa::Phys>> {
        let slot = self.pool.acquire(self.tables.key(), &mut self.world).unwrap().0;
        self.world.shadow_of(&self.pool, slot, IPA)
    }

    fn entry(&mut self, level: Level) -> u64 {
        self.tables.entry(IPA, level, &mut self.world)
    }
}

#[test]
fn a_mapped_page_is_filled_with_all_that_both_stages_allow() {
    let mut case = Case::with_page(0);
    assert_eq!(case.touch(Access::Read), FaultAction::Retry);
    let leaf = case.shadow().unwrap();
    assert_eq!(leaf.output, Pa::new(0x8000_0000));
    assert_eq!(leaf.attrs.perms, Perms::ALL);
    assert_eq!(Stage2Desc::from_raw(leaf.raw).tag(), 3);
}

#[test]
fn a_hole_is_a_translation_fault_for_l1_at_the_level_of_the_hole() {
    let mut case = Case::new();
    for level in [Level::ZERO, Level::ONE, Level::TWO, Level::THREE] {
        case.entry(level);
        let fault = FaultAction::Inject(Stage2Fault::Translation(level));
        assert_eq!(case.touch(Access::Read), fault);
    }
}

#[test]
fn a_forbidden_access_is_a_permission_fault_for_l1() {
    let mut case = Case::with_page(WRITE);
    let forbidden = FaultAction::Inject(Stage2Fault::Permission(Level::THREE));
    assert_eq!(case.touch(Access::Write), forbidden);
    assert_eq!(case.touch(Access::Read), FaultAction::Retry);
    assert!(!case.shadow().unwrap().attrs.perms.write);
    let entry = case.entry(Level::THREE);
    case.world.l1.set(entry, 0x8000_0000 | PAGE | 0b01 << 53);
    assert_eq!(case.touch(Access::Execute { el0: false }), forbidden);
    assert_eq!(case.touch(Access::Execute { el0: true }), FaultAction::Retry);
}

#[test]
fn a_clear_access_flag_is_a_fault_for_l1_unless_hardware_manages_it() {
    let mut case = Case::with_page(AF);
    let fault = FaultAction::Inject(Stage2Fault::AccessFlag(Level::THREE));
    assert_eq!(case.touch(Access::Read), fault);
    assert_eq!(case.shadow(), None);
}

#[test]
fn hardware_access_flag_is_set_in_l1s_descriptor() {
    for big_endian in [false, true] {
        let mut case = Case::new();
        case.tables.big_endian = big_endian;
        case.tables.vtcr_bits = 1 << 21;
        case.tables
            .map(IPA, 0x8000_0000, Level::THREE, BLOCK & !AF, &mut case.world);
        assert_eq!(case.touch(Access::Read), FaultAction::Retry);
        let entry = case.entry(Level::THREE);
        let desc = case.world.l1.get(entry).unwrap();
        let desc = if big_endian { desc.swap_bytes() } else { desc };
        assert_eq!(desc, 0x8000_0000 | PAGE);
        assert!(case.shadow().unwrap().attrs.af);
    }
}

#[test]
fn l1s_tables_are_read_as_its_registers_say_at_the_fault() {
    let mut case = Case::with_page(0);
    let start = FaultAction::Inject(Stage2Fault::Translation(Level::ZERO));
    for (big_endian, action) in [(false, FaultAction::Retry), (true, start), (false, FaultAction::Retry)] {
        case.tables.big_endian = big_endian;
        assert_eq!(case.touch(Access::Read), action);
    }
}

#[test]
fn a_descriptor_that_changes_under_the_access_flag_update_is_read_again() {
    let mut case = Case::with_page(AF);
    case.tables.vtcr_bits = 1 << 21;
    case.world.is_raced = true;
    assert_eq!(case.touch(Access::Read), FaultAction::Retry);
    assert_eq!(case.shadow(), None);
    let fault = FaultAction::Inject(Stage2Fault::Translation(Level::THREE));
    assert_eq!(case.touch(Access::Read), fault);
}

#[test]
fn a_table_outside_memory_is_an_external_abort_on_the_walk() {
    let mut case = Case::new();
    let entry = case.entry(Level::ONE);
    case.world.l1.set(entry, 0x66_6000_0000 | 3);
    let fault = FaultAction::Inject(Stage2Fault::ExternalAbortOnWalk(Level::TWO));
    assert_eq!(case.touch(Access::Read), fault);
}

#[test]
fn an_output_beyond_l1s_physical_size_is_an_address_size_fault() {
    let mut case = Case::with_page(0);
    let slot = case.pool.acquire(case.tables.key(), &mut case.world).unwrap().0;
    let entry = case.entry(Level::THREE);
    case.world.l1.set(entry, 1 << 45 | PAGE);
    let vtcr = case.tables.key().vtcr() & !(7 << 16) | 0b100 << 16;
    let key = ShadowKey::new(case.tables.key().vttbr(), vtcr, true);
    case.pool.release(slot);
    let slot = case.pool.acquire(key, &mut case.world).unwrap().0;
    let fault = FaultAction::Inject(Stage2Fault::AddressSize(Level::THREE));
    assert_eq!(touch(&case.pool, slot, IPA, Access::Read, &mut case.world), fault);
}

#[test]
fn registers_that_cannot_be_walked_are_a_fault_for_l1() {
    let mut case = Case::new();
    let key = ShadowKey::new(ROOT, case.tables.key().vtcr() | 0b11 << 6, true);
    let slot = case.pool.acquire(key, &mut case.world).unwrap().0;
    let fault = FaultAction::Inject(Stage2Fault::Translation(Level::ZERO));
    assert_eq!(touch(&case.pool, slot, IPA, Access::Read, &mut case.world), fault);
}

#[test]
fn what_the_host_does_not_map_is_no_memory() {
    let mut case = Case::new();
    case.tables
        .map(IPA, 0x80_0900_0000, Level::THREE, BLOCK, &mut case.world);
    let l1 = Ipa::new(0x80_0900_0000);
    assert_eq!(case.touch(Access::Read), FaultAction::NotMemory { l1 });
    assert_eq!(case.shadow(), None);
}

#[test]
fn what_the_host_forbids_is_no_memory_for_that_access() {
    let mut case = Case::with_page(0);
    let read_only = Stage2Attrs {
        perms: Perms {
            write: false,
            ..Perms::ALL
        },
        ..Stage2Attrs::RAM
    };
    case.world
        .map_host_leaf(0x8000_0000, 0x8000_0000, Level::THREE, &read_only);
    let l1 = Ipa::new(0x8000_0000);
    assert_eq!(case.touch(Access::Write), FaultAction::NotMemory { l1 });
    assert_eq!(case.touch(Access::Read), FaultAction::Retry);
    assert!(!case.shadow().unwrap().attrs.perms.write);
}

#[test]
fn with_stage_2_off_an_l2_address_is_an_l1_address() {
    let mut case = Case::new();
    let key = ShadowKey::new(ROOT, 0, false);
    let slot = case.pool.acquire(key, &mut case.world).unwrap().0;
    let action = touch(&case.pool, slot, IPA, Access::Write, &mut case.world);
    assert_eq!(action, FaultAction::Retry);
    let leaf = case.world.shadow_of(&case.pool, slot, IPA).unwrap();
    assert_eq!((leaf.output, leaf.size), (Pa::new(IPA), 1 << 30));
    let nowhere = Ipa::new(1 << 50);
    let fault = fault(1 << 50, Access::Read);
    let guest = GuestStage2 { limits: LIMITS };
    let action = case.pool.handle_fault(slot, &fault, &guest, &mut case.world);
    assert_eq!(action, FaultAction::NotMemory { l1: nowhere });
}

#[test]
fn a_fault_on_what_is_there_already_changes_nothing() {
    let mut case = Case::with_page(0);
    for _ in 0..2 {
        assert_eq!(case.touch(Access::Read), FaultAction::Retry);
        case.world.fill_tlbs(&case.pool);
    }
    case.world.assert_fresh(&case.pool);
    let slot = case.pool.acquire(case.tables.key(), &mut case.world).unwrap().0;
    assert_eq!(case.pool.with(slot, Shadow::faults).unwrap(), 2);
}
