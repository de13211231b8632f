//! A vCPU's state, for the console, which runs on another CPU.
//!
//! While a vCPU runs, its registers are in its CPU's hardware, and nobody else can read them. So they are asked for: each
//! CPU has a mailbox. The console posts a [`Request`] there and calls the CPU with a [kick](interrupts::KICK); the CPU
//! answers at its next exit, or where it waits with its vCPU switched off, stopped, or parked after another CPU's panic.
//! The console's task looks for the answer at each of its steps, and nobody waits for anybody: a CPU that never answers
//! costs a message, and a user who gives up costs nothing.
//!
//! A mailbox goes from *idle* to *posted* to *answered*, and from any of these to *posted* again, under a lock that both
//! sides only try to take. A number tells the answer to one request from the answer to another that was given up.
//!
//! An exit that brings no request reads one flag. Nothing else here runs unless the console asks.

mod assign;
mod at;
mod snapshot;

use core::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use spin::Mutex;
use syndrome::register::Register;

use crate::{
    arch::{
        at::Stage12,
        sysreg::{CNTFRQ_EL0, Readable},
    },
    interrupts,
    layout::CPU_COUNT_MAX,
    nested::timer,
    panic,
    vcpu::{Context, VCpu, context::GuestFrame},
    vm::Vm,
};
pub use assign::AssignError;
pub use snapshot::Snapshot;

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
    /// To [`Request::At`]: `PAR_EL1`; nothing if the context cannot be had at the moment.
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

/// What lies in a mailbox.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "as for `Answer`")]
enum Content {
    Idle,
    Posted { number: u64, request: Request },
    Answered { number: u64, answer: Answer },
}

struct Mailbox {
    /// Whether the content is [`Content::Posted`]: what the CPU looks at on each exit. May lag behind.
    is_posted: AtomicBool,
    content: Mutex<Content>,
}

static MAILBOXES: [Mailbox; CPU_COUNT_MAX] = [const {
    Mailbox {
        is_posted: AtomicBool::new(false),
        content: Mutex::new(Content::Idle),
    }
}; CPU_COUNT_MAX];

/// The number of the last request.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Answers the console, if it asked this CPU for something. `frame` is the guest's, `None` while the vCPU is off. Says
/// whether there was anything to do.
pub fn serve(vcpu: &mut VCpu, frame: Option<&mut GuestFrame>) -> bool {
    let Some(mailbox) = MAILBOXES.get(vcpu.cpu) else {
        return false;
    };
    if !mailbox.is_posted.load(Ordering::Acquire) {
        return false;
    }
    // The console is at it; it calls again.
    let Some(mut content) = mailbox.content.try_lock() else {
        return false;
    };
    if let Content::Posted { number, request } = *content {
        *content = Content::Answered {
            number,
            answer: answer(vcpu, frame, request),
        };
    }
    mailbox.is_posted.store(false, Ordering::Release);
    true
}

fn answer(vcpu: &mut VCpu, frame: Option<&mut GuestFrame>, request: Request) -> Answer {
    let Some(frame) = frame else { return Answer::Off };
    match request {
        Request::Snapshot => Answer::Snapshot(Snapshot::take(vcpu, frame)),
        Request::At {
            instruction,
            context,
            va,
        } => Answer::Translation(at::execute(instruction, vcpu, context, va)),
        Request::Assign { register, value } => Answer::Assigned(assign::assign(vcpu, frame, register, value)),
    }
}

/// A question to a CPU, and the way to its answer. Owned by the task that asks; dropping it gives up.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry {
    cpu: usize,
    request: Request,
    posted: Option<Posted>,
}

/// That a request has gone out.
#[derive(Clone, Copy, Debug)]
struct Posted {
    number: u64,
    /// When to give up, in ticks of the counter.
    deadline: u64,
}

impl Inquiry {
    /// A question to `cpu`, which goes out when it is first polled.
    pub const fn new(cpu: usize, request: Request) -> Self {
        Self {
            cpu,
            request,
            posted: None,
        }
    }

    /// The CPU that is asked.
    pub const fn cpu(&self) -> usize {
        self.cpu
    }

    /// What `read` makes of the answer; `Ok(None)` while there is none, to be tried again at the next step. May be called
    /// again after that, as long as nobody else asks this CPU.
    pub fn poll<T>(&mut self, vm: &Vm, read: impl FnOnce(&Answer) -> T) -> Result<Option<T>, InspectError> {
        let mailbox = MAILBOXES
            .get(self.cpu)
            .filter(|_| self.cpu < vm.machine.cpus.len())
            .ok_or(InspectError::NoCpu)?;
        if panic::has_panicked() && vm.gic.is_this_cpu(self.cpu) {
            return Err(InspectError::Panicked(self.cpu));
        }
        let Some(posted) = self.posted else {
            self.post(mailbox, vm);
            return Ok(None);
        };
        if let Some(content) = mailbox.content.try_lock()
            && let Content::Answered { number, answer } = &*content
            && *number == posted.number
        {
            return match answer {
                Answer::Off => Err(InspectError::Off(self.cpu)),
                answer => Ok(Some(read(answer))),
            };
        }
        if timer::now() > posted.deadline {
            return Err(InspectError::Silent(self.cpu));
        }
        self.call(vm);
        Ok(None)
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

    /// Puts the request into the mailbox, unless the CPU is just answering one that was given up.
    fn post(&mut self, mailbox: &Mailbox, vm: &Vm) {
        let Some(mut content) = mailbox.content.try_lock() else {
            return;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
        *content = Content::Posted {
            number,
            request: self.request,
        };
        mailbox.is_posted.store(true, Ordering::Release);
        drop(content);
        self.posted = Some(Posted {
            number,
            deadline: timer::now().saturating_add(PATIENCE * CNTFRQ_EL0.get()),
        });
        self.call(vm);
    }

    /// Makes the CPU leave its guest. The console's own CPU has left it, and looks before it goes back.
    fn call(&self, vm: &Vm) {
        if !vm.gic.is_this_cpu(self.cpu) {
            vm.gic.send_sgi(self.cpu, interrupts::KICK);
        }
    }
}
