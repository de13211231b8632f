//! What to run, and the QEMU arguments that run it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::placement::{InnerPlacement, Placement};
use crate::memory::MemorySize;
use crate::profile::Profile;

/// Everything that decides how QEMU is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// The machine.
    pub profile: Profile,
    /// Number of CPUs.
    pub cpu_count: u32,
    /// Amount of RAM.
    pub memory: MemorySize,
    /// What the machine boots.
    pub boot: Boot,
    /// Where L1's console, the first UART, goes.
    pub console: Console,
    /// Where gnomon's debug console, the second UART, goes.
    pub debug_uart: DebugUart,
    /// A reset starts the machine again instead of ending it, which would look like a boot to whoever waits for its end.
    pub reboots: bool,
    /// One thread, one instruction a nanosecond, the same every time.
    pub icount: bool,
    /// Wait for a debugger before the first instruction.
    pub gdb: bool,
    /// Arguments for QEMU as they are, after all others so that they win.
    pub extra: Vec<OsString>,
}

/// What the machine boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// L1 at QEMU's own EL2: the reference to compare gnomon with.
    Native(Guest),
    /// gnomon, which then starts L1.
    Gnomon {
        /// Raw image of gnomon.
        image: PathBuf,
        /// gnomon's own options, the machine's `/chosen/bootargs`.
        options: String,
        /// What it starts; none to see what gnomon says without anything.
        guest: Option<Below>,
    },
}

/// What gnomon starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Below {
    /// L1, and where it goes.
    L1(Guest, Placement),
    /// Another gnomon, and what that starts.
    Inner {
        /// Its raw image, linked for where it goes.
        image: PathBuf,
        /// Its options.
        options: String,
        /// L1 of that.
        guest: Guest,
        /// Where both go.
        placement: InnerPlacement,
    },
}

/// L1's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Kernel, an arm64 `Image`.
    pub kernel: PathBuf,
    /// Ramdisk.
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    pub command_line: String,
}

/// Where the first UART goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The terminal, shared with QEMU's monitor (and the debug console, when that is
    /// [`DebugUart::Terminal`]); Ctrl-a c goes round.
    Terminal,
    /// QEMU's standard input and output, nothing else on them.
    Stdio,
}

/// Where the second UART goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebugUart {
    /// There is none.
    Absent,
    /// The terminal, together with the first.
    Terminal,
    /// A file.
    Log(PathBuf),
    /// A unix socket that somebody may connect to, with all output in a file as well.
    Socket {
        /// Path of the socket.
        path: PathBuf,
        /// Path of the file.
        log: Option<PathBuf>,
    },
}

impl Config {
    /// QEMU's arguments for this run.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        arguments.pair("-M", &self.profile.board);
        arguments.pair("-cpu", &self.profile.cpu);
        arguments.pair("-smp", self.cpu_count.to_string());
        arguments.pair("-m", self.memory.to_string());
        // No default devices, no display.
        arguments.flag("-nodefaults");
        arguments.pair("-display", "none");
        if !self.reboots {
            arguments.flag("-no-reboot");
        }
        self.add_uarts(&mut arguments);
        self.add_boot(&mut arguments);
        if self.icount {
            arguments.pair("-accel", "tcg,thread=single");
            arguments.pair("-icount", "shift=0,sleep=off");
            // Time of day and what the guest is given as random: the same in every run.
            arguments.pair("-rtc", "base=2026-01-01T00:00:00,clock=vm");
            arguments.pair("-seed", "1");
            arguments.pair("-M", "dtb-randomness=off");
        }
        if self.gdb {
            arguments.flag("-S");
            arguments.flag("-s");
        }
        arguments.0.extend(self.extra.iter().cloned());
        arguments.0
    }

    fn add_uarts(&self, arguments: &mut Arguments) {
        match self.console {
            Console::Terminal => {
                // Without signal=off Ctrl-c would end QEMU instead of reaching the guest.
                arguments.pair("-chardev", "stdio,id=term,mux=on,signal=off");
            }
            Console::Stdio => arguments.pair("-chardev", "stdio,id=term,signal=off"),
        }
        arguments.pair("-serial", "chardev:term");
        match &self.debug_uart {
            DebugUart::Absent => {}
            DebugUart::Terminal => arguments.pair("-serial", "chardev:term"),
            DebugUart::Log(path) => {
                arguments.pair("-chardev", with_path("file,id=debug,path=", path));
                arguments.pair("-serial", "chardev:debug");
            }
            DebugUart::Socket { path, log } => {
                let mut value = with_path("socket,id=debug,server=on,wait=off,path=", path);
                if let Some(log) = log {
                    value.push(with_path(",logfile=", log));
                }
                arguments.pair("-chardev", value);
                arguments.pair("-serial", "chardev:debug");
            }
        }
        if self.console == Console::Terminal {
            arguments.pair("-mon", "chardev=term");
        }
    }

    fn add_boot(&self, arguments: &mut Arguments) {
        match &self.boot {
            Boot::Native(guest) => {
                arguments.pair("-kernel", &guest.kernel);
                if let Some(initrd) = &guest.initrd {
                    arguments.pair("-initrd", initrd);
                }
                arguments.pair("-append", &guest.command_line);
            }
            Boot::Gnomon { image, options, guest } => {
                arguments.pair("-kernel", image);
                if !options.is_empty() {
                    arguments.pair("-append", options);
                }
                match guest {
                    None => {}
                    Some(Below::L1(guest, placement)) => add_modules(arguments, guest, *placement),
                    Some(Below::Inner {
                        image,
                        options,
                        guest,
                        placement,
                    }) => {
                        add_kernel(arguments, image, placement.inner, options);
                        add_modules(arguments, guest, placement.payload);
                    }
                }
            }
        }
    }
}

/// L1 as modules of QEMU's guest loader, which describes them in the device tree.
fn add_modules(arguments: &mut Arguments, guest: &Guest, placement: Placement) {
    add_kernel(arguments, &guest.kernel, placement.kernel, &guest.command_line);
    if let Some(initrd) = &guest.initrd {
        let head = format!("guest-loader,addr={:#x},initrd=", placement.initrd);
        arguments.pair("-device", with_path(&head, initrd));
    }
}

fn add_kernel(arguments: &mut Arguments, kernel: &Path, at: u64, command_line: &str) {
    let mut value = with_path(&format!("guest-loader,addr={at:#x},kernel="), kernel);
    value.push(",bootargs=");
    value.push(escape_commas(OsStr::new(command_line)));
    arguments.pair("-device", value);
}

/// `head` followed by a path, as a value in a comma-separated list.
fn with_path(head: &str, path: &Path) -> OsString {
    let mut value = OsString::from(head);
    value.push(escape_commas(path.as_os_str()));
    value
}

/// QEMU reads two commas as one that does not end the value.
fn escape_commas(value: &OsStr) -> OsString {
    match value.to_str() {
        Some(text) => text.replace(',', ",,").into(),
        // Not text, so nothing can be replaced safely; such a path has no comma in practice.
        None => value.to_owned(),
    }
}

/// Arguments under construction.
#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, name: &str) {
        self.0.push(name.into());
    }

    fn pair(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.push(name.into());
        self.0.push(value.as_ref().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Guest {
        Guest {
            kernel: "/k/Image".into(),
            initrd: Some("/k/in,it".into()),
            command_line: "console=ttyAMA0,115200 panic=-1".into(),
        }
    }

    fn config() -> Config {
        let placement = Placement {
            kernel: 0x4820_0000,
            initrd: 0x4c00_0000,
        };
        Config {
            profile: Profile {
                board: "virt".into(),
                cpu: "max".into(),
                cpu_count: 2,
                memory: MemorySize::from_mib(4096),
                ram_base: 0x4000_0000,
            },
            cpu_count: 4,
            memory: MemorySize::from_mib(1024),
            boot: Boot::Gnomon {
                image: "/t/gnomon.img".into(),
                options: "log=debug nv=1".into(),
                guest: Some(Below::L1(guest(), placement)),
            },
            console: Console::Stdio,
            debug_uart: DebugUart::Log("/t/debug.log".into()),
            reboots: false,
            icount: false,
            gdb: false,
            extra: vec!["-cpu".into(), "cortex-a72".into()],
        }
    }

    fn line(config: &Config) -> String {
        let words = config.arguments();
        words.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn gnomon_gets_l1_as_modules_with_commas_doubled() {
        let line = line(&config());
        assert!(
            line.contains(
                "-kernel /t/gnomon.img -append log=debug nv=1 \
             -device guest-loader,addr=0x48200000,kernel=/k/Image,bootargs=console=ttyAMA0,,115200 panic=-1 \
             -device guest-loader,addr=0x4c000000,initrd=/k/in,,it"
            ),
            "{line}"
        );
        assert!(line.contains("-smp 4 -m 1G"), "{line}");
    }

    #[test]
    fn a_gnomon_below_is_one_more_module_below_the_others() {
        let mut config = config();
        config.boot = Boot::Gnomon {
            image: "/t/gnomon.img".into(),
            options: "e2h=0".into(),
            guest: Some(Below::Inner {
                image: "/t/inner.img".into(),
                options: "console=none".into(),
                guest: guest(),
                placement: InnerPlacement {
                    inner: 0x4820_0000,
                    payload: Placement {
                        kernel: 0x4d20_0000,
                        initrd: 0x5200_0000,
                    },
                },
            }),
        };
        let line = line(&config);
        assert!(
            line.contains(
                "-kernel /t/gnomon.img -append e2h=0 \
             -device guest-loader,addr=0x48200000,kernel=/t/inner.img,bootargs=console=none \
             -device guest-loader,addr=0x4d200000,kernel=/k/Image,bootargs=console=ttyAMA0,,115200 panic=-1 \
             -device guest-loader,addr=0x52000000,initrd=/k/in,,it"
            ),
            "{line}"
        );
    }

    #[test]
    fn natively_the_same_files_boot_without_the_loader() {
        let config = Config {
            boot: Boot::Native(guest()),
            debug_uart: DebugUart::Absent,
            ..config()
        };
        let line = line(&config);
        assert!(
            line.contains("-kernel /k/Image -initrd /k/in,it -append console=ttyAMA0,115200 panic=-1"),
            "{line}"
        );
        assert!(!line.contains("guest-loader") && !line.contains("debug"), "{line}");
    }

    #[test]
    fn the_users_own_arguments_come_last_and_so_win() {
        assert!(line(&config()).ends_with("-cpu cortex-a72"));
    }

    #[test]
    fn interactive_consoles_share_one_terminal_with_the_monitor() {
        let config = Config {
            console: Console::Terminal,
            debug_uart: DebugUart::Terminal,
            ..config()
        };
        let line = line(&config);
        assert!(
            line.contains(
                "-chardev stdio,id=term,mux=on,signal=off -serial chardev:term \
             -serial chardev:term -mon chardev=term"
            ),
            "{line}"
        );
    }

    #[test]
    fn a_console_socket_is_logged_as_well() {
        let config = Config {
            debug_uart: DebugUart::Socket {
                path: "/t/s".into(),
                log: Some("/t/l".into()),
            },
            ..config()
        };
        let line = line(&config);
        assert!(
            line.contains("-chardev socket,id=debug,server=on,wait=off,path=/t/s,logfile=/t/l -serial chardev:debug"),
            "{line}"
        );
    }

    #[test]
    fn counted_runs_have_one_thread_and_nothing_random() {
        let line = line(&Config {
            reboots: false,
            icount: true,
            ..config()
        });
        assert!(
            line.contains(
                "-accel tcg,thread=single -icount shift=0,sleep=off \
             -rtc base=2026-01-01T00:00:00,clock=vm -seed 1 -M dtb-randomness=off"
            ),
            "{line}"
        );
    }
}
