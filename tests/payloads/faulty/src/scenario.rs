//! Choosing a scenario, playing it, and what they have in common.

use core::fmt;

use bare::l2::{Exit, L2, Program};
use bare::memory::Frames;
use bare::options::Options;
use bare::stage2::{Format, Perms, Stage2};
use bare::{println, psci};

use crate::{load, nested, nested_smp, permissions, registers, stuck, tables};

/// Where L2 sees its programs. No L2 address is one of gnomon's, so that dumps are easy to read.
pub(crate) const CODE_IPA: u64 = 0x8000_0000;
/// Where L2 sees its data.
pub(crate) const DATA_IPA: u64 = 0x8010_0000;
/// The VMID of scenarios with one VM.
pub(crate) const VMID: u16 = 1;
/// What is loaded and stored, when it matters.
pub(crate) const PATTERN: u64 = 0x5eed_5eed_5eed_5eed;

/// A scenario: builds its L2 and plants its bug.
type Scenario = fn(&mut Frames, Options<'_>) -> Result<Planted, Wrong>;

const SCENARIOS: [(&str, Scenario); 17] = [
    ("good", permissions::good),
    ("missing-tlbi", permissions::missing_tlbi),
    ("wrong-vmid", permissions::wrong_vmid),
    ("bad-start-level", registers::bad_start_level),
    ("bad-spsr", registers::bad_spsr),
    ("table-in-l0", tables::table_in_l0),
    ("leaf-in-l0", tables::leaf_in_l0),
    ("contiguous-overlap", tables::contiguous_overlap),
    ("self-table", tables::self_table),
    ("nested", nested::nested),
    ("nested-smp", nested_smp::nested_smp),
    ("vncr-in-l0", nested::vncr_in_l0),
    ("vncr-unmapped", nested::vncr_unmapped),
    ("spin", stuck::spin),
    ("crash", stuck::crash),
    ("million", load::million),
    ("recycle", load::recycle),
];

/// An L2 with everything in place, and how it goes on.
pub(crate) struct Planted {
    /// The L2.
    pub(crate) l2: L2,
    /// What happens to it again and again. It may not return.
    pub(crate) then: fn(&mut L2),
}

impl Planted {
    /// `l2` never exits again.
    pub(crate) fn spin(l2: L2) -> Self {
        Self {
            l2,
            then: |l2| {
                l2.run(Program::Spin, &[]);
            },
        }
    }
}

/// What should not have happened.
pub(crate) struct Wrong {
    what: &'static str,
    exit: Exit,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.exit)
    }
}

/// Passes if `exit` is as it should be.
pub(crate) fn expect(is_right: bool, what: &'static str, exit: Exit) -> Result<(), Wrong> {
    if is_right { Ok(()) } else { Err(Wrong { what, exit }) }
}

/// Runs a program that is to come to its end.
pub(crate) fn complete(l2: &mut L2, program: Program, arguments: &[u64], what: &'static str) -> Result<(), Wrong> {
    let exit = l2.run(program, arguments);
    expect(exit.hvc() == Some(0), what, exit)
}

/// An L2 with its programs and a page of data, and the address of that page.
pub(crate) fn usual_l2(frames: &mut Frames) -> (L2, u64) {
    let stage2 = Stage2::new(Format::USUAL, VMID, frames);
    let page = frames.page();
    stage2.map(DATA_IPA, page, 3, Perms::RW, frames);
    (L2::new(stage2, CODE_IPA, frames), page)
}

/// The payload's main function.
pub(crate) fn main(options: Options<'_>) -> ! {
    let name = options.value("scenario").unwrap_or("good");
    println!("P UP {name}");
    let Some((_, scenario)) = SCENARIOS.iter().find(|(known, _)| *known == name) else {
        fail("no such scenario");
    };
    match scenario(&mut Frames::all(), options) {
        Ok(planted) => go_on(planted, options.has("hold")),
        Err(wrong) => fail(wrong),
    }
}

/// What another CPU does.
pub(crate) fn secondary(cpu: u64) -> ! {
    if nested_smp::is_chosen() {
        nested_smp::secondary(cpu)
    } else {
        load::secondary(cpu)
    }
}

fn go_on(mut planted: Planted, does_hold: bool) -> ! {
    println!("P READY");
    if !does_hold {
        println!("P OK");
        psci::power_off();
    }
    loop {
        (planted.then)(&mut planted.l2);
    }
}

/// The end, with a reason.
pub(crate) fn fail(why: impl fmt::Display) -> ! {
    println!("P FAIL {why}");
    psci::power_off()
}
