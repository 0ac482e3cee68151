use std::collections::BTreeMap;

use flora_federation::{Message, StrategyError, Value};
use serde::{Deserialize, Serialize};

use super::Pair;

/// Prefix of a client id in the names of ranks in a state.
const PREFIX: &str = "rank.";

/// The rank of each client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranks {
    /// Ranks by client id; each is 1 or more.
    pub by_client: BTreeMap<String, usize>,
}

impl Ranks {
    /// A client's rank. A client that is not listed, because it joined later, has the largest.
    pub fn rank_of(&self, client: &str) -> usize {
        self.by_client.get(client).copied().unwrap_or_else(|| self.largest())
    }

    /// The largest rank, which the shared parameters must have; without clients [`usize::MAX`], for the full rank.
    pub fn largest(&self) -> usize {
        self.by_client.values().copied().max().unwrap_or(usize::MAX)
    }

    /// The ranks as a part of a rule's state: a resumed run may have other clients, to which a list would assign
    /// different ranks.
    pub(crate) fn state(&self) -> Message {
        let rank =
            |(id, &rank): (&String, &usize)| (format!("{PREFIX}{id}"), Value::Int(rank as i64));
        Message { config: self.by_client.iter().map(rank).collect(), ..Message::default() }
    }

    /// Restores the ranks that [`state`](Self::state) returned.
    pub(crate) fn restore(&mut self, state: Message) -> Result<(), StrategyError> {
        let read = |(name, value): (&String, &Value)| match (name.strip_prefix(PREFIX), value) {
            (Some(id), &Value::Int(rank)) if rank > 0 => Some((id.to_owned(), rank as usize)),
            _ => None,
        };
        let ranks: Option<BTreeMap<String, usize>> = state.config.iter().map(read).collect();
        match ranks {
            Some(ranks) if state.records.is_empty() => {
                self.by_client = ranks;
                Ok(())
            }
            _ => Err(StrategyError::State("it holds more than the ranks of clients".to_owned())),
        }
    }

    /// Checks that the rank of the shared adapters suffices for all clients.
    pub(crate) fn check(&self, pairs: &[Pair]) -> Result<(), StrategyError> {
        let smallest = pairs.iter().min_by_key(|pair| pair.rank);
        let Some(pair) = smallest else { return Ok(()) };
        match self.by_client.iter().find(|&(_, &rank)| rank > pair.rank) {
            Some((client, rank)) => Err(StrategyError::Other(format!(
                "ranks: client {client} has {rank}, but the shared adapter of {} has rank {}; give the adapter the \
                 largest rank",
                pair.layer, pair.rank
            ))),
            None => Ok(()),
        }
    }
}

/// Ranks in an experiment file: a list in the order of the sorted client ids, or a table from names to ranks, in which
/// `*` stands for any text. If several patterns match a client, the most specific one applies.
///
/// ```
/// use flora_strategies::lora::RanksConfig;
///
/// #[derive(serde::Deserialize)]
/// struct File {
///     ranks: RanksConfig,
/// }
/// let by_name: File = toml::from_str(r#"ranks = { "site-*" = 4, hospital = 8 }"#)?;
/// let ranks = by_name.ranks.of(["site-1", "hospital", "site-2"]).unwrap();
/// assert_eq!((ranks.rank_of("site-2"), ranks.largest()), (4, 8));
///
/// let listed: File = toml::from_str("ranks = [8, 4, 4]")?;
/// assert_eq!(listed.ranks.of(["site-1", "hospital", "site-2"]).unwrap(), ranks);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "ranks: a list of whole numbers or a table from client names to whole numbers is needed"
)]
pub enum RanksConfig {
    /// One rank for each client, in the order of the sorted ids.
    Listed(Vec<usize>),
    /// Ranks by name or pattern.
    Named(BTreeMap<String, usize>),
}

impl RanksConfig {
    /// Checks the ranks without knowing the clients.
    ///
    /// # Errors
    /// The problem, beginning with `ranks`.
    pub fn check(&self) -> Result<(), String> {
        match &self.all().collect::<Vec<_>>()[..] {
            [] => {
                Err("ranks: the list is empty; give each client that trains one, such as [2, 4, 8]"
                    .to_owned())
            }
            ranks if ranks.contains(&0) => {
                Err("ranks: a rank cannot be 0; choose 1 or more".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The largest rank; 0 if there are none.
    pub fn largest(&self) -> usize {
        self.all().max().unwrap_or(0)
    }

    /// The smallest rank; 0 if there are none.
    pub fn smallest(&self) -> usize {
        self.all().min().unwrap_or(0)
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        let (listed, named) = match self {
            Self::Listed(ranks) => (Some(ranks), None),
            Self::Named(named) => (None, Some(named)),
        };
        let named = named.into_iter().flat_map(BTreeMap::values);
        listed.into_iter().flatten().chain(named).copied()
    }

    /// The ranks of these clients.
    ///
    /// # Errors
    /// The problem, beginning with `ranks`: a list of wrong length, a client that no pattern matches or to which
    /// patterns give different ranks, or a pattern that matches no client.
    pub fn of<'a>(&self, clients: impl IntoIterator<Item = &'a str>) -> Result<Ranks, String> {
        self.check()?;
        let mut clients: Vec<&str> = clients.into_iter().collect();
        clients.sort_unstable();
        let by_client = match self {
            Self::Listed(ranks) if ranks.len() == clients.len() => {
                clients.iter().map(|&client| client.to_owned()).zip(ranks.iter().copied()).collect()
            }
            Self::Listed(ranks) => {
                return Err(format!(
                    "ranks: {} are listed for {} clients; list one for each, in the order of their sorted names",
                    ranks.len(),
                    clients.len()
                ));
            }
            Self::Named(named) => {
                let nobody = |pattern: &&String| !clients.iter().any(|it| matches(pattern, it));
                if let Some(pattern) = named.keys().find(nobody) {
                    return Err(format!(
                        "ranks: no client's name is `{pattern}`; the clients are {}",
                        clients.join(", ")
                    ));
                }
                let rank = |&client: &&str| Ok((client.to_owned(), by_name(named, client)?));
                clients.iter().map(rank).collect::<Result<_, String>>()?
            }
        };
        Ok(Ranks { by_client })
    }
}

fn by_name(named: &BTreeMap<String, usize>, client: &str) -> Result<usize, String> {
    if let Some(&rank) = named.get(client) {
        return Ok(rank);
    }
    // The most specific pattern.
    let said = |pattern: &str| pattern.chars().filter(|&it| it != '*').count();
    let fits = || named.iter().filter(|(pattern, _)| matches(pattern, client));
    let most = fits().map(|(pattern, _)| said(pattern)).max();
    let mut found = fits().filter(|(pattern, _)| Some(said(pattern)) == most);
    let Some((first, &rank)) = found.next() else {
        return Err(format!(
            "ranks: client {client} has none; add its name, or a pattern such as `*`"
        ));
    };
    match found.find(|&(_, &other)| other != rank) {
        Some((second, other)) => Err(format!(
            "ranks: client {client} has {rank} by `{first}` and {other} by `{second}`; add it by its name"
        )),
        None => Ok(rank),
    }
}

/// Whether the pattern matches a name: `*` stands for any text, including none.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        // The first match leaves the most text for the remaining parts.
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**", "é", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    fn named(ranks: &[(&str, usize)]) -> RanksConfig {
        RanksConfig::Named(ranks.iter().map(|&(name, rank)| (name.to_owned(), rank)).collect())
    }

    #[test]
    fn what_says_more_of_a_name_goes_before() {
        let ranks = named(&[("*", 2), ("a*", 4), ("ab", 8)]).of(["b", "ab", "aa"]).unwrap();
        assert_eq!(["aa", "ab", "b"].map(|client| ranks.rank_of(client)), [4, 8, 2]);
        assert_eq!(ranks.rank_of("new"), 8);
    }

    #[test]
    fn ranks_that_do_not_fit_the_clients_are_refused() {
        for (ranks, words) in [
            (RanksConfig::Listed(vec![]), "ranks: the list is empty"),
            (RanksConfig::Listed(vec![2, 0]), "ranks: a rank cannot be 0"),
            (RanksConfig::Listed(vec![2, 2, 2]), "ranks: 3 are listed for 2 clients"),
            (named(&[("c", 2), ("*", 2)]), "no client's name is `c`"),
            (named(&[("a", 2)]), "client b has none"),
            (named(&[("*b", 2), ("*a", 2), ("a*", 4)]), "client a has 2 by `*a` and 4 by `a*`"),
        ] {
            let message = ranks.of(["b", "a"]).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
