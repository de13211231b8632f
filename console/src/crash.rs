//! What there is to know of a CPU that panicked: its registers, where it was, and what happened on it last.
//!
//! gnomon keeps no frame pointers, which would make every exit longer. So the stack is gone through word by word, and a
//! word that leads behind a call is taken for a return address. Some of them are left over from calls that were over.

use core::fmt::{self, Write};

use hyp::{
    arch::sysreg::{CNTFRQ_EL0, ELR_EL2, Readable},
    layout,
    mm::phys,
    panic::{self, Crash, Fault},
    trace,
};
use vmsa::Pa;

/// Events shown.
const EVENTS: u64 = 32;
/// Return addresses shown, which is more than a stack of a handler has.
const CALLS: usize = 64;

/// Prints all of it.
pub fn report(crash: &Crash<'_>, out: &mut dyn Write) -> fmt::Result {
    if let Some(fault) = crash.fault {
        registers(fault, out)?;
    }
    writeln!(out, "calls, the last one first; some may have been over:")?;
    if let Some(fault) = crash.fault {
        place(ELR_EL2.get(), ELR_EL2.get(), out)?;
        writeln!(out)?;
        call(fault.x[30], 1, out)?;
    }
    let mut found = words(crash.sp).filter(|word| is_behind_call(*word)).peekable();
    for _ in 0..CALLS {
        let Some(address) = found.next() else { break };
        let mut times = 1;
        while found.next_if_eq(&address).is_some() {
            times += 1;
        }
        call(address, times, out)?;
    }
    events(crash.cpu, out)
}

fn registers(fault: &Fault, out: &mut dyn Write) -> fmt::Result {
    for (number, value) in fault.x.iter().enumerate() {
        write!(out, "  x{number:<2} {value:#018x}")?;
        if number % 4 == 3 {
            writeln!(out)?;
        }
    }
    writeln!(out, "  sp  {:#018x}", fault.sp)?;
    for (name, value) in panic::syndrome() {
        write!(out, "  {name} {value:#x}")?;
    }
    writeln!(out)
}

/// What lies on the stack that `sp` is on, from there to its end; nothing if that is no stack.
fn words(sp: u64) -> impl Iterator<Item = u64> {
    let stacks = (0..layout::CPU_COUNT_MAX).flat_map(|cpu| [layout::stack(cpu), layout::emergency_stack(cpu)]);
    // After an overflow it is below its stack, in the guard page.
    let mut stacks = stacks.map(|stack| (stack.start - layout::GUARD_BYTES..stack.end, stack.start));
    let found = stacks.find(|(stack, _)| stack.contains(&sp));
    let (from, end) = found.map_or((0, 0), |(stack, start)| (sp.max(start), stack.end));
    (from.next_multiple_of(8)..end)
        .step_by(8)
        .map(|at| phys::peek(Pa::new(at)))
}

/// Whether the instruction before `address` is a call.
fn is_behind_call(address: u64) -> bool {
    const BL: u32 = 0b10_0101 << 26;
    const BLR: u32 = 0xd63f_0000;
    let Some(at) = address.checked_sub(4).filter(|at| at % 4 == 0) else {
        return false;
    };
    if !layout::text().contains(&at) {
        return false;
    }
    let pair = phys::peek(Pa::new(at & !7));
    let instruction = (pair >> (at % 8 * 8)) as u32;
    instruction & 0xfc00_0000 == BL || instruction & 0xffff_fc1f == BLR
}

/// Prints a return address that was found `times` times in a row. A call that never returns may be the last instruction
/// of its function, so what has a name is the call.
fn call(address: u64, times: usize, out: &mut dyn Write) -> fmt::Result {
    place(address, address.wrapping_sub(4), out)?;
    match times {
        1 => writeln!(out),
        _ => writeln!(out, " ({times} times)"),
    }
}

/// Prints an address, and how far it is into the function that `within` is in.
fn place(address: u64, within: u64, out: &mut dyn Write) -> fmt::Result {
    write!(out, "  {address:#x}")?;
    let text = layout::text();
    let function = match text.contains(&within) {
        true => symbols::Table::new(layout::symbols()).find(within - text.start),
        false => None,
    };
    match function {
        Some(function) => write!(out, " {function}+{:#x}", address - text.start - function.start),
        None => Ok(()),
    }
}

fn events(cpu: usize, out: &mut dyn Write) -> fmt::Result {
    const US_PER_S: u64 = 1_000_000;
    let Some(ring) = trace::of(cpu).filter(|ring| ring.count() > 0) else {
        return writeln!(out, "no events of CPU {cpu}: nothing was traced");
    };
    writeln!(out, "the last events of CPU {cpu}:")?;
    let ticks = CNTFRQ_EL0.get().max(US_PER_S) / US_PER_S;
    let count = ring.count();
    for entry in (count.saturating_sub(EVENTS)..count).filter_map(|number| ring.get(number)) {
        let (us, event) = (entry.time / ticks, entry.event);
        writeln!(
            out,
            "  {:>6}.{:06}: {}: {event}",
            us / US_PER_S,
            us % US_PER_S,
            event.name()
        )?;
    }
    Ok(())
}
