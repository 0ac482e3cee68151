//! `--set key=value` assignments on a TOML document.

use flora_core::{
    explain,
    renamed::{self, KEYS},
    settings,
};
use toml::{Table, Value};

use crate::{Experiment, TuningError};

/// The checked experiment of a TOML document after assignments. `origin` names the document in messages.
///
/// # Errors
///
/// The problem, and its place: the document, or the assignment that caused it.
pub(crate) fn read(
    origin: &str,
    text: &str,
    assignments: &[String],
) -> Result<Experiment, TuningError> {
    let wrong = |origin: &str, problem: &str| TuningError::Experiment {
        origin: origin.to_owned(),
        problem: explain::toml(problem),
    };
    // A seed of all 64 bits is text that experiments can have, and documents cannot.
    let mut document = text.parse::<Table>();
    let mut renamed = match &mut document {
        Ok(document) => rename(document).map_err(|problem| wrong(origin, &problem))?,
        Err(_) => Vec::new(),
    };
    if assignments.is_empty() {
        // Read directly from the text, so that an error shows its line.
        let experiment: Experiment =
            toml::from_str(text).map_err(|error| wrong(origin, &error.to_string()))?;
        if let Ok(document) = &document {
            settings::refuse_lists::<Experiment>(document)
                .map_err(|problem| wrong(origin, &problem))?;
        }
        experiment.check().map_err(|problem| wrong(origin, &problem))?;
        return Ok(Experiment { renamed, ..experiment });
    }
    let document = document.map_err(|error| wrong(origin, &error.to_string()))?;
    renamed.extend(assignments.iter().filter_map(|it| renamed::find(it.split_once('=')?.0.trim())));
    // After no assignment, after the first, and so on.
    let mut documents = vec![document];
    for assignment in assignments {
        let mut document = documents[documents.len() - 1].clone();
        // Tables that were assigned as a whole have old keys, too.
        let assigned = apply(&mut document, assignment).and_then(|()| rename(&mut document));
        renamed
            .extend(assigned.map_err(|problem| wrong(&format!("--set {assignment}"), &problem))?);
        documents.push(document);
    }
    let problem = match check(&documents[assignments.len()]) {
        Ok(experiment) => {
            renamed.sort_unstable();
            renamed.dedup();
            return Ok(Experiment { renamed, ..experiment });
        }
        Err(problem) => problem,
    };
    // The first one from which on the problem never went away. Some assignments need each other, and are wrong in
    // between.
    let same = |document: &&Table| check(document).is_err_and(|other| other == problem);
    let since = documents.iter().rev().take_while(same).count();
    let culprit = documents.len() - since;
    if culprit > 0 {
        let assignment = &assignments[culprit - 1];
        let mut problem = explain::toml(&problem);
        let remedy = whole_partition(assignment, &problem, &documents[culprit]);
        problem += &remedy.unwrap_or_default();
        return Err(TuningError::Experiment { origin: format!("--set {assignment}"), problem });
    }
    // Read from the text, so that an error shows its line.
    match toml::from_str::<Experiment>(text) {
        Err(error) => Err(wrong(origin, &error.to_string())),
        Ok(_) => Err(wrong(origin, &problem)),
    }
}

/// Gives the keys of earlier versions in a document their current names, and returns both. Earlier names are read for one
/// release, with a warning.
///
/// # Errors
///
/// A key that has both of its names.
fn rename(document: &mut Table) -> Result<Vec<(&'static str, &'static str)>, String> {
    let mut renamed = Vec::new();
    for (old, new) in KEYS {
        let last = |key: &'static str| key.rsplit_once('.').unwrap_or(("", key));
        let ((tables, before), (_, after)) = (last(old), last(new));
        let table = tables
            .split('.')
            .try_fold(&mut *document, |table, name| table.get_mut(name)?.as_table_mut());
        let Some(table) = table else { continue };
        let Some(value) = table.remove(before) else { continue };
        if table.insert(after.to_owned(), value).is_some() {
            return Err(format!("{old} is the old name of {new}, and both are given; keep {new}"));
        }
        renamed.push((old, new));
    }
    Ok(renamed)
}

/// A partition of each kind, as an assignment of the whole table.
const PARTITIONS: [(&str, &str); 9] = [
    ("iid", r#"{ kind = "iid", clients = 10 }"#),
    ("dirichlet", r#"{ kind = "dirichlet", clients = 10, beta = 0.5 }"#),
    ("pathological", r#"{ kind = "pathological", clients = 10, classes_per_client = 4 }"#),
    ("shards", r#"{ kind = "shards", clients = 10, shards_per_client = 2 }"#),
    ("quantity", r#"{ kind = "quantity", clients = 10, beta = 0.5 }"#),
    ("natural", r#"{ kind = "natural" }"#),
    ("few-shot", r#"{ kind = "few-shot", shots = 16, of = { kind = "iid", clients = 10 } }"#),
    ("file", r#"{ kind = "file", path = "partition.json" }"#),
    ("base-to-novel", r#"{ kind = "base-to-novel", of = { kind = "iid", clients = 10 } }"#),
];

/// A remedy if `assignment` left a partition with too few keys, or with those of another kind.
fn whole_partition(assignment: &str, problem: &str, document: &Table) -> Option<String> {
    let (key, _) = assignment.split_once('=')?;
    let lacks = problem.starts_with("partition: missing field ");
    let keeps = problem.starts_with("partition: unknown field ") && key.trim() == "partition.kind";
    if !lacks && !keeps {
        return None;
    }
    let kind = document.get("partition")?.get("kind")?.as_str()?;
    let (_, whole) = PARTITIONS.iter().find(|(name, _)| *name == kind)?;
    Some(format!("; set the whole table at once, for example --set 'partition={whole}'"))
}

fn check(document: &Table) -> Result<Experiment, String> {
    let experiment: Experiment =
        document.clone().try_into().map_err(|error: toml::de::Error| error.to_string())?;
    settings::refuse_lists::<Experiment>(document)?;
    experiment.check()?;
    Ok(experiment)
}

/// Settings that are a name alone, or a table with the name as its kind.
const NAMES_OR_TABLES: [&str; 3] = ["federation.strategy", "federation.selection", "faults.attack"];

/// Sets `a.b.c=value` in `document`; missing tables on the way are created. The value is TOML (`3`, `0.1`, `true`, `[1,
/// 2]`, `{ kind = "iid", clients = 4 }`), or text if it is not valid TOML.
///
/// # Errors
///
/// The problem of the assignment.
fn apply(document: &mut Table, assignment: &str) -> Result<(), String> {
    let (key, text) = assignment
        .split_once('=')
        .ok_or_else(|| "expected KEY=VALUE, for example training.rounds=5".to_owned())?;
    let key = renamed::current(key.trim());
    let mut names: Vec<&str> = key.split('.').collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err("expected KEY=VALUE, for example training.rounds=5".to_owned());
    }
    let Some(last) = names.pop() else { return Ok(()) };
    let mut table = document;
    for (depth, name) in names.iter().enumerate() {
        let value = table.entry(*name).or_insert_with(|| Value::Table(Table::new()));
        let kind = value.as_str().map(str::to_owned);
        table = value.as_table_mut().ok_or_else(|| {
            let whole = names[..=depth].join(".");
            match kind {
                Some(kind) if NAMES_OR_TABLES.contains(&whole.as_str()) => format!(
                    "{whole} is a value, not a table; set the whole table at once, for example --set '{whole}={{ kind = \
                     {kind:?}, {last} = {} }}'",
                    parse(text.trim())
                ),
                _ => format!("{whole} is a value, not a table"),
            }
        })?;
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
        for wrong in ["rounds", "=3", "a..b=3"] {
            let message = apply(&mut document, wrong).unwrap_err();
            assert!(message.contains("KEY=VALUE"), "{message}");
        }
        let message = apply(&mut document, "name.first=3").unwrap_err();
        assert_eq!(message, "name is a value, not a table");
        let mut document: Table = "federation.strategy = 'krum'".parse().unwrap();
        let message = apply(&mut document, "federation.strategy.beta=0.3").unwrap_err();
        let whole = "--set 'federation.strategy={ kind = \"krum\", beta = 0.3 }'";
        assert!(message.ends_with(whole), "{message}");
    }

    const LEAST: &str = "name = 'x'\nmodel.path = 'm'\ndata.path = 'd'\n[partition]\n\
                         kind = 'iid'\nclients = 10\n";

    fn refused(text: &str, set: &[&str]) -> String {
        let set: Vec<String> = set.iter().map(|&one| one.to_owned()).collect();
        read("mine.toml", text, &set).unwrap_err().to_string()
    }

    #[test]
    fn the_assignment_that_is_wrong_is_blamed() {
        let told = refused(LEAST, &["seed=1", "training.rounds=five", "data.seed=2"]);
        assert_eq!(
            told,
            "--set training.rounds=five: training.rounds: expected a whole number, found the text \"five\""
        );
        for patience in ["0", "-1"] {
            let set = format!("training.patience={patience}");
            assert_eq!(
                refused(LEAST, &[&set]),
                format!(
                    "--set {set}: training.patience: expected a whole number above 0, found {patience}; leave it out \
                     to run all rounds"
                )
            );
        }
        // Out of range, and not understood.
        let told = refused(LEAST, &["training.rounds=1", "training.batch_size=0", "seed=3"]);
        assert!(told.starts_with("--set training.batch_size=0: training.batch_size: "), "{told}");
        let told = refused(LEAST, &["seed=3", "seed"]);
        assert!(told.starts_with("--set seed: expected KEY=VALUE"), "{told}");
        // A temporary problem is not an error.
        let needs = ["partition.kind=dirichlet", "partition.beta=0.5", "seed=-1"];
        assert!(read("mine.toml", LEAST, &[needs[0], needs[1]].map(str::to_owned)).is_ok());
        let told = refused(LEAST, &needs);
        assert!(
            told.starts_with("--set seed=-1: seed: expected a whole number, 0 or more"),
            "{told}"
        );
        let told = refused(LEAST, &needs[..1]);
        let lacks = "--set partition.kind=dirichlet: partition: missing field `beta`; set the whole table at once";
        assert!(told.starts_with(lacks), "{told}");
    }

    /// serde accepts a list where a table is meant, and numbers that are 0 or infinite in single precision.
    #[test]
    fn values_that_would_change_are_refused_by_name() {
        for (key, value, problem) in [
            ("federation.secure", "[]", "expected a table, found a list"),
            ("federation.secure", "[0.5]", "expected a table, found a list"),
            ("federation.secure.faults", "[]", "expected a table, found a list"),
            ("training", "[]", "expected a table, found a list"),
            ("faults", "[]", "expected a table, found a list"),
            ("data.limit", "[]", "expected a table, found a list"),
            ("method.lora", "[]", "expected a table, found a list"),
            ("federation.privacy", "['local', 0.5]", "expected a table, found a list"),
            ("federation.secure.norm", "1e-300", "1e-300 does not fit in single precision"),
            ("federation.secure.norm", "1e300", "1e300 does not fit in single precision"),
            ("federation.secure.range", "1e300", "1e300 does not fit in single precision"),
            ("training.eps", "1e-300", "1e-300 does not fit in single precision"),
            ("training.weight_decay", "1e300", "1e300 does not fit in single precision"),
            ("training.betas", "[0.9, 1e300]", "1e300 does not fit in single precision"),
            ("training.learning_rate", "1e300", "1e300 does not fit in single precision"),
            ("training.class_weights.cat", "1e-300", "1e-300 for \"cat\" does not fit in single"),
            ("method.lora.lora_alpha", "1e-300", "1e-300 does not fit in single precision"),
            ("method.closed_form.weight", "1e300", "1e300 does not fit in single precision"),
        ] {
            let set = format!("{key}={value}");
            let told = refused(LEAST, &[&set]);
            let (table, _) = key.rsplit_once('.').unwrap_or((key, ""));
            assert!(told.starts_with(&format!("--set {set}: {table}")), "{told}");
            assert!(told.contains(problem), "{told}");
            let told = refused(&format!("{key} = {value}\n{LEAST}"), &[]);
            assert!(told.contains(table) && told.contains(problem), "{told}");
        }
        for (key, value) in [
            ("federation.secure", "{}"),
            ("method.lora.target_modules", "[\"q_proj\"]"),
            ("federation.strategy", "{ kind = \"stacking\", ranks = [2, 2] }"),
            ("federation.selection", "{ kind = \"named\", clients = [\"a\"] }"),
            ("training.betas", "[0.9, 0.5]"),
        ] {
            let text = format!("{key} = {value}\n{LEAST}");
            let read = read("mine.toml", &text, &[]);
            assert!(read.is_ok(), "{text}: {read:?}");
        }
    }

    #[test]
    fn a_partition_of_another_kind_is_set_as_a_whole() {
        let natural = "name = 'x'\nmodel.path = 'm'\ndata.path = 'd'\npartition.kind = 'natural'\n";
        for (kind, whole) in PARTITIONS {
            let remedy = format!("partition={whole}");
            assert!(read("mine.toml", natural, std::slice::from_ref(&remedy)).is_ok(), "{kind}");
            let set = format!("partition.kind={kind}");
            if kind == "natural" {
                assert!(refused(LEAST, &[&set]).ends_with(&format!("--set '{remedy}'")));
                continue;
            }
            let told = refused(natural, &[&set]);
            assert!(told.starts_with(&format!("--set {set}: partition: missing field ")), "{told}");
            assert!(told.ends_with(&format!("--set '{remedy}'")), "{told}");
        }
        let told = refused(natural, &["partition.kind=foo"]);
        let known = PARTITIONS.map(|(kind, _)| kind).join(", ");
        assert!(told.ends_with(&format!("known are {known}")), "{told}");
        let told = refused(natural, &["partition.clients=4"]);
        assert!(told.ends_with("no settings are accepted here"), "{told}");
    }

    /// Keys of earlier versions are read from the text and from assignments, also if the other has the new name.
    #[test]
    fn old_keys_are_read_for_one_release() {
        let (dropout, path) = (KEYS[0], KEYS[1]);
        let old = format!("{LEAST}[method]\npath = \"naive\"\nlora.dropout = 0.5\n");
        let new = format!("{LEAST}[method]\nimplementation = \"naive\"\nlora.lora_dropout = 0.5\n");
        for (text, set, dropped, renamed) in [
            (&old, &[][..], 0.5, vec![dropout, path]),
            (&old, &["seed=1"], 0.5, vec![dropout, path]),
            (&old, &["method.lora.lora_dropout=0.25"], 0.25, vec![dropout, path]),
            (&new, &["method.lora.dropout=0.25"], 0.25, vec![dropout]),
            (&new, &[], 0.5, vec![]),
        ] {
            let set: Vec<String> = set.iter().map(|&it| it.to_owned()).collect();
            let experiment = read("mine.toml", text, &set).unwrap();
            assert_eq!(experiment.method.implementation, crate::Implementation::Naive);
            assert_eq!(experiment.method.lora.lora_dropout, dropped, "{set:?}");
            assert_eq!(experiment.renamed, renamed, "{set:?}");
        }
        let both = format!("{LEAST}[method.lora]\ndropout = 0.5\nlora_dropout = 0.25\n");
        for set in [&[][..], &["seed=1"]] {
            let told = refused(&both, set);
            assert!(told.contains("dropout is the old name of method.lora.lora_dropout"), "{told}");
        }
        let whole = ["method={ path = \"naive\", lora = { dropout = 0.1 } }".to_owned()];
        assert_eq!(read("mine.toml", LEAST, &whole).unwrap().renamed, [dropout, path]);
    }

    #[test]
    fn a_file_that_is_wrong_by_itself_is_shown_with_its_line() {
        let wrong = format!("{LEAST}[training]\nrounds = 1.5\n");
        for set in [&[][..], &["seed=3"], &["seed=3", "data.seed=4"]] {
            let told = refused(&wrong, set);
            assert!(told.starts_with("mine.toml: ") && told.contains("line 8"), "{told}");
            assert!(told.ends_with("expected a whole number, found 1.5"), "{told}");
        }
        assert!(read("mine.toml", &wrong, &["training.rounds=2".to_owned()]).is_ok());
        let told = refused(&format!("{LEAST}[training]\nbatch_size = 0\n"), &["seed=3"]);
        assert!(told.starts_with("mine.toml: training.batch_size: "), "{told}");
        let told = refused("name = ", &["seed=3"]);
        assert!(told.starts_with("mine.toml: TOML parse error at line 1"), "{told}");
    }
}
