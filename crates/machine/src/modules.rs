//! What QEMU's guest-loader has put in RAM, and for whom.
//!
//! A kernel and perhaps a ramdisk are L1's. If L1 starts guests as gnomon does, it finds theirs as gnomon finds its own: what
//! is left over is passed on. The order of nodes in a tree means nothing, so addresses decide. L1's kernel is the one at the
//! lowest address, and L1's ramdisk the ramdisk at the lowest address, unless it lies above another kernel.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;

use fdt::node::FdtNode;

use crate::{MachineError, nodes};

/// A blob that QEMU's guest-loader put in RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Where it lies.
    pub range: Range<u64>,
    /// Its command line, if it has one.
    pub bootargs: String,
    /// Name of its node.
    pub node: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// L1's kernel.
    pub(crate) kernel: Option<Module>,
    /// L1's ramdisk.
    pub(crate) ramdisk: Option<Module>,
    /// The others.
    pub(crate) passed_on: Vec<Module>,
}

impl Modules {
    /// The modules below `chosen`.
    pub(crate) fn of(chosen: Option<FdtNode<'_, '_>>) -> Result<Self, MachineError> {
        let mut found: Vec<(_, Module)> = Vec::new();
        for node in chosen.into_iter().flat_map(|chosen| chosen.children()) {
            if let Some(module) = module(node)? {
                let at = found.partition_point(|(_, other)| other.range.start < module.range.start);
                found.insert(at, (node, module));
            }
        }
        let mut modules = Self::default();
        let mut is_behind_another_kernel = false;
        for (node, module) in found {
            let is_kernel = nodes::is_compatible(node, "multiboot,kernel");
            let is_ramdisk = nodes::is_compatible(node, "multiboot,ramdisk");
            if is_kernel && modules.kernel.is_none() {
                modules.kernel = Some(module);
            } else if is_ramdisk && modules.ramdisk.is_none() && !is_behind_another_kernel {
                modules.ramdisk = Some(module);
            } else {
                is_behind_another_kernel |= is_kernel;
                modules.passed_on.push(module);
            }
        }
        Ok(modules)
    }
}

/// What `node` says, if it is one.
fn module(node: FdtNode<'_, '_>) -> Result<Option<Module>, MachineError> {
    if !nodes::is_compatible(node, "multiboot,module") {
        return Ok(None);
    }
    // QEMU writes two 64-bit numbers, whatever cell sizes `chosen` declares.
    let reg = node.property("reg").map_or(&[][..], |property| property.value);
    let Some((start, bytes)) = nodes::double(reg, 0).zip(nodes::double(reg, 8)) else {
        return Ok(None);
    };
    let range = nodes::checked_range(node, start, bytes)?;
    Ok(Some(Module {
        range,
        bootargs: nodes::text(node, "bootargs").unwrap_or_default().to_string(),
        node: node.name.to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::testing;

    /// The starts of L1's kernel and ramdisk and of what is passed on, on a board with these modules.
    fn divided(modules: &[(u64, &str)]) -> (Option<u64>, Option<u64>, Vec<u64>) {
        let machine = testing::machine(|tree| {
            let chosen = tree.root.child_mut("chosen").unwrap();
            for name in testing::children(chosen) {
                chosen.remove_child(&name);
            }
            for (at, kind) in modules {
                chosen.add_child(testing::module(*at, 0x1000, kind));
            }
        });
        let machine = machine.unwrap();
        let start = |module: &Module| module.range.start;
        (
            machine.kernel.as_ref().map(start),
            machine.ramdisk.as_ref().map(start),
            machine.passed_on.iter().map(start).collect(),
        )
    }

    #[test]
    fn one_kernel_and_one_ramdisk_are_l1s_wherever_they_are() {
        let (low, high) = (0x5000_0000, 0x6000_0000);
        assert_eq!(
            divided(&[(low, "kernel"), (high, "ramdisk")]),
            (Some(low), Some(high), vec![])
        );
        assert_eq!(
            divided(&[(low, "ramdisk"), (high, "kernel")]),
            (Some(high), Some(low), vec![])
        );
        assert_eq!(divided(&[(low, "ramdisk")]), (None, Some(low), vec![]));
        assert_eq!(divided(&[]), (None, None, vec![]));
    }

    #[test]
    fn what_follows_another_kernel_is_passed_on_in_whatever_order_the_nodes_are() {
        let kernels = [(0x5000_0000, "kernel"), (0x6000_0000, "kernel")];
        let theirs = (0x7000_0000, "ramdisk");
        for modules in [[kernels[0], kernels[1], theirs], [theirs, kernels[1], kernels[0]]] {
            assert_eq!(
                divided(&modules),
                (Some(0x5000_0000), None, vec![0x6000_0000, 0x7000_0000])
            );
        }
        let own = (0x5800_0000, "ramdisk");
        assert_eq!(
            divided(&[theirs, kernels[0], own, kernels[1]]),
            (Some(0x5000_0000), Some(0x5800_0000), vec![0x6000_0000, 0x7000_0000])
        );
    }

    #[test]
    fn a_module_of_another_kind_is_passed_on() {
        assert_eq!(
            divided(&[(0x5000_0000, "other"), (0x6000_0000, "kernel")]),
            (Some(0x6000_0000), None, vec![0x5000_0000])
        );
    }
}
