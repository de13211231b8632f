//! Rows about the state of a vCPU: its registers, their fields, its VNCR page, the ID registers.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// What a vCPU is doing.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VCpu<'a> {
    /// Its number.
    pub vcpu: usize,
    /// `L1`, `L2` or `off`.
    pub runs: &'a str,
    /// The mode: `EL2h` where L1 believes to be at EL2.
    pub mode: &'a str,
    /// The program counter.
    pub pc: Hex,
    /// The processor state.
    pub pstate: Hex,
    /// The shadow in use, by its number; none in L1's own context.
    pub shadow: Option<u16>,
}

record!(VCpu<'_>, "vcpu");

impl fmt::Display for VCpu<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs == "off" {
            return write!(f, "vCPU {} is off", self.vcpu);
        }
        write!(
            f,
            "vCPU {} runs {} at {}, pc {:#018x}, pstate {:#x}",
            self.vcpu, self.runs, self.mode, self.pc.0, self.pstate.0
        )?;
        match self.shadow {
            Some(shadow) => write!(f, ", shadow {shadow}"),
            None => Ok(()),
        }
    }
}

/// A register of a vCPU.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Register<'a> {
    /// The vCPU; none for a value that the user gave.
    pub vcpu: Option<usize>,
    /// `L1`, `L2`, `hw` for the physical register, `-` for a register of whoever runs.
    pub whose: &'a str,
    /// Its name.
    pub register: &'a str,
    /// Its value.
    pub value: Hex,
    /// What the value says as a whole; often nothing.
    pub meaning: &'a str,
}

record!(Register<'_>, "register");

impl fmt::Display for Register<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<3}{:<16} {:#018x}", self.whose, self.register, self.value.0)?;
        match self.meaning {
            "" => Ok(()),
            meaning => write!(f, "  {meaning}"),
        }
    }
}

/// A field of a register.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Field<'a> {
    /// The register's name.
    pub register: &'a str,
    /// The field's name.
    pub field: &'a str,
    /// Its highest bit.
    pub high: u8,
    /// Its lowest bit.
    pub low: u8,
    /// Its value, shifted down.
    pub value: Hex,
    /// What the field is for.
    pub about: &'a str,
    /// What this value is called; often nothing.
    pub meaning: &'a str,
}

record!(Field<'_>, "field");

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<10} {} {:#x} ", self.field, Bits::of(self), self.value.0)?;
        match self.meaning {
            "" => write!(f, "({})", self.about),
            meaning => write!(f, "{meaning} ({})", self.about),
        }
    }
}

/// `[47:1]`, or `[0]`, in a column.
struct Bits {
    high: u8,
    low: u8,
}

impl Bits {
    const fn of(field: &Field<'_>) -> Self {
        Self {
            high: field.high,
            low: field.low,
        }
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.high == self.low {
            write!(f, "   [{:>2}]", self.low)
        } else {
            write!(f, "[{:>2}:{:>2}]", self.high, self.low)
        }
    }
}

/// The VNCR page of a vCPU.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VncrPage {
    /// The vCPU.
    pub vcpu: usize,
    /// The page's physical address.
    pub pa: Hex,
    /// Registers that the page holds.
    pub registers: usize,
    /// How many of them are not zero.
    pub nonzero: usize,
}

record!(VncrPage, "vncr_page");

impl fmt::Display for VncrPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "VNCR page of vCPU {} at PA {}: {} of {} registers are not zero",
            self.vcpu, self.pa, self.nonzero, self.registers
        )
    }
}

/// A register in a VNCR page.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VncrSlot<'a> {
    /// The vCPU.
    pub vcpu: usize,
    /// Its place in the page, in bytes.
    pub offset: Hex,
    /// Its name.
    pub register: &'a str,
    /// Its value.
    pub value: Hex,
}

record!(VncrSlot<'_>, "vncr");

impl fmt::Display for VncrSlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#05x} {:<16} {:#018x}", self.offset.0, self.register, self.value.0)
    }
}

/// An ID register, as three readers see it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdRegister<'a> {
    /// Its name.
    pub register: &'a str,
    /// What the CPU has.
    pub hardware: Hex,
    /// What L1 reads.
    pub l1: Hex,
    /// The fields in which they differ, by name.
    pub differs: &'a str,
}

impl IdRegister<'_> {
    /// The heads of the columns.
    pub const HEADING: &'static str = "register         hardware           L1                 fields that differ";
}

record!(IdRegister<'_>, "id_register");

impl fmt::Display for IdRegister<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16} {:#018x} {:#018x}", self.register, self.hardware.0, self.l1.0)?;
        match self.differs {
            "" => Ok(()),
            differs => write!(f, " {differs}"),
        }
    }
}

/// A field of an ID register.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdField<'a> {
    /// The register's name.
    pub register: &'a str,
    /// The field's name; nothing for bits without one.
    pub field: &'a str,
    /// Its lowest bit; it has four.
    pub low: u8,
    /// What the CPU has.
    pub hardware: u8,
    /// What L1 reads.
    pub l1: u8,
}

record!(IdField<'_>, "id_field");

impl fmt::Display for IdField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = Bits {
            high: self.low + 3,
            low: self.low,
        };
        let mark = if self.hardware == self.l1 { "" } else { " *" };
        write!(
            f,
            "  {:<14} {bits} hardware {:#x} L1 {:#x}{mark}",
            self.field, self.hardware, self.l1
        )
    }
}

/// Who answers when the guest of a vCPU's L1 reads an ID register.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IdAnswer<'a> {
    /// The vCPU.
    pub vcpu: usize,
    /// `L1`, `gnomon`, or `none` where there is no guest.
    pub by: &'a str,
}

record!(IdAnswer<'_>, "id_answer");

impl fmt::Display for IdAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vcpu = self.vcpu;
        match self.by {
            "L1" => write!(
                f,
                "vCPU {vcpu}: L1 traps ID reads of its guest (HCR_EL2.TID3) and answers them itself"
            ),
            "gnomon" => write!(
                f,
                "vCPU {vcpu}: L1 does not trap ID reads of its guest, which reads what L1 reads"
            ),
            _ => write!(
                f,
                "vCPU {vcpu}: L1 is a host at the moment (HCR_EL2.TGE), no guest runs"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn lines_of_registers_stand_in_columns() {
        let register = Register {
            vcpu: Some(0),
            whose: "L1",
            register: "HCR_EL2",
            value: Hex(0x4_8800_0000),
            meaning: "",
        };
        assert_eq!(register.to_string(), "L1 HCR_EL2          0x0000000488000000");
        let field = |high, low, meaning| {
            Field {
                register: "VTCR_EL2",
                field: "TG0",
                high,
                low,
                value: Hex(0),
                about: "Granule",
                meaning,
            }
            .to_string()
        };
        assert_eq!(field(15, 14, "4K"), "  TG0        [15:14] 0x0 4K (Granule)");
        assert_eq!(field(3, 3, ""), "  TG0           [ 3] 0x0 (Granule)");
    }

    #[test]
    fn difference_is_marked() {
        let field = |l1| {
            IdField {
                register: "ID_AA64PFR0_EL1",
                field: "SVE",
                low: 32,
                hardware: 1,
                l1,
            }
            .to_string()
        };
        assert_eq!(field(0), "  SVE            [35:32] hardware 0x1 L1 0x0 *");
        assert_eq!(field(1), "  SVE            [35:32] hardware 0x1 L1 0x1");
    }

    #[test]
    fn vcpu_that_is_off_says_no_more() {
        let vcpu = VCpu {
            vcpu: 1,
            runs: "L2",
            mode: "EL1h",
            pc: Hex(0x1000),
            pstate: Hex(0x5),
            shadow: Some(3),
        };
        assert_eq!(
            vcpu.to_string(),
            "vCPU 1 runs L2 at EL1h, pc 0x0000000000001000, pstate 0x5, shadow 3"
        );
        assert_eq!(VCpu { runs: "off", ..vcpu }.to_string(), "vCPU 1 is off");
    }
}
