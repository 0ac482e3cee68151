//! SecAgg+ against Flower's own clients: a transcript of a round, and what a node must refuse.

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use common::{fixtures, read};
use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{Message, Metrics, NUM_EXAMPLES, Value};
use flora_flower::objects::{Array, ArrayRecord, Content, Limits, NUMPY, Record, RecordDict};
use flora_flower::random;
use flora_flower::secaggplus::{CONFIGS, SecAggError, SecAggNode, StateFolder, Step, is_for};
use flora_flower::wire::records::{BytesList, ConfigRecord, ConfigValue, SintList, UintList};
use prost::Message as _;
use serde::Deserialize;

/// `secaggplus/transcript.json`.
#[derive(Deserialize)]
struct Transcript {
    objects: HashMap<String, String>,
    messages: Vec<Exchange>,
    draws: HashMap<String, String>,
    start: Vec<Vec<f32>>,
    shapes: Vec<Vec<usize>>,
    trained: HashMap<String, Trained>,
}

#[derive(Deserialize)]
struct Exchange {
    node: String,
    stage: String,
    instruction: String,
    reply: String,
}

#[derive(Deserialize)]
struct Trained {
    arrays: Vec<Vec<f32>>,
    num_examples: usize,
}

impl Transcript {
    fn load() -> Self {
        let path = fixtures().join("secaggplus/transcript.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn records(&self, root: &str) -> RecordDict {
        let decode = |(id, text): (&String, &String)| (id.clone(), STANDARD.decode(text).unwrap());
        let objects = self.objects.iter().map(decode).collect();
        match read(root, &objects, Limits::default()).unwrap().content {
            Content::Records(records) => records,
            Content::Error(error) => panic!("{error:?}"),
        }
    }

    /// The site's answer, with its own names.
    fn answer(&self, node: &str) -> Message {
        let trained = &self.trained[node];
        let arrays = trained.arrays.iter().zip(&self.shapes);
        let tensors = arrays
            .map(|(values, shape)| HostTensor::from_f32(shape.clone(), values.clone()).unwrap());
        let loss = trained.num_examples as f64 / 8.0;
        answer(tensors.collect(), trained.num_examples, loss)
    }
}

fn answer(tensors: Vec<HostTensor>, num_examples: usize, loss: f64) -> Message {
    let mut parameters = ParameterRecord::new();
    for (place, tensor) in tensors.into_iter().enumerate() {
        parameters.insert(format!("layer{place}.lora_A"), tensor).unwrap();
    }
    let metrics =
        Metrics::from([(NUM_EXAMPLES.to_owned(), num_examples as f64), ("loss".to_owned(), loss)]);
    Message { metrics, ..Message::parameters(Arc::new(parameters)) }
}

fn configs(records: &RecordDict) -> &ConfigRecord {
    match records.get(CONFIGS) {
        Some(Record::Config(record)) => record,
        other => panic!("{other:?}"),
    }
}

fn byte_strings(records: &RecordDict, key: &str) -> Vec<Vec<u8>> {
    match configs(records).get(key) {
        Some(ConfigValue::BytesList(list)) => list.vals.clone(),
        other => panic!("{other:?}"),
    }
}

/// Shape as text and whole numbers of a `.npy` file.
fn numbers(file: &[u8]) -> (String, Vec<u64>) {
    let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
    let (head, values) =
        (std::str::from_utf8(&file[10..10 + length]).unwrap(), &file[10 + length..]);
    let shape = head.split_once("'shape': ").unwrap().1.trim_end().to_owned();
    let values = match head.contains("'<u4'") {
        true => values.as_chunks().0.iter().map(|it| u64::from(u32::from_le_bytes(*it))).collect(),
        false => {
            assert!(head.contains("'<i8'"), "{head}");
            values.as_chunks().0.iter().map(|it| u64::from_le_bytes(*it)).collect()
        }
    };
    (shape, values)
}

/// The content of a token without its time and the checksum that depends on it.
fn timeless(token: &[u8]) -> Vec<u8> {
    let bytes = URL_SAFE.decode(token).unwrap();
    bytes[9..bytes.len() - 32].to_vec()
}

/// The state as another process finds it.
fn restarted(node: &SecAggNode) -> SecAggNode {
    SecAggNode::from_bytes(&node.to_bytes()).unwrap()
}

/// With the random numbers of Flower's clients, everything that they sent is reproduced bit for bit.
#[test]
fn replies_are_those_of_flowers_clients() {
    let transcript = Transcript::load();
    let mut nodes: HashMap<&str, (SecAggNode, Vec<u8>)> = HashMap::new();
    for (id, draws) in &transcript.draws {
        let draws = STANDARD.decode(draws).unwrap();
        nodes.insert(id.as_str(), (SecAggNode::new(id.parse().unwrap()), draws));
    }
    let mut stages = HashMap::new();
    for exchange in &transcript.messages {
        let (node, draws) = nodes.get_mut(exchange.node.as_str()).unwrap();
        let mut replay = |bytes: &mut [u8]| {
            bytes.copy_from_slice(&draws.drain(..bytes.len()).collect::<Vec<_>>());
            Ok(())
        };
        *stages.entry(exchange.stage.as_str()).or_insert(0) += 1;
        *node = restarted(node);
        let instruction = transcript.records(&exchange.instruction);
        assert!(is_for(&instruction));
        let ours = match node.receive(&instruction, &mut replay).unwrap() {
            Step::Reply(records) => records,
            Step::Train(message) => {
                check_instruction(&message, &transcript);
                // The process ended while it trained.
                *node = restarted(node);
                assert!(matches!(node.receive(&instruction, &mut replay), Ok(Step::Train(_))));
                node.trained(&transcript.answer(&exchange.node), &mut replay).unwrap()
            }
        };
        let theirs = transcript.records(&exchange.reply);
        match exchange.stage.as_str() {
            "setup" | "unmask" => assert_eq!(ours, theirs),
            "share_keys" => {
                assert_eq!(configs(&ours).get("dsts"), configs(&theirs).get("dsts"));
                let [ours, theirs] = [&ours, &theirs].map(|it| byte_strings(it, "ctxts"));
                assert_eq!(ours.len(), 2);
                assert!(ours.iter().zip(&theirs).all(|(a, b)| timeless(a) == timeless(b)));
            }
            "collect_masked_vectors" => {
                for name in
                    ["fitres.parameters", "fitres.num_examples", "fitres.metrics", "fitres.status"]
                {
                    assert_eq!(ours.get(name).unwrap(), theirs.get(name).unwrap(), "{name}");
                }
                assert_eq!(ours.0.len(), theirs.0.len());
                let [ours, theirs] = [&ours, &theirs].map(|it| byte_strings(it, "masked_params"));
                assert_eq!(ours.len(), 1 + transcript.shapes.len());
                for (ours, theirs) in ours.iter().zip(&theirs) {
                    assert_eq!(numbers(ours), numbers(theirs));
                }
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(stages["setup"], 4);
    assert_eq!((stages["collect_masked_vectors"], stages["unmask"]), (3, 3));
    assert!(nodes.values().all(|(_, draws)| draws.is_empty()));
}

fn check_instruction(message: &Message, transcript: &Transcript) {
    let parameters = message.get_parameters().unwrap();
    assert_eq!(parameters.names().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    for ((_, tensor), (values, shape)) in
        parameters.iter().zip(transcript.start.iter().zip(&transcript.shapes))
    {
        assert_eq!((tensor.shape(), &*tensor.to_f32()), (shape.as_slice(), values.as_slice()));
    }
    let text = |text: &str| Value::Text(text.to_owned());
    let expected = [
        ("lr", Value::Float(0.25)),
        ("epochs", Value::Int(3)),
        ("name", text("a round")),
        ("on", Value::Bool(true)),
    ];
    assert_eq!(message.config, expected.map(|(key, value)| (key.to_owned(), value)).into());
}

#[test]
fn a_folder_keeps_a_round_and_forgets_it_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let states = StateFolder::new(folder.path().join("secaggplus"));
    let files = || std::fs::read_dir(folder.path().join("secaggplus")).map_or(0, Iterator::count);
    assert!(states.load(9, 3).unwrap().is_idle());
    let (mut node, message) = World::training();
    states.save(9, &node).unwrap();
    assert_eq!(files(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let file = std::fs::metadata(folder.path().join("secaggplus/9.state")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
    // Another id, another run, another process.
    assert!(states.load(9, 4).unwrap().is_idle() && states.load(8, 3).unwrap().is_idle());
    node = states.load(9, 3).unwrap();
    assert!(matches!(node.receive(&message, &mut random), Ok(Step::Train(_))));
    node.trained(&answer(vec![two([0.0; 2])], 10, 0.0), &mut random).unwrap();
    states.save(9, &node).unwrap();
    reply(&mut node, &unmask(&IDS, &[]));
    states.save(9, &node).unwrap();
    assert_eq!(files(), 0);
    std::fs::write(folder.path().join("secaggplus/9.state"), "damaged").unwrap();
    assert!(matches!(states.load(9, 3), Err(SecAggError::State(_))));
    states.forget(9).unwrap();
    states.forget(9).unwrap();
}

/// Whatever bit of a message is changed, the node answers or refuses.
#[test]
fn changed_messages_never_panic() {
    let transcript = Transcript::load();
    let id = &transcript.messages[0].node;
    let mut node = SecAggNode::new(id.parse().unwrap());
    let draws = STANDARD.decode(&transcript.draws[id]).unwrap();
    let mut draws = draws.as_slice();
    let mut replay = |bytes: &mut [u8]| {
        bytes.copy_from_slice(draws.split_off(..bytes.len()).unwrap());
        Ok(())
    };
    let (mut read, mut refused) = (0, 0);
    for exchange in transcript.messages.iter().filter(|it| it.node == *id) {
        let state = node.to_bytes();
        let records = transcript.records(&exchange.instruction);
        let bytes = configs(&records).encode_to_vec();
        for place in (0..bytes.len()).step_by(3) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << (place % 8);
            let Ok(changed) = ConfigRecord::decode(bytes.as_slice()) else { continue };
            let mut records = records.clone();
            records.0.retain(|(name, _)| name != CONFIGS);
            records.0.push((CONFIGS.to_owned(), Record::Config(changed)));
            let mut node = SecAggNode::from_bytes(&state).unwrap();
            match node.receive(&records, &mut random) {
                Ok(_) => read += 1,
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().starts_with("SecAgg+"), "{error}");
                    assert!(*node.to_bytes() == *state);
                }
            }
        }
        if let Step::Train(_) = node.receive(&records, &mut replay).unwrap() {
            node.trained(&transcript.answer(id), &mut replay).unwrap();
        }
    }
    assert!(read > 10 && refused > 500, "{read} {refused}");
}

/// Id and both keys of each node.
type KeyList = Vec<(String, Vec<Vec<u8>>)>;

/// Three nodes that are each other's neighbours, and a server that follows the test.
struct World {
    nodes: Vec<SecAggNode>,
}

const IDS: [u64; 3] = [3, 1 << 63, 17];

fn record(items: Vec<(&str, ConfigValue)>) -> RecordDict {
    let mut record = ConfigRecord::default();
    items.into_iter().for_each(|(key, value)| record.push(key, value));
    RecordDict(vec![(CONFIGS.to_owned(), Record::Config(record))])
}

fn stage(name: &str) -> (&'static str, ConfigValue) {
    ("stage", ConfigValue::Text(name.to_owned()))
}

fn bytes(vals: Vec<Vec<u8>>) -> ConfigValue {
    ConfigValue::BytesList(BytesList { vals })
}

fn ids(vals: &[u64]) -> ConfigValue {
    ConfigValue::UintList(UintList { vals: vals.to_vec() })
}

fn setup() -> Vec<(&'static str, ConfigValue)> {
    vec![
        stage("setup"),
        ("sample_num", ConfigValue::Sint64(3)),
        ("share_num", ConfigValue::Sint64(3)),
        ("threshold", ConfigValue::Sint64(2)),
        ("clipping_range", ConfigValue::Double(8.0)),
        ("target_range", ConfigValue::Sint64(1 << 22)),
        ("mod_range", ConfigValue::Sint64(1 << 32)),
        ("max_weight", ConfigValue::Double(1000.0)),
    ]
}

fn refused(node: &mut SecAggNode, records: &RecordDict, word: &str) {
    let error = node.receive(records, &mut random).unwrap_err().to_string();
    assert!(error.contains(word), "{error:?} lacks {word:?}");
}

fn reply(node: &mut SecAggNode, records: &RecordDict) -> RecordDict {
    match node.receive(records, &mut random).unwrap() {
        Step::Reply(records) => records,
        Step::Train(message) => panic!("{message:?}"),
    }
}

impl World {
    fn new() -> Self {
        Self { nodes: IDS.map(SecAggNode::new).into() }
    }

    /// The message to each node at the stage `share_keys`.
    fn keys(&mut self) -> KeyList {
        let keys = self.nodes.iter_mut().map(|node| {
            let reply = reply(node, &record(setup()));
            let key = |name| match configs(&reply).get(name) {
                Some(ConfigValue::Bytes(pem)) => pem.clone(),
                other => panic!("{other:?}"),
            };
            (node.id().to_string(), vec![key("pk1"), key("pk2")])
        });
        keys.collect()
    }

    /// The message to each node at the stage `collect_masked_vectors`: sources and tokens.
    fn shares(&mut self) -> Vec<(Vec<u64>, Vec<Vec<u8>>)> {
        let keys = keys_record(&self.keys());
        let mut all = vec![(Vec::new(), Vec::new()); 3];
        for node in &mut self.nodes {
            let reply = reply(node, &keys);
            let others = IDS.iter().enumerate().filter(|(_, id)| **id != node.id());
            for ((place, _), token) in others.zip(byte_strings(&reply, "ctxts")) {
                all[place].0.push(node.id());
                all[place].1.push(token);
            }
        }
        all
    }

    /// Everything up to the training of the first node.
    fn training() -> (SecAggNode, RecordDict) {
        let mut world = Self::new();
        let (sources, tokens) = world.shares().swap_remove(0);
        let message = collect(&sources, tokens, 1);
        let mut node = world.nodes.swap_remove(0);
        assert!(matches!(node.receive(&message, &mut random), Ok(Step::Train(_))));
        (node, message)
    }
}

fn keys_record(keys: &[(String, Vec<Vec<u8>>)]) -> RecordDict {
    let mut items: Vec<_> =
        keys.iter().map(|(id, keys)| (id.as_str(), bytes(keys.clone()))).collect();
    items.push(stage("share_keys"));
    record(items)
}

/// With `arrays` arrays of two numbers.
fn collect(sources: &[u64], tokens: Vec<Vec<u8>>, arrays: usize) -> RecordDict {
    let items =
        vec![stage("collect_masked_vectors"), ("srcs", ids(sources)), ("ctxts", bytes(tokens))];
    let mut records = record(items);
    let mut file = b"\x93NUMPY\x01\x00\x36\x00".to_vec();
    file.extend(b"{'descr':'<f4','fortran_order':False,'shape':(2,)}   \n");
    file.extend([0; 8]);
    let array = |place: usize| {
        let array = Array {
            dtype: String::new(),
            shape: vec![],
            stype: NUMPY.to_owned(),
            data: file.clone(),
        };
        (place.to_string(), array)
    };
    let arrays = ArrayRecord((0..arrays).map(array).collect());
    records.0.push(("fitins.parameters".to_owned(), Record::Arrays(arrays)));
    records.0.push(("fitins.config".to_owned(), Record::Config(ConfigRecord::default())));
    records
}

fn unmask(active: &[u64], dead: &[u64]) -> RecordDict {
    record(vec![stage("unmask"), ("active_nids", ids(active)), ("dead_nids", ids(dead))])
}

fn two(values: [f32; 2]) -> HostTensor {
    HostTensor::from_f32([2], values.to_vec()).unwrap()
}

#[test]
fn stages_come_in_their_order_and_setup_at_any_time() {
    let stages = ["share_keys", "collect_masked_vectors", "unmask", "anything"];
    let mut node = SecAggNode::new(3);
    for name in stages {
        refused(&mut node, &record(vec![stage(name)]), "expects `setup`");
    }
    let (mut node, message) = World::training();
    refused(&mut node, &unmask(&IDS, &[]), "expects `collect_masked_vectors`");
    // Once more, since the training may have failed.
    assert!(matches!(node.receive(&message, &mut random), Ok(Step::Train(_))));
    node.trained(&answer(vec![two([1.0, -1.0])], 10, 0.5), &mut random).unwrap();
    refused(&mut node, &message, "expects `unmask`");
    let again = node.trained(&answer(vec![two([1.0, -1.0])], 10, 0.5), &mut random);
    assert!(matches!(again, Err(SecAggError::Stage { .. })));
    reply(&mut node, &record(setup()));
    refused(&mut node, &unmask(&IDS, &[]), "expects `share_keys`");
    assert!(SecAggNode::new(3).trained(&Message::default(), &mut random).is_err());
}

#[test]
fn keys_that_do_not_fit_are_refused_and_the_right_ones_are_taken_after_that() {
    let mut world = World::new();
    let keys = world.keys();
    let node = &mut world.nodes[0];
    let mut wrong = |change: &dyn Fn(&mut KeyList), word: &str| {
        let mut keys = keys.clone();
        change(&mut keys);
        refused(node, &keys_record(&keys), word);
    };
    wrong(&|keys| keys.truncate(1), "the threshold is 2");
    wrong(&|keys| keys.push(("5".into(), keys[0].1.clone())), "odd num_shares");
    wrong(&|keys| keys[1].1[1] = keys[2].1[0].clone(), "occurs twice");
    wrong(&|keys| keys[0].1.swap(0, 1), "not its own");
    wrong(&|keys| drop(keys.remove(0)), "not among its own neighbours");
    wrong(&|keys| keys[2].0 = "017".into(), "not a node's id");
    wrong(&|keys| keys[2].0 = "-4".into(), "not a node's id");
    wrong(&|keys| keys[2].0 = "3".into(), "`3` occurs twice");
    wrong(&|keys| keys[2].1.truncate(1), "not two keys");
    wrong(&|keys| keys[2].1[0].truncate(100), "not on the curve");
    // Another text of the same key.
    let with_returns = |pem: &[u8]| String::from_utf8_lossy(pem).replace('\n', "\r\n").into_bytes();
    wrong(&|keys| keys[1].1[1] = with_returns(&keys[1].1[0]), "occurs twice");
    reply(node, &keys_record(&keys));
}

#[test]
fn shares_that_were_moved_or_changed_are_refused() {
    let mut world = World::new();
    let shares = world.shares();
    let (sources, tokens) = &shares[0];
    let node = &mut world.nodes[0];
    refused(node, &collect(&[], vec![], 1), "the threshold is 2");
    refused(node, &collect(sources, tokens[..1].to_vec(), 1), "2 sources of 1 messages");
    refused(node, &collect(&[sources[0]; 2], tokens.clone(), 1), "twice");
    refused(node, &collect(&[99, sources[1]], tokens.clone(), 1), "not a neighbour of this node");
    refused(
        node,
        &collect(&[IDS[0], sources[1]], tokens.clone(), 1),
        "not a neighbour of this node",
    );
    refused(node, &collect(&[sources[1], sources[0]], tokens.clone(), 1), "cannot be decrypted");
    // Its own token to the first neighbour comes back as that neighbour's: the key of the pair is the same.
    let own = shares[1].1[0].clone();
    assert_eq!((shares[1].0[0], sources[0]), (IDS[0], IDS[1]));
    refused(node, &collect(sources, vec![own, tokens[1].clone()], 1), "were delivered as");
    // One of two is enough for the threshold, with the node's own.
    assert!(matches!(
        node.receive(&collect(&sources[..1], tokens[..1].to_vec(), 1), &mut random),
        Ok(Step::Train(_))
    ));
    let mut records = collect(sources, tokens.clone(), 1);
    records.0.retain(|(name, _)| name != "fitins.parameters");
    refused(node, &records, "`fitins.parameters`");
}

#[test]
fn what_was_trained_is_what_was_sent_and_is_in_range() {
    let (mut node, _) = World::training();
    let mut wrong = |message: Message, word: &str| {
        let error = node.trained(&message, &mut random).unwrap_err().to_string();
        assert!(error.contains(word), "{error:?} lacks {word:?}");
    };
    wrong(Message::default(), "how many examples");
    wrong(answer(vec![], 10, 0.0), "no parameters");
    wrong(
        answer(vec![two([0.0; 2]), two([0.0; 2])], 10, 0.0),
        "trained 2 arrays, and the server sent 1",
    );
    wrong(
        answer(vec![HostTensor::from_f32([1, 2], vec![0.0; 2]).unwrap()], 10, 0.0),
        "with the shape [1, 2]",
    );
    wrong(answer(vec![HostTensor::from_f32([], vec![0.0]).unwrap()], 10, 0.0), "without an axis");
    wrong(answer(vec![two([0.0; 2])], 0, 0.0), "no training examples");
    wrong(answer(vec![two([0.0; 2])], 1001, 0.0), "`max_weight`");
    wrong(answer(vec![two([0.0, 8.5])], 1000, 0.0), "raise clipping_range");
    wrong(answer(vec![two([f32::NAN, 0.0])], 1000, 0.0), "learning rate");
    node.trained(&answer(vec![two([0.0, 8.5])], 900, 0.0), &mut random).unwrap();
}

#[test]
fn shares_are_revealed_once_and_never_both_of_one_node() {
    let (mut node, _) = World::training();
    node.trained(&answer(vec![two([0.0; 2])], 10, 0.0), &mut random).unwrap();
    let [own, second, third] = IDS;
    refused(&mut node, &unmask(&[own], &[second, third]), "the threshold is 2");
    refused(&mut node, &unmask(&[own, second], &[second]), "to be there and to be lost");
    refused(&mut node, &unmask(&[own, own], &[third]), "twice");
    refused(&mut node, &unmask(&[second, third], &[own]), "is said to be lost");
    refused(&mut node, &unmask(&[second, third], &[]), "is said to be lost");
    refused(&mut node, &unmask(&[own, second], &[99]), "node 99 did not share its keys");
    let mut node = restarted(&node);
    let told = reply(&mut node, &unmask(&[own, second], &[third]));
    assert_eq!(configs(&told).get("nids"), Some(&ids(&IDS)));
    assert_eq!(
        byte_strings(&told, "shares").iter().map(Vec::len).collect::<Vec<_>>(),
        [52, 52, 324]
    );
    refused(&mut node, &unmask(&[own, second], &[third]), "expects `setup`");
    refused(&mut restarted(&node), &unmask(&[own, third], &[second]), "expects `setup`");
}

#[test]
fn malformed_settings_are_errors() {
    let mut node = SecAggNode::new(3);
    for missing in 0..setup().len() {
        let mut items = setup();
        let (key, _) = items.remove(missing);
        refused(&mut node, &record(items), key);
    }
    for place in 1..setup().len() {
        for value in
            [ConfigValue::Bool(true), ConfigValue::Text("7".into()), bytes(vec![]), ids(&[])]
        {
            let mut items = setup();
            items[place].1 = value;
            refused(&mut node, &record(items), "is not");
        }
    }
    for (place, value) in [
        (2, i64::MAX),
        (2, 0),
        (3, 1),
        (3, 4),
        (4, 0),
        (5, -1),
        (6, 1 << 40),
        (7, 0),
        (1, i64::MAX),
    ] {
        let mut items = setup();
        items[place].1 = ConfigValue::Sint64(value);
        assert!(node.receive(&record(items), &mut random).is_err(), "{place} {value}");
    }
    let mut twice = setup();
    twice.push(stage("setup"));
    refused(&mut node, &record(twice), "twice");
    refused(&mut node, &RecordDict::default(), "missing");
    let mut lists = vec![stage("unmask")];
    lists.push(("active_nids", ConfigValue::SintList(SintList { vals: vec![-1] })));
    refused(&mut node, &record(lists), "expects `setup`");
    // Whole numbers where Flower wants a float are understood.
    let mut items = setup();
    items[7].1 = ConfigValue::Sint64(1000);
    reply(&mut node, &record(items));
    assert!(!is_for(&RecordDict::default()));
}

#[test]
fn every_damaged_state_is_an_error() {
    let (mut node, _) = World::training();
    let mut states = vec![node.to_bytes()];
    node.trained(&answer(vec![two([0.0; 2])], 10, 0.0), &mut random).unwrap();
    states.push(node.to_bytes());
    for state in states {
        for place in 0..state.len() {
            assert!(SecAggNode::from_bytes(&state[..place]).is_err());
            let mut other = state.to_vec();
            other[place] ^= 1;
            assert!(SecAggNode::from_bytes(&other).is_err());
        }
    }
}
