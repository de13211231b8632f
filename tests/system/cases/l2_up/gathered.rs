//! What the console shows of a machine's tables while an L2 is up, running and stopped, and when it is gone.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result as AnyResult, ensure};
use system_tests::listing::{self, ExitRow, ShadowName, ShadowRow};
use xtask::console::Console;
use xtask::machine::Machine;
use xtask::view::live::{self, Session};

use crate::answers::expect_answer;
use crate::entry::LIMIT;
use crate::scene::{self, Play};

/// As many lines of L2's as make a silence telling.
const TICK_COUNT: usize = 20;

/// How long gnomon may take to find out that L1 is done with a guest, which L1 need not say.
const GONE_LIMIT: Duration = Duration::from_mins(3);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What was gathered.
pub(super) struct Scene {
    /// `ptdump` with L2 running.
    pub(super) tables: Vec<String>,
    /// `exits`, twice, with L2 running.
    pub(super) exits: [Vec<String>; 2],
    pub(super) stopped: Stopped,
    /// What the viewer was told at the same moment as [`Self::stopped`].
    pub(super) viewed: Session,
    pub(super) progress: Progress,
    /// `shadow` and `ptdump shadow` after L2 has ended, if the scene came that far.
    pub(super) after: AnyResult<[Vec<String>; 2], String>,
    log_dir: PathBuf,
}

/// With all vCPUs stopped: everything said here is about the same moment.
pub(super) struct Stopped {
    pub(super) name: ShadowName,
    /// `shadow`
    pub(super) shadows: Vec<String>,
    /// `ptdump shadow`
    pub(super) dumps: Vec<String>,
    /// `ptdump` of L2's shadow, L1's table for it, and `host`, without and with `-f`.
    pub(super) shadow: [Vec<String>; 2],
    pub(super) guest: [Vec<String>; 2],
    pub(super) host: [Vec<String>; 2],
    /// `levels` and `ipa_range` of the same.
    pub(super) sizes: Vec<(String, String, String)>,
    /// `exits`, twice.
    pub(super) exits: [Vec<String>; 2],
}

/// How many lines L1's console had printed at some moments.
pub(super) struct Progress {
    /// Before and after some commands, while running.
    pub(super) running: [usize; 2],
    /// Before and after the same commands, while stopped.
    pub(super) stopped: [usize; 2],
}

impl Play for Scene {
    fn play() -> AnyResult<Self> {
        let mut machine = scene::l1_with_a_shell("while_l2_is_up")?;
        scene::start_l2(&mut machine)?;

        scene::start_ticks(&mut machine)?;
        let mut console = machine.debug_console()?;
        let tables = console.command("ptdump")?;
        let exits = exits_until_more(&mut console)?;
        let (rounds, running) = look_until_l2_prints(&mut machine, &mut console)?;
        expect_answer(&mut console, "stop", "stopped")?;
        // What L1 sent before it stopped is on its way; a whole round of answers, and it has long arrived.
        let stopped = gather_all(&mut console)?;
        let before = machine.console_lines().len();
        let (viewed, mut console) = live::ask_on(console)?;
        for _ in 0..rounds {
            gather_all(&mut console)?;
        }
        let progress = Progress {
            running,
            stopped: [before, machine.console_lines().len()],
        };
        expect_answer(&mut console, "cont", "running")?;
        scene::stop_ticks(&mut machine)?;

        let after = end_l2(&mut machine, &mut console).map_err(|error| format!("{error:#}"));
        if after.is_ok() {
            scene::end_l1(&mut machine)?;
        }
        Ok(Self {
            tables,
            exits,
            stopped,
            viewed,
            progress,
            after,
            log_dir: machine.log_dir().to_path_buf(),
        })
    }

    fn log_dir(&self) -> &Path {
        &self.log_dir
    }
}

/// Asks for the exits until there are more than at first: what the vCPUs do between two questions is theirs to decide.
fn exits_until_more(console: &mut Console) -> AnyResult<[Vec<String>; 2]> {
    let deadline = Instant::now() + LIMIT;
    let first = console.command("exits")?;
    let count = exit_count(&listing::parse_exits(&first)?);
    loop {
        let second = console.command("exits")?;
        if exit_count(&listing::parse_exits(&second)?) > count || Instant::now() > deadline {
            return Ok([first, second]);
        }
    }
}

/// Gathers everything over and over until L2 has printed [`TICK_COUNT`] lines meanwhile. Returns how
/// often, and the number of lines before and after.
fn look_until_l2_prints(machine: &mut Machine, console: &mut Console) -> AnyResult<(usize, [usize; 2])> {
    let deadline = Instant::now() + LIMIT;
    let before = machine.console_lines().len();
    let mut rounds = 0;
    loop {
        gather_all(console)?;
        rounds += 1;
        let after = machine.console_lines().len();
        if after >= before + TICK_COUNT {
            return Ok((rounds, [before, after]));
        }
        ensure!(Instant::now() < deadline, "L2 prints nothing while the console is used");
    }
}

/// Asks the console for everything about the running L2's tables.
fn gather_all(console: &mut Console) -> AnyResult<Stopped> {
    let exits = console.command("exits")?;
    let shadows = console.command("shadow")?;
    let rows = listing::parse_shadows(&shadows)?;
    let enabled = rows.iter().filter(|row| row.name.is_enabled);
    let row = enabled
        .max_by_key(|row| row.refs)
        .context("there is no shadow while L2 is up")?;
    let (number, name) = (row.number, row.name.clone());
    let mut both = |table: &str| -> AnyResult<[Vec<String>; 2]> {
        Ok([
            console.command(&format!("ptdump {table}"))?,
            console.command(&format!("ptdump -f {table}"))?,
        ])
    };
    // A table is found by its number as well as by its name.
    let shadow = both(&format!("shadow/{number}"))?;
    let guest = both(&format!("guest/{}", name.text))?;
    let host = both("host")?;
    let mut sizes = Vec::new();
    for table in [format!("shadow/{number}"), format!("guest/{number}"), "host".to_owned()] {
        let levels = console.command(&format!("levels {table}"))?.join("\n");
        let range = console.command(&format!("ipa_range {table}"))?.join("\n");
        sizes.push((table, levels, range));
    }
    Ok(Stopped {
        name,
        shadows,
        dumps: console.command("ptdump shadow")?,
        shadow,
        guest,
        host,
        sizes,
        exits: [exits, console.command("exits")?],
    })
}

/// Lets L2 power off and L1's QEMU end, and looks at what is left of its shadow.
fn end_l2(machine: &mut Machine, console: &mut Console) -> AnyResult<[Vec<String>; 2]> {
    scene::end_l2(machine)?;
    let deadline = Instant::now() + GONE_LIMIT;
    loop {
        let (shadows, dumps) = (console.command("shadow")?, console.command("ptdump shadow")?);
        let rows = listing::parse_shadows(&shadows)?;
        if !rows.iter().any(is_left_over) || Instant::now() > deadline {
            return Ok([shadows, dumps]);
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Whether it is what an L2 has left behind.
pub(super) fn is_left_over(row: &ShadowRow) -> bool {
    row.name.is_enabled && (row.mapped != [0; 3] || row.refs > 0)
}

/// All exits of all vCPUs.
pub(super) fn exit_count(rows: &[ExitRow]) -> u64 {
    rows.iter()
        .filter(|row| row.cause == "total")
        .map(|row| row.count)
        .sum()
}
