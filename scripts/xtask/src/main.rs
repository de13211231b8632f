//! The command line of gnomon's host tool. Everything it does is in the library.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use xtask::machine::builder::Request;
use xtask::memory::MemorySize;
use xtask::project::{CALLER_DIR_VARIABLE, Project};
use xtask::{
    bench, census, conformance, doctor, firmware, fuzz, golden, hotspots, miri, payload, perfetto, run, selftests,
    setup, test, view,
};

/// gnomon's host tool.
#[derive(Parser)]
#[command(name = "gnomon", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing: toolchain target, QEMU, L1 payload
    Setup(SetupArgs),
    /// Build gnomon's raw image and print where it is
    Build(BuildArgs),
    /// Build gnomon and boot L1 on it, which starts an L2
    Run(Box<RunArgs>),
    /// Run everything that must pass
    Test(TestArgs),
    /// Run the tests of the crates whose threads share memory under Miri
    Miri {
        /// All tests of the pure crates; takes hours
        #[arg(long)]
        all: bool,
    },
    /// Count what operations cost, natively and under gnomon; exit status 1 when a budget is broken
    Bench(BenchArgs),
    /// Run KVM's own selftests in L1, natively and under gnomon; exit status 1 when one passes only natively
    Selftests(SelftestsArgs),
    /// Attack gnomon with random guest hypervisors; exit status 1 when one does harm
    Fuzz(FuzzArgs),
    /// Count where gnomon's instructions go, by function
    Profile(Box<ProfileArgs>),
    /// Write gnomon's trace events as a file for Perfetto
    Trace(TraceArgs),
    /// Draw a machine's page tables: one HTML file, or SVG
    View(ViewArgs),
    /// Record how Linux prints page tables, for the tests, and compare gnomon with it
    Golden(GoldenArgs),
    /// Write docs/conformance.md, which says by what each piece of the architecture is shown
    Conformance,
    /// List every `unsafe` of what runs at EL2, and write docs/unsafe.md, which has the numbers
    Unsafe,
    /// Attach a debugger to a `run --gdb`
    Gdb,
    /// Say what is missing and how to get it
    Doctor,
}

#[derive(Args)]
struct SetupArgs {
    /// Fetch the 7.x kernel as well and print its path, for `run --kernel`
    #[arg(long)]
    kernel_7: bool,
    /// Rewrite payload/packages.lock with the newest versions the archive has
    #[arg(long)]
    repin: bool,
}

#[derive(Args)]
struct BuildArgs {
    /// For this address, such as 0x48200000, as the L1 of another gnomon
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    base: Option<u64>,
}

/// A number in hexadecimal.
fn address(text: &str) -> Result<u64> {
    let digits = text.strip_prefix("0x").context("an address begins with 0x")?;
    Ok(u64::from_str_radix(digits, 16)?)
}

#[derive(Args)]
struct TestArgs {
    /// Host tests, formatting, lints and the build only
    #[arg(long)]
    quick: bool,
    /// Only the system tests whose name contains this
    filter: Option<String>,
}

#[derive(Args)]
struct BenchArgs {
    /// Only operations whose name or description contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// L1's kernel where L1 is a Linux, an arm64 Image [default: Debian's 7.x]
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// gnomon's own options
    #[arg(long, value_name = "OPTIONS")]
    hyp: Option<String>,
    /// One JSON object a row, with names, least numbers and averages
    #[arg(long)]
    json: bool,
    /// Record the bare payload's counts under gnomon in tests/golden/bench.txt instead
    #[arg(long, conflicts_with_all = ["filter", "kernel", "hyp", "json"])]
    record: bool,
}

#[derive(Args)]
struct SelftestsArgs {
    /// Only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How long one test may take [default: 600]
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
    /// With `kvm-arm.mode=nested` for L1: guests of the tests run at an EL2 of theirs
    #[arg(long)]
    nested: bool,
    /// One JSON object a test
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own on the command line"
)]
struct RunArgs {
    /// L1's kernel, an arm64 Image [default: Debian's]
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// L1's ramdisk [default: one with QEMU and an L2 guest]
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// No ramdisk for L1: its kernel is no Linux
    #[arg(long, requires = "kernel", conflicts_with = "initrd")]
    no_initrd: bool,
    /// L1's command line; with the default ramdisk, added to its own
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    append: Vec<String>,
    /// gnomon's own options, such as `log=debug`; may be given more than once
    #[arg(long, value_name = "STRING")]
    hyp: Vec<String>,
    /// CPUs [default: 2]
    #[arg(long, value_name = "N")]
    smp: Option<u32>,
    /// RAM, such as 512M or 4G [default: 4G]
    #[arg(long, value_name = "SIZE")]
    memory: Option<MemorySize>,
    /// The same payload at QEMU's real EL2, without gnomon
    #[arg(long)]
    native: bool,
    /// L1's console on stdout, nothing read from stdin; exit 0 when the machine powers off in
    /// order, 1 on a panic or crash, 124 on timeout
    #[arg(long)]
    headless: bool,
    /// With --headless: give up after this many seconds
    #[arg(long, value_name = "SECONDS", requires = "headless")]
    timeout: Option<u64>,
    /// The debug console as a unix socket at PATH instead of on the terminal
    #[arg(long, value_name = "PATH")]
    console: Option<PathBuf>,
    /// Deterministic, instruction-counted run on one thread
    #[arg(long)]
    icount: bool,
    /// Wait for a debugger before the first instruction (see scripts/gdb)
    #[arg(long)]
    gdb: bool,
    /// gnomon's raw image instead of a fresh build
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Start gnomon without any L1
    #[arg(long)]
    no_payload: bool,
    /// A machine with one UART only
    #[arg(long)]
    no_debug_uart: bool,
    /// A second gnomon as L1, with these options of its own, and L1's payload below that
    #[arg(long, value_name = "STRING", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["native", "no_payload"])]
    inner: Option<String>,
    /// Print the command that starts QEMU instead of starting it
    #[arg(long)]
    print_command: bool,
    /// Arguments for QEMU, after all others
    #[arg(last = true, value_name = "QEMU ARGS")]
    extra: Vec<OsString>,
}

#[derive(Args)]
struct GoldenArgs {
    /// A kernel with CONFIG_PTDUMP_STAGE2_DEBUGFS [default: built from Debian's source]
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
}

#[derive(Args)]
struct FuzzArgs {
    /// Go on with new seeds for so long
    /// [default: 10, or one seed with --seed]
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Begin with this seed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only this part of the attack
    #[arg(long, value_name = "NAME")]
    area: Option<String>,
    /// CPUs, 1 to 4 [default: by the seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4))]
    cpus: Option<u32>,
    /// Steps of each CPU
    #[arg(long, value_name = "N", default_value_t = 2000)]
    steps: u64,
    /// The first step
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Count instructions, on one thread: the same run every time
    #[arg(long)]
    icount: bool,
    /// gnomon's own options
    #[arg(long, value_name = "STRING")]
    hyp: Option<String>,
}

#[derive(Args)]
struct TraceArgs {
    /// A running machine's debug console, a unix socket
    #[arg(long, value_name = "PATH", conflicts_with = "from")]
    console: Option<PathBuf>,
    /// Records that a console printed, one a line
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Record this long first
    #[arg(long, value_name = "N", requires = "console")]
    seconds: Option<u64>,
    /// Keep the console's records here
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// The file for Perfetto
    #[arg(long, value_name = "FILE", default_value = "gnomon.perfetto-trace")]
    out: PathBuf,
}

#[derive(Args)]
struct ProfileArgs {
    /// Count from the line of L1's console that contains this
    #[arg(long, value_name = "TEXT", default_value = "L1 KVM:")]
    from: String,
    /// Count to the line of L1's console that contains this
    #[arg(long, value_name = "TEXT", default_value = "L2 OK")]
    to: String,
    /// Functions to show
    #[arg(long, value_name = "N", default_value_t = 40)]
    top: usize,
    /// Count instructions for the function that was inlined, not for the one around it
    #[arg(long)]
    inlined: bool,
    #[command(flatten)]
    machine: RunArgs,
}

#[derive(Args)]
struct ViewArgs {
    /// Ask a running machine: the socket given to `run --console`
    #[arg(long, value_name = "PATH", required_unless_present_any = ["from", "from_debugfs"], conflicts_with_all = ["from", "from_debugfs"])]
    console: Option<PathBuf>,
    /// Read records that a console printed in JSON, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "from_debugfs")]
    from: Option<PathBuf>,
    /// Read a VM's directory of KVM's debugfs, or a copy of it
    #[arg(long, value_name = "DIR")]
    from_debugfs: Option<PathBuf>,
    /// Write the page there [default: gnomon-view.html, unless another file is asked for]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the picture of one L2 there
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Keep the console's records there, for --from
    #[arg(long, value_name = "FILE", requires = "console")]
    save: Option<PathBuf>,
    /// The L2 for --svg: a number, or the beginning of its name [default: the first]
    #[arg(long, value_name = "NAME", requires = "svg")]
    l2: Option<String>,
}

impl ViewArgs {
    fn into_options(self) -> Result<view::Options> {
        let source = match (self.console, self.from, self.from_debugfs) {
            (Some(path), ..) => view::Source::Console(path),
            (_, Some(path), _) => view::Source::Records(path),
            (.., Some(dir)) => view::Source::Debugfs(dir),
            _ => bail!("nothing to view"),
        };
        Ok(view::Options {
            source,
            html: self.out,
            svg: self.svg,
            save: self.save,
            l2: self.l2,
        })
    }
}

impl RunArgs {
    fn into_options(self) -> run::Options {
        run::Options {
            request: Request {
                kernel: self.kernel,
                initrd: self.initrd,
                no_initrd: self.no_initrd,
                append: self.append,
                hyp: self.hyp,
                cpu_count: self.smp,
                memory: self.memory,
                native: self.native,
                headless: self.headless,
                icount: self.icount,
                gdb: self.gdb,
                no_payload: self.no_payload,
                no_debug_uart: self.no_debug_uart,
                inner: self.inner,
                image: self.image,
                extra: self.extra,
            },
            timeout: self.timeout.map(Duration::from_secs),
            console: self.console,
            print_command: self.print_command,
        }
    }
}

fn main() -> ExitCode {
    match dispatch(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command; the number is the exit status.
fn dispatch(cli: Cli) -> Result<u8> {
    // Paths on the command line are meant from where the user is, not from where the script is.
    if let Some(dir) = env::var_os(CALLER_DIR_VARIABLE) {
        env::set_current_dir(&dir).with_context(|| format!("cannot go to {}", dir.display()))?;
    }
    let project = Project::new();
    match cli.command {
        Command::Setup(arguments) => {
            if arguments.repin {
                payload::repin(&project)?;
            }
            if arguments.kernel_7 {
                setup::kernel_7(&project)?;
            } else {
                setup::all(&project)?;
            }
            Ok(0)
        }
        Command::Build(BuildArgs { base }) => {
            setup::toolchain::ensure(&project)?;
            let built = match base {
                Some(base) => firmware::build_at(&project, base)?,
                None => firmware::build(&project)?,
            };
            println!("{}", built.image.display());
            Ok(0)
        }
        Command::Run(arguments) => run::run(&project, &arguments.into_options()),
        Command::Test(arguments) => {
            let options = test::Options {
                quick: arguments.quick,
                filter: arguments.filter,
            };
            Ok(u8::from(!test::run(&project, &options)?))
        }
        Command::Miri { all } => miri::run(&project, all).map(|()| 0),
        Command::Bench(arguments) if arguments.record => bench::record(&project).map(|()| 0),
        Command::Bench(arguments) => {
            let options = bench::Options {
                filter: arguments.filter,
                kernel: arguments.kernel,
                hyp: arguments.hyp,
                json: arguments.json,
            };
            Ok(u8::from(!bench::run(&project, &options)?))
        }
        Command::Selftests(arguments) => {
            let options = selftests::Options {
                filter: arguments.filter,
                limit: arguments.limit.map(Duration::from_secs),
                nested: arguments.nested,
                json: arguments.json,
            };
            Ok(u8::from(!selftests::run(&project, &options)?))
        }
        Command::Fuzz(arguments) => {
            let options = fuzz::Options {
                minutes: arguments.minutes,
                seed: arguments.seed,
                area: arguments.area,
                cpus: arguments.cpus,
                steps: arguments.steps,
                from: arguments.from,
                icount: arguments.icount,
                hyp: arguments.hyp,
            };
            Ok(u8::from(!fuzz::run(&project, &options)?))
        }
        Command::Profile(arguments) => {
            let options = hotspots::Options {
                request: arguments.machine.into_options().request,
                from: arguments.from,
                to: arguments.to,
                top: arguments.top,
                inlined: arguments.inlined,
            };
            hotspots::run(&project, &options).map(|()| 0)
        }
        Command::Trace(arguments) => {
            let options = perfetto::Options {
                source: perfetto::source(arguments.console, arguments.from)?,
                record: arguments.seconds.map(Duration::from_secs),
                out: arguments.out,
                save: arguments.save,
            };
            perfetto::run(&options).map(|()| 0)
        }
        Command::Conformance => conformance::write(&project).map(|()| 0),
        Command::Unsafe => census::write(&project).map(|()| 0),
        Command::View(arguments) => view::run(&arguments.into_options()?).map(|()| 0),
        Command::Golden(arguments) => golden::run(&project, arguments.kernel).map(|()| 0),
        Command::Gdb => run::gdb(&project).map(|()| 0),
        Command::Doctor => Ok(u8::from(!doctor::doctor(&project)?)),
    }
}
