//! The quotes in `docs/deployment.md`.

use std::path::Path;

/// The text of all of flora's sources with messages about a federation across machines, in one line: Rust continues a
/// text behind a backslash.
fn sources() -> String {
    fn add(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, all);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // Comments are not printed by the program.
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                lines.for_each(|line| {
                    let line = line.trim_start();
                    match line.strip_suffix('\\') {
                        Some(begin) => all.push_str(begin),
                        None => *all += &format!("{line}\n"),
                    }
                });
            }
        }
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = String::new();
    for folder in ["flora-flower/src", "flora-tuning/src/desk", "flora-cli/src/commands"] {
        add(&crates.join(folder), &mut all);
    }
    all.replace("\\\"", "\"")
}

#[test]
fn the_errors_that_are_quoted_are_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deployment.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once("\n## Errors\n").unwrap();
    let (_, table) = section.split_once("|---|").unwrap();
    let sources = sources();
    let mut quotes = 0;
    for quote in table.split('“').skip(1) {
        let (quote, _) = quote.split_once('”').expect("a quotation ends");
        quotes += 1;
        for part in quote.split('…').map(str::trim).filter(|part| part.len() > 2) {
            // Two sentences may come from two places.
            let is_there = |part: &str| sources.contains(part);
            assert!(is_there(part) || part.split(". ").all(is_there), "nothing prints “{part}”");
        }
    }
    assert!(quotes > 20, "{quotes}");
}
