//! The debug console: a command line on the second UART that shows the page tables as they are.
//!
//! It runs on CPU 0, at EL2, from the UART's own interrupt, so it answers while a guest spins without exits. A command
//! is a [`task`](commands::Task) of short steps. Each call from outside takes one step and returns, a timer asks for the
//! next, and the guest has the CPU in between: what a user prints never keeps a vCPU from running for longer than one
//! step, however large the table (invariant I6). A step takes the MMU lock for a bounded number of descriptors, formats
//! into memory, gives the lock back, and only then sends.
//!
//! Locks: the session's is taken first, then that of the snapshots, then either the MMU's or the UART's, never both of
//! these, and nothing that is called with the MMU lock held comes back here.
//!
//! It stands on the core, the package `hyp`, which does not know it: [`init`] hands the core a [`Console`], whose functions
//! are the ways in. [`receive`](Console::receive) serves the interrupts. [`attend`](Console::attend) answers questions about
//! a vCPU and keeps its CPU here while `stop` is in force; CPU 0 goes on serving. [`after_panic`](Console::after_panic)
//! gives the CPU that panicked a session of its own, which waits for no lock.
//!
//! | module | part |
//! |---|---|
//! | [`session`] | bytes to commands, commands to output, step by step |
//! | [`commands`] | one command a file, and the table of all |
//! | [`tables`] | page tables by name, and how each is read |
//! | [`translation`] | a vCPU's stage 1, as its registers describe it |
//! | [`spaces`], [`reader`] | what has entries to go over, part by part |
//! | [`dma`] | what devices were refused |
//! | [`dump`] | page tables as lines |
//! | [`walks`] | all walks behind one address |
//! | [`audit`] | page tables against what must hold |
//! | [`snapshots`] | page tables as they were, and what differs |
//! | [`registers`] | registers and their fields as rows |
//! | [`round`] | something about each vCPU in turn |
//! | [`crash`] | what there is to know of a CPU that panicked |
//! | [`output`] | what a step prints: text or JSON |
//! | [`halt`] | `stop`: every CPU at rest |
//! | [`pace`] | when the next step is due |
//! | [`system`] | what commands reach of the machine |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod audit;
mod commands;
mod crash;
mod dma;
mod dump;
mod error;
mod halt;
mod inspect;
mod output;
mod pace;
mod reader;
mod registers;
mod round;
mod rows;
mod session;
mod snapshots;
mod spaces;
mod system;
mod tables;
mod terminal;
mod text;
mod translation;
mod typeahead;
mod walks;

use core::fmt::{self, Write};

use hyp::{
    arch::barrier,
    console::{self, Console},
    dev::uart,
    nested::timer,
    panic::{self, Crash},
    vcpu::{VCpu, context::GuestFrame},
    vm::Vm,
};
use spin::Mutex;

use session::Session;
use system::System;
use terminal::Terminal;

/// The CPU whose interrupts the console runs on.
const HOME_CPU: usize = 0;

static SESSION: Mutex<Session> = Mutex::new(Session::new());

/// The session after a panic. The other one may be locked for good, in the middle of anything.
static LAST_SESSION: Mutex<Session> = Mutex::new(Session::new());

/// Opens the console, once the UART is up, and hands it to the core.
pub fn init() {
    console::install(&DebugConsole);
    SESSION.lock().open(&mut Terminal::Shared);
    pace::listen(&mut Terminal::Shared);
}

/// What the core knows of all this.
struct DebugConsole;

impl Console for DebugConsole {
    /// Takes in what was typed and does the next step of what was asked.
    fn receive(&self, vcpu: &mut VCpu) {
        serve(vcpu.vm);
    }

    fn attend(&self, vcpu: &mut VCpu, mut frame: Option<&mut GuestFrame>) {
        if vcpu.cpu == HOME_CPU {
            dma::serve(vcpu.vm);
        }
        inspect::serve(vcpu, frame.as_deref_mut());
        wait_while_stopped(vcpu, frame);
    }

    fn announce(&self, news: fmt::Arguments<'_>) {
        SESSION.lock().announce(news, &mut Terminal::Shared);
    }

    fn report(&self, crash: &Crash<'_>) {
        if let Some(mut uart) = uart::without_lock() {
            let _ = crash::report(crash, &mut uart);
        }
    }

    fn after_panic(&self) {
        serve_after_panic();
    }
}

/// One round. Says whether there was anything to do.
fn serve(vm: &'static Vm) -> bool {
    let mut session = SESSION.lock();
    let mut terminal = Terminal::Shared;
    let started = timer::now();
    let was_busy = session.serve(&System::running(vm), &mut terminal);
    if was_busy {
        pace::rest(timer::now().wrapping_sub(started), &mut terminal);
    } else {
        pace::listen(&mut terminal);
    }
    was_busy
}

/// Keeps this CPU at EL2 while `stop` is in force, or for good once another CPU has panicked.
///
/// No interrupt is acknowledged in here, so none is lost: what becomes pending is taken when the guest goes on.
fn wait_while_stopped(vcpu: &mut VCpu, mut frame: Option<&mut GuestFrame>) {
    if panic::has_panicked() {
        rest_after_panic(vcpu, frame);
    }
    halt::wait(vcpu.cpu, || {
        if panic::has_panicked() {
            rest_after_panic(vcpu, frame.as_deref_mut());
        }
        let is_busy = vcpu.cpu == HOME_CPU && serve(vcpu.vm);
        let was_asked = inspect::serve(vcpu, frame.as_deref_mut());
        if !is_busy && !was_asked {
            // Ends at once if anything is pending; then this is polling, which harms nobody while all are stopped.
            barrier::wfi();
        }
    });
}

/// Keeps this CPU here for good. All it still does is answer questions about its vCPU.
fn rest_after_panic(vcpu: &mut VCpu, mut frame: Option<&mut GuestFrame>) -> ! {
    loop {
        if !inspect::serve(vcpu, frame.as_deref_mut()) {
            barrier::wfi();
        }
    }
}

/// Serves the console for ever on the CPU that panicked; read-only, and without waiting for any lock. Returns only if
/// there is nothing to serve it with.
fn serve_after_panic() {
    let (Some(uart), Some(vm), Some(mut session)) = (uart::without_lock(), Vm::get(), LAST_SESSION.try_lock()) else {
        return;
    };
    let mut terminal = Terminal::Own(uart);
    let system = System::after_panic(vm);
    let _ = writeln!(
        terminal,
        "gnomon: all guests are stopped for good; the tables can still be looked at"
    );
    session.open(&mut terminal);
    loop {
        session.serve(&system, &mut terminal);
    }
}
