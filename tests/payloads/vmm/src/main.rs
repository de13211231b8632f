//! A small VMM, L1's only program.
//!
//! QEMU makes one VM and keeps it. What is hard for a nested hypervisor is the opposite: VMs that come and go by the
//! hundred, memory slots that change under a running guest, pages taken back. This program does that through `/dev/kvm`
//! with nothing but system calls, so that a ramdisk of one small file is all that L1 needs. It is linked for the bare
//! target the firmware has, which needs no C library and no compiler beside rustc; to Linux it is a static ELF.
//!
//! As PID 1 it mounts what it needs and powers the machine off when it is done. What it does is said by its arguments,
//! which on the kernel's command line stand behind `--`:
//!
//! | arguments | what it does |
//! |---|---|
//! | `stress WORKERS SECONDS` | VMs made, recycled and torn down on that many processes at once, for so long or until a line is typed |
//! | `faults WORKERS SECONDS` | VMs that stay, each on a process of its own, and have their memory taken back over and over; the first one rests |
//! | `hotplug WORKERS COUNT` | the same while CPUs 1 to 3 are switched off and on by turns, so many times |
//! | `golden` | VMs with tables of many kinds, held still while their debugfs files are compared |
//! | `bench CASE COUNT` | one kind of exit COUNT times, or with `all` each kind, counted |
//! | `linux CPUS WORDS` | a VM with EL2, which boots the ramdisk's `/kernel` and `/ramdisk` with this program, and with these arguments |
//! | `guest CPUS WORDS` | the same without EL2 |
//! | `kexec WORDS` | what the words say, then `/kernel` with `/ramdisk` boots in this one's place, with `again` for `kexec` |
//! | `again WORDS` | what the words say |
//!
//! Before them `log` sends all lines to the kernel's log. The word `hold` after them makes it wait for a line before it
//! ends, and before `golden` closes each VM; `restart` after that makes the machine start again instead of powering off.
//!
//! Every line it prints begins with `vmm: `; the last one says `OK` or `FAIL`.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "system calls; each use says why it is sound")
)]

#[cfg(target_os = "none")]
mod bench;
#[cfg(target_os = "none")]
mod golden;
#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod kexec;
#[cfg(target_os = "none")]
mod kvm;
#[cfg(target_os = "none")]
mod linux;
#[cfg(target_os = "none")]
mod out;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod stress;
#[cfg(target_os = "none")]
mod sys;
#[cfg(target_os = "none")]
mod tree;

/// On the host this is nothing: it only keeps the workspace whole.
#[cfg(not(target_os = "none"))]
fn main() {}
