//! What was counted.

use core::fmt;

use bare::println;

/// The numbers of one operation, in instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples {
    min: u64,
    sum: u64,
    count: u64,
}

impl Samples {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self {
            min: u64::MAX,
            sum: 0,
            count: 0,
        }
    }

    /// `count` samples whose least and sum somebody else has kept.
    pub(crate) const fn of(min: u64, sum: u64, count: u64) -> Self {
        Self { min, sum, count }
    }

    /// One more.
    pub(crate) fn add(&mut self, instructions: u64) {
        self.min = self.min.min(instructions);
        self.sum += instructions;
        self.count += 1;
    }

    /// Prints the line about them, if there are any.
    pub(crate) fn print(&self, name: fmt::Arguments<'_>) {
        if let Some(mean) = self.sum.checked_div(self.count) {
            println!("P BENCH {name} min {} mean {mean} count {}", self.min, self.count);
        }
    }
}

/// The instructions that an assembly text takes. The counter is read as its first and its last instruction, and one of
/// the two reads lies between them.
macro_rules! count {
    ($($text:literal),+ $(; $($operands:tt)*)?) => {{
        let (begin, end): (u64, u64);
        asm!(
            "mrs x20, cntvct_el0",
            $($text,)+
            "mrs x21, cntvct_el0",
            $($($operands)*,)?
            out("x20") begin,
            lateout("x21") end,
        );
        end - begin - 1
    }};
}
pub(crate) use count;
