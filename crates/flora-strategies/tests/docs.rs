//! docs/strategies.md lists every strategy and attack that an experiment file can name.

use flora_federation::Attack;
use flora_strategies::StrategyConfig;
use serde::de::DeserializeOwned;

/// The known names, taken from the error for an unknown name.
fn names<T: DeserializeOwned>() -> Vec<String> {
    let table: toml::Table = "kind = 'none-of-them'".parse().unwrap();
    let Err(error) = T::deserialize(table) else { panic!("there is none of that name") };
    let text = error.to_string();
    let (_, listed) = text.split_once("expected one of ").expect("a list");
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_page_has_every_name() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/strategies.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (strategies, attacks) = (names::<StrategyConfig>(), names::<Attack>());
    assert!(strategies.len() > 15 && attacks.len() > 5, "{strategies:?} {attacks:?}");
    for name in strategies.iter().chain(&attacks) {
        let rows = page.lines().filter(|line| line.starts_with('|'));
        let mut first = rows.filter_map(|row| row.split('|').nth(1));
        assert!(first.any(|cell| cell.contains(&format!("`{name}`"))), "{name} has no row");
    }
}
