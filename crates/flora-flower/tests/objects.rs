//! Objects made by Flower, and malformed ones.

mod common;

use std::collections::HashMap;

use common::{Fixture, read, read_back};
use flora_flower::objects::{
    Array, ArrayRecord, CHUNK, Content, Limits, NUMPY, ObjectError, Record, RecordDict, deflate,
};
use flora_flower::wire::message::{Error, Metadata, ObjectTree};
use flora_flower::wire::records::{
    BoolList, BytesList, ConfigValue, DoubleList, MetricValue, SintList, StringList, UintList,
};
use sha2::{Digest, Sha256};

fn metadata() -> Metadata {
    Metadata {
        run_id: (1 << 63) + 5,
        message_id: String::new(),
        src_node_id: 1,
        dst_node_id: u64::MAX,
        group_id: "7".to_owned(),
        ttl: 3600.5,
        message_type: "train".to_owned(),
        created_at: 1_764_000_000.25,
        ..Metadata::default()
    }
}

fn records(content: Content) -> RecordDict {
    match content {
        Content::Records(records) => records,
        Content::Error(error) => panic!("{error:?}"),
    }
}

#[test]
fn flowers_objects_hold_what_python_put_in() {
    let fixture = Fixture::load("train");
    let message = fixture.inflate();
    assert_eq!(message.metadata, Metadata { message_id: fixture.root.clone(), ..metadata() });
    let records = records(message.content);
    let names: Vec<_> = records.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["arrays", "config", "metrics"]);

    let Some(Record::Arrays(arrays)) = records.get("arrays") else { panic!() };
    let names: Vec<_> = arrays.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["w", "empty", "scalar", "half", "chunks", "again", "b", "é\" name"]);
    for (name, (shape, bytes)) in fixture.arrays() {
        let array = arrays.get(&name).unwrap();
        assert_eq!((array.stype.as_str(), &array.shape), (NUMPY, &shape), "{name}");
        assert!(array.data.starts_with(b"\x93NUMPY\x01\x00"));
        assert!(array.data.ends_with(&bytes), "{name}");
    }
    assert_eq!(arrays.get("half").unwrap().dtype, "float16");

    let Some(Record::Config(config)) = records.get("config") else { panic!() };
    use ConfigValue::*;
    for (key, value) in [
        ("server-round", Sint64(3)),
        ("negative", Sint64(i64::MIN)),
        ("large", Uint64(u64::MAX)),
        ("lr", Double(0.1)),
        ("whole", Double(2.0)),
        ("on", Bool(true)),
        ("off", Bool(false)),
        ("text", Text("grüße\n".to_owned())),
        ("bytes", Bytes(vec![0, 255, 10])),
        ("none", Bytes(vec![])),
        ("doubles", DoubleList(self::DoubleList { vals: vec![0.5, 2.0] })),
        ("ints", SintList(self::SintList { vals: vec![-1, 2] })),
        ("larges", UintList(self::UintList { vals: vec![1, u64::MAX] })),
        ("bools", BoolList(self::BoolList { vals: vec![true, false] })),
        ("texts", StringList(self::StringList { vals: vec!["a".into(), "\"b\"".into()] })),
        ("byteses", BytesList(self::BytesList { vals: vec![vec![0, 255], vec![]] })),
    ] {
        assert_eq!(config.get(key), Some(&value), "{key}");
    }
    assert!(matches!(config.get("nan"), Some(Double(nan)) if nan.is_nan()));
    assert_eq!(config.items.len(), 18);

    let Some(Record::Metrics(metrics)) = records.get("metrics") else { panic!() };
    for (key, value) in [
        ("num-examples", MetricValue::Sint64(48)),
        ("loss", MetricValue::Double(0.25)),
        ("negative", MetricValue::Sint64(-3)),
        ("large", MetricValue::Uint64(1 << 63)),
        ("list", MetricValue::DoubleList(self::DoubleList { vals: vec![1.0, 2.0] })),
        ("ints", MetricValue::SintList(self::SintList { vals: vec![1, -2] })),
        ("larges", MetricValue::UintList(self::UintList { vals: vec![1 << 63] })),
    ] {
        assert_eq!(metrics.get(key), Some(&value), "{key}");
    }
}

#[test]
fn messages_without_arrays_are_the_same_bytes_as_flowers() {
    let error = Content::Error(Error { code: 2, reason: "it fell over".to_owned() });
    for (name, content) in [("empty", Content::Records(RecordDict::default())), ("error", error)] {
        let fixture = Fixture::load(name);
        assert_eq!(fixture.inflate().content, content);
        let objects = deflate(&metadata(), &content);
        assert_eq!(objects.root, fixture.root, "{name}");
        assert_eq!(objects.contents.iter().cloned().collect::<HashMap<_, _>>(), fixture.contents());
        assert_eq!(nested(&objects.tree), fixture.tree);
    }
}

/// A tree as the fixtures have it.
fn nested(tree: &ObjectTree) -> serde_json::Value {
    let children: Vec<_> = tree.children.iter().map(nested).collect();
    serde_json::json!([tree.object_id, children])
}

#[test]
fn what_is_deflated_inflates_again_in_the_same_order() {
    let content = Fixture::load("train").inflate().content;
    let objects = deflate(&Metadata { message_id: "ignored".to_owned(), ..metadata() }, &content);
    let again = read_back(&objects);
    // NaN is not equal to itself.
    assert_eq!(format!("{:?}", again.content), format!("{content:?}"));
    assert_eq!(again.metadata.message_id, objects.root);

    let mut ids = Vec::new();
    post_order(&objects.tree, &mut ids);
    let stored: Vec<_> = objects.contents.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids, stored);
}

fn post_order(tree: &ObjectTree, ids: &mut Vec<String>) {
    tree.children.iter().for_each(|child| post_order(child, ids));
    if !ids.contains(&tree.object_id) {
        ids.push(tree.object_id.clone());
    }
}

#[test]
fn chunks_have_flowers_size_and_are_stored_once() {
    let mut data = vec![0; 2 * CHUNK];
    data.extend([1, 2, 3]);
    let array = Array { dtype: "uint8".into(), shape: vec![data.len()], stype: "x".into(), data };
    let arrays = ArrayRecord(vec![("a".to_owned(), array.clone()), ("b".to_owned(), array)]);
    let content = Content::Records(RecordDict(vec![("r".to_owned(), Record::Arrays(arrays))]));
    let objects = deflate(&metadata(), &content);
    // Two chunks, the array, its record, the records, the message.
    assert_eq!(objects.contents.len(), 6);
    assert_eq!(objects.contents[0].1.len(), "ArrayChunk  5242880\0".len() + CHUNK);
    let body = r#"{"dtype":"uint8","shape":[10485763],"stype":"x","arraychunk_ids":[0,0,1]}"#;
    assert!(objects.contents[2].1.ends_with(body.as_bytes()));
    assert_eq!(read_back(&objects).content, content);
}

#[test]
fn a_byte_that_changed_is_found_in_every_object() {
    let fixture = Fixture::load("train");
    for id in fixture.contents().keys() {
        let mut contents = fixture.contents();
        *contents.get_mut(id).unwrap().last_mut().unwrap() ^= 1;
        let error = read(&fixture.root, &contents, Limits::default()).unwrap_err();
        assert!(matches!(error, ObjectError::Digest { .. }) && error.to_string().contains(id));
    }
}

#[test]
fn limits_hold_for_what_is_fetched_and_for_what_is_repeated() {
    let fixture = Fixture::load("train");
    let contents = fixture.contents();
    for objects in 0..contents.len() as u64 {
        let limits = Limits { objects, ..Limits::default() };
        let error = read(&fixture.root, &contents, limits).unwrap_err();
        assert!(error.to_string().contains("objects"), "{error}");
    }

    // A thousand times the same chunk, and that a thousand times: 5 TB of 5 MiB.
    let mut store = Store::default();
    let chunk = store.add("ArrayChunk", &[], &vec![0; CHUNK]);
    let places = vec!["0"; 1000].join(",");
    let body =
        format!(r#"{{"dtype":"uint8","shape":[1],"stype":"x","arraychunk_ids":[{places}]}}"#);
    let array = store.add("Array", &[&chunk], body.as_bytes());
    let names: Vec<_> = (0..1000).map(|i| format!("\"{i}\":\"{array}\"")).collect();
    let arrays = store.add("ArrayRecord", &[&array], format!("{{{}}}", names.join(",")).as_bytes());
    let root = store.message(&arrays);
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    let error = read(&root, &store.0, limits).unwrap_err();
    assert!(error.to_string().contains("67108864 bytes"), "{error}");
}

#[derive(Default)]
struct Store(HashMap<String, Vec<u8>>);

impl Store {
    fn add(&mut self, kind: &str, children: &[&str], body: &[u8]) -> String {
        let mut content = format!("{kind} {} {}\0", children.join(","), body.len()).into_bytes();
        content.extend(body);
        let id = flora_core::hex::encode(&Sha256::digest(&content));
        self.0.insert(id.clone(), content);
        id
    }

    /// A message with one record.
    fn message(&mut self, record: &str) -> String {
        let records =
            self.add("RecordDict", &[record], format!("{{\"r\":\"{record}\"}}").as_bytes());
        // Metadata of no bytes.
        self.add("Message", &[&records], b"\x0a\x00")
    }
}

#[test]
fn objects_that_do_not_fit_together_are_refused() {
    let arrays = |kind: &str, shape: &str, places: &str, grandchild: bool| {
        let mut store = Store::default();
        let inner = store.add("ArrayChunk", &[], b"y");
        let children: &[&str] = if grandchild { &[&inner] } else { &[] };
        let chunk = store.add(kind, children, b"x");
        let body =
            format!(r#"{{"dtype":"d","shape":{shape},"stype":"s","arraychunk_ids":{places}}}"#);
        let array = store.add("Array", &[&chunk], body.as_bytes());
        let record =
            store.add("ArrayRecord", &[&array], format!("{{\"a\":\"{array}\"}}").as_bytes());
        let root = store.message(&record);
        read(&root, &store.0, Limits::default())
    };
    assert!(arrays("ArrayChunk", "[1]", "[0]", false).is_ok());
    for (result, word) in [
        (arrays("Array", "[1]", "[0]", false), "expected ArrayChunk"),
        (arrays("ArrayChunk", "[-1]", "[0]", false), "invalid value"),
        (arrays("ArrayChunk", "[1]", "[1]", false), "no child number 1"),
        (arrays("ArrayChunk", "[1]", "[0,18446744073709551615]", false), "no child number"),
        (arrays("ArrayChunk", "[1]", "[]", false), "its body lacks"),
        (arrays("ArrayChunk", "[1]", "[0]", true), "has children"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }

    let zeros = "0".repeat(64);
    let dict = |children: &[&str], body: &str| {
        let mut store = Store::default();
        let config = store.add("ConfigRecord", &[], b"");
        let fill = |text: &str| text.replace("ID", &config);
        let children: Vec<_> = children.iter().map(|it| fill(it)).collect();
        let children: Vec<_> = children.iter().map(String::as_str).collect();
        let records = store.add("RecordDict", &children, fill(body).as_bytes());
        let root = store.add("Message", &[&records], b"\x0a\x00");
        read(&root, &store.0, Limits::default())
    };
    assert!(dict(&["ID"], r#"{"a":"ID","b":"ID"}"#).is_ok());
    for (result, word) in [
        (dict(&["ID"], r#"{"a":"ID","a":"ID"}"#), "`a` occurs twice"),
        (dict(&[], r#"{"a":"ID"}"#), "head lacks"),
        (dict(&["ID", &zeros], r#"{"a":"ID"}"#), "body lacks"),
        (dict(&["ID"], r#"["ID"]"#), "a JSON object"),
        (dict(&["ID"], r#"{"a":"ID""#), "EOF"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }

    let mut store = Store::default();
    for (kind, body) in [("MetricRecord", b"\xff".as_slice()), ("ConfigRecord", b"\x0a\xff")] {
        let record = store.add(kind, &[], body);
        let root = store.message(&record);
        let error = read(&root, &store.0, Limits::default()).unwrap_err();
        assert!(error.to_string().contains(&record), "{error}");
    }
    // A message in a message.
    let inner = store.add("Message", &[], b"\x0a\x00\x1a\x00");
    assert!(read(&inner, &store.0, Limits::default()).is_ok(), "an empty error");
    let root = store.add("Message", &[&inner], b"\x0a\x00");
    let error = read(&root, &store.0, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("`Message`; expected RecordDict"), "{error}");
    for body in [b"".as_slice(), b"\x0a\x00", b"\x0a\x00\x1a"] {
        let root = store.add("Message", &[], body);
        assert!(read(&root, &store.0, Limits::default()).is_err());
    }
}
