//! Every workload, end to end, on the bundled model.

use std::path::Path;

use burn::tensor::Device;
use flora_bench::{BenchModel, Report, Settings, TextLength, Workload, count, run};
use flora_clip::Precision;
use serde_json::Value;

fn clip_nano() -> BenchModel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano");
    BenchModel::open("clip-nano", &path, &Device::flex()).unwrap()
}

fn tiny() -> Settings {
    Settings { batch: 2, clients: 3, threads: 2, warmup: 0, repeats: 1, ..Settings::default() }
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn sorted<const N: usize>(mut names: [&str; N]) -> Vec<&str> {
    names.sort_unstable();
    names.to_vec()
}

/// The fields that programs which read the JSON rely on.
#[test]
fn every_workload_is_timed_and_the_json_says_how() {
    let model = clip_nano();
    let mut heard = Vec::new();
    let settings = Settings { warmup: 1, repeats: 2, ..tiny() };
    let report = run(model, "cpu", &Workload::ALL, &settings, &mut |progress| {
        heard.push((progress.workload, progress.done, progress.total));
    })
    .unwrap();
    let steps: Vec<_> =
        Workload::ALL.into_iter().flat_map(|it| (0..=3).map(move |done| (it, done, 3))).collect();
    assert_eq!(heard, steps);

    let json: Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    let top = ["flora", "device", "threads", "each", "cpu", "model", "peak", "results"];
    assert_eq!(keys(&json), sorted(top));
    assert_eq!(json["flora"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&json["device"], &json["threads"], &json["each"]),
        (&"cpu".into(), &2.into(), &false.into())
    );
    assert!(!json["cpu"].as_str().unwrap().is_empty());
    assert_eq!(keys(&json["model"]), sorted(["name", "image_size", "context", "parameters"]));
    assert_eq!(json["model"]["image_size"], 64);
    assert_eq!(json["model"]["context"], 24);
    assert_eq!(keys(&json["peak"]), ["gflops", "size"]);

    let expected = [
        ("image-encode", 2, Value::Null, "images"),
        ("text-encode", 2, 24.into(), "texts"),
        ("lora-step", 2, 24.into(), "samples"),
        ("full-step", 2, 24.into(), "samples"),
        ("aggregation", 3, Value::Null, "clients"),
    ];
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), expected.len());
    for (result, (workload, batch, tokens, unit)) in results.iter().zip(expected) {
        let fields = [
            "workload",
            "batch",
            "tokens",
            "classes",
            "precision",
            "unit",
            "seconds",
            "cpu_seconds",
            "items_per_second",
            "gflop",
            "gflops",
            "share_of_peak",
            "peak_memory_bytes",
        ];
        assert_eq!(keys(result), sorted(fields));
        assert_eq!(result["workload"], workload);
        assert_eq!(result["batch"], batch, "{workload}");
        assert_eq!((&result["tokens"], &result["unit"]), (&tokens, &unit.into()), "{workload}");
        assert_eq!(result["classes"], Value::Null);
        assert_eq!(result["precision"], "f32");
        let samples = result["seconds"]["samples"].as_array().unwrap();
        assert_eq!(samples.len(), 2);
        for (name, value) in [
            ("median", &result["seconds"]["median"]),
            ("min", &result["seconds"]["min"]),
            ("items_per_second", &result["items_per_second"]),
            ("gflop", &result["gflop"]),
            ("gflops", &result["gflops"]),
            ("share_of_peak", &result["share_of_peak"]),
        ] {
            assert!(value.as_f64().is_some_and(|value| value > 0.0), "{workload} {name}: {value}");
        }
    }
    // Floating-point numbers may come back in their last digit.
    let read: Report = serde_json::from_value(json).unwrap();
    assert_eq!((read.model, read.results.len()), (report.model, report.results.len()));
}

#[test]
fn images_are_encoded_in_the_precision_that_was_asked_for() {
    let settings = Settings { precision: Precision::Bf16, ..tiny() };
    let workloads = [Workload::ImageEncode, Workload::TextEncode];
    let report = run(clip_nano(), "cpu", &workloads, &settings, &mut |_| {}).unwrap();
    let precisions: Vec<_> = report.results.iter().map(|result| result.precision).collect();
    assert_eq!(precisions, [Precision::Bf16, Precision::F32]);
}

#[test]
fn figures_belong_together() {
    let model = clip_nano();
    let settings =
        Settings { each: true, classes: Some(1), tokens: TextLength::Tokens(5), ..tiny() };
    let workloads = [Workload::LoraStep, Workload::FullStep, Workload::Aggregation];
    let report = run(model.clone(), "cpu", &workloads, &settings, &mut |_| {}).unwrap();
    assert!(report.each && report.threads == 2);
    let config = &model.config;
    // FLoRA's adapters of clip-nano: rank 2 on four layers, 192 wide.
    let parameters = 4 * 2 * (192 + 192);
    let work = [
        (2, count::lora_step(config, 2, &[5], 2, Some(1))),
        (2, count::full_step(config, 2, &[5, 5])),
        (3, count::aggregation(3, parameters)),
    ];
    for (result, (items, multiply_adds)) in report.results.iter().zip(work) {
        // Both threads have a batch.
        let close = |one: f64, other: f64| (one / other - 1.0).abs() < 1e-9;
        assert!(close(result.gflop, 2.0 * 2e-9 * multiply_adds as f64), "{result:?}");
        assert!(close(result.items_per_second, 2.0 * f64::from(items) / result.seconds.median));
        assert!(close(result.gflops, result.gflop / result.seconds.median));
        assert!(close(result.share_of_peak, result.gflops / report.peak.gflops));
        assert_eq!(result.seconds.samples, [result.seconds.min]);
    }
    let tokens: Vec<_> = report.results.iter().map(|it| (it.tokens, it.classes)).collect();
    assert_eq!(tokens, [(Some(5), Some(1)), (Some(5), None), (None, None)]);
}

#[test]
fn a_shape_needs_no_file() {
    let model = BenchModel::random("clip-nano", &Device::flex()).unwrap();
    let settings = Settings { tokens: TextLength::Longest, ..tiny() };
    let report = run(model, "cpu", &[Workload::TextEncode], &settings, &mut |_| {}).unwrap();
    assert_eq!(report.model, clip_nano().facts());
    assert_eq!(report.results[0].unit, "texts");
    assert_eq!(report.results[0].tokens, Some(12));
}

#[test]
fn settings_that_do_not_fit_the_model_are_refused_by_name() {
    let model = clip_nano();
    let settings = Settings { tokens: TextLength::Tokens(25), ..tiny() };
    let error = run(model, "cpu", &Workload::ALL, &settings, &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("tokens: 25") && error.contains("24"), "{error}");
}
