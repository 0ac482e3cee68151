//! Comparison with Google's `dp-accounting` 0.6, and with numerical integrals.

use flora_privacy::{Accountant, Mechanism, PrivacyError, Sampling, subsampled_gaussian};
use serde_json::Value;

fn fixture() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dp_accounting.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap()
}

fn poisson(rate: f64, noise: f64, rounds: usize) -> Mechanism {
    Mechanism { rate, noise, rounds, sampling: Sampling::Poisson }
}

/// Replacing a client's contribution moves a sum by twice the clipping norm, by which our noise is measured.
#[test]
fn fixed_shares_are_those_of_dp_accounting() {
    for case in fixture()["fixed"].as_array().unwrap() {
        let [rate, noise, rounds] = ["rate", "noise", "rounds"].map(|name| number(case, name));
        let run = poisson(rate, 2.0 * noise, rounds as usize);
        let run = Mechanism { sampling: Sampling::Fixed, ..run };
        let (delta, expected) = (number(case, "delta"), number(case, "rdp"));
        let found = Accountant::Rdp.epsilon(&run, delta).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-6, "{run:?} {delta}: {found} {expected}");
        let refused = Accountant::Pld.epsilon(&run, delta).unwrap_err().to_string();
        assert!(refused.contains("choose \"rdp\""), "{refused}");
    }
    // Full participation: as by Poisson sampling with rate 1.
    let all = Mechanism { sampling: Sampling::Fixed, ..poisson(1.0, 5.0, 50) };
    let pld = |run| Accountant::Pld.epsilon(&run, 1e-5).unwrap();
    assert_eq!(pld(all), pld(poisson(1.0, 5.0, 50)));
}

#[test]
fn epsilons_are_those_of_dp_accounting() {
    for case in fixture()["epsilons"].as_array().unwrap() {
        let rounds = number(case, "rounds") as usize;
        let run = poisson(number(case, "rate"), number(case, "noise"), rounds);
        let delta = number(case, "delta");
        let of = |accountant: Accountant| accountant.epsilon(&run, delta).unwrap();
        let (rdp, pld) = (of(Accountant::Rdp), of(Accountant::Pld));
        // Its divergences of fractional orders are upper bounds; ours are the exact integrals.
        let above = 1.0 - rdp / number(case, "rdp");
        assert!((-1e-6..5e-3).contains(&above), "{run:?} {delta}: {rdp} {case}");
        let off = pld / number(case, "pld") - 1.0;
        assert!(off.abs() < 1e-3, "{run:?} {delta}: {pld} {case}");
        // Both are upper bounds of the same value.
        assert!(pld <= rdp * (1.0 + 1e-9), "{run:?} {delta}: {pld} {rdp}");
        if run.rate == 1.0 {
            let exact = of(Accountant::Exact);
            assert!(pld >= exact && pld < exact * 1.001 + 1e-6, "{run:?} {delta}: {pld} {exact}");
        }
    }
}

#[test]
fn one_rounds_divergence_is_the_integral() {
    for case in fixture()["divergences"].as_array().unwrap() {
        let [rate, noise, order] = ["rate", "noise", "order"].map(|name| number(case, name));
        let expected = number(case, "rdp");
        let found = subsampled_gaussian(rate, noise, order).unwrap();
        assert!(
            (found / expected - 1.0).abs() < 1e-8,
            "{rate} {noise} {order}: {found} {expected}"
        );
    }
    // From the reference table, by dp-accounting, whose integer orders are exact.
    for (rate, noise, order, expected) in [
        (0.1, 1.0, 2.0, 0.017036863),
        (0.1, 1.0, 8.0, 1.378361411),
        (0.01, 1.1, 32.0, 8.469416434),
        (0.5, 2.0, 4.0, 0.157368203),
        (1.0, 1.5, 3.0, 0.666666667),
    ] {
        let found = subsampled_gaussian(rate, noise, order).unwrap();
        assert!((found - expected).abs() < 1e-9, "{rate} {noise} {order}: {found}");
    }
}

/// Expected values from dp-accounting's PLD.
#[test]
fn noise_for_an_epsilon_is_that_of_dp_accounting() {
    for (epsilon, rate, expected) in
        [(8.0, 0.1, 0.802989), (8.0, 1.0, 4.244260), (1.0, 1.0, 26.379549)]
    {
        let noise = Accountant::Pld.noise(poisson(rate, 0.0, 50), epsilon, 1e-5).unwrap();
        assert!((noise / expected - 1.0).abs() < 1e-4, "{epsilon} {rate}: {noise}");
        let spent = |noise| Accountant::Pld.epsilon(&poisson(rate, noise, 50), 1e-5).unwrap();
        assert!(spent(noise) <= epsilon && spent(noise * 0.999) > epsilon);
    }
}

#[test]
fn extremes_have_answers() {
    let epsilon = |accountant: Accountant, rate, noise, rounds, delta| {
        accountant.epsilon(&poisson(rate, noise, rounds), delta).unwrap()
    };
    for accountant in [Accountant::Rdp, Accountant::Pld] {
        // So little noise that the loss of one round has a range of thousands.
        let much = epsilon(accountant, 0.5, 0.05, 10, 1e-5);
        assert!(much > 1_000.0 && much.is_finite(), "{accountant:?} {much}");
        // So much noise and so few participants that nothing is revealed.
        let none = epsilon(accountant, 1e-4, 100.0, 1, 1e-2);
        assert!((0.0..1e-3).contains(&none), "{accountant:?} {none}");
        let many = epsilon(accountant, 0.001, 1.0, 1_000_000, 1e-5);
        assert!((1.0..100.0).contains(&many), "{accountant:?} {many}");
    }
    // More noise, fewer rounds and fewer participants reduce epsilon.
    let of = |rate, noise, rounds| epsilon(Accountant::Pld, rate, noise, rounds, 1e-5);
    assert!(of(0.1, 1.0, 50) > of(0.1, 1.1, 50) && of(0.1, 1.0, 50) > of(0.1, 1.0, 40));
    assert!(of(0.1, 1.0, 50) > of(0.09, 1.0, 50));
}

#[test]
fn what_makes_no_sense_is_named() {
    let good = poisson(0.1, 1.0, 5);
    for (mechanism, delta, accountant, words) in [
        (Mechanism { rate: 0.0, ..good }, 1e-5, Accountant::Rdp, "rate: 0 is not between"),
        (Mechanism { rate: 1.5, ..good }, 1e-5, Accountant::Pld, "rate: 1.5"),
        (Mechanism { noise: 0.0, ..good }, 1e-5, Accountant::Rdp, "noise: 0 is not between"),
        (Mechanism { noise: f64::NAN, ..good }, 1e-5, Accountant::Rdp, "noise: NaN"),
        (Mechanism { rounds: 0, ..good }, 1e-5, Accountant::Rdp, "rounds: 0"),
        (good, 0.0, Accountant::Rdp, "delta: 0 is not between"),
        (good, 1e-12, Accountant::Pld, "choose \"rdp\""),
        (good, 1e-5, Accountant::Exact, "choose \"pld\""),
    ] {
        let message = accountant.epsilon(&mechanism, delta).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let none = Accountant::Rdp.noise(Mechanism::default(), -1.0, 1e-5).unwrap_err();
    assert!(matches!(none, PrivacyError::Setting { field: "epsilon", .. }));
    let none = Accountant::Exact.noise(poisson(1.0, 1.0, 10_000_000), 1e-9, 1e-9);
    assert!(matches!(none, Err(PrivacyError::OutOfReach { .. })), "{none:?}");
    for (accountant, more) in [
        (Accountant::Rdp, ", or for fewer rounds, or choose the accountant \"pld\""),
        (Accountant::Pld, ", or for fewer rounds"),
    ] {
        let none = accountant.noise(poisson(1.0, 1.0, 50), 1e-300, 1e-5).unwrap_err().to_string();
        let words = format!("gives 1e-300 at this delta; ask for more{more}");
        assert!(none.ends_with(&words), "{none}");
    }
    let none = Accountant::Rdp.noise(good, f64::INFINITY, 1e-5).unwrap_err().to_string();
    assert_eq!(none, "epsilon: inf is not a finite number; every noise is within it");
    let many = Mechanism { noise: 1e300, ..good };
    let many = Accountant::Rdp.epsilon(&many, 1e-5).unwrap_err().to_string();
    assert_eq!(many, "noise: 1e300 is not between 0.01 and 1000000");
}

/// A noise beyond the ones that most budgets need is found as well.
#[test]
fn much_noise_is_found() {
    let run = poisson(1.0, 1.0, 1_000_000);
    let noise = Accountant::Exact.noise(run, 1.0, 1e-5).unwrap();
    let of = |noise| Accountant::Exact.epsilon(&poisson(1.0, noise, 1_000_000), 1e-5).unwrap();
    assert!(noise > 1000.0 && of(noise) <= 1.0 && of(noise * 0.9999) > 1.0, "{noise}");
}

/// Within the accepted settings, an epsilon is never below the true one.
#[test]
fn bounds_are_bounds() {
    for noise in [0.01, 1.0, 100.0, 1e6] {
        for rounds in [1, 1_000, 1_000_000] {
            for delta in [1e-9, 1e-5, 0.5] {
                let run = poisson(1.0, noise, rounds);
                let exact = Accountant::Exact.epsilon(&run, delta).unwrap();
                for accountant in [Accountant::Rdp, Accountant::Pld] {
                    match accountant.epsilon(&run, delta) {
                        Ok(epsilon) => {
                            let least = exact * (1.0 - 1e-9) - 1e-9;
                            assert!(
                                epsilon >= least,
                                "{accountant:?} {run:?} {delta}: {epsilon} {exact}"
                            );
                        }
                        Err(error) => {
                            let message = error.to_string();
                            assert!(message.contains("choose"), "{run:?} {delta}: {message}");
                        }
                    }
                }
            }
        }
    }
    // By dp-accounting's RDP; the excess over 1 in a round is 1e-12.
    let run = poisson(1e-6, 1.0, 10_000_000);
    let found = Accountant::Rdp.epsilon(&run, 1e-5).unwrap();
    assert!((found - 0.278_638_8).abs() < 3e-4, "{found}");
}
