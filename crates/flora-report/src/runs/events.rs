//! The lines of a `metrics.jsonl`, as far as they can be read.

use std::{
    borrow::Cow,
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::folder::read::Lines;

/// The kinds of all events of this version.
pub(crate) const KINDS: [&str; 12] = [
    "run_started",
    "round_started",
    "client_replied",
    "client_failed",
    "below_quorum",
    "aggregated",
    "evaluated",
    "stopped_early",
    "phase_finished",
    "note",
    "warning",
    "run_finished",
];

/// Why the rest of a file was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The file cannot be read, or not from this line on, counted from 1.
    Io { path: PathBuf, line: Option<usize>, error: io::Error },
    /// A complete line, counted from 1, that is not an event.
    Damaged { path: PathBuf, line: usize, error: serde_json::Error },
}

impl Unread {
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

impl fmt::Display for Unread {
    /// Names the file without its folder.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Io { path, .. } | Self::Damaged { path, .. }) = self;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Io { line: None, error, .. } => write!(formatter, "{file}: {error}"),
            Self::Io { line: Some(line), error, .. } => {
                write!(formatter, "{file}, line {line}: {error}")
            }
            Self::Damaged { line, error, .. } => {
                write!(formatter, "{file}, line {line}: {error}")
            }
        }
    }
}

/// The kind of an event.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
}

/// Calls `hear` with every event of these kinds, as an [`Event`](flora_federation::Event) or a part of it, up to the file's end or its first damaged line. An incomplete last
/// line is still being written, or was when the run was killed.
///
/// Of lines of other kinds, only the kind is read: in a run with many clients most lines are of a few kinds, and later
/// versions may add some.
pub(crate) fn read<E: DeserializeOwned>(
    path: &Path,
    kinds: &[&str],
    mut hear: impl FnMut(E),
) -> Result<(), Unread> {
    let io = |line| move |error| Unread::Io { path: path.to_owned(), line, error };
    let mut lines = Lines::open(path).map_err(io(None))?;
    for number in 1.. {
        let Some(line) = lines.next().map_err(io(Some(number)))? else { break };
        let damaged = |error| Unread::Damaged { path: path.to_owned(), line: number, error };
        let Kind { event } = serde_json::from_slice(line).map_err(damaged)?;
        if kinds.contains(&&*event) {
            hear(serde_json::from_slice(line).map_err(damaged)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flora_federation::Event;

    use super::*;

    fn heard(text: &str, kinds: &[&str]) -> (Vec<String>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, text).unwrap();
        let mut heard = Vec::new();
        let end = read(&path, kinds, |event| match event {
            Event::Note { message } | Event::Warning { message } => heard.push(message),
            other => panic!("{other:?}"),
        });
        (heard, end.err().map(|problem| problem.to_string()))
    }

    const NOTE: &str = "{\"event\":\"note\",\"message\":\"a\"}\n";

    #[test]
    fn events_of_other_kinds_and_half_a_line_are_left_out() {
        let warning = "{\"message\":\"b\",\"event\":\"warning\"}\n";
        let newer = "{\"event\":\"danced\",\"round\":[]}\n";
        let text = format!("{NOTE}{newer}{warning}{NOTE}{}", &NOTE[..NOTE.len() - 1]);
        assert_eq!(heard(&text, &KINDS), (["a", "b", "a"].map(str::to_owned).to_vec(), None));
        assert_eq!(heard(&text, &["warning"]), (vec!["b".to_owned()], None));
    }

    #[test]
    fn the_first_damaged_line_ends_the_reading() {
        for bad in ["{\"event\":\"note\"}", "{}", "", "x", "{\"event\":1}", "\u{0}"] {
            let (heard, problem) = heard(&format!("{NOTE}{bad}\n{NOTE}"), &KINDS);
            assert_eq!(heard, ["a"]);
            let problem = problem.unwrap();
            assert!(problem.starts_with("metrics.jsonl, line 2: "), "{problem}");
        }
        // Nobody asked for it.
        let text = format!("{{\"event\":\"note\"}}\n{NOTE}");
        assert_eq!(heard(&text, &["warning"]), (Vec::new(), None));
        let nowhere = tempfile::tempdir().unwrap().path().join("metrics.jsonl");
        let problem = read(&nowhere, &KINDS, |_: Event| {}).unwrap_err();
        assert!(!problem.is_damage() && problem.to_string().starts_with("metrics.jsonl: "));
    }

    /// A kind that is missing in the list would be left out silently.
    #[test]
    fn every_kind_is_listed() {
        let error =
            serde_json::from_str::<Event>("{\"event\":\"danced\"}").unwrap_err().to_string();
        let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, KINDS);
    }
}
