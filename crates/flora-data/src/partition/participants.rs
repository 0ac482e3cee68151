use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ClientShard, Partition};
use crate::Error;

/// The name of the client that holds all images.
const CENTRAL: &str = "central";

/// The clients that train. The others are tested, too.
///
/// In TOML `"all"`, `"central"`, `"alone"`, or a list of clients: a single one to train on its own data, or all but one
/// to leave one out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Participants {
    /// Every client.
    #[default]
    All,
    /// Centralised baseline: one additional client, `central`, holds the training images of all, each once.
    Central,
    /// Local-only baseline: each client trains its own model; no aggregation, no communication.
    LocalOnly,
    /// These clients.
    Only(Vec<String>),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"all\", \"central\", \"alone\" or a list of clients")]
enum Written {
    Word(String),
    List(Vec<String>),
}

impl Participants {
    /// The name of the client of [`Central`](Self::Central).
    pub const CENTRAL: &str = CENTRAL;
}

impl TryFrom<Written> for Participants {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Word(word) if word == "all" => Ok(Self::All),
            Written::Word(word) if word == CENTRAL => Ok(Self::Central),
            Written::Word(word) if word == "alone" => Ok(Self::LocalOnly),
            Written::Word(word) => Err(format!(
                "{word:?} is neither \"all\", \"central\" or \"alone\" nor a list of clients"
            )),
            Written::List(list) if list.is_empty() => {
                Err("an empty list of clients: no client would train".into())
            }
            Written::List(list) => Ok(Self::Only(list)),
        }
    }
}

impl From<Participants> for Written {
    fn from(participants: Participants) -> Self {
        match participants {
            Participants::All => Self::Word("all".into()),
            Participants::Central => Self::Word(CENTRAL.into()),
            Participants::LocalOnly => Self::Word("alone".into()),
            Participants::Only(list) => Self::List(list),
        }
    }
}

impl Partition {
    /// The same partition with training images only for `participants`; test images stay.
    ///
    /// # Errors
    ///
    /// [`Error::Participants`]: a client that does not exist. [`Error::DuplicateClient`]: an existing client is
    /// called `central`.
    pub fn with_participants(mut self, participants: &Participants) -> Result<Self, Error> {
        match participants {
            Participants::All | Participants::LocalOnly => {}
            Participants::Central => {
                if self.clients.iter().any(|shard| shard.id == CENTRAL) {
                    return Err(Error::DuplicateClient {
                        id: CENTRAL.into(),
                        remedy: "participants = \"central\" adds a client of that name: rename the \
                                 domain's folder, or write \"all\" if a saved partition has it already"
                            .into(),
                    });
                }
                let images = |shard: &mut ClientShard| std::mem::take(&mut shard.train);
                let mut train: Vec<_> = self.clients.iter_mut().flat_map(images).collect();
                train.sort_unstable();
                // Few-shot clients may have drawn the same image.
                train.dedup();
                self.clients.push(ClientShard {
                    id: CENTRAL.into(),
                    train,
                    ..ClientShard::default()
                });
            }
            Participants::Only(names) => {
                let ids: Vec<_> = self.clients.iter().map(|shard| shard.id.as_str()).collect();
                let there: BTreeSet<&str> = ids.iter().copied().collect();
                if let Some(unknown) = names.iter().find(|name| !there.contains(name.as_str())) {
                    return Err(Error::Participants {
                        client: unknown.clone(),
                        clients: ids.join(", "),
                    });
                }
                let named: BTreeSet<&String> = names.iter().collect();
                for shard in self.clients.iter_mut().filter(|shard| !named.contains(&shard.id)) {
                    shard.train.clear();
                }
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Partition {
        let shard = |id: &str, train: &[usize], test: &[usize]| ClientShard {
            id: id.into(),
            train: train.into(),
            test: test.into(),
            ..ClientShard::default()
        };
        let clients = vec![shard("a", &[0, 4], &[1]), shard("b", &[2, 4], &[3])];
        Partition { clients, class_groups: None }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Document {
        participants: Participants,
    }

    #[test]
    fn words_and_lists_survive_toml() {
        for text in ["\"all\"", "\"central\"", "\"alone\"", "[\"a\", \"b\"]"] {
            let text = format!("participants = {text}\n");
            let document: Document = toml::from_str(&text).unwrap();
            assert_eq!(toml::to_string(&document).unwrap(), text);
        }
        for wrong in ["\"some\"", "[]"] {
            assert!(toml::from_str::<Document>(&format!("participants = {wrong}")).is_err());
        }
    }

    #[test]
    fn only_the_named_train_and_all_are_tested() {
        let only = Participants::Only(vec!["b".into()]);
        let clients = partition().with_participants(&only).unwrap().clients;
        assert_eq!((clients[0].train.len(), clients[1].train.len()), (0, 2));
        assert_eq!((clients[0].test.len(), clients[1].test.len()), (1, 1));
        let unknown = Participants::Only(vec!["c".into()]);
        let error = partition().with_participants(&unknown).unwrap_err().to_string();
        assert!(error.contains("\"c\"") && error.contains("a, b"), "{error}");
    }

    #[test]
    fn the_central_client_holds_everything_once() {
        let clients = partition().with_participants(&Participants::Central).unwrap().clients;
        assert_eq!(clients[2].train, [0, 2, 4]);
        assert!(clients[2].test.is_empty());
        assert!(clients[..2].iter().all(|shard| shard.train.is_empty() && shard.test.len() == 1));
    }
    #[test]
    fn a_second_central_client_is_refused() {
        let central = partition().with_participants(&Participants::Central).unwrap();
        let error = central.with_participants(&Participants::Central).unwrap_err().to_string();
        assert!(error.contains("\"central\""), "{error}");
    }
}
