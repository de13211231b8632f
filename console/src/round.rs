//! A snapshot of one vCPU after the other, for commands that print something about each.

use core::fmt::{self, Write};

use wire::Hex;

use super::{
    commands::{Output, Progress},
    error::CommandError,
    system::System,
};
use crate::inspect::{Inquiry, InspectError, Request, Snapshot};

/// The round in progress. Each step prints about one vCPU at most.
pub struct Round {
    inquiry: Inquiry,
    /// The vCPU behind the last one.
    end: usize,
}

impl Round {
    /// About `vcpu`, or about all.
    pub fn new(vcpu: Option<usize>, system: &System) -> Self {
        let first = vcpu.unwrap_or(0);
        Self {
            inquiry: Inquiry::new(first, Request::Snapshot),
            end: vcpu.map_or(system.vm.machine.cpus.len(), |vcpu| vcpu + 1),
        }
    }

    /// Calls `print` for the next vCPU, if it has answered. One that is off gets a line that says so; one that cannot be
    /// asked, the reason.
    pub fn step(
        &mut self,
        system: &System,
        out: &mut Output,
        print: impl FnOnce(&Snapshot, &mut Output) -> fmt::Result,
    ) -> Result<Progress, CommandError<'static>> {
        let vcpu = self.inquiry.cpu();
        match self.inquiry.poll_snapshot(system.vm, |snapshot| print(snapshot, out)) {
            Ok(None) => return Ok(Progress::More),
            Ok(Some(printed)) => printed?,
            Err(InspectError::Off(_)) => out.row(&off(vcpu))?,
            Err(error) => writeln!(out, "{error}")?,
        }
        if vcpu + 1 >= self.end {
            return Ok(Progress::Done);
        }
        self.inquiry = Inquiry::new(vcpu + 1, Request::Snapshot);
        Ok(Progress::More)
    }
}

const fn off(vcpu: usize) -> wire::VCpu<'static> {
    wire::VCpu {
        vcpu,
        runs: "off",
        mode: "",
        pc: Hex(0),
        pstate: Hex(0),
        shadow: None,
    }
}
