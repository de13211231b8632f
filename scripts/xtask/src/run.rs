//! `xtask run`: set up what is missing, build, boot.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::firmware;
use crate::machine::builder::Request;
use crate::machine::config::{Boot, Config, Console, DebugUart};
use crate::machine::running::{Machine, Watch};
use crate::process;
use crate::progress::say;
use crate::project::Project;
use crate::setup::{qemu, toolchain};

/// The options of `xtask run` that are not about the machine itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What to boot, on what machine.
    pub request: Request,
    /// Give up after this long; only headless.
    pub timeout: Option<Duration>,
    /// The debug console as a unix socket here.
    pub console: Option<PathBuf>,
    /// Print the command that would start QEMU, and do not start it.
    pub print_command: bool,
}

/// Runs gnomon and returns the exit status for the shell.
///
/// # Errors
///
/// When the run cannot be started. A run that failed is no error but a status.
pub fn run(project: &Project, options: &Options) -> Result<u8> {
    let request = &options.request;
    if request.native && options.console.is_some() {
        bail!("--native has no debug console: leave out --console");
    }
    qemu::ensure(project)?;
    if !request.native && request.image.is_none() {
        toolchain::ensure(project)?;
    }
    let log_dir = project.target_dir().join("run");
    let debug_log = log_dir.join("debug.log");
    let debug_uart = match (&options.console, request.headless) {
        (Some(path), headless) => DebugUart::Socket {
            path: absolute(path)?,
            log: headless.then(|| debug_log.clone()),
        },
        (None, true) => DebugUart::Log(debug_log),
        (None, false) => DebugUart::Terminal,
    };
    let console = if request.headless {
        Console::Stdio
    } else {
        Console::Terminal
    };
    let config = request.config(project, console, debug_uart)?;
    if options.print_command {
        let mut command = Command::new(qemu::PROGRAM);
        println!("{}", process::display(command.args(config.arguments())));
        return Ok(0);
    }
    if request.gdb {
        say("gdb: QEMU waits for a debugger; in another terminal: scripts/gdb");
        if let Boot::Gnomon { .. } = config.boot {
            let elf = firmware::outputs(project).elf;
            say(&format!(
                "gdb: or by hand: gdb {} -ex 'target remote :1234'",
                elf.display()
            ));
        }
    }
    if request.headless {
        headless(
            &config,
            &Watch {
                log_dir,
                echo: true,
                input: false,
            },
            options.timeout,
        )
    } else {
        interactive(&config, options.console.is_some())
    }
}

/// L1's console on standard output until the machine is off.
fn headless(config: &Config, watch: &Watch, timeout: Option<Duration>) -> Result<u8> {
    let mut machine = Machine::start(config, watch)?;
    // Without a limit of the user's there is none: a year stands for that.
    machine.set_limit(timeout.unwrap_or(Duration::from_hours(365 * 24)));
    let outcome = machine.wait_until_off()?;
    let code = outcome.exit_code();
    if code != 0 {
        let debug = machine.debug_lines();
        if !debug.is_empty() {
            say("run: the end of the debug console:");
            for line in &debug[debug.len().saturating_sub(40)..] {
                say(line);
            }
        }
        say(&format!("run: {outcome}"));
        say(&format!("run: logs are in {}", machine.log_dir().display()));
    }
    Ok(code)
}

/// QEMU with our terminal as its own.
fn interactive(config: &Config, console_is_elsewhere: bool) -> Result<u8> {
    say(match (&config.boot, console_is_elsewhere) {
        (Boot::Native(_), _) | (_, true) => {
            "run: Ctrl-a c switches between L1's console and QEMU's monitor, Ctrl-a x ends QEMU"
        }
        (Boot::Gnomon { .. }, false) => {
            "run: Ctrl-a c goes from L1's console to QEMU's monitor, gnomon's console, and round; Ctrl-a x ends QEMU"
        }
    });
    let status = Command::new(qemu::PROGRAM)
        .args(config.arguments())
        .status()
        .with_context(|| format!("cannot start `{}`", qemu::PROGRAM))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// A path that means the same to QEMU wherever it is started.
fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` is no path", path.display()))
}

/// `xtask gdb`: a debugger with gnomon's symbols, attached to a `run --gdb`.
///
/// # Errors
///
/// When there is no gdb for `AArch64` on this host, or it fails.
pub fn gdb(project: &Project) -> Result<()> {
    let Some(gdb) = process::find_program("gdb-multiarch")
        .or_else(|| process::find_program("aarch64-none-elf-gdb"))
        .or_else(|| process::find_program("gdb"))
    else {
        bail!("no gdb here: apt-get install gdb-multiarch");
    };
    process::run(
        Command::new(gdb)
            .arg("-q")
            .arg("-x")
            .arg(project.qemu_dir().join("gdbinit"))
            .arg(firmware::outputs(project).elf),
    )
}
