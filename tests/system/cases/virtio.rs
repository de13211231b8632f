//! Disks and networks of virtio, by PCI behind an SMMU and by MMIO, in a Linux that is L1; and L1's disk in an L2.
//!
//! What L1 and L2 write to the disks is looked at in the disks' files, when the machine is off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::machine::{Builder, Machine, Outcome};

use crate::entry::{self, LIMIT};
use crate::scene::{echo, in_shell, said};
use crate::{Result, trial};

const MIB: usize = 1 << 20;
/// Both disks.
const DISK_BYTES: usize = 16 * MIB;
/// L1 writes a piece at the MiB with this number, L2 one at the other.
const L1_MIB: usize = 2;
const L2_MIB: usize = 5;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("virtio_disks_and_networks_work_in_l1_and_l2", work)]
}

/// A disk's file, which goes with the value.
struct Disk(PathBuf);

impl Disk {
    fn new(name: &str) -> AnyResult<Self> {
        let path = entry::inputs_dir()?.join(format!("{name}-{}.disk", process::id()));
        let mut bytes = vec![0; DISK_BYTES];
        let label = label(name);
        bytes[..label.len()].copy_from_slice(label.as_bytes());
        fs::write(&path, bytes)?;
        Ok(Self(path))
    }

    /// The MiB with this number.
    fn piece(&self, mib: usize) -> AnyResult<Vec<u8>> {
        Ok(fs::read(&self.0)?[mib * MIB..(mib + 1) * MIB].to_vec())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What a disk begins with.
fn label(name: &str) -> String {
    format!("this disk is {name}\n")
}

/// A MiB of counted numbers, as `seq FIRST 999999` makes it.
fn numbers(first: u32) -> Vec<u8> {
    let text: String = (first..)
        .take(MIB / 7 + 1)
        .map(|number| format!("{number}\n"))
        .collect();
    text.as_bytes()[..MIB].to_vec()
}

/// The shell's words for writing counted numbers from `first` to the MiB `mib` of a disk, reading them back from the
/// disk, and saying so.
fn exchange(disk: &str, mib: usize, first: u32) -> String {
    format!(
        "seq {first} 999999 | head -c {MIB} >/tmp/piece; \
         dd if=/tmp/piece of=/dev/{disk} bs=64k seek={seek} conv=fsync 2>/dev/null; \
         echo 3 >/proc/sys/vm/drop_caches; \
         dd if=/dev/{disk} bs=64k skip={seek} count=16 2>/dev/null | cmp - /tmp/piece && {}",
        echo(disk),
        seek = mib * 16,
    )
}

/// The arguments of a device and what stands behind it.
fn devices(pci: &Path, mmio: &Path) -> Vec<String> {
    let drive = |id: &str, path: &Path| format!("if=none,format=raw,id={id},file={}", path.display());
    // Without these two QEMU's device would pass the SMMU by.
    const CONFINED: &str = "iommu_platform=on,disable-legacy=on";
    [
        ["-M", "virt,iommu=smmuv3"].map(str::to_owned),
        ["-drive".into(), drive("pci", pci)],
        ["-drive".into(), drive("mmio", mmio)],
        ["-device".into(), format!("virtio-blk-pci,drive=pci,{CONFINED}")],
        ["-device", "virtio-blk-device,drive=mmio"].map(str::to_owned),
        ["-netdev", "user,id=pcinet,net=10.1.2.0/24"].map(str::to_owned),
        ["-netdev", "user,id=mmionet,net=10.2.2.0/24"].map(str::to_owned),
        [
            "-device".into(),
            format!("virtio-net-pci,netdev=pcinet,romfile=,{CONFINED}"),
        ],
        ["-device", "virtio-net-device,netdev=mmionet"].map(str::to_owned),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn work(name: &str) -> Result {
    let (pci, mmio) = (Disk::new("pci")?, Disk::new("mmio")?);
    let builder = Builder::new(name).append("gnomon.l2=off").virtio()?.interactive();
    let devices = devices(&pci.0, &mmio.0);
    let mut machine = devices.into_iter().fold(builder, Builder::qemu_arg).start()?;
    machine.set_limit(LIMIT);
    machine.wait_for("L1 OK")?;
    in_shell(&mut machine, "L1")?;
    machine.wait_for_debug("DMA of PCI devices is confined")?;
    machine.wait_for_debug("DMA of virtio_mmio@")?;
    machine.send("/modules/load\n")?;
    for (device, bus) in [("vda", "pci"), ("vdb", "mmio")] {
        use_disk(&mut machine, device, bus)?;
    }
    for (device, net) in [("eth0", "10.1.2"), ("eth1", "10.2.2")] {
        use_net(&mut machine, device, net)?;
    }
    use_disk_in_l2(&mut machine)?;
    let answer = machine.debug_console()?.command("dma")?;
    if !(answer.len() == 1 && answer[0].ends_with(": 0 refused, 0 errors")) {
        return Err(format!("`dma` says {answer:?}").into());
    }
    machine.send("exit\n")?;
    let outcome = machine.wait_until_off()?;
    if outcome != Outcome::PoweredOff {
        return Err(format!("{outcome}").into());
    }
    Ok(judge(&pci, &mmio)?)
}

/// L1 knows the disk by its label, and finds again what it writes.
fn use_disk(machine: &mut Machine, device: &str, bus: &str) -> AnyResult<()> {
    machine.send(&format!(
        "readlink -f /sys/block/{device}/device/..; head -n 1 /dev/{device}\n"
    ))?;
    machine.wait_for(bus)?;
    machine.wait_for(label(bus).trim_end())?;
    machine.send(&exchange(device, L1_MIB, first_of(bus)))?;
    machine.wait_for(&said(device)).map(drop)
}

/// Where L1's numbers on a disk begin.
fn first_of(bus: &str) -> u32 {
    if bus == "pci" { 100_000 } else { 200_000 }
}

/// QEMU's own gateway answers a large packet. On a slow host one may be lost before.
fn use_net(machine: &mut Machine, device: &str, net: &str) -> AnyResult<()> {
    machine.send(&format!(
        "ifconfig {device} {net}.15 netmask 255.255.255.0; until ping -c 1 -s 1400 {net}.2; do :; done; {}",
        echo(device)
    ))?;
    machine.wait_for(&said(device)).map(drop)
}

/// L1's disk is the disk of an L2, too.
fn use_disk_in_l2(machine: &mut Machine) -> AnyResult<()> {
    const L1_AGAIN: &str = "L1 again";
    machine.send(&format!(
        "cat /modules/l2.cpio >>/l2/initrd.cpio; \
         l2 -s -- -drive if=none,format=raw,id=d,file=/dev/vda -device virtio-blk-device,drive=d; {}",
        echo(L1_AGAIN)
    ))?;
    machine.wait_for("L2 OK")?;
    in_shell(machine, "L2")?;
    machine.send("/modules/load\n")?;
    machine.send(&format!("head -n 1 /dev/vda; {}", exchange("vda", L2_MIB, 300_000)))?;
    machine.wait_for(label("pci").trim_end())?;
    machine.wait_for(&said("vda"))?;
    machine.send("exit\n")?;
    machine.wait_for(&said(L1_AGAIN)).map(drop)
}

/// The files have what was written.
fn judge(pci: &Disk, mmio: &Disk) -> AnyResult<()> {
    ensure!(pci.piece(L1_MIB)? == numbers(first_of("pci")), "what L1 wrote by PCI");
    ensure!(
        mmio.piece(L1_MIB)? == numbers(first_of("mmio")),
        "what L1 wrote by MMIO"
    );
    ensure!(pci.piece(L2_MIB)? == numbers(300_000), "what L2 wrote");
    Ok(())
}
