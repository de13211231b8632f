//! The list registers that L1 keeps in its VNCR page for its guest, on their way into hardware and back.
//!
//! Against a naive model, which knows of each list register what L1 wrote and which physical interrupt it may reach.

use vgic::{ListRegister, VirtualInterface, hcr, ich, nested};

use crate::Input;

const STATE: u64 = 0b11 << 62;
const HW: u64 = 1 << 61;
const PINTID: u64 = 0x1fff << 32;
/// L1's interrupts that have a physical one behind them.
const GRANTED: [(u32, u32); 3] = [(27, 30), (30, 26), (40, 41)];

fn physical(intid: u32) -> Option<u32> {
    let granted = GRANTED.iter().find(|(virt, _)| *virt == intid)?;
    Some(granted.1)
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let lr_count = input.below(18);
    let mut page = VirtualInterface::EMPTY;
    for _ in 0..4 {
        write(&mut page, &mut input);
        check_status(&page, lr_count);
        let mut hardware = VirtualInterface::EMPTY;
        let mut valid = nested::load(&page, &mut hardware, lr_count, physical);
        check_loaded(&page, &hardware, valid, lr_count);
        for _ in 0..2 {
            run_guest(&mut page, &mut hardware, &mut valid, &mut input);
        }
    }
}

/// L1 writes its page.
fn write(page: &mut VirtualInterface, input: &mut Input<'_>) {
    page.hcr = input.word();
    page.vmcr = input.word();
    page.ap0r0 = input.word();
    page.ap1r0 = input.word();
    for lr in &mut page.lr {
        *lr = match input.below(4) {
            0 => 0,
            1 => input.word(),
            _ => {
                let pintid = input.pick(&[27, 30, 40, 5, 1023_u64]) << 32;
                u64::from(input.byte() & 0xf0) << 56 | pintid | u64::from(input.byte())
            }
        };
    }
}

fn check_status(page: &VirtualInterface, lr_count: usize) {
    let (eisr, elrsr) = (ich::eisr(page, lr_count), ich::elrsr(page, lr_count));
    let has_state = |number: usize| page.lr[number] & STATE != 0;
    let asks = |number: usize| page.lr[number] & (HW | 1 << 41) == 1 << 41;
    for number in 0..16 {
        let is_there = number < lr_count;
        let has_ended = is_there && !has_state(number) && asks(number);
        assert_eq!(eisr >> number & 1 != 0, has_ended);
        assert_eq!(elrsr >> number & 1 != 0, is_there && !has_state(number) && !has_ended);
    }
    let valid = (0..lr_count.min(16)).filter(|number| has_state(*number)).count();
    let misr = ich::misr(page, lr_count);
    assert_eq!(misr & ich::MISR_EOI != 0, eisr != 0);
    assert_eq!(misr & ich::MISR_U != 0, page.hcr & hcr::UIE != 0 && valid <= 1);
    assert_eq!(
        ich::maintenance_level(page, lr_count),
        page.hcr & hcr::EN != 0 && misr != 0
    );
}

fn check_loaded(page: &VirtualInterface, hardware: &VirtualInterface, valid: u16, lr_count: usize) {
    assert_eq!(hardware.hcr, ich::sanitise_hcr(page.hcr));
    assert_eq!(hardware.hcr & !0xf800_5cff, 0, "no control that L1 does not have");
    for number in 0..16 {
        let (of_l1, loaded) = (page.lr[number], hardware.lr[number]);
        let is_valid = number < lr_count && of_l1 & STATE != 0;
        assert_eq!(valid >> number & 1 != 0, is_valid);
        if !is_valid {
            assert_eq!(loaded, 0, "nothing in list register {number}");
            continue;
        }
        let intid = ((of_l1 & PINTID) >> 32) as u32;
        let link = if of_l1 & HW != 0 { physical(intid) } else { None };
        assert_eq!(
            loaded & HW != 0,
            link.is_some(),
            "linked where L1 links an interrupt of its own"
        );
        if let Some(pintid) = link {
            assert_eq!((loaded & PINTID) >> 32, u64::from(pintid));
        }
        let kept = STATE | 1 << 60 | 0xf8 << 48 | 0xff_ffff;
        assert_eq!((loaded ^ of_l1) & kept, 0);
    }
}

/// The guest acknowledges and ends what it likes; what became of it is brought back.
fn run_guest(page: &mut VirtualInterface, hardware: &mut VirtualInterface, valid: &mut u16, input: &mut Input<'_>) {
    let before = (page.clone(), hardware.clone(), *valid);
    let mut after = hardware.clone();
    after.vmcr = input.word();
    after.hcr = after.hcr & !hcr::EOICOUNT | input.word() & hcr::EOICOUNT;
    for lr in &mut after.lr {
        *lr = *lr & !STATE | u64::from(input.byte()) << 56 & STATE;
    }
    let mut ended = Vec::new();
    nested::save(hardware, valid, &after, page, |end| ended.push(end));
    let (old_page, old_hardware, old_valid) = before;
    let mut expected = Vec::new();
    for number in 0..16 {
        let was_valid = old_valid >> number & 1 != 0;
        let is_over = after.lr[number] & STATE == 0;
        let state = if was_valid {
            after.lr[number]
        } else {
            old_page.lr[number]
        };
        assert_eq!(page.lr[number], old_page.lr[number] & !STATE | state & STATE);
        assert_eq!(*valid >> number & 1 != 0, was_valid && !is_over);
        if was_valid && is_over && old_page.lr[number] & HW != 0 {
            expected.push((
                ListRegister(old_page.lr[number]).pintid(),
                old_hardware.lr[number] & HW != 0,
            ));
        }
    }
    let ended: Vec<_> = ended.iter().map(|end| (end.intid, end.in_hardware)).collect();
    assert_eq!(ended, expected, "each end of a linked interrupt is told once");
    assert_eq!(page.hcr & !hcr::EOICOUNT, old_page.hcr & !hcr::EOICOUNT);
}
