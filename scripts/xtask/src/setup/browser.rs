//! A browser for the tests of the viewer's page, from Debian.
//!
//! Only root's tests install one: a browser is a lot to put on somebody's machine for the sake of
//! a test, and those tests can be left out.

use std::process::Command;

use crate::browser::{self, BROWSER, DRIVER};
use crate::process::{self, find_program};
use crate::progress::{Step, say};

/// Debian's packages of the browser and of what drives it.
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// Makes sure that a browser is there, installing Debian's where that is possible.
///
/// # Errors
///
/// Why there is none, and how the user can get one.
pub fn ensure() -> Result<(), String> {
    if browser::is_installed() {
        return Ok(());
    }
    who_can_install().map_err(|why| format!("{why}: {}", advice()))?;
    let _step = Step::begin(&format!("browser: installing {}", PACKAGES.join(" and ")));
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("-q")
            .args(arguments);
        process::run_quietly(&mut command).map_err(|error| format!("{error:#}"))
    };
    // Some source of the host's may be out of order; what counts is the next command.
    if let Err(error) = apt_get(&["update"]) {
        say(&format!("browser: {error}"));
    }
    apt_get(&[&["install", "-y", "--no-install-recommends"], &PACKAGES[..]].concat())?;
    if browser::is_installed() {
        Ok(())
    } else {
        Err(format!("Debian's packages brought no `{BROWSER}` and `{DRIVER}`"))
    }
}

/// How the user can get the browser, for messages.
#[must_use]
pub fn advice() -> String {
    format!("apt-get install {}", PACKAGES.join(" "))
}

fn who_can_install() -> Result<(), &'static str> {
    if find_program("apt-get").is_none() {
        return Err("no Chromium here, and no apt-get");
    }
    let user = process::capture(Command::new("id").arg("-u")).unwrap_or_default();
    if user.trim() == "0" {
        Ok(())
    } else {
        Err("no Chromium here, and only root's tests install it")
    }
}
