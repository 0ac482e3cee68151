//! Which client holds how many images of which class.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use crate::folder::read;

/// The classes of a `partition.json`, counted.
#[derive(Debug, Default, PartialEq)]
pub(in crate::page) struct Shares {
    pub(in crate::page) clients: Vec<String>,
    /// In the order of their names.
    pub(in crate::page) classes: Vec<String>,
    /// Training images, by client and class.
    pub(in crate::page) train: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct Saved {
    clients: Vec<Client>,
}

#[derive(Deserialize)]
struct Client {
    id: String,
    #[serde(default)]
    train_classes: Option<BTreeMap<String, usize>>,
}

impl Shares {
    /// Reads the file; `None` where it does not count classes, as of runs whose images lie at sites.
    pub(in crate::page) fn read(path: &Path) -> Result<Option<Self>, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = match read::text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{name}: {error}")),
        };
        let saved: Saved =
            serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self::of(saved))
    }

    fn of(saved: Saved) -> Option<Self> {
        let counts: Vec<_> =
            saved.clients.iter().map(|client| client.train_classes.clone()).collect();
        let counts: Vec<BTreeMap<String, usize>> = counts.into_iter().collect::<Option<_>>()?;
        let mut classes: Vec<String> = counts.iter().flat_map(|it| it.keys().cloned()).collect();
        classes.sort();
        classes.dedup();
        let row = |counts: &BTreeMap<String, usize>| {
            classes.iter().map(|class| counts.get(class).copied().unwrap_or(0)).collect()
        };
        let train = counts.iter().map(row).collect();
        let clients = saved.clients.into_iter().map(|client| client.id).collect();
        Some(Self { clients, train, classes })
    }

    pub(in crate::page) fn is_empty(&self) -> bool {
        self.clients.is_empty() || self.classes.is_empty()
    }
}
