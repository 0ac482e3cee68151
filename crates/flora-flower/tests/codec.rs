//! Messages in both forms, against Flower's own records.

mod common;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Fixture, python, read_back};
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::{Message, Metrics, PARAMETERS, Value};
use flora_flower::codec::{CodecError, Form, from_records, packed, to_records};
use flora_flower::key::NodeKey;
use flora_flower::objects::{Content, Record, RecordDict, deflate};
use flora_flower::wire::message::Metadata;
use flora_flower::wire::records::ConfigValue;

fn records(name: &str) -> RecordDict {
    match Fixture::load(name).inflate().content {
        Content::Records(records) => records,
        Content::Error(error) => panic!("{error:?}"),
    }
}

#[test]
fn what_flower_sends_is_a_message() {
    let (message, form) = from_records(&records("train")).unwrap();
    assert_eq!(form, Form::Stock);
    let parameters = message.get_parameters().unwrap();
    let names: Vec<_> = parameters.names().collect();
    assert_eq!(names, ["w", "empty", "scalar", "half", "chunks", "again", "b", "é\" name"]);
    for (name, (shape, bytes)) in Fixture::load("train").arrays() {
        let tensor = parameters.get(&name).unwrap();
        assert_eq!((tensor.shape(), tensor.to_le_bytes()), (shape.as_slice(), bytes), "{name}");
    }
    assert_eq!(parameters.get("half").unwrap().dtype(), Dtype::F16);

    let text = |text: &str| Value::Text(text.to_owned());
    for (key, value) in [
        ("server-round", Value::Int(3)),
        ("negative", Value::Int(i64::MIN)),
        ("large", text("18446744073709551615")),
        ("lr", Value::Float(0.1)),
        ("whole", Value::Float(2.0)),
        ("on", Value::Bool(true)),
        ("off", Value::Bool(false)),
        ("text", text("grüße\n")),
        ("bytes", Value::Bytes(vec![0, 255, 10])),
        ("none", Value::Bytes(vec![])),
        ("doubles", text("[0.5,2.0]")),
        ("ints", text("[-1,2]")),
        ("larges", text("[1,18446744073709551615]")),
        ("bools", text("[true,false]")),
        ("texts", text(r#"["a","\"b\""]"#)),
        ("byteses", text(r#"["AP8=",""]"#)),
    ] {
        assert_eq!(message.config.get(key), Some(&value), "{key}");
    }
    assert!(matches!(message.config["nan"], Value::Float(nan) if nan.is_nan()));
    assert_eq!(message.num_examples(), Some(48));
    assert_eq!((message.metrics["loss"], message.metrics["negative"]), (0.25, -3.0));
    assert_eq!(message.metrics["large"], 2_f64.powi(63));
    assert!(message.metrics["nan"].is_nan() && !message.metrics.contains_key("list"));
}

#[test]
fn our_arrays_are_numpys_byte_for_byte() {
    let flowers = records("train");
    let (message, _) = from_records(&flowers).unwrap();
    let ours = to_records(&message, Form::Stock).unwrap();
    assert_eq!(ours.get("arrays"), flowers.get("arrays"));
    assert_eq!(from_records(&RecordDict::default()).unwrap(), (Message::default(), Form::Stock));
}

#[test]
fn arrays_that_are_not_plain_are_refused_with_a_remedy() {
    for (name, word) in [
        ("ints", "`<i4`; send float32, float64 or float16, as by `array.astype('float32')`"),
        ("big", "big endian"),
        ("columns", "ascontiguousarray"),
    ] {
        let error = from_records(&records(&format!("wrong-{name}"))).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("tensor `w`"), "{error}");
    }
    let mut other = records("train");
    let Record::Arrays(arrays) = &mut other.0[0].1 else { panic!() };
    arrays.0[0].1.shape = vec![3, 2];
    assert!(from_records(&other).unwrap_err().to_string().contains("differ in shape"));
    let Record::Arrays(arrays) = &mut other.0[0].1 else { panic!() };
    arrays.0[0].1.data.pop();
    arrays.0[0].1.shape = vec![2, 3];
    assert!(from_records(&other).unwrap_err().to_string().contains("needs 24 bytes"));
}

/// Flower's `FedAdam` and similar strategies send doubles.
#[test]
fn doubles_are_rounded_to_single_precision() {
    let (message, _) = from_records(&records("wrong-double")).unwrap();
    let tensor = message.get_parameters().unwrap().get("w").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, [3].as_slice()));
    assert_eq!(tensor.to_le_bytes(), [1_f32; 3].map(f32::to_le_bytes).concat());
}

#[test]
fn stock_records_take_no_bf16_and_no_name_of_flowers() {
    let brain = HostTensor::from_f32([1], vec![1.0]).unwrap().cast(Dtype::Bf16);
    let mut record = ParameterRecord::new();
    record.insert("b", brain).unwrap();
    let error = to_records(&Message::parameters(Arc::new(record)), Form::Stock).unwrap_err();
    assert!(matches!(error, CodecError::Tensor { .. }) && error.to_string().contains("bf16"));
    for name in ["arrays", "config", "metrics", "flora"] {
        let mut message = Message::default();
        message.records.insert(name.to_owned(), Arc::default());
        assert!(to_records(&message, Form::Stock).unwrap_err().to_string().contains(name));
        let (read, _) = from_records(&to_records(&message, Form::Flora).unwrap()).unwrap();
        assert_eq!(read, message);
    }
}

/// One of everything.
fn full() -> Message {
    let values = HostTensor::from_f32([2, 2], vec![1.0, -0.0, 1e-45, f32::NAN]).unwrap();
    let mut record = ParameterRecord::new();
    record.insert("z", values.clone()).unwrap();
    record.insert("a", values.cast(Dtype::F16)).unwrap();
    record.insert("brain", values.cast(Dtype::Bf16)).unwrap();
    record.insert("none", HostTensor::from_f32([0, 3], vec![]).unwrap()).unwrap();
    record.insert("scalar", HostTensor::from_f32([], vec![0.1]).unwrap()).unwrap();
    let odd = f64::from_bits(0x7ff8_0000_dead_beef);
    let metrics = [("loss", odd), ("up", f64::INFINITY), ("zero", -0.0), ("tenth", 0.1)];
    let metrics = metrics.map(|(key, value)| (key.to_owned(), value));
    let mut message = Message::trained(record, 7, Metrics::from(metrics));
    message.records.insert("other".to_owned(), Arc::default());
    for (key, value) in [
        ("bool", Value::Bool(false)),
        ("int", Value::Int(i64::MIN)),
        ("whole", Value::Float(1e300)),
        ("two", Value::Float(2.0)),
        ("odd", Value::Float(-odd)),
        ("tiny", Value::Float(5e-324)),
        ("text", Value::Text("{\"f64\":\"0\"}".to_owned())),
        ("bytes", Value::Bytes(vec![0, 1, 255])),
        ("none", Value::Bytes(vec![])),
    ] {
        message.config.insert(key.to_owned(), value);
    }
    message
}

/// Everything, with the bits of every number.
fn bits(message: &Message) -> String {
    let records = message.records.iter().map(|(name, record)| {
        let tensors = record.iter();
        let tensors = tensors.map(|(it, values)| {
            format!("{it} {} {:?} {:?}", values.dtype(), values.shape(), values.to_le_bytes())
        });
        format!("{name} {:?}", tensors.collect::<Vec<_>>())
    });
    let config = message.config.iter().map(|(key, value)| match value {
        Value::Float(value) => format!("{key} {:x}", value.to_bits()),
        other => format!("{key} {other:?}"),
    });
    let metrics = message.metrics.iter().map(|(key, value)| format!("{key} {:x}", value.to_bits()));
    records.chain(config).chain(metrics).collect::<Vec<_>>().join("\n")
}

#[test]
fn floras_form_keeps_every_bit() {
    let message = full();
    let records = to_records(&message, Form::Flora).unwrap();
    let (read, form) = from_records(&records).unwrap();
    assert_eq!((bits(&read), form), (bits(&message), Form::Flora));
    assert_eq!(to_records(&message, Form::Flora).unwrap(), records, "the same bytes every time");
}

#[test]
fn many_values_travel_as_chunks() {
    let values: Vec<f32> = (0..1_500_000).map(|it| it as f32).collect();
    let mut record = ParameterRecord::new();
    record.insert("w", HostTensor::from_f32([1_500_000], values).unwrap()).unwrap();
    let message = Message::parameters(Arc::new(record));
    let records = to_records(&message, Form::Flora).unwrap();
    let objects = deflate(&Metadata::default(), &Content::Records(records.clone()));
    assert!(objects.contents.iter().all(|(_, content)| content.len() < 5_300_000));
    let Content::Records(again) = read_back(&objects).content else { panic!() };
    assert_eq!(from_records(&again).unwrap(), (message, Form::Flora));

    let mut less = records.clone();
    less.0.pop();
    assert!(from_records(&less).unwrap_err().to_string().contains("cut off"));
    let mut more = records;
    more.0.push(("x".to_owned(), Record::Arrays(Default::default())));
    assert!(from_records(&more).unwrap_err().to_string().contains("record `x`"));
}

/// 24 matrices of rank 2 on layers of 512: 96 KiB of values.
#[test]
fn a_small_adapter_takes_less_than_2_percent_more_than_its_values() {
    let mut record = ParameterRecord::new();
    for layer in 0..3 {
        for place in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            for (matrix, shape) in [("A", [2, 512]), ("B", [512, 2])] {
                let name = format!(
                    "text_model.encoder.layers.{layer}.self_attn.{place}.lora_{matrix}.weight"
                );
                let values = (0..1024).map(|it| it as f32).collect();
                record.insert(name, HostTensor::from_f32(shape, values).unwrap()).unwrap();
            }
        }
    }
    let metrics = ["loss", "accuracy", "test_loss", "update_norm"];
    let metrics = metrics.map(|it| (it.to_owned(), 0.123_456_789_012_345_6));
    let message = Message::trained(record, 1234, Metrics::from(metrics));
    assert_eq!((message.records[PARAMETERS].len(), message.byte_len()), (24, 96 << 10));
    let records = to_records(&message, Form::Flora).unwrap();
    let id = "0".repeat(64);
    let metadata = Metadata {
        run_id: u64::MAX,
        src_node_id: u64::MAX,
        dst_node_id: 1,
        reply_to_message_id: id,
        group_id: "100".to_owned(),
        ttl: 3600.0,
        message_type: "train".to_owned(),
        created_at: 1_764_000_000.25,
        dst_task_id: Some(u64::MAX),
        ..Metadata::default()
    };
    let objects = deflate(&metadata, &Content::Records(records));
    let bytes: usize = objects.contents.iter().map(|(_, content)| content.len() + 130).sum();
    let more = bytes as u64 - message.byte_len();
    println!("{more} bytes more in {} objects", objects.contents.len());
    assert!(more < 1966, "{more}");
}

fn packed_bytes(message: &Message) -> Vec<u8> {
    let records = to_records(message, Form::Flora).unwrap();
    let Some(Record::Config(config)) = records.get("flora") else { panic!() };
    let Some(ConfigValue::Bytes(bytes)) = config.get("message") else { panic!() };
    bytes.clone()
}

/// The form around any head.
fn with_head(json: &[u8], values: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(json).unwrap();
    let head = encoder.finish().unwrap();
    let length = (head.len() as u32).to_le_bytes();
    [b"FLM1".as_slice(), &length, &head, values].concat()
}

#[test]
fn damaged_messages_are_errors() {
    let bytes = packed_bytes(&full());
    for end in 0..bytes.len() {
        assert!(packed::read(&bytes[..end], None).is_err(), "{end}");
    }
    assert!(packed::read(&[bytes.as_slice(), &[0]].concat(), None).is_err());
    for place in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x41;
        // A message or an error.
        let _ = packed::read(&bytes, None);
    }
    let head =
        |records: &str| format!(r#"{{"config":{{}},"metrics":{{"m":0.5}},"records":{records}}}"#);
    let read = |json: &str, values: &[u8]| packed::read(&with_head(json.as_bytes(), values), None);
    assert!(read(&head(r#"{"p":[["w","f16",[2]]]}"#), &[0; 4]).is_ok());
    for (json, values, word) in [
        (head(r#"{"p":[["w","f16",[2]]]}"#), 3, "cut off"),
        (head(r#"{"p":[["w","f16",[2]]]}"#), 5, "1 bytes follow"),
        (head(r#"{"p":[["w","f16",[9223372036854775807,4]]]}"#), 4, "cut off"),
        (head(r#"{"p":[["w","f16",[9223372036854775807,4,0]]]}"#), 0, "cut off"),
        (head(r#"{"p":[["w","f8",[4]]]}"#), 4, "unknown variant"),
        (head(r#"{"p":[["w","f32",[0]],["w","f32",[1]]]}"#), 4, "named `w`"),
        (head(r#"{"p":[],"p":[]}"#), 0, "twice"),
        (r#"{"config":{},"metrics":{"m":"x"},"records":{}}"#.to_owned(), 0, "`m`"),
        (r#"{"config":{"c":{"base64":"?"}},"metrics":{},"records":{}}"#.to_owned(), 0, "`c`"),
        (r#"{"config":{"c":[1]},"metrics":{},"records":{}}"#.to_owned(), 0, "did not match"),
        (r#"{"config":{},"metrics":{},"records":{},"x":1}"#.to_owned(), 0, "unknown field"),
        ("[".repeat(100_000), 0, "invalid type"),
    ] {
        let error = read(&json, &vec![0; values]).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    // 64 MiB of spaces are 64 KiB.
    let bomb = with_head(&vec![b' '; 64 << 20], &[]);
    let error = packed::read(&bomb, None).unwrap_err().to_string();
    assert!(error.contains("is larger than"), "{error}");
}

#[test]
fn no_head_is_larger_than_16_mib() {
    // Text that hardly shrinks, as that of large settings.
    let mut state = 1_u64;
    let text: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + (state >> 40) as u8 % 64)
    })
    .filter(|it| *it != '\\')
    .take(16 << 20)
    .collect();
    let head = |length: usize| {
        let text = &text[..length];
        format!(r#"{{"config":{{"t":"{text}"}},"metrics":{{}},"records":{{}}}}"#)
    };
    let around = head(0).len();
    assert!(packed::read(&with_head(head((16 << 20) - around).as_bytes(), &[]), None).is_ok());
    let error = packed::read(&with_head(head((16 << 20) - around + 1).as_bytes(), &[]), None);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("16777216"), "{error}");
    // What would not be read is not sent.
    let mut message = Message::default();
    message.config.insert("t".to_owned(), Value::Text(text.clone()));
    let error = to_records(&message, Form::Flora).unwrap_err().to_string();
    assert!(error.contains("16777216"), "{error}");
}

/// With `FLORA_FLOWER_PYTHON=python3` for a Python that has flwr 1.42.0.
#[test]
fn flower_reads_what_flora_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut command) = python() else {
        eprintln!("skipped: FLORA_FLOWER_PYTHON names no Python with flwr");
        return;
    };
    let mut message = full();
    let record = message.records[PARAMETERS].filter(|name| name != "brain");
    message.records.insert(PARAMETERS.to_owned(), Arc::new(record));
    let records = to_records(&message, Form::Stock).unwrap();
    let metadata = Metadata { run_id: 5, message_type: "train".to_owned(), ..Metadata::default() };
    let objects = deflate(&metadata, &Content::Records(records));
    let contents: Vec<_> =
        objects.contents.iter().map(|(id, bytes)| (id, STANDARD.encode(bytes))).collect();
    let json = serde_json::json!({ "root": objects.root, "objects": contents });
    std::fs::write(folder.path().join("objects.json"), json.to_string()).unwrap();
    let (key, _) = NodeKey::load_or_create(&folder.path().join("key"), "site").unwrap();
    let signed = "2026-11-22T07:42:32.399421+00:00";
    std::fs::write(folder.path().join("signed"), signed).unwrap();
    std::fs::write(folder.path().join("signature"), key.sign(signed.as_bytes())).unwrap();
    std::fs::write(folder.path().join("public.pem"), key.public_key().pem()).unwrap();

    let output = command.arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({
        "run_id": 5,
        "type": "train",
        "content": [
            ["other", "ArrayRecord", []],
            ["arrays", "ArrayRecord", [
                ["z", "float32", [2, 2], "0000803f00000080010000000000c07f"],
                ["a", "float16", [2, 2], "003c00800000007e"],
                ["none", "float32", [0, 3], ""],
                ["scalar", "float32", [], "cdcccc3d"],
            ]],
            ["config", "ConfigRecord", [
                ["bool", false],
                ["bytes", {"bytes": "0001ff"}],
                ["int", i64::MIN],
                ["none", {"bytes": ""}],
                ["odd", {"float": "nan"}],
                ["text", "{\"f64\":\"0\"}"],
                ["tiny", {"float": "0x0.0000000000001p-1022"}],
                ["two", {"float": "0x1.0000000000000p+1"}],
                ["whole", {"float": "0x1.7e43c8800759cp+996"}],
            ]],
            ["metrics", "MetricRecord", [
                ["loss", {"float": "nan"}],
                ["num-examples", 7],
                ["tenth", {"float": "0x1.999999999999ap-4"}],
                ["up", {"float": "inf"}],
                ["zero", {"float": "-0x0.0p+0"}],
            ]],
        ],
    });
    assert_eq!(told, expected);
}
