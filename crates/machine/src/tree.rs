//! The gate that a device tree passes before anything is read from it.
//!
//! Two crates do the reading, and neither is enough alone. `fdt` panics on what breaks the format (and on `FDT_NOP`
//! between properties, which does not), recurses as deep as the tree, and indexes a table of 64 levels. `dtoolkit`
//! validates and never trips over a tree it validated. So a blob is validated, cut to what is used of it, limited in size
//! and depth, and written anew: `fdt` only ever sees what this crate's own writer made.

use alloc::{format, string::ToString, vec::Vec};

use dtoolkit::{
    Node,
    fdt::{Fdt, FdtNode},
};

use crate::{MachineError, writer::Writer};

/// A blob lies on a multiple of this many bytes.
pub const BLOB_ALIGN: u64 = 8;
/// Bytes of a blob's header.
pub const HEADER_BYTES: usize = 40;

const FDT_MAGIC: u32 = 0xd00d_feed;
/// No blob of QEMU's comes near this, padding (1 MiB) included; a larger size is garbage.
const BLOB_BYTES_MAX: usize = 2 << 20;
/// Bytes in use, padding excluded: some seven times what QEMU needs, and little for the boot heap.
const USED_BYTES_MAX: usize = 64 << 10;
/// Nodes on the way from the root to a leaf. QEMU's trees have five.
const DEPTH_MAX: usize = 16;

/// Word `index` of a blob's header, whose first word has index 0; 0 if the header ends before it.
fn header_word(blob: &[u8], index: usize) -> u32 {
    blob.get(index * size_of::<u32>()..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Bytes of the blob at `at`, of which `header` is the first [`HEADER_BYTES`].
///
/// # Errors
///
/// There is no blob, or its size cannot be right.
pub fn blob_bytes(at: u64, header: &[u8]) -> Result<usize, MachineError> {
    if header_word(header, 0) != FDT_MAGIC {
        return Err(MachineError::NoDeviceTree(at));
    }
    let bytes = header_word(header, 1) as usize;
    if !(HEADER_BYTES..=BLOB_BYTES_MAX).contains(&bytes) {
        return Err(MachineError::Malformed(format!("its size is {bytes} bytes")));
    }
    Ok(bytes)
}

/// A flattened device tree that is safe to read: valid, small, shallow, without padding and `FDT_NOP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(Vec<u8>);

impl Tree {
    /// Checks `blob`, whose length is the size in its header, and rewrites it.
    ///
    /// # Errors
    ///
    /// [`MachineError::Malformed`] if the blob breaks a rule of the format or is beyond all measure.
    pub fn check(blob: &[u8]) -> Result<Self, MachineError> {
        validate(blob)?;
        let trimmed = trim(blob)?;
        let tree = validate(&trimmed)?;
        if !is_shallow(&tree.root(), DEPTH_MAX) {
            return Err(MachineError::Malformed(format!("nodes deeper than {DEPTH_MAX}")));
        }
        let mut copy = Writer::with_reservations_of(&tree);
        copy.node(&tree.root());
        Ok(Self(copy.finish()))
    }

    /// For reading it.
    pub(crate) fn reader(&self) -> Result<fdt::Fdt<'_>, MachineError> {
        fdt::Fdt::new(&self.0).map_err(|error| MachineError::Malformed(error.to_string()))
    }

    /// For making another tree of it.
    pub(crate) fn source(&self) -> Fdt<'_> {
        Fdt::new_unchecked(&self.0)
    }
}

fn validate(blob: &[u8]) -> Result<Fdt<'_>, MachineError> {
    Fdt::new(blob).map_err(|error| MachineError::Malformed(error.to_string()))
}

/// `blob` up to the end of its strings, which the format puts last. What follows is padding, or, if the structure runs
/// on into it, is missed when the result is validated.
fn trim(blob: &[u8]) -> Result<Vec<u8>, MachineError> {
    const TOTAL_SIZE: usize = 1;
    const STRINGS_OFFSET: usize = 3;
    const STRINGS_BYTES: usize = 8;
    let used = (header_word(blob, STRINGS_OFFSET) as usize).saturating_add(header_word(blob, STRINGS_BYTES) as usize);
    let too_large = || MachineError::Malformed(format!("{used} bytes of it are in use"));
    if used > USED_BYTES_MAX {
        return Err(too_large());
    }
    let mut trimmed = blob.get(..used).ok_or_else(too_large)?.to_vec();
    let total = u32::try_from(used).map_err(|_| too_large())?;
    if let Some(field) = trimmed
        .get_mut(TOTAL_SIZE * size_of::<u32>()..)
        .and_then(|rest| rest.first_chunk_mut())
    {
        *field = total.to_be_bytes();
    }
    Ok(trimmed)
}

/// Whether no path from `node` down has more than `levels` nodes.
fn is_shallow(node: &FdtNode<'_>, levels: usize) -> bool {
    levels > 0 && node.children().all(|child| is_shallow(&child, levels - 1))
}

#[cfg(test)]
mod tests {
    use std::{string::String, vec};

    use dtoolkit::memreserve::MemoryReservation;
    use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

    use super::*;
    use crate::testing;

    fn malformed(blob: &[u8]) -> String {
        match Tree::check(blob) {
            Err(MachineError::Malformed(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_magic_means_no_device_tree() {
        assert_eq!(
            blob_bytes(0x1000, &[0; HEADER_BYTES]),
            Err(MachineError::NoDeviceTree(0x1000))
        );
        assert_eq!(blob_bytes(0x1000, &[]), Err(MachineError::NoDeviceTree(0x1000)));
    }

    #[test]
    fn the_size_in_the_header_is_bounded() {
        let header = |bytes: u32| [FDT_MAGIC.to_be_bytes(), bytes.to_be_bytes()].concat();
        for bytes in [0, 39, (2 << 20) + 1, u32::MAX] {
            let error = blob_bytes(0, &header(bytes));
            assert_eq!(
                error,
                Err(MachineError::Malformed(format!("its size is {bytes} bytes")))
            );
        }
        assert_eq!(blob_bytes(0, &header(40)), Ok(40));
        assert_eq!(blob_bytes(0, &header(2 << 20)), Ok(2 << 20));
    }

    #[test]
    fn padding_does_not_count() {
        let blob = testing::board().to_dtb();
        assert_eq!(Tree::check(&testing::padded(&blob, 1 << 20)), Tree::check(&blob));
    }

    #[test]
    fn a_tree_that_uses_too_much_is_refused() {
        let mut tree = testing::board();
        tree.root
            .add_property(DeviceTreeProperty::new_unchecked("big", vec![0_u8; USED_BYTES_MAX]));
        assert!(malformed(&tree.to_dtb()).ends_with("bytes of it are in use"));
    }

    #[test]
    fn a_tree_that_is_too_deep_is_refused() {
        let chain = |levels: usize| {
            let leaf = DeviceTreeNode::new_unchecked("n");
            let mut tree = DeviceTree::new();
            tree.root.add_child((2..levels).fold(leaf, |child, _| {
                let mut parent = DeviceTreeNode::new_unchecked("n");
                parent.add_child(child);
                parent
            }));
            tree.to_dtb()
        };
        assert!(Tree::check(&chain(DEPTH_MAX)).is_ok());
        assert_eq!(malformed(&chain(DEPTH_MAX + 1)), "nodes deeper than 16");
        // Far too deep for a recursion on a boot stack.
        assert_eq!(malformed(&chain(3000)), "nodes deeper than 16");
    }

    #[test]
    fn nops_are_gone_after_the_gate() {
        const PROP: [u8; 4] = 3_u32.to_be_bytes();
        const NOP: [u8; 4] = 4_u32.to_be_bytes();
        let with = |names: &[&str]| {
            let mut tree = DeviceTree::new();
            for name in names {
                tree.root.add_property(DeviceTreeProperty::new_unchecked(*name, 7_u32));
            }
            tree.to_dtb()
        };
        let mut blob = with(&["a", "b", "c"]);
        let second = blob
            .windows(4)
            .enumerate()
            .filter(|(_, word)| *word == PROP)
            .nth(1)
            .map(|(at, _)| at)
            .unwrap();
        // A property of four bytes takes four words.
        for word in blob[second..second + 16].chunks_exact_mut(4) {
            word.copy_from_slice(&NOP);
        }
        assert_eq!(Tree::check(&blob), Tree::check(&with(&["a", "c"])));
    }

    #[test]
    fn what_passes_the_gate_is_what_came() {
        let board = testing::board();
        assert_eq!(testing::model(&board.to_dtb()), board);
    }

    #[test]
    fn memory_reservations_stay() {
        let mut tree = testing::board();
        tree.memory_reservations = vec![
            MemoryReservation::new(0x4000_0000, 0x1000),
            MemoryReservation::new(1, 2),
        ];
        assert_eq!(testing::model(&tree.to_dtb()), tree);
    }
}
