//! From what a user or a test asks for to a [`Config`] and a running [`Machine`].

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use super::config::{Below, Boot, Config, Console, DebugUart, Guest};
use super::placement;
use super::running::{Machine, Watch};
use crate::arm64_image::{HEADER_BYTES, Header};
use crate::firmware;
use crate::memory::MemorySize;
use crate::payload::{self, Kernel, Payload};
use crate::profile::{DEFAULT_PROFILE, Profile};
use crate::project::Project;

/// With a gnomon below: gnomon's own EL2 has `E2H` = 0.
const OUTER_OPTION: &str = "e2h=0";
/// What the one below does without: the second UART is the other's.
const INNER_OPTION: &str = "console=none";

/// What to run, as the options of `scripts/run` say it.
#[derive(Clone, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own on the command line"
)]
pub struct Request {
    /// L1's kernel instead of Debian's.
    pub kernel: Option<PathBuf>,
    /// L1's ramdisk instead of the default one.
    pub initrd: Option<PathBuf>,
    /// No ramdisk: a kernel that is no Linux.
    pub no_initrd: bool,
    /// L1's command line, added to the default payload's own.
    pub append: Vec<String>,
    /// gnomon's own options.
    pub hyp: Vec<String>,
    /// CPUs instead of the profile's number.
    pub cpu_count: Option<u32>,
    /// RAM instead of the profile's amount.
    pub memory: Option<MemorySize>,
    /// The payload alone, at QEMU's own EL2.
    pub native: bool,
    /// L1 powers off after its L2 instead of offering a shell.
    pub headless: bool,
    /// Instruction-counted run.
    pub icount: bool,
    /// Wait for a debugger.
    pub gdb: bool,
    /// gnomon without any L1.
    pub no_payload: bool,
    /// A machine with one UART only.
    pub no_debug_uart: bool,
    /// gnomon once more, as L1, with these options; L1's payload is below that.
    pub inner: Option<String>,
    /// gnomon's raw image instead of a fresh build.
    pub image: Option<PathBuf>,
    /// More arguments for QEMU.
    pub extra: Vec<OsString>,
}

impl Request {
    /// Makes what is needed (gnomon's image, the payload) and says how QEMU is to be started.
    ///
    /// # Errors
    ///
    /// When something cannot be built, fetched or read, or does not fit into RAM.
    pub fn config(&self, project: &Project, console: Console, debug_uart: DebugUart) -> Result<Config> {
        let profile = Profile::load(project, DEFAULT_PROFILE)?;
        let memory = self.memory.unwrap_or(profile.memory);
        let boot = if self.native {
            let Some(guest) = self.guest(project)? else {
                bail!("without gnomon and without a payload there is nothing to run");
            };
            Boot::Native(guest)
        } else {
            let image = match &self.image {
                Some(image) => image.clone(),
                None => firmware::image(project)?,
            };
            let below = match self.guest(project)? {
                Some(guest) => Some(self.below(project, guest, profile.ram_base, memory)?),
                None => None,
            };
            let mut options = self.hyp.clone();
            if self.inner.is_some() {
                options.insert(0, OUTER_OPTION.to_owned());
            }
            Boot::Gnomon {
                image,
                options: options.join(" "),
                guest: below,
            }
        };
        let debug_uart = if self.native || self.no_debug_uart {
            DebugUart::Absent
        } else {
            debug_uart
        };
        Ok(Config {
            cpu_count: self.cpu_count.unwrap_or(profile.cpu_count),
            profile,
            memory,
            boot,
            console,
            debug_uart,
            reboots: !self.headless,
            icount: self.icount,
            gdb: self.gdb,
            extra: self.extra.clone(),
        })
    }

    /// What gnomon starts for `guest` to run: that, or a gnomon in between.
    fn below(&self, project: &Project, guest: Guest, ram_base: u64, memory: MemorySize) -> Result<Below> {
        let kernel_bytes = occupied_bytes(&guest.kernel)?;
        let initrd_bytes = match &guest.initrd {
            Some(initrd) => file_bytes(initrd)?,
            None => 0,
        };
        let Some(options) = &self.inner else {
            let placement = placement::place(ram_base, memory, kernel_bytes, initrd_bytes)?;
            return Ok(Below::L1(guest, placement));
        };
        let placement = placement::place_inner(ram_base, memory, kernel_bytes, initrd_bytes)?;
        Ok(Below::Inner {
            image: firmware::build_at(project, placement.inner)?.image,
            options: format!("{INNER_OPTION} {options}").trim_end().to_owned(),
            guest,
            placement,
        })
    }

    /// L1's files and command line.
    fn guest(&self, project: &Project) -> Result<Option<Guest>> {
        if self.no_payload {
            return Ok(None);
        }
        if let (Some(kernel), true) = (&self.kernel, self.no_initrd) {
            return Ok(Some(Guest {
                kernel: kernel.clone(),
                initrd: None,
                command_line: self.append.join(" "),
            }));
        }
        let (kernel, initrd, mut words) = match (&self.kernel, &self.initrd) {
            (kernel, Some(initrd)) => {
                let kernel = match kernel {
                    Some(kernel) => kernel.clone(),
                    None => payload::kernel_image(project, Kernel::Default)?,
                };
                (kernel, initrd.clone(), Vec::new())
            }
            (kernel, None) => {
                let payload = match kernel {
                    Some(kernel) => Payload::with_kernel(project, kernel)?,
                    None => Payload::default_for(project)?,
                };
                let mut words = vec![payload::COMMAND_LINE.to_owned()];
                if self.headless {
                    words.push(payload::HEADLESS_OPTION.to_owned());
                }
                (payload.kernel, payload.initrd, words)
            }
        };
        words.extend(self.append.iter().cloned());
        Ok(Some(Guest {
            kernel,
            initrd: Some(initrd),
            command_line: words.join(" "),
        }))
    }
}

/// Memory a kernel occupies: what its header says, or the file's size when it has none.
/// A file that is no `Image` is gnomon's to refuse.
fn occupied_bytes(kernel: &Path) -> Result<u64> {
    let mut start = Vec::new();
    File::open(kernel)
        .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut start))
        .with_context(|| format!("cannot read the kernel {}", kernel.display()))?;
    let file_bytes = file_bytes(kernel)?;
    let header_bytes = Header::parse(&start).map_or(0, |header| header.image_bytes);
    // A header can say anything; more than 1 GiB is as good as a file that is no kernel.
    Ok(if header_bytes > 1 << 30 {
        file_bytes
    } else {
        file_bytes.max(header_bytes)
    })
}

fn file_bytes(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len())
}

/// Builds a machine for a test: headless, both consoles watched, logs kept under
/// `target/system-tests/<name>`.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// use xtask::machine::{Builder, Outcome};
///
/// let mut machine = Builder::new("dump").smp(2).append("gnomon.hold=60").start()?;
/// machine.wait_for("L2 OK")?;
/// let dump = machine.debug_console()?.command("ptdump shadow")?;
/// assert!(dump[0].starts_with("---["));
/// assert_eq!(machine.wait_until_off()?, Outcome::PoweredOff);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    name: String,
    project: Project,
    request: Request,
    input: bool,
}

impl Builder {
    /// A machine as `scripts/run --headless` would start it.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            project: Project::new(),
            request: Request {
                headless: true,
                ..Request::default()
            },
            input: false,
        }
    }

    /// Number of CPUs.
    pub fn smp(mut self, cpu_count: u32) -> Self {
        self.request.cpu_count = Some(cpu_count);
        self
    }

    /// Amount of RAM.
    pub fn memory(mut self, memory: MemorySize) -> Self {
        self.request.memory = Some(memory);
        self
    }

    /// Adds to L1's command line.
    pub fn append(mut self, words: &str) -> Self {
        self.request.append.push(words.to_owned());
        self
    }

    /// Adds to gnomon's options.
    pub fn hyp(mut self, options: &str) -> Self {
        self.request.hyp.push(options.to_owned());
        self
    }

    /// Another kernel for L1 (and, with the default ramdisk, for L2).
    pub fn kernel(mut self, path: impl Into<PathBuf>) -> Self {
        self.request.kernel = Some(path.into());
        self
    }

    /// Another ramdisk for L1; the command line is then only what [`Self::append`] says.
    pub fn initrd(mut self, path: impl Into<PathBuf>) -> Self {
        self.request.initrd = Some(path.into());
        self
    }

    /// One of the bare-metal guest hypervisors as L1; the command line is only what [`Self::append`] says.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn payload(mut self, package: &str) -> Result<Self> {
        self.request.kernel = Some(firmware::payload(&self.project, package)?);
        self.request.no_initrd = true;
        Ok(self)
    }

    /// As [`Self::payload`], at an EL2 without the Virtualization Host Extensions.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn payload_without_vhe(mut self, package: &str) -> Result<Self> {
        self.request.kernel = Some(firmware::payload_without_vhe(&self.project, package)?);
        self.request.no_initrd = true;
        Ok(self)
    }

    /// The small VMM as L1's only program, on Debian's kernel unless [`Self::kernel`] says otherwise; `arguments` are
    /// what it is told to do. What [`Self::append`] adds must come before.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn vmm(mut self, arguments: &str) -> Result<Self> {
        self.request.initrd = Some(payload::vmm_initrd(&self.project)?);
        self.request.append.insert(0, payload::COMMAND_LINE.to_owned());
        self.request.append.push(format!("-- {arguments}"));
        Ok(self)
    }

    /// The default payload with modules for virtio devices, which L1's shell loads by `/modules/load`. What
    /// [`Self::append`] adds must come before.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn virtio(mut self) -> Result<Self> {
        self.request.initrd = Some(payload::virtio_initrd(&self.project)?);
        self.request.append.insert(0, payload::COMMAND_LINE.to_owned());
        Ok(self)
    }

    /// The small VMM on a 7.x kernel whose KVM runs hypervisors, with that kernel and the small VMM once more for it to
    /// boot, and so on for as many guests within guests as `depth` says: `arguments` are what it is told to do. What
    /// [`Self::append`] adds must come before.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn nested_vmm(mut self, depth: u32, arguments: &str) -> Result<Self> {
        let kernel = payload::kernel_image(&self.project, Kernel::Seven)?;
        self.request.initrd = Some(payload::nested_vmm_initrd(&self.project, &kernel, depth)?);
        self.request.kernel = Some(kernel);
        let append = &mut self.request.append;
        append.insert(0, format!("{} kvm-arm.mode=nested", payload::COMMAND_LINE));
        append.push(format!("-- {arguments}"));
        Ok(self)
    }

    /// The small VMM on Debian's kernel, with that kernel and the small VMM once more, for it to boot: `arguments` are what it
    /// is told to do. What [`Self::append`] adds must come before.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn kexec_vmm(mut self, arguments: &str) -> Result<Self> {
        let kernel = payload::kernel_image(&self.project, Kernel::Default)?;
        self = self.vmm(arguments)?;
        self.request.initrd = Some(payload::nested_vmm_initrd(&self.project, &kernel, 1)?);
        Ok(self)
    }

    /// gnomon once more, as L1, with these options; L1's payload is below that.
    pub fn inner(mut self, options: &str) -> Self {
        self.request.inner = Some(options.to_owned());
        self
    }

    /// gnomon's raw image, instead of the one just built.
    pub fn image(mut self, path: impl Into<PathBuf>) -> Self {
        self.request.image = Some(path.into());
        self
    }

    /// The payload alone, at QEMU's own EL2.
    pub fn native(mut self) -> Self {
        self.request.native = true;
        self
    }

    /// L1 stays at a shell, and [`Machine::send`] types in it.
    pub fn interactive(mut self) -> Self {
        self.request.headless = false;
        self.input = true;
        self
    }

    /// Instruction-counted run.
    pub fn icount(mut self) -> Self {
        self.request.icount = true;
        self
    }

    /// gnomon without any L1.
    pub fn no_payload(mut self) -> Self {
        self.request.no_payload = true;
        self
    }

    /// A machine with one UART only.
    pub fn no_debug_uart(mut self) -> Self {
        self.request.no_debug_uart = true;
        self
    }

    /// One more argument for QEMU.
    pub fn qemu_arg(mut self, argument: impl Into<OsString>) -> Self {
        self.request.extra.push(argument.into());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// As for [`Request::config`] and [`Machine::start`].
    pub fn start(self) -> Result<Machine> {
        let log_dir = self.project.target_dir().join("system-tests").join(&self.name);
        let debug_uart = DebugUart::Socket {
            path: socket_path(),
            log: Some(log_dir.join("debug.log")),
        };
        let config = self.request.config(&self.project, Console::Stdio, debug_uart)?;
        Machine::start(
            &config,
            &Watch {
                log_dir,
                echo: false,
                input: self.input,
            },
        )
    }
}

/// A path nobody else uses. In the temporary directory, because the path of a unix socket
/// must be short (108 bytes on Linux) and a target directory's often is not.
fn socket_path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("gnomon-{}-{count}.sock", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm64_image::header_bytes;

    #[test]
    fn a_kernels_header_counts_for_more_than_its_file() {
        let path = env::temp_dir().join(format!("xtask-kernel-{}", std::process::id()));
        for (contents, bytes) in [
            (header_bytes(0x20_0000).to_vec(), 0x20_0000),
            (b"no kernel at all".to_vec(), 16),
            (header_bytes(u64::MAX).to_vec(), 64),
        ] {
            fs::write(&path, contents).unwrap();
            assert_eq!(occupied_bytes(&path).unwrap(), bytes);
        }
        fs::remove_file(&path).unwrap();
        assert!(occupied_bytes(&path).is_err());
    }

    #[test]
    fn a_payload_of_ones_own_has_only_ones_own_command_line() {
        let request = Request {
            kernel: Some("/k".into()),
            initrd: Some("/i".into()),
            append: vec!["root=/dev/vda".into(), "rw".into()],
            headless: true,
            ..Request::default()
        };
        let guest = request.guest(&Project::new()).unwrap().unwrap();
        assert_eq!(guest.command_line, "root=/dev/vda rw");
    }

    #[test]
    fn without_a_ramdisk_a_kernel_is_all_there_is() {
        let request = Request {
            kernel: Some("/k".into()),
            no_initrd: true,
            append: vec!["scenario=good".into(), "hold".into()],
            headless: true,
            ..Request::default()
        };
        let guest = request.guest(&Project::new()).unwrap().unwrap();
        assert_eq!((guest.initrd, &guest.command_line[..]), (None, "scenario=good hold"));
    }

    #[test]
    fn two_machines_do_not_share_a_socket() {
        assert_ne!(socket_path(), socket_path());
    }
}
