//! `flora bench`.

use flora_e2e::flora;
use serde_json::Value;

#[test]
#[ignore = "end to end"]
fn every_workload_has_positive_numbers() {
    let options = ["--batch", "2", "--repeats", "1", "--warmup", "0", "--clients", "2", "--json"];
    let shown = flora!["bench"].args(options).json();
    let results = shown["results"].as_array().unwrap();
    let workloads: Vec<_> =
        results.iter().map(|result| result["workload"].as_str().unwrap()).collect();
    assert_eq!(workloads, ["image-encode", "text-encode", "lora-step", "full-step", "aggregation"]);
    let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
    assert!(positive(&shown["peak"]["gflops"]), "{shown}");
    for result in results {
        assert!(positive(&result["seconds"]["median"]), "{result}");
        for field in ["items_per_second", "gflop", "gflops", "share_of_peak"] {
            assert!(positive(&result[field]), "{field}: {result}");
        }
    }
}
