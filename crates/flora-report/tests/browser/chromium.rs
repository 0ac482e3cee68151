//! The browser, and what every page is checked for in it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use headless_chrome::{
    Browser, LaunchOptions, Tab,
    protocol::cdp::{Emulation, Page::CaptureScreenshotFormatOption, types::Event},
};
use serde_json::Value;

/// Widths of a phone and of a desk, in CSS pixels.
pub(crate) const WIDTHS: [u32; 2] = [390, 1440];
pub(crate) const SCHEMES: [&str; 2] = ["light", "dark"];

/// What is wrong with the page as it is shown now, as a list of sentences.
const AUDIT: &str = include_str!("audit.js");

/// A tab, with all that its console said.
pub(crate) struct Shown {
    pub(crate) tab: Arc<Tab>,
    said: Arc<Mutex<Vec<String>>>,
    _browser: Browser,
}

/// The repository, in which the paths of predicted images begin.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/page").join(name)
}

fn chromium() -> PathBuf {
    if let Some(path) = std::env::var_os("CHROME") {
        return path.into();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut found = std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .filter(|path| path.is_file());
    found.next().expect("these tests need Chromium: install it, or name it in CHROME")
}

impl Shown {
    pub(crate) fn open(url: &str) -> Self {
        let options = LaunchOptions::default_builder()
            .path(Some(chromium()))
            // The sandbox refuses to run as root, as in many containers. The pages are our own.
            .sandbox(false)
            .idle_browser_timeout(std::time::Duration::from_secs(300))
            .build()
            .unwrap();
        let browser = Browser::new(options).expect("Chromium starts");
        let tab = browser.new_tab().unwrap();
        tab.set_default_timeout(std::time::Duration::from_secs(60));
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let listener = move |event: &Event| {
            let text = match event {
                Event::LogEntryAdded(it) => format!("{:?}", it.params.entry),
                Event::RuntimeConsoleAPICalled(it) => format!("{:?}", it.params.args),
                Event::RuntimeExceptionThrown(it) => format!("{:?}", it.params.exception_details),
                _ => return,
            };
            heard.lock().unwrap().push(text);
        };
        tab.add_event_listener(Arc::new(listener)).unwrap();
        tab.enable_log().unwrap();
        tab.enable_runtime().unwrap();
        tab.navigate_to(url).unwrap().wait_until_navigated().unwrap();
        Self { tab, said, _browser: browser }
    }

    pub(crate) fn open_file(path: &Path) -> Self {
        Self::open(&format!("file://{}", path.canonicalize().unwrap().display()))
    }

    pub(crate) fn look(&self, width: u32, height: u32, scheme: &str) {
        let set = Emulation::SetDeviceMetricsOverride {
            width,
            height,
            device_scale_factor: 1.0,
            mobile: false,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        };
        self.tab.call_method(set).unwrap();
        let feature = |name: &str, value: &str| Emulation::MediaFeature {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let features = vec![
            feature("prefers-color-scheme", scheme),
            // Scrolling takes no time.
            feature("prefers-reduced-motion", "reduce"),
        ];
        let media = Emulation::SetEmulatedMedia { media: None, features: Some(features) };
        self.tab.call_method(media).unwrap();
    }

    /// The value of an expression that gives JSON text.
    pub(crate) fn json(&self, expression: &str) -> Value {
        let object = self.tab.evaluate(expression, false).unwrap();
        let value = object.value.clone().unwrap_or_else(|| panic!("{expression} gives {object:?}"));
        serde_json::from_str(value.as_str().expect("JSON text")).unwrap()
    }

    pub(crate) fn number(&self, expression: &str) -> f64 {
        self.json(&format!("JSON.stringify({expression})")).as_f64().unwrap()
    }

    /// Series, place and value of the visible marks of a chart.
    pub(crate) fn marks(&self, chart: &str) -> Vec<[String; 3]> {
        let marks = self.json(&format!(
            "JSON.stringify([...document.querySelectorAll('#{chart} svg .mark')].filter((it) => it.checkVisibility())
                .map((it) => [it.dataset.series ?? it.dataset.row, it.dataset.x ?? it.dataset.column,
                    it.dataset.y ?? it.dataset.value]))"
        ));
        serde_json::from_value(marks).unwrap()
    }

    /// Panics of anything that is wrong with the page in this size and scheme.
    pub(crate) fn audit(&self, what: &str) {
        let problems: Vec<String> = serde_json::from_value(self.json(AUDIT)).unwrap();
        assert!(problems.is_empty(), "{what}:\n{}", problems.join("\n"));
        let said = self.said.lock().unwrap();
        assert!(said.is_empty(), "{what}: the console says\n{}", said.join("\n"));
    }

    /// A picture of the whole page, where pictures are wanted.
    pub(crate) fn picture(&self, name: &str, width: u32, scheme: &str) {
        let Some(folder) = std::env::var_os("FLORA_SCREENSHOTS") else { return };
        let height = self.number("document.documentElement.scrollHeight");
        self.look(width, height as u32, scheme);
        let format = CaptureScreenshotFormatOption::Png;
        let png = self.tab.capture_screenshot(format, None, None, true).unwrap();
        let file = Path::new(&folder).join(format!("{name}-{width}-{scheme}.png"));
        std::fs::write(file, png).unwrap();
    }
}
