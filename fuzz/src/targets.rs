//! The targets, a module each.

use crate::Target;

mod console;
mod device_tree;
mod gic;
mod lists;
mod operands;
mod psci;
mod records;
mod shadows;
mod stage1;
mod stage2;
mod syndromes;
mod tables;

/// All of them.
pub(crate) const ALL: &[Target] = &[
    Target {
        name: "stage2",
        about: "guest stage 2: registers and tables of any value, against a naive walk",
        run: stage2::run,
        executions: 60_000,
        bytes_max: 512,
    },
    Target {
        name: "stage1",
        about: "guest stage 1 of each regime: registers and tables of any value",
        run: stage1::run,
        executions: 100_000,
        bytes_max: 512,
    },
    Target {
        name: "shadows",
        about: "the shadow pool under a hostile L1, against a list of what each TLBI must end",
        run: shadows::run,
        executions: 12_000,
        bytes_max: 1024,
    },
    Target {
        name: "operands",
        about: "operands of TLBIs, and what they end of VNCR pages, against sets of addresses",
        run: operands::run,
        executions: 600_000,
        bytes_max: 256,
    },
    Target {
        name: "syndromes",
        about: "syndromes, processor states, and L1's controls merged with gnomon's",
        run: syndromes::run,
        executions: 300_000,
        bytes_max: 256,
    },
    Target {
        name: "gic",
        about: "L1's GIC: accesses of any size and place while interrupts come and go",
        run: gic::run,
        executions: 20_000,
        bytes_max: 1024,
    },
    Target {
        name: "lists",
        about: "list registers in a VNCR page that L1 and its guest change, against a naive model",
        run: lists::run,
        executions: 250_000,
        bytes_max: 512,
    },
    Target {
        name: "psci",
        about: "PSCI calls with any arguments, and CPUs that go on and off",
        run: psci::run,
        executions: 300_000,
        bytes_max: 512,
    },
    Target {
        name: "console",
        about: "bytes to the console: editor, tokenizer, numbers, filters against a naive model",
        run: console::run,
        executions: 30_000,
        bytes_max: 1024,
    },
    Target {
        name: "device_tree",
        about: "device trees and Image headers: what is the machine, what of it is L1's",
        run: device_tree::run,
        executions: 100_000,
        bytes_max: 4096,
    },
    Target {
        name: "records",
        about: "what the viewer reads, up to the picture; records of any text, read back",
        run: records::run,
        executions: 8_000,
        bytes_max: 4096,
    },
];
