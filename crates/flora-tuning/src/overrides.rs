//! `--set key=value` on a TOML document.

use toml::{Table, Value};

/// Set `a.b.c=value` in `document`; tables on the way are made. The value is TOML (`3`, `0.1`,
/// `true`, `[1, 2]`, `{ kind = "iid", clients = 4 }`), or text where it is not.
///
/// # Errors
///
/// What is wrong with the assignment.
pub(crate) fn apply(document: &mut Table, assignment: &str) -> Result<(), String> {
    let (key, text) = assignment
        .split_once('=')
        .ok_or_else(|| format!("--set {assignment}: expected KEY=VALUE"))?;
    let mut names: Vec<&str> = key.trim().split('.').collect();
    let last = names.pop().filter(|name| !name.is_empty()).ok_or_else(|| {
        format!("--set {assignment}: expected KEY=VALUE, for example training.rounds=5")
    })?;
    let mut table = document;
    for name in names {
        table = table
            .entry(name)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("--set {assignment}: {name} is a value, not a table"))?;
    }
    table.insert(last.to_owned(), parse(text.trim()));
    Ok(())
}

fn parse(text: &str) -> Value {
    let line = format!("value = {text}");
    match line.parse::<Table>() {
        Ok(mut table) if table.len() == 1 => {
            table.remove("value").unwrap_or_else(|| Value::String(text.to_owned()))
        }
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_text() {
        let mut document: Table = "[training]\nrounds = 3".parse().unwrap();
        for assignment in [
            "training.rounds=5",
            "training.learning_rate = 1e-4",
            "method.lora.target_modules=[\"q_proj\"]",
            "model.path=models/clip-nano",
            "partition={ kind = \"iid\", clients = 4 }",
        ] {
            apply(&mut document, assignment).unwrap();
        }
        assert_eq!(document["training"]["rounds"].as_integer(), Some(5));
        assert_eq!(document["training"]["learning_rate"].as_float(), Some(1e-4));
        assert_eq!(document["method"]["lora"]["target_modules"][0].as_str(), Some("q_proj"));
        assert_eq!(document["model"]["path"].as_str(), Some("models/clip-nano"));
        assert_eq!(document["partition"]["clients"].as_integer(), Some(4));
    }

    #[test]
    fn wrong_assignments_are_shown() {
        let mut document: Table = "name = 'x'".parse().unwrap();
        for wrong in ["rounds", "=3", "name.first=3"] {
            let message = apply(&mut document, wrong).unwrap_err();
            assert!(message.contains(wrong), "{message}");
        }
    }
}
