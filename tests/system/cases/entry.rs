//! Running gnomon as a user does: `scripts/run --headless`, its output and its exit status.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xtask::project::{CALLER_DIR_VARIABLE, Project};

/// How long a machine may take that boots an L2. The slowest measured took a quarter of it.
pub(crate) const LIMIT: Duration = Duration::from_mins(10);

/// What the script may need beside the machine: building, making the payload.
const GRACE: Duration = Duration::from_mins(5);

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The script keeps the machine's logs in one place, so there is one run at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A run that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Standard output: L1's console, and nothing else.
    pub(crate) stdout: String,
    /// Standard error: the host tool, and what QEMU has to say.
    pub(crate) stderr: String,
    /// Exit status of the script.
    pub(crate) status: i32,
    /// Where all of it is kept.
    pub(crate) log_dir: PathBuf,
}

impl Run {
    /// What is wrong if the script did not end with `status`.
    pub(crate) fn complaint_about_status(&self, status: i32) -> Option<String> {
        (self.status != status).then(|| {
            let said = self.stderr.lines().last().unwrap_or("nothing");
            format!(
                "exit status {}, not {status}; last on standard error: {said}",
                self.status
            )
        })
    }

    /// Where to look, for the end of a failure.
    pub(crate) fn logs(&self) -> String {
        format!("logs are in {}", self.log_dir.display())
    }
}

/// Runs `scripts/run --headless` with `arguments` to its end.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Result<Run> {
    run_with(name, arguments, || Ok(()))
}

/// As [`run`], and calls `on_l2_up` when L2 has said `L2 UP`. What that returns is the result, if
/// it is an error.
pub(crate) fn run_with(name: &str, arguments: &[&str], on_l2_up: impl FnOnce() -> Result<()>) -> Result<Run> {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let project = Project::new();
    let log_dir = log_dir(name)?;
    let (stdout, stderr) = (log_dir.join("stdout.log"), log_dir.join("stderr.log"));
    let mut command = Command::new(project.root().join("scripts/run"));
    command
        .arg("--headless")
        .args(["--timeout", &LIMIT.as_secs().to_string()])
        .args(arguments)
        .env_remove(CALLER_DIR_VARIABLE)
        .stdin(Stdio::null())
        .stdout(File::create(&stdout)?)
        .stderr(File::create(&stderr)?);
    let mut script = Script(command.spawn().context("cannot start scripts/run")?);
    let watched = script
        .wait_for_line(&stdout, "L2 UP")
        .and_then(|is_there| if is_there { on_l2_up() } else { Ok(()) });
    let status = script.wait()?;
    watched?;
    for log in ["debug.log", "qemu.sh"] {
        let _ = fs::copy(project.target_dir().join("run").join(log), log_dir.join(log));
    }
    Ok(Run {
        stdout: read(&stdout)?,
        stderr: read(&stderr)?,
        status: status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)),
        log_dir,
    })
}

/// A directory for the logs of machine `name`, empty.
pub(crate) fn log_dir(name: &str) -> Result<PathBuf> {
    let dir = Project::new().target_dir().join("system-tests").join(name);
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", dir.display()));
        }
        _ => {}
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// A directory for files that a case makes as input for its machine.
pub(crate) fn inputs_dir() -> Result<PathBuf> {
    let dir = Project::new().target_dir().join("system-tests").join("inputs");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The script under way. It ends by itself, in time, and its QEMU with it.
struct Script(Child);

impl Script {
    /// Waits until the file has a line that begins with `text`; false if the script ended without.
    fn wait_for_line(&mut self, path: &Path, text: &str) -> Result<bool> {
        let has_line = || read(path).map(|printed| printed.lines().any(|line| line.starts_with(text)));
        let mut is_there = false;
        self.wait_until(|| {
            is_there = has_line()?;
            Ok(is_there)
        })?;
        // The line may be the last thing that was printed.
        Ok(is_there || has_line()?)
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_until(|| Ok(false))?.context("the script is still running")
    }

    /// Waits until `is_enough` or the script has ended, and returns its status if it has.
    fn wait_until(&mut self, mut is_enough: impl FnMut() -> Result<bool>) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + LIMIT + GRACE;
        loop {
            let status = self.0.try_wait()?;
            if status.is_some() || is_enough()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "scripts/run did not keep its own --timeout");
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
