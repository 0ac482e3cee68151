use std::collections::BTreeSet;

use super::{Draw, Selection, ids};
use crate::{ClientInfo, FederationError};

/// Selects the clients with these ids in every round, if they are present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The ids of the clients.
    pub clients: Vec<String>,
}

impl Named {
    /// Checks the list by itself.
    pub(super) fn check_names(&self) -> Result<(), FederationError> {
        if self.clients.is_empty() {
            return Err(wrong("an empty list of clients: no client would train".to_owned()));
        }
        let mut seen = BTreeSet::new();
        match self.clients.iter().find(|id| !seen.insert(*id)) {
            Some(twice) => Err(wrong(format!("{twice:?} is named twice"))),
            None => Ok(()),
        }
    }
}

impl Selection for Named {
    /// [`FederationError::Selection`], with the ids that no client has.
    fn check(&self, trainers: &[ClientInfo]) -> Result<(), FederationError> {
        self.check_names()?;
        let there = ids(trainers);
        let is_there = |id: &&String| there.binary_search(id).is_ok();
        let missing: Vec<&String> = self.clients.iter().filter(|id| !is_there(id)).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(wrong(format!(
                "no client with training examples is named {}; there are {}",
                listed(missing.into_iter()),
                listed(there.iter())
            ))),
        }
    }

    fn select(&self, _draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        let mut ids = ids(trainers);
        ids.retain(|id| self.clients.contains(id));
        ids
    }
}

fn wrong(problem: String) -> FederationError {
    FederationError::Selection { field: "clients", problem }
}

/// Some of the ids, and the number of others.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    const MOST: usize = 10;
    let more = names.len().saturating_sub(MOST);
    let mut listed: Vec<String> = names.take(MOST).map(|name| format!("{name:?}")).collect();
    if more > 0 {
        listed.push(format!("{more} more"));
    }
    listed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{draw, trainers},
        *,
    };

    fn named(clients: &[&str]) -> Named {
        Named { clients: clients.iter().map(|&id| id.to_owned()).collect() }
    }

    #[test]
    fn the_named_train_as_far_as_they_are_there() {
        let selection = named(&["client-04", "client-01"]);
        assert_eq!(selection.select(draw(1, 0), &trainers(6)), ["client-01", "client-04"]);
        assert_eq!(selection.select(draw(9, 7), &trainers(3)), ["client-01"]);
        assert!(selection.check(&trainers(6)).is_ok());
    }

    #[test]
    fn who_is_not_there_is_named() {
        let check = |clients: &[&str], count| {
            named(clients).check(&trainers(count)).unwrap_err().to_string()
        };
        let error = check(&["client-01", "nobody", "client-07"], 2);
        let expected = "federation.selection.clients: no client with training examples is named \
                        \"nobody\", \"client-07\"; there are \"client-00\", \"client-01\"";
        assert_eq!(error, expected);
        let error = check(&["nobody"], 40);
        assert!(error.ends_with("\"client-09\", 30 more"), "{error}");
    }
}
