use serde::Deserialize;

use super::*;

/// `tests/fixtures/make_clipping.py`.
#[derive(Deserialize)]
struct Clipping {
    names: Vec<String>,
    shapes: Vec<Vec<usize>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    dtype: String,
    bound: f64,
    norm: f64,
    norm_bit: u8,
    sent: Vec<Vec<f32>>,
    trained: Vec<Vec<f32>>,
    answer: Vec<Vec<f32>>,
}

fn record<'a>(
    entries: impl IntoIterator<Item = (&'a String, &'a Vec<usize>, &'a Vec<f32>)>,
) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (name, shape, values) in entries {
        record.insert(name, HostTensor::from_f32(shape.clone(), values.clone()).unwrap()).unwrap();
    }
    record
}

fn settings(bound: f64) -> Stock {
    Stock::read(&Config::from([(CLIPPING_NORM.to_owned(), Value::Float(bound))])).unwrap()
}

fn is_near(ours: &ParameterRecord, theirs: &ParameterRecord) -> bool {
    ours.iter().zip(theirs.iter()).all(|((name, ours), (other, theirs))| {
        let pairs = ours.to_f32();
        let pairs = pairs.iter().zip(theirs.to_f32().into_owned());
        name == other && pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0))
    })
}

#[test]
fn updates_are_clipped_as_flower_clips_them() {
    let file = include_str!("../../../tests/fixtures/clipping.json");
    let Clipping { names, shapes, cases } = serde_json::from_str(file).unwrap();
    assert!(cases.len() >= 6);
    for Case { name, dtype, bound, norm, norm_bit, sent, trained, answer } in cases {
        let of = |values: &Vec<Vec<f32>>| {
            record(
                names.iter().zip(&shapes).zip(values).map(|((name, shape), it)| (name, shape, it)),
            )
        };
        let sent = match dtype.as_str() {
            "float16" => of(&sent).cast(Dtype::F16),
            _ => of(&sent),
        };
        // The method has its parameters in another order than the server sends them.
        let reversed: Vec<_> = names.iter().zip(&shapes).zip(&trained).rev().collect();
        let trained =
            record(reversed.into_iter().map(|((name, shape), values)| (name, shape, values)));
        assert!((sent.distance(&trained) - norm).abs() < 1e-6 * norm, "{name}");
        let (ours, clipped) = settings(bound).clip(&sent, &trained).unwrap();
        assert_eq!(clipped, Some(norm_bit == 1), "{name}");
        assert!(ours.iter().all(|(_, tensor)| tensor.dtype() == Dtype::F32), "{name}");
        assert!(is_near(&ours, &of(&answer)), "{name}: {ours:?}");
        // The norm is within the bound, except for rounding of the values to f32.
        assert!(sent.distance(&ours) <= bound.min(norm) * (1.0 + 1e-3), "{name}");
    }
}

#[test]
fn an_update_of_exactly_the_bound_is_not_clipped() {
    let (name, shape) = ("w".to_owned(), vec![2]);
    let one = |values: Vec<f32>| record([(&name, &shape, &values)]);
    let (sent, trained) = (one(vec![0.0, 0.0]), one(vec![3.0, 4.0]));
    let clip = |bound: f64| settings(bound).clip(&sent, &trained).unwrap();
    assert_eq!(clip(5.0), (trained.clone(), Some(false)));
    assert_eq!(clip(2.5), (one(vec![1.5, 2.0]), Some(true)));
    // Nothing was learned: there is no norm to divide by.
    let (same, clipped) = settings(0.1).clip(&trained, &trained).unwrap();
    assert_eq!((same, clipped), (trained.clone(), Some(false)));
    let (same, clipped) = Stock::read(&Config::new()).unwrap().clip(&sent, &trained).unwrap();
    assert_eq!((same, clipped), (trained.clone(), None));
}

#[test]
fn settings_that_make_no_sense_are_named() {
    for (key, values) in [
        (
            CLIPPING_NORM,
            vec![
                Value::Float(0.0),
                Value::Float(-1.0),
                Value::Float(f64::NAN),
                Value::Float(f64::INFINITY),
                Value::Int(0),
                Value::Text("1".to_owned()),
            ],
        ),
        (
            SERVER_ROUND,
            vec![Value::Int(-1), Value::Float(1.0), Value::Text("18446744073709551615".to_owned())],
        ),
        (
            "classes",
            vec![Value::Text("cat, dog".to_owned()), Value::Text("[1]".to_owned()), Value::Int(3)],
        ),
        ("experiment", vec![Value::Int(3), Value::Bytes(vec![0])]),
        ("template", vec![Value::Bool(true)]),
    ] {
        for value in values {
            let config = Config::from([(key.to_owned(), value.clone())]);
            let error = Stock::read(&config).err().unwrap_or_else(|| panic!("{key}: {value:?}"));
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
    }
    let round = |value: Value| {
        Stock::read(&Config::from([(SERVER_ROUND.to_owned(), value)])).unwrap().round
    };
    assert_eq!((round(Value::Int(0)), round(Value::Int(1)), round(Value::Int(9))), (0, 0, 8));
    assert_eq!(round(Value::Int(i64::MAX)), i64::MAX as usize - 1);
    let whole = Config::from([(CLIPPING_NORM.to_owned(), Value::Int(2))]);
    assert_eq!(Stock::read(&whole).unwrap().clipping_norm, Some(2.0));
}

#[test]
fn arrays_that_do_not_fit_are_named() {
    let (a, b, shape) = ("a".to_owned(), "b".to_owned(), vec![2]);
    let (zeros, ones) = (vec![0.0, 0.0], vec![1.0, 1.0]);
    let own = record([(&a, &shape, &zeros), (&b, &shape, &zeros)]);
    // Another order, and half precision.
    let sent = record([(&b, &shape, &ones), (&a, &shape, &zeros)]).cast(Dtype::F16);
    let ordered = as_initial(&sent, &own).unwrap();
    assert_eq!(ordered, record([(&a, &shape, &zeros), (&b, &shape, &ones)]));
    let wrong = |sent: &ParameterRecord| as_initial(sent, &own).unwrap_err();
    let error = wrong(&record([(&a, &shape, &zeros)]));
    assert!(error.contains("have no b"), "{error}");
    let c = "c".to_owned();
    let error = wrong(&record([(&a, &shape, &zeros), (&b, &shape, &ones), (&c, &shape, &ones)]));
    assert!(error.contains("array c "), "{error}");
    let column = vec![2, 1];
    let error = wrong(&record([(&a, &column, &zeros), (&b, &shape, &ones)]));
    assert!(error.contains("array a ") && error.contains("[2, 1] instead of [2]"), "{error}");
    for bad in [f32::NAN, f32::INFINITY] {
        let bad = vec![0.0, bad];
        let error = wrong(&record([(&a, &shape, &zeros), (&b, &shape, &bad)]));
        assert!(error.starts_with("the server's arrays: ") && error.contains('b'), "{error}");
    }
}

#[test]
fn arrays_without_names_have_the_order_of_the_method() {
    let (a, b, shape) = ("a".to_owned(), "b".to_owned(), vec![2]);
    let (zero, one) = ("0".to_owned(), "1".to_owned());
    let (zeros, ones) = (vec![0.0, 0.0], vec![1.0, 1.0]);
    let own = record([(&b, &shape, &zeros), (&a, &shape, &zeros)]);
    let sent = record([(&zero, &shape, &ones), (&one, &shape, &zeros)]);
    let expected = record([(&b, &shape, &ones), (&a, &shape, &zeros)]);
    assert_eq!(named(&sent, &own), Ok(Some(expected)));
    // Names take precedence, and missing arrays are a separate error.
    assert_eq!(named(&own, &own), Ok(None));
    assert_eq!(named(&record([(&zero, &shape, &ones)]), &own), Ok(None));
}

#[test]
fn answers_that_would_spoil_an_average_are_errors() {
    let (name, shape, values) = ("w".to_owned(), vec![1], vec![1.0]);
    let sent = record([(&name, &shape, &values)]);
    let stock = Stock::read(&Config::new()).unwrap();
    let trained = |examples: usize, loss: f64| {
        let metrics = Metrics::from([("loss".to_owned(), loss), ("update_norm".to_owned(), 1.0)]);
        stock.answer(&Kind::Train, &sent, Message::trained(sent.clone(), examples, metrics))
    };
    let answer = trained(3, 0.5).unwrap();
    // The same names at every site, whatever else it measured.
    let names: Vec<_> = answer.metrics.keys().map(String::as_str).collect();
    assert_eq!(names, ["loss", NUM_EXAMPLES, "train_loss"]);
    assert!(answer.config.is_empty());
    assert!(trained(0, 0.5).unwrap_err().contains("no image"));
    assert!(trained(3, f64::NAN).unwrap_err().contains("loss is not a number"));
    // If images are hidden, no loss is reported.
    let quiet = Message::trained(sent.clone(), 3, Metrics::new());
    let answer = stock.answer(&Kind::Train, &sent, quiet).unwrap();
    assert_eq!(answer.metrics.into_keys().collect::<Vec<_>>(), [NUM_EXAMPLES]);
    let tested = |examples: usize, accuracy: f64| {
        let metrics = [("accuracy".to_owned(), accuracy), ("loss".to_owned(), 1.0)];
        stock.answer(&Kind::Evaluate, &sent, Message::tested(examples, metrics.into()))
    };
    let answer = tested(4, 0.75).unwrap();
    assert_eq!((answer.records.len(), answer.metrics.len()), (0, 3));
    assert!(tested(0, 0.75).unwrap_err().contains("no image"));
    assert!(tested(4, f64::INFINITY).unwrap_err().contains("accuracy is not a number"));
}
