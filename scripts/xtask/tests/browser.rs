//! The viewer's page in a real browser: what is on it, what the keyboard does, what it looks like.
//!
//! Ignored by plain `cargo test`, because a browser is needed; `scripts/test` installs one where
//! it can and runs these, and says so where it cannot. Screenshots are kept in `target/view/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wire::Hex;
use xtask::browser::{Browser, key};
use xtask::project::Project;
use xtask::view::{Options, Source, records, run};

/// The records that pages are made of here.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/two-l2s.jsonl")
}

/// Where pages and screenshots go.
fn output(name: &str) -> PathBuf {
    let dir = Project::new().target_dir().join("view");
    fs::create_dir_all(&dir).unwrap();
    dir.join(name)
}

/// Makes the page of a source and opens it.
fn open(source: Source, name: &str) -> Browser {
    let page = output(name);
    let options = Options {
        source,
        html: Some(page.clone()),
        svg: None,
        save: None,
        l2: None,
    };
    run(&options).unwrap();
    let browser = Browser::start().unwrap();
    browser.open(&page).unwrap();
    browser
}

fn open_sample(name: &str) -> Browser {
    open(Source::Records(sample()), name)
}

/// The zoom that the page says it has.
fn zoom(browser: &Browser) -> f64 {
    let text = browser
        .script("return document.querySelector('svg.current').dataset.zoom")
        .unwrap();
    text.as_str().unwrap().parse().unwrap()
}

/// Waits until what was done before is drawn.
fn wait_for_frame(browser: &Browser) {
    browser.script("return new Promise(requestAnimationFrame)").unwrap();
}

/// What the inspector says; empty while it says how to use it.
fn inspected(browser: &Browser) -> String {
    let text = browser
        .script("return document.getElementById('detail').innerText")
        .unwrap();
    text.as_str().unwrap().to_owned()
}

fn assert_quiet(browser: &Browser) {
    assert_eq!(browser.console().unwrap(), Vec::<String>::new());
}

/// Sums of the rows of each table on the page.
fn sums(browser: &Browser) -> BTreeMap<String, (u64, u64)> {
    let body = "return [...document.querySelectorAll('table[data-table]')].map(table => {
        const sizes = [...table.querySelectorAll('td[data-bytes]')].map(cell => Number(cell.dataset.bytes));
        return [table.dataset.table, sizes.length, sizes.reduce((sum, size) => sum + size, 0)];
    })";
    let rows: Vec<(String, u64, u64)> = serde_json::from_value(browser.script(body).unwrap()).unwrap();
    rows.into_iter()
        .map(|(name, count, bytes)| (name, (count, bytes)))
        .collect()
}

/// Sums of the mapped ranges of each table, straight from the lines of the records.
fn recorded_sums() -> BTreeMap<String, (u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in fs::read_to_string(sample()).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if record["k"] == "map" {
            let size = record["size"].as_str().unwrap().trim_start_matches("0x");
            let sum = sums.entry(record["table"].as_str().unwrap().to_owned()).or_default();
            sum.0 += 1;
            sum.1 += u64::from_str_radix(size, 16).unwrap();
        }
    }
    sums
}

#[test]
#[ignore = "needs Chromium: scripts/test runs it"]
fn the_numbers_on_the_page_are_the_records() {
    let browser = open_sample("numbers.html");
    assert_eq!(sums(&browser), recorded_sums());
    let snapshot = records::read(&fs::read_to_string(sample()).unwrap()).unwrap();
    let drawn = browser
        .script("return document.querySelectorAll('svg.current .ribbon').length")
        .unwrap();
    let of_first: usize = ["host", "shadow/0x0002", "guest/0x0002"]
        .iter()
        .flat_map(|name| snapshot.tables.iter().filter(move |table| table.name.starts_with(name)))
        .map(|table| table.ranges.len())
        .sum();
    assert_eq!(drawn.as_u64(), u64::try_from(of_first).ok());
    assert_quiet(&browser);
}

#[test]
#[ignore = "needs Chromium: scripts/test runs it"]
fn the_keyboard_zooms_moves_and_fits() {
    let browser = open_sample("zoom.html");
    let window = browser.script("return innerHeight").unwrap().as_f64();
    assert!((zoom(&browser) - 1.0).abs() < 1e-9);
    browser.press(&['+', '+', '+']).unwrap();
    let close = zoom(&browser);
    assert!(close > 3.0, "{close}");
    browser.press(&[key::DOWN, '-']).unwrap();
    assert!(zoom(&browser) < close);
    wait_for_frame(&browser);
    let height = "return document.querySelector('svg.current .world').getBoundingClientRect().height";
    assert!(browser.script(height).unwrap().as_f64() > window);
    browser.press(&['0']).unwrap();
    assert!((zoom(&browser) - 1.0).abs() < 1e-9);
    wait_for_frame(&browser);
    assert!(browser.script(height).unwrap().as_f64() < window);
    browser.wheel(500, 400, -600).unwrap();
    assert!(zoom(&browser) > 2.0);
    assert_quiet(&browser);
}

#[test]
#[ignore = "needs Chromium: scripts/test runs it"]
fn tab_goes_through_the_ranges_and_enter_keeps_one() {
    let browser = open_sample("focus.html");
    browser
        .script("document.querySelector('svg.current .guest .ribbon').focus({focusVisible: true})")
        .unwrap();
    let first = inspected(&browser);
    assert!(
        first.starts_with("guest stage 2") && first.contains("host stage 2"),
        "{first}"
    );
    browser.press(&[key::TAB]).unwrap();
    let second = inspected(&browser);
    assert!(second.contains("0x40000000 … 0x47c00000"), "{second}");
    assert!(second.contains("124M") && second.contains("R W px ux"), "{second}");
    assert!(second.contains("→ PA 0xc2000000"), "{second}");
    browser.press(&[key::ENTER]).unwrap();
    browser.point(5, 5).unwrap();
    assert!(inspected(&browser).contains("kept"));
    browser.press(&[key::ESCAPE]).unwrap();
    assert_eq!(inspected(&browser), "");
    // The mouse in a column means the range that begins there.
    browser.point(100, 220).unwrap();
    assert!(
        inspected(&browser).contains("L2 IPA 0x40000000"),
        "{}",
        inspected(&browser)
    );
    assert_quiet(&browser);
}

#[test]
#[ignore = "needs Chromium: scripts/test runs it"]
fn another_l2_can_be_chosen() {
    let browser = open_sample("choose.html");
    let body = "const select = document.getElementById('l2'); select.value = '1';
        select.dispatchEvent(new Event('change'));
        return [...document.querySelectorAll('svg.scene')].map(svg => getComputedStyle(svg).display)";
    assert_eq!(browser.script(body).unwrap(), serde_json::json!(["none", "block"]));
    browser.save_screenshot(&output("choose.png")).unwrap();
    assert_quiet(&browser);
}

#[test]
#[ignore = "needs Chromium: scripts/test runs it"]
fn a_finding_leads_to_its_range() {
    let browser = open_sample("finding.html");
    browser
        .script("document.querySelector('#findings li').click()")
        .unwrap();
    let text = inspected(&browser);
    assert!(
        text.starts_with("shadow stage 2") && text.contains("the shadow allows W"),
        "{text}"
    );
    assert!(zoom(&browser) > 1.0);
    wait_for_frame(&browser);
    browser.save_screenshot(&output("finding.png")).unwrap();
    assert_quiet(&browser);
}

#[test]
#[ignore = "needs Chromium: scripts/test runs it"]
fn debugfs_files_make_a_page_too() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debugfs");
    let browser = open(Source::Debugfs(dir), "debugfs.html");
    assert_eq!(sums(&browser).len(), 2);
    browser.save_screenshot(&output("debugfs.png")).unwrap();
    assert_quiet(&browser);
}

#[test]
#[ignore = "needs Chromium: scripts/test runs it"]
fn thousands_of_ranges_can_be_drawn_and_looked_at() {
    const COUNT: u64 = 5000;
    let mut text = String::new();
    let mut buffer = [0; wire::LINE_BYTES];
    for index in 0..COUNT {
        // Every other page, and no two of them lead to neighbouring places.
        let map = wire::Map {
            table: "guest/0x1-0x2-s2-enabled",
            ia: Hex(0x4000_0000 + index * 0x2000),
            size: Hex(0x1000),
            oa: Hex(0x8000_0000 + index * 37 % COUNT * 0x3000),
            level: 3,
            kind: "page",
            perms: if index % 3 == 0 { "r-pu" } else { "rw--" },
            mem: "normal-wb",
            sh: "inner",
            af: true,
            contiguous: false,
            raw: Hex(0x7ff),
        };
        text.push_str(wire::write_line(&mut buffer, 1, &map).unwrap());
    }
    let records = output("thousands.jsonl");
    fs::write(&records, text).unwrap();
    let browser = open(Source::Records(records), "thousands.html");
    assert_eq!(sums(&browser)["guest/0x1-0x2-s2-enabled"], (COUNT, COUNT * 0x1000));
    browser.wheel(300, 400, -6000).unwrap();
    wait_for_frame(&browser);
    assert!(zoom(&browser) > 20.0);
    let near = "const near = [...document.querySelectorAll('svg.current .ribbon:not(.away)')];
        near[0].focus({focusVisible: true});
        return near.length";
    let near = browser.script(near).unwrap().as_u64().unwrap();
    assert!(
        (1..100).contains(&near),
        "{near} ribbons begin or end where the page looks"
    );
    assert!(inspected(&browser).contains("page, level 3"));
    browser.save_screenshot(&output("thousands.png")).unwrap();
    assert_quiet(&browser);
}

#[test]
#[ignore = "needs Chromium: scripts/test runs it"]
fn the_page_is_drawn_in_light_and_dark() {
    let browser = open_sample("page.html");
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).unwrap();
        papers.push(
            browser
                .script("return getComputedStyle(document.body).backgroundColor")
                .unwrap(),
        );
        browser.save_screenshot(&output(&format!("page-{scheme}.png"))).unwrap();
        browser.point(250, 220).unwrap();
        browser
            .save_screenshot(&output(&format!("page-{scheme}-hover.png")))
            .unwrap();
        browser.point(5, 5).unwrap();
    }
    assert_ne!(papers[0], papers[1]);
    browser
        .script("document.getElementById('tables').scrollIntoView()")
        .unwrap();
    browser.save_screenshot(&output("tables.png")).unwrap();
    assert_quiet(&browser);
}
