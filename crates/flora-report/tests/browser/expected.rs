//! What charts must show, counted in `metrics.jsonl` without the code that draws them.

use std::path::Path;

use serde_json::Value;

/// Series, round and value.
pub(crate) type Marks = Vec<(String, u64, f64)>;

/// The lines of a `metrics.jsonl`.
pub(crate) fn events(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn of_kind<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == kind)
}

fn round(event: &Value) -> u64 {
    event["round"].as_u64().unwrap()
}

fn evaluated(events: &[Value], local: bool) -> impl Iterator<Item = &Value> {
    of_kind(events, "evaluated").filter(move |event| (event["model"] == "local") == local)
}

/// Mean accuracy of the global model in per cent.
pub(crate) fn accuracy(events: &[Value], name: &str) -> Marks {
    let mark = |it: &Value| (name.to_owned(), round(it), 100.0 * it["accuracy"].as_f64().unwrap());
    evaluated(events, false).map(mark).collect()
}

pub(crate) fn worst(events: &[Value], name: &str) -> Marks {
    let mark = |it: &Value| {
        let clients = it["clients"].as_array().unwrap().iter();
        let least = clients.map(|client| client["accuracy"].as_f64().unwrap()).reduce(f64::min);
        (name.to_owned(), round(it), 100.0 * least.unwrap())
    };
    evaluated(events, false).map(mark).collect()
}

pub(crate) fn local_accuracy(events: &[Value], name: &str) -> Marks {
    let mark = |it: &Value| (name.to_owned(), round(it), 100.0 * it["accuracy"].as_f64().unwrap());
    evaluated(events, true).map(mark).collect()
}

pub(crate) fn loss(events: &[Value], local: bool, name: &str) -> Marks {
    let mark = |it: &Value| Some((name.to_owned(), round(it), it["loss"].as_f64()?));
    evaluated(events, local).filter_map(mark).collect()
}

/// A metric of what was aggregated.
pub(crate) fn metric(events: &[Value], key: &str, factor: f64, name: &str) -> Marks {
    let mark =
        |it: &Value| Some((name.to_owned(), round(it) + 1, factor * it["metrics"][key].as_f64()?));
    of_kind(events, "aggregated").filter_map(mark).collect()
}

pub(crate) fn clients(events: &[Value]) -> Marks {
    let marks = evaluated(events, false).flat_map(|it| {
        let clients = it["clients"].as_array().unwrap().iter();
        clients.map(move |client| {
            let name = client["client"].as_str().unwrap().to_owned();
            (name, round(it), 100.0 * client["accuracy"].as_f64().unwrap())
        })
    });
    marks.collect()
}

/// Panics unless the marks in the page are these, in any order.
pub(crate) fn compare(shown: &[[String; 3]], mut expected: Marks, what: &str) {
    let number =
        |text: &str| -> f64 { text.parse().unwrap_or_else(|_| panic!("{what}: {text:?}")) };
    let mut shown: Marks =
        shown.iter().map(|[series, x, y]| (series.clone(), number(x) as u64, number(y))).collect();
    let order = |a: &(String, u64, f64), b: &(String, u64, f64)| (&a.0, a.1).cmp(&(&b.0, b.1));
    shown.sort_by(order);
    expected.sort_by(order);
    assert!(!expected.is_empty(), "{what}: nothing is expected");
    assert_eq!(shown.len(), expected.len(), "{what}: {shown:?}");
    for (a, b) in shown.iter().zip(&expected) {
        let close = (a.2 - b.2).abs() <= 1e-9 * b.2.abs().max(1.0);
        assert!((&a.0, a.1) == (&b.0, b.1) && close, "{what}: {a:?} and not {b:?}");
    }
}
