//! A vCPU's state, for the console, which runs on another CPU.
//!
//! While a vCPU runs, its registers are in its CPU's hardware, and nobody else can read them. So they are asked for: each
//! CPU has a [mailbox](console_core::mailbox). The console posts a [`Request`] there and [calls](console::call) the CPU,
//! which answers at its next exit, or where it waits with its vCPU switched off, stopped, or at rest after another CPU's
//! panic. The console's task looks for the answer at each of its steps, and nobody waits for anybody: a CPU that never
//! answers costs a message, and a user who gives up costs nothing.
//!
//! Nothing here runs unless the console asks.

mod assign;
mod at;
mod snapshot;

use core::fmt;

pub use assign::AssignError;
use console_core::{Mailbox, Ticket};
use hyp::{
    arch::{
        at::Stage12,
        sysreg::{CNTFRQ_EL0, Readable},
    },
    console,
    layout::CPU_COUNT_MAX,
    nested::timer,
    panic::{self, Failure},
    vcpu::{Context, VCpu, context::GuestFrame},
    vm::Vm,
};
pub use snapshot::Snapshot;
use syndrome::register::Register;

/// How long a CPU may take to answer, in seconds. It is microseconds where the host gives it its share.
const PATIENCE: u64 = 5;

/// What may be asked of a CPU about its vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// All its registers.
    Snapshot,
    /// What an address translates to, by the CPU's own `AT` instruction. Not after a panic: it may wait for a lock.
    At {
        /// Which.
        instruction: Stage12,
        /// Whose registers it goes by: L1's, or its guest's that ran last.
        context: Context,
        /// The virtual address.
        va: u64,
    },
    /// Write a register. Not after a panic: it may wait for a lock.
    Assign {
        /// Which.
        register: Register,
        /// The new value.
        value: u64,
    },
    /// Panic, whether the vCPU is on or off.
    Fail(Failure),
}

/// What a CPU answers.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lies in a mailbox for good, and the largest is the usual one"
)]
pub enum Answer {
    /// The vCPU is switched off, and its registers mean nothing.
    Off,
    /// To [`Request::Snapshot`].
    Snapshot(Snapshot),
    /// To [`Request::At`]: `PAR_EL1`; nothing if the guest never ran, or has lost its shadow.
    Translation(Option<u64>),
    /// To [`Request::Assign`].
    Assigned(Result<(), AssignError>),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectError {
    /// There is no such CPU.
    NoCpu,
    /// Its vCPU is switched off.
    Off(usize),
    /// It did not answer in time.
    Silent(usize),
    /// It is the one that panicked, and what its vCPU was doing cannot be told any more.
    Panicked(usize),
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCpu => f.write_str("there is no such vCPU"),
            Self::Off(cpu) => write!(f, "vCPU {cpu} is switched off, its registers mean nothing"),
            Self::Silent(cpu) => write!(f, "CPU {cpu} does not answer"),
            Self::Panicked(cpu) => write!(
                f,
                "CPU {cpu} panicked: its vCPU's registers are lost, 'vncr {cpu}' is left"
            ),
        }
    }
}

impl core::error::Error for InspectError {}

static MAILBOXES: [Mailbox<Request, Answer>; CPU_COUNT_MAX] = [const { Mailbox::new() }; CPU_COUNT_MAX];

/// Answers the console, if it asked this CPU for something. `frame` is the guest's, `None` while the vCPU is off. Says
/// whether there was anything to do.
pub fn serve(vcpu: &mut VCpu, frame: Option<&mut GuestFrame>) -> bool {
    MAILBOXES
        .get(vcpu.cpu)
        .is_some_and(|mailbox| mailbox.serve(|request| answer(vcpu, frame, request)))
}

fn answer(vcpu: &mut VCpu, frame: Option<&mut GuestFrame>, request: Request) -> Answer {
    let Some(frame) = frame else {
        return match request {
            Request::Fail(failure) => panic::fail(failure),
            _ => Answer::Off,
        };
    };
    match request {
        Request::Fail(failure) => panic::fail(failure),
        Request::Snapshot => Answer::Snapshot(Snapshot::take(vcpu, frame)),
        Request::At {
            instruction,
            context,
            va,
        } => Answer::Translation(at::execute(instruction, vcpu, context, va)),
        Request::Assign { register, value } => Answer::Assigned(assign::assign(vcpu, frame, register, value)),
    }
}

/// A question to a CPU, and the way to its answer. Owned by the task that asks, which withdraws it when it gives up.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry {
    cpu: usize,
    request: Request,
    /// Once the request is in the mailbox.
    ticket: Option<Ticket>,
    /// When to give up, in ticks of the counter; from the first poll on.
    deadline: Option<u64>,
}

impl Inquiry {
    /// A question to `cpu`, which goes out when it is first polled.
    pub const fn new(cpu: usize, request: Request) -> Self {
        Self {
            cpu,
            request,
            ticket: None,
            deadline: None,
        }
    }

    /// The CPU that is asked.
    pub const fn cpu(&self) -> usize {
        self.cpu
    }

    /// What `read` makes of the answer; `Ok(None)` while there is none, to be tried again at the next step. May be called
    /// again after that, as long as nobody else asks this CPU.
    pub fn poll<T>(&mut self, vm: &Vm, read: impl FnOnce(&Answer) -> T) -> Result<Option<T>, InspectError> {
        let mailbox = self.mailbox(vm)?;
        let off = InspectError::Off(self.cpu);
        let answer = self.ticket.and_then(|ticket| {
            mailbox.read(ticket, |answer| match answer {
                Answer::Off => Err(off),
                answer => Ok(read(answer)),
            })
        });
        match answer {
            Some(answer) => answer.map(Some),
            None => self.ask(mailbox, vm).map(|()| None),
        }
    }

    /// The mailbox of the CPU, if that can answer.
    #[inline(never)]
    fn mailbox(&self, vm: &Vm) -> Result<&'static Mailbox<Request, Answer>, InspectError> {
        if panic::has_panicked() && vm.gic.is_this_cpu(self.cpu) {
            return Err(InspectError::Panicked(self.cpu));
        }
        MAILBOXES
            .get(self.cpu)
            .filter(|_| self.cpu < vm.machine.cpus.len())
            .ok_or(InspectError::NoCpu)
    }

    /// Sees to it that the CPU is asked; gives up when it was asked for too long.
    #[inline(never)]
    fn ask(&mut self, mailbox: &Mailbox<Request, Answer>, vm: &Vm) -> Result<(), InspectError> {
        let (now, second) = (timer::now(), CNTFRQ_EL0.get());
        let next = now + PATIENCE * second;
        let deadline = self.deadline.get_or_insert(next);
        if now > *deadline + second {
            // Nobody looked for so long: the host stood still, and the other CPU with it.
            *deadline = next;
        } else if now > *deadline {
            self.withdraw();
            return Err(InspectError::Silent(self.cpu));
        }
        if self.ticket.is_none() {
            self.ticket = mailbox.post(self.request);
        }
        console::call(vm, self.cpu);
        Ok(())
    }

    /// Gives up. What has not been done yet will not be.
    pub fn withdraw(&self) {
        if let (Some(mailbox), Some(ticket)) = (MAILBOXES.get(self.cpu), self.ticket) {
            mailbox.withdraw(ticket);
        }
    }

    /// What `read` makes of the snapshot that was asked for; otherwise as [`Inquiry::poll`].
    pub fn poll_snapshot<T>(&mut self, vm: &Vm, read: impl FnOnce(&Snapshot) -> T) -> Result<Option<T>, InspectError> {
        let answer = self.poll(vm, |answer| match answer {
            Answer::Snapshot(snapshot) => Some(read(snapshot)),
            _ => None,
        })?;
        Ok(answer.flatten())
    }

    /// The `PAR_EL1` that was asked for, if it could be had; otherwise as [`Inquiry::poll`].
    pub fn poll_translation(&mut self, vm: &Vm) -> Result<Option<Option<u64>>, InspectError> {
        let answer = self.poll(vm, |answer| match answer {
            Answer::Translation(par) => Some(*par),
            _ => None,
        })?;
        Ok(answer.flatten())
    }

    /// Whether what was asked for has been written; otherwise as [`Inquiry::poll`].
    pub fn poll_assigned(&mut self, vm: &Vm) -> Result<Option<Result<(), AssignError>>, InspectError> {
        let answer = self.poll(vm, |answer| match answer {
            Answer::Assigned(result) => Some(*result),
            _ => None,
        })?;
        Ok(answer.flatten())
    }
}
