//! FedRot-LoRA's alignment, compared with its formula.

#[path = "support/lora.rs"]
mod support;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{FedAvg, Strategy};
use flora_strategies::lora::{
    AGGREGATION_ERROR, Aligned, Ffa, Procrustes, Reported, aggregation_error,
};
use support::{aggregate, assert_holds, assert_products, examples, global, name, round};

fn aligned(lambda: f64, keep_reflections: bool) -> Aligned {
    Aligned::new(Box::new(FedAvg), Procrustes { lambda, keep_reflections })
}

#[test]
fn factors_are_turned_towards_the_global_ones() {
    let fixture = support::fixture();
    let of = &fixture["alignment"];
    let (reference, clients) =
        (support::record(&of["reference"]), support::records(&of["clients"]));
    let examples = examples(&fixture);
    let weighted = || examples.iter().map(|&it| it as f64).zip(&clients);
    for case in of["cases"].as_array().unwrap() {
        let reflections = !case["keep_rotation"].as_bool().unwrap();
        let rounds = if case["align"] == "A" { [1, 7] } else { [2, 6] };
        for number in rounds {
            let mut rule = aligned(case["lambda"].as_f64().unwrap(), reflections);
            let made = round(&mut rule, &global(number, &reference), &clients, &examples);
            assert_holds(&case["result"], &made.parameters);
            let error = aggregation_error(&made.parameters, weighted()).unwrap();
            assert!((error - case["aggregation_error"]["all"].as_f64().unwrap()).abs() < 1e-6);
            // Rotation does not change the clients' products.
            let mut told = Reported::new(Box::new(rule));
            let told = round(&mut told, &global(number, &reference), &clients, &examples);
            assert!((told.metrics[AGGREGATION_ERROR] - error).abs() < 1e-12);
        }
    }
    // There is no rotation in the first round, nor with lambda 0.
    let plain = round(&mut FedAvg, &global(0, &reference), &clients, &examples);
    for (mut rule, number) in [(aligned(1.0, false), 0), (aligned(0.0, false), 1)] {
        assert_eq!(round(&mut rule, &global(number, &reference), &clients, &examples), plain);
    }
    let error = aggregation_error(&plain.parameters, weighted()).unwrap();
    assert!((error - of["aggregation_error_before"]["all"].as_f64().unwrap()).abs() < 1e-6);
}

/// Like a client with zero factors, before any training.
#[test]
fn what_has_no_direction_is_not_turned() {
    let fixture = support::fixture();
    let reference = support::record(&fixture["alignment"]["reference"]);
    let mut zero = ParameterRecord::new();
    for (name, tensor) in reference.iter() {
        let keep = if name.contains("lora_B") { 0.0 } else { 1.0 };
        let values = tensor.to_f32().iter().map(|it| it * keep).collect();
        zero.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    for reflections in [false, true] {
        for lambda in [1.0, 0.5] {
            let mut rule = aligned(lambda, reflections);
            let made = round(&mut rule, &global(2, &zero), std::slice::from_ref(&reference), &[1]);
            for layer in support::LAYERS {
                let name = name(layer, "A");
                let (found, own) =
                    (made.parameters.get(&name).unwrap(), reference.get(&name).unwrap());
                let apart = found
                    .to_f32()
                    .iter()
                    .zip(own.to_f32().iter())
                    .fold(0.0, |most: f32, (a, b)| most.max((a - b).abs()));
                assert!(apart < 1e-6, "{apart}");
            }
            assert_products(
                &support::products_of(&reference, 1.0),
                &support::products_of(&made.parameters, 1.0),
            );
        }
    }
}

/// Half a turn of all directions is a rotation; half of that is not, and must not become NaN.
#[test]
fn a_blend_that_cancels_stays_finite() {
    let fixture = support::fixture();
    let reference = support::record(&fixture["alignment"]["reference"]);
    let mut turned = ParameterRecord::new();
    for (name, tensor) in reference.iter() {
        let values = tensor.to_f32().iter().map(|it| -it).collect();
        turned.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    let made = round(&mut aligned(0.5, false), &global(1, &reference), &[turned], &[1]);
    assert_products(
        &support::products_of(&reference, 1.0),
        &support::products_of(&made.parameters, 1.0),
    );
}

#[test]
fn half_an_answer_is_left_as_it_is() {
    let fixture = support::fixture();
    let of = &fixture["alignment"];
    let (reference, clients) =
        (support::record(&of["reference"]), support::records(&of["clients"]));
    let examples = examples(&fixture);
    let mut rule = Aligned::new(Box::new(Ffa::new()), Procrustes::default());
    assert_eq!(rule.name(), "fedrot");
    let made = round(&mut rule, &global(1, &reference), &clients, &examples);
    assert_eq!(made, round(&mut Ffa::new(), &global(1, &reference), &clients, &examples));
}

#[test]
fn wrong_settings_and_records_are_refused() {
    let fixture = support::fixture();
    let reference = support::record(&fixture["alignment"]["reference"]);
    for lambda in [-0.1, 1.1, f64::NAN] {
        assert!(
            Procrustes { lambda, keep_reflections: false }
                .check()
                .unwrap_err()
                .starts_with("lambda: ")
        );
        let message = aggregate(&mut aligned(lambda, false), &global(1, &reference), &[])
            .unwrap_err()
            .to_string();
        assert!(message.contains("lambda"), "{message}");
    }
    let read: Result<Procrustes, _> = toml::from_str("lamda = 1.0");
    assert!(read.unwrap_err().to_string().contains("unknown field"));
    assert_eq!(
        toml::from_str::<Procrustes>("").unwrap(),
        Procrustes { lambda: 1.0, keep_reflections: false }
    );
    let mut none = ParameterRecord::new();
    none.insert("w", HostTensor::from_f32([1], vec![1.0]).unwrap()).unwrap();
    let message = aligned(1.0, false).aggregate(&global(0, &none), &[]).unwrap_err().to_string();
    assert!(message.contains("LoRA pair"), "{message}");
}
