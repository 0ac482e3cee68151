use std::{fs, path::PathBuf};

use flora_federation::Metrics;
use prost::Message;

use super::{record::checksum, *};

fn scalars(step: i64, values: &[(&str, f32)]) -> proto::Event {
    let value =
        |&(tag, value): &(&str, f32)| Value { tag: tag.to_owned(), simple_value: Some(value) };
    let summary = Summary { value: values.iter().map(value).collect() };
    let wall_time = 1_700_000_000.25 + step as f64;
    proto::Event { wall_time, step, what: Some(What::Summary(summary)) }
}

/// The messages in a file; all checksums must be right.
fn read(mut bytes: &[u8]) -> Vec<proto::Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(8);
        let (sum, rest) = rest.split_at(4);
        assert_eq!(sum, checksum(length).to_le_bytes());
        let (message, rest) =
            rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let (sum, rest) = rest.split_at(4);
        assert_eq!(sum, checksum(message).to_le_bytes());
        events.push(proto::Event::decode(message).unwrap());
        bytes = rest;
    }
    events
}

/// The event files of a run folder, in the order in which TensorBoard reads them.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("tensorboard")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn evaluated(model: EvaluatedModel, clients: &[(&str, usize)]) -> Event {
    let client = |&(client, num_examples): &(&str, usize)| ClientScore {
        client: client.to_owned(),
        accuracy: 0.25,
        loss: None,
        num_examples,
    };
    Event::Evaluated {
        round: 3,
        model,
        accuracy: 0.5,
        accuracy_weighted: 0.75,
        loss: Some(2.0),
        clients: clients.iter().map(client).collect(),
        seconds: 1.5,
    }
}

/// What a writer tells of the events, but for the file's version and its start: step, and tags with values.
fn told(events: &[Event]) -> Vec<(i64, Vec<(String, f32)>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TensorBoard::create(folder.path(), None).unwrap();
    for event in events {
        writer.hear(event).unwrap();
    }
    let events = read(&fs::read(&files(folder.path())[0]).unwrap());
    let told = |event: proto::Event| match event.what {
        Some(What::Summary(summary)) => {
            let values = summary.value.into_iter();
            (event.step, values.map(|value| (value.tag, value.simple_value.unwrap())).collect())
        }
        what => panic!("{what:?}"),
    };
    events.into_iter().skip(2).map(told).collect()
}

fn tags(event: Event) -> Vec<String> {
    let (_, values) = told(&[event]).remove(0);
    values.into_iter().map(|(tag, _)| tag).collect()
}

#[test]
fn files_are_those_of_tensorboard_to_the_byte() {
    let theirs = include_bytes!("../../tests/fixtures/tensorboard/python.tfevents");
    let version = What::FileVersion("brain.Event:2".to_owned());
    let start = What::SessionLog(SessionLog { status: SessionLog::START });
    let ours = [
        proto::Event { wall_time: 1_700_000_000.25, step: 0, what: Some(version) },
        scalars(0, &[("accuracy/global", 0.0), ("loss/global", f32::INFINITY)]),
        scalars(
            1,
            &[("accuracy/global", 0.315), ("accuracy/clienté", 1.0), ("bytes/up", 98_304.0)],
        ),
        scalars(300, &[("loss/training", -1.5e-9)]),
        proto::Event { wall_time: 1_700_000_300.25, step: 300, what: Some(start) },
    ];
    assert_eq!(read(theirs), ours);
    assert_eq!(ours.iter().flat_map(record).collect::<Vec<u8>>(), theirs);
}

#[test]
fn an_evaluation_is_at_its_round_and_what_led_to_it_too() {
    let metrics = Metrics::from([("loss".to_owned(), 1.25)]);
    let aggregated = Event::Aggregated {
        round: 2,
        strategy: "fedavg".to_owned(),
        replies: 1,
        bytes_up: 64,
        bytes_down: 128,
        seconds: 0.125,
        metrics,
    };
    let clients = [("a", 4), ("untested", 0), ("weighted", 4)];
    let started = Event::RoundStarted { round: 2, selected: Vec::new() };
    let told = told(&[
        Event::Warning { message: "not a figure".to_owned() },
        started,
        evaluated(EvaluatedModel::Local, &clients),
        aggregated,
        evaluated(EvaluatedModel::Global, &clients),
    ]);
    let values = |values: &[(&str, f32)]| -> Vec<(String, f32)> {
        values.iter().map(|&(tag, value)| (tag.to_owned(), value)).collect()
    };
    assert_eq!(told[0], (3, values(&[("accuracy/local", 0.5)])));
    let (step, mut costs) = told[1].clone();
    let (tag, seconds) = costs.remove(3);
    assert_eq!(tag, "seconds/round");
    assert!((0.0..10.0).contains(&seconds));
    let expected = [
        ("bytes/up", 64.0),
        ("bytes/down", 128.0),
        ("seconds/aggregation", 0.125),
        ("loss/training", 1.25),
    ];
    assert_eq!((step, costs), (3, values(&expected)));
    let expected = [
        ("accuracy/global", 0.5),
        ("accuracy/weighted", 0.75),
        ("loss/global", 2.0),
        ("seconds/evaluation", 1.5),
        ("accuracy/a", 0.25),
        ("accuracy/client weighted", 0.25),
    ];
    assert_eq!(told[2], (3, values(&expected)));
}

#[test]
fn own_models_have_tags_of_their_own_and_many_clients_have_none() {
    let names: Vec<String> = (0..65).map(|number| format!("client-{number}")).collect();
    let clients: Vec<(&str, usize)> = names.iter().map(|name| (&**name, 1)).collect();
    let means = ["accuracy/own", "accuracy/weighted", "loss/own", "seconds/evaluation"];
    assert_eq!(tags(evaluated(EvaluatedModel::Own, &clients)), means);
    assert_eq!(tags(evaluated(EvaluatedModel::Own, &clients[1..])).len(), 4 + 64);
}

#[test]
fn a_run_that_goes_on_has_a_second_file_that_says_from_where() {
    let folder = tempfile::tempdir().unwrap();
    drop(TensorBoard::create(folder.path(), None).unwrap());
    drop(TensorBoard::create(folder.path(), Some(7)).unwrap());
    let files = files(folder.path());
    assert_eq!(files.len(), 2);
    for (file, step) in files.iter().zip([0, 7]) {
        let events = read(&fs::read(file).unwrap());
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".to_owned())));
        let start = SessionLog { status: SessionLog::START };
        assert_eq!((events[1].step, &events[1].what), (step, &Some(What::SessionLog(start))));
    }

    fs::remove_dir_all(folder.path().join("tensorboard")).unwrap();
    fs::write(folder.path().join("tensorboard"), "").unwrap();
    let error = TensorBoard::create(folder.path(), None).unwrap_err();
    assert!(error.to_string().contains("tensorboard"), "{error}");
}
