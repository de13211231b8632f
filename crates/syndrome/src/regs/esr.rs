//! `ESR_ELx`: the parts that all classes share. [`Esr`](crate::Esr) says the rest.

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Instruction specific syndrome.
    ISS = 0, 25;

    /// The instruction was 32 bits long.
    IL = 25;

    /// Exception class.
    EC = 26, 6;

    /// More syndrome.
    ISS2 = 32, 24;
}
