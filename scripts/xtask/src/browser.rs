//! A headless Chromium, for tests of pages: opened, typed at, looked at.
//!
//! It is driven over WebDriver, the W3C's protocol, by way of `chromedriver`: JSON over HTTP on a
//! local port. What is used of it is small enough to be written down here. The browser has a new
//! profile in a directory of its own, no network service of its own, and ends with the value.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::find_program;

/// The browser.
pub const BROWSER: &str = "chromium";

/// What drives it.
pub const DRIVER: &str = "chromedriver";

/// How long one request may take. The first starts the browser.
const LIMIT: Duration = Duration::from_mins(5);

/// What keeps the browser to itself: no network of its own, no first-run pages.
const ARGUMENTS: [&str; 11] = [
    "--headless=new",
    // Chromium refuses to run as root otherwise; the pages are this project's own.
    "--no-sandbox",
    "--disable-gpu",
    // Containers have a small /dev/shm.
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1440,900",
];

/// A running browser with one window.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

/// A key that has no character of its own, as WebDriver spells it.
pub mod key {
    /// Tab
    pub const TAB: char = '\u{e004}';
    /// Enter
    pub const ENTER: char = '\u{e007}';
    /// Escape
    pub const ESCAPE: char = '\u{e00c}';
    /// Arrow down
    pub const DOWN: char = '\u{e015}';
}

/// Whether the browser and what drives it are in `PATH`.
#[must_use]
pub fn is_installed() -> bool {
    find_program(BROWSER).is_some() && find_program(DRIVER).is_some()
}

impl Browser {
    /// Starts a browser.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile = env::temp_dir().join(format!("gnomon-browser-{}-{count}", std::process::id()));
        fs::create_dir_all(&profile).with_context(|| format!("cannot create {}", profile.display()))?;
        let mut driver = Command::new(DRIVER)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start `{DRIVER}`"))?;
        let port = driver.stdout.take().and_then(announced_port);
        let mut browser = Self {
            driver,
            port: port.with_context(|| format!("{DRIVER} does not say on which port it listens"))?,
            session: String::new(),
            profile,
        };
        browser.session = browser.open_session()?;
        Ok(browser)
    }

    fn open_session(&self) -> Result<String> {
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", self.profile.display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments, "binary": find_program(BROWSER)},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = self.request("POST", "/session", Some(&wanted))?;
        let session = answer["sessionId"].as_str().context("no session")?;
        Ok(session.to_owned())
    }

    /// Opens a file as a page and waits until it is loaded.
    ///
    /// # Errors
    ///
    /// When the browser does not answer.
    pub fn open(&self, file: &Path) -> Result<()> {
        let url = format!("file://{}", file.display());
        self.ask("url", &json!({ "url": url })).map(drop)
    }

    /// Runs the body of a function in the page and returns what it returns.
    ///
    /// # Errors
    ///
    /// When it throws.
    pub fn script(&self, body: &str) -> Result<Value> {
        self.ask("execute/sync", &json!({"script": body, "args": []}))
    }

    /// Presses keys, one after the other.
    ///
    /// # Errors
    ///
    /// When the browser does not answer.
    pub fn press(&self, keys: &[char]) -> Result<()> {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        self.act(&json!({"type": "key", "id": "keyboard", "actions": strokes}))
    }

    /// Moves the mouse to a point of the window.
    ///
    /// # Errors
    ///
    /// When the browser does not answer.
    pub fn point(&self, x: i64, y: i64) -> Result<()> {
        let path = json!([{"type": "pointerMove", "x": x, "y": y, "duration": 0}]);
        self.act(&json!({"type": "pointer", "id": "mouse", "actions": path}))
    }

    /// Turns the mouse's wheel at a point of the window; up is negative.
    ///
    /// # Errors
    ///
    /// When the browser does not answer.
    pub fn wheel(&self, x: i64, y: i64, by: i64) -> Result<()> {
        let turn = json!([{"type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by, "duration": 0}]);
        self.act(&json!({"type": "wheel", "id": "wheel", "actions": turn}))
    }

    fn act(&self, actions: &Value) -> Result<()> {
        self.ask("actions", &json!({"actions": [actions]})).map(drop)
    }

    /// Lets pages believe that the user prefers a dark or light colour scheme.
    ///
    /// # Errors
    ///
    /// When the browser does not answer.
    pub fn prefer(&self, scheme: &str) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.ask("goog/cdp/execute", &command).map(drop)
    }

    /// Saves what the window shows as PNG.
    ///
    /// # Errors
    ///
    /// When the browser does not answer or the file cannot be written.
    pub fn save_screenshot(&self, file: &Path) -> Result<()> {
        let answer = self.request("GET", &self.path("screenshot"), None)?;
        let image = answer.as_str().and_then(decode_base64).context("no image")?;
        fs::write(file, image).with_context(|| format!("cannot write {}", file.display()))
    }

    /// What pages wrote to the console since the last time it was asked for.
    ///
    /// # Errors
    ///
    /// When the browser does not answer.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.ask("se/log", &json!({"type": "browser"}))?;
        let entries = entries.as_array().context("no log")?;
        let line = |entry: &Value| format!("{}: {}", entry["level"], entry["message"]);
        Ok(entries.iter().map(line).collect())
    }

    fn path(&self, what: &str) -> String {
        format!("/session/{}/{what}", self.session)
    }

    fn ask(&self, what: &str, body: &Value) -> Result<Value> {
        self.request("POST", &self.path(what), Some(body))
    }

    /// One request; the answer's `value`.
    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).context("the browser's driver is gone")?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len(),
        )?;
        let text = read_response(BufReader::new(stream)).with_context(|| format!("no answer to {method} {path}"))?;
        let mut answer: Value = serde_json::from_str(&text).context("the driver's answer is not JSON")?;
        let value = answer["value"].take();
        if let Some(error) = value["error"].as_str() {
            bail!("{error}: {}", value["message"].as_str().unwrap_or_default());
        }
        Ok(value)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.request("DELETE", &format!("/session/{}", self.session), None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// Reads `ChromeDriver was started successfully on port 12345.`
fn announced_port(output: impl Read) -> Option<u16> {
    BufReader::new(output).lines().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    })
}

/// The body of an HTTP response.
fn read_response(mut reader: impl BufRead) -> Result<String> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            bail!("the answer ends in its head");
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse()?);
        }
    }
    let mut body = vec![0; length.context("an answer without a length")?];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

/// Decodes standard base64 with padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_at_every_length() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
        ] {
            assert_eq!(decode_base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode_base64("Zm9?"), None);
    }

    #[test]
    fn a_response_is_as_long_as_it_says() {
        let response = |text: &str| read_response(text.as_bytes());
        assert_eq!(
            response("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}rest").unwrap(),
            "{}"
        );
        for bad in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        ] {
            assert!(response(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_port_is_where_the_driver_says() {
        let text = "Starting ChromeDriver 1\nChromeDriver was started successfully on port 40917.\n";
        assert_eq!(announced_port(text.as_bytes()), Some(40917));
        assert_eq!(announced_port(&b"nothing\n"[..]), None);
    }
}
