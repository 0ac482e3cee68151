//! Compression, privacy and masks of messages.

use flora_core::ParameterRecord;
use flora_federation::{Event, Outcome};
use flora_privacy::EPSILON;
use flora_tuning::Experiment;

use crate::common::{Images, Listener, bits, outcome, refusal, run};

fn trained(experiment: Experiment) -> (Outcome, Listener) {
    let (finished, listener) = run(experiment);
    assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
    assert_eq!(listener.failures(), [""; 0]);
    (finished.outcome.unwrap(), listener)
}

/// The metric of each round.
fn told(listener: &Listener, metric: &str) -> Vec<f64> {
    let of = |event: &Event| match event {
        Event::Aggregated { metrics, .. } => metrics.get(metric).copied(),
        _ => None,
    };
    listener.events.iter().filter_map(of).collect()
}

/// The distance from `whole`, relative to its distance from `start`.
fn off(found: &ParameterRecord, whole: &ParameterRecord, start: &ParameterRecord) -> f64 {
    found.distance(whole) / whole.distance(start)
}

#[test]
fn updates_of_every_codec_come_to_nearly_the_same() {
    let images = Images::new(3, 1);
    let rounds = "training.rounds=4";
    let start = outcome(images.experiment(&["training.rounds=0"])).last;
    let (whole, _) = trained(images.experiment(&[rounds]));
    for (upload, most, share) in [
        ("f16", 0.05, 2.0),
        ("int8", 0.003, 3.5),
        ("int4", 0.05, 6.0),
        ("{ kind = \"eden\", bits = 4 }", 0.06, 7.0),
        ("eden", 0.2, 12.0),
        ("{ kind = \"top-k\", density = 0.25 }", 0.6, 8.0),
    ] {
        let upload = format!("federation.upload={upload}");
        let (coded, _) = trained(images.experiment(&[rounds, &upload]));
        let off = off(&coded.last, &whole.last, &start);
        assert!(off > 0.0 && off < most, "{upload}: {off}");
        let fewer = whole.bytes_up as f64 / coded.bytes_up as f64;
        assert!(fewer >= share, "{upload}: {fewer}");
        assert_eq!(coded.bytes_down, whole.bytes_down);
    }
    let down = ["federation.download=int8", "federation.upload=int8", rounds];
    let (coded, _) = trained(images.experiment(&down));
    assert!(coded.bytes_down < whole.bytes_down / 3, "{}", coded.bytes_down);
    let off = off(&coded.last, &whole.last, &start);
    assert!(off < 0.1, "{off}");
}

/// Lanes that round every update to zero are named, and not the learning rate alone.
#[test]
fn lanes_that_are_too_coarse_are_named() {
    let images = Images::new(3, 1);
    let warnings = |secure: &str| -> Vec<String> {
        let secure = format!("federation.secure={secure}");
        let (_, listener) = trained(images.experiment(&["training.rounds=1", &secure]));
        let of = |event: &Event| match event {
            Event::Warning { message } => Some(message.clone()),
            _ => None,
        };
        listener.events.iter().filter_map(of).collect()
    };
    for (secure, words) in [
        (
            "{ norm = 1e30 }",
            "round 1: no parameter changed, because the updates of client alpha and 2 more were",
        ),
        ("{ range = 1e30 }", "lower federation.secure.norm or federation.secure.range"),
        ("{ bits = 3 }", "federation.secure.bits: with 3 bits, numbers from -1 to 1 have 7 values"),
    ] {
        let found = warnings(secure);
        assert!(found.iter().any(|it| it.contains(words)), "{secure}: {found:?}");
    }
    for secure in ["{}", "{ bits = 4, norm = 1.0 }", "{ bits = 8 }"] {
        let found = warnings(secure);
        assert!(!found.iter().any(|it| it.contains("federation.secure")), "{secure}: {found:?}");
    }
}

#[test]
fn central_privacy_tells_what_it_spends_and_nothing_else() {
    let images = Images::new(3, 1);
    let of = |more: &[&str]| {
        let set = [
            "training.rounds=3",
            "federation.privacy={ kind = \"central\", clip = 0.1, epsilon = 8.0 }",
        ];
        images.experiment(&[&set, more].concat())
    };
    let (first, listener) = trained(of(&[]));
    let spent = told(&listener, EPSILON);
    assert!(
        spent.len() == 3 && spent.is_sorted() && spent[2] <= 8.0 && spent[2] > 7.9,
        "{spent:?}"
    );
    for metric in ["loss", "update_norm", "aggregation_error"] {
        assert!(told(&listener, metric).is_empty(), "{metric}");
    }
    let replied = listener.events.iter().filter_map(|event| match event {
        Event::ClientReplied { metrics, .. } => Some(metrics.len()),
        _ => None,
    });
    assert!(replied.clone().count() == 9 && replied.sum::<usize>() == 0);
    // The same seed gives the same noise; another seed, another. If one factor is trained, only that one is noised.
    assert_eq!(bits(&first.last), bits(&trained(of(&[])).0.last));
    assert_ne!(bits(&first.last), bits(&trained(of(&["seed=4"])).0.last));
    let (ffa, _) = trained(of(&["federation.strategy=ffa"]));
    let start = outcome(images.experiment(&["training.rounds=0"])).last;
    let of_a = |record: &ParameterRecord| bits(&record.filter(|name| name.contains("lora_A")));
    assert_eq!(of_a(&ffa.last), of_a(&start));
    assert_ne!(of_a(&first.last), of_a(&start));
    // A note before the first round relates three clients' updates to the noise.
    let warned = listener.events.iter().any(|event| {
        matches!(event, Event::Warning { message } if message.contains("more than any update"))
    });
    assert!(warned);
}

/// With one of three clients a round, none is drawn more often when others are away.
#[test]
fn absent_clients_are_drawn_and_counted_as_failed() {
    let images = Images::new(3, 1);
    let (_, listener) = trained(images.experiment(&[
        "training.rounds=12",
        "federation.fraction=0.34",
        "faults.drop_out=0.3",
        "federation.privacy={ kind = \"central\", clip = 0.1, noise = 1.0 }",
    ]));
    let selected = listener.events.iter().filter_map(|event| match event {
        Event::RoundStarted { selected, .. } => Some(selected.len()),
        _ => None,
    });
    let selected: Vec<_> = selected.collect();
    let absent = listener.events.iter().filter(|event| {
        matches!(event, Event::Warning { message } if message.contains("1 of the 1 selected clients"))
    });
    let absent = absent.count();
    assert_eq!(selected.len(), 12);
    assert!(absent > 0 && selected.iter().sum::<usize>() == 12 - absent, "{selected:?} {absent}");
    // A round without a reply counts.
    assert_eq!(told(&listener, EPSILON).len(), 12);
}

/// Random bases depend on no image, so that cores are all that is noised, masked or trained on hidden images.
#[test]
fn cores_between_random_bases_can_be_hidden() {
    let images = Images::new(6, 1);
    let of = |more: &[&str]| {
        let random = "federation.strategy={ kind = \"fed-sb\", bases = \"random\" }";
        let set = [random, "training.rounds=2", "training.learning_rate=0.05"];
        trained(images.experiment(&[&set, more].concat()))
    };
    let cores = |record: &ParameterRecord| record.filter(|name| name.contains("lora_R"));
    let bases = |record: &ParameterRecord| bits(&record.filter(|name| !name.contains("lora_R")));
    let (plain, _) = of(&[]);
    let [start, first, second] = &plain.history[..] else { panic!("three evaluations") };
    assert!(first.loss < start.loss && second.loss < start.loss, "{:?}", plain.history);
    // Three clients, two rounds, and nothing but cores.
    assert_eq!(plain.bytes_up, 3 * 2 * cores(&plain.last).byte_len() as u64);
    let central = "federation.privacy={ kind = \"central\", clip = 0.1, noise = 1.0 }";
    let (noised, listener) = of(&[central]);
    assert_eq!(told(&listener, EPSILON).len(), 2);
    assert_eq!(bases(&noised.last), bases(&plain.last));
    // The noise on the mean of three, in each number, over two rounds.
    let (off, core) = (noised.last.distance(&plain.last), cores(&plain.last));
    let numbers = core.num_parameters();
    let expected = (2.0 * numbers as f64).sqrt() * 0.1 / 3.0;
    assert!(off > expected / 2.0 && off < core.norm() + 2.0 * expected, "{off} {expected}");
    let (masked, _) = of(&["federation.secure={}"]);
    assert!(masked.last.distance(&plain.last) < 1e-4 * cores(&plain.last).norm());
    let sample = "federation.privacy={ kind = \"sample\", epsilon = 3.0 }";
    let (hidden, listener) = of(&[sample, "method.loss=class-ce"]);
    assert_eq!(bases(&hidden.last), bases(&plain.last));
    assert!(told(&listener, EPSILON)[1] <= 3.0);
}

#[test]
fn single_images_are_hidden_by_the_clients() {
    let images = Images::new(6, 1);
    let of = |more: &[&str]| {
        let set = ["training.rounds=3", "method.loss=class-ce"];
        images.experiment(&[&set, more].concat())
    };
    let privacy = "federation.privacy={ kind = \"sample\", epsilon = 3.0 }";
    let (hidden, listener) = trained(of(&[privacy]));
    let spent = told(&listener, EPSILON);
    assert!(spent.len() == 3 && spent[2] <= 3.0 && spent[2] > 2.99, "{spent:?}");
    assert!(told(&listener, "loss").is_empty());
    assert_eq!(bits(&hidden.last), bits(&trained(of(&[privacy])).0.last));
    // With almost no noise, and no clipping, only the random batches remain: the loss falls.
    let start = outcome(of(&["training.rounds=0"])).history[0].loss.unwrap();
    let loud = "federation.privacy={ kind = \"sample\", noise = 0.01, clip = 1000.0, accountant = \"rdp\" }";
    let (clear, _) = trained(of(&[loud, "training.rounds=8"]));
    assert!(clear.last_round.loss.unwrap() < start - 0.05, "{:?} {start}", clear.last_round.loss);
}

#[test]
fn the_sums_of_ridge_are_hidden_once() {
    let images = Images::new(6, 2);
    let of = |more: &[&str]| images.experiment(&[&["method.name=ridge"], more].concat());
    let (hidden, listener) =
        trained(of(&["federation.privacy={ kind = \"sample\", epsilon = 1.0 }"]));
    let spent = told(&listener, EPSILON);
    assert!(spent.len() == 1 && spent[0] <= 1.0 && spent[0] > 0.99, "{spent:?}");
    let (exact, _) = trained(of(&[]));
    assert_ne!(bits(&hidden.last), bits(&exact.last));
    // With a noise of a thousandth of an image, the sums are almost exact.
    let loud = "federation.privacy={ kind = \"sample\", noise = 0.01 }";
    let (clear, _) = trained(of(&[loud]));
    let off = clear.last.distance(&exact.last) / exact.last.norm();
    assert!(off < 0.05 && off > 0.0, "{off}");
}

#[test]
fn a_sum_under_masks_is_that_of_plain_updates() {
    let images = Images::new(3, 1);
    let start = outcome(images.experiment(&["training.rounds=0"])).last;
    for more in [&[][..], &["federation.strategy=ffa"], &["method.name=ridge"]] {
        let (plain, _) = trained(images.experiment(more));
        let (masked, listener) =
            trained(images.experiment(&[more, &["federation.secure={}"]].concat()));
        let off = masked.last.distance(&plain.last);
        // The sums of ridge start from zero.
        let moved = match plain.last.check_matches(&start) {
            Ok(()) => plain.last.distance(&start),
            Err(_) => plain.last.norm(),
        };
        assert!(off < 1e-4 * moved, "{more:?}: {off} of {moved}");
        for metric in ["loss", "update_norm", "aggregation_error"] {
            assert!(told(&listener, metric).is_empty(), "{metric}");
        }
    }
    // Fewer bits: fewer bytes, although keys and shares are most of what a tiny model sends; and nearly the same sum.
    let (plain, _) = trained(images.experiment(&[]));
    let (whole, _) = trained(images.experiment(&["federation.secure={}"]));
    for (secure, most, share) in
        [("{ bits = 8, norm = 1.0 }", 0.3, 1.4), ("{ bits = 16, norm = 1.0 }", 1e-3, 1.2)]
    {
        let secure = format!("federation.secure={secure}");
        let (masked, _) = trained(images.experiment(&[&secure]));
        let off = off(&masked.last, &plain.last, &start);
        assert!(off > 0.0 && off < most, "{secure}: {off}");
        let fewer = whole.bytes_up as f64 / masked.bytes_up as f64;
        assert!(fewer > share, "{secure}: {fewer}");
        assert_eq!(bits(&masked.last), bits(&trained(images.experiment(&[&secure])).0.last));
    }
    // A failed client is really missing from the sum.
    let faults = ["federation.secure={}", "faults.fail=0.3", "federation.below_quorum=skip"];
    let three = ["partition={ kind = \"iid\", clients = 6 }"];
    let faults = [&faults[..], &three].concat();
    let (finished, _) = run(images.experiment(&faults));
    let whole = outcome(images.experiment(&[&["federation.secure={}"], &three[..]].concat()));
    assert_ne!(bits(&finished.outcome.unwrap().last), bits(&whole.last));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let images = Images::new(2, 1);
    let central = "federation.privacy={ kind = \"central\", clip = 0.1, noise = 1.0 }";
    let sample = "federation.privacy={ kind = \"sample\", noise = 1.0 }";
    let secure = "federation.secure={}";
    for (set, words) in [
        (&["federation.upload=int9"][..], "int9"),
        (&["federation.upload={ kind = \"eden\", bits = 9 }"], "federation.upload.bits: 9"),
        (&["federation.download=top-k"], "federation.download: top-k"),
        (&["method.name=ridge", "federation.upload=eden"], "need full precision"),
        (&["federation.error_feedback=true"], "no compression error"),
        (
            &["federation.privacy={ kind = \"central\", clip = 0.1 }"],
            "federation.privacy.epsilon: neither",
        ),
        (
            &["federation.privacy={ kind = \"central\", clip = 0.0, noise = 1.0 }"],
            "federation.privacy.clip",
        ),
        (&["federation.privacy={ kind = \"central\", clip = 1.0, nois = 1.0 }"], "nois"),
        (&["federation.privacy={ kind = \"everywhere\" }"], "everywhere"),
        (&[central, "federation.strategy=median"], "median is not supported"),
        (
            &[central, "federation.strategy={ kind = \"fedadam\", rule = \"median\" }"],
            "median is not supported",
        ),
        (&[secure, "federation.strategy=krum"], "krum is not supported under masks"),
        (&[secure, "federation.upload=int8"], "choose federation.upload = \"f32\""),
        (&[secure, central], "cannot clip what it does not see"),
        (
            &[secure, "federation.participants=[\"alpha\", \"beta\"]"],
            "federation.secure: with 2 clients",
        ),
        (
            &["federation.secure={ range = 0.0 }"],
            "federation.secure: with 3 clients in a round: range",
        ),
        (&["federation.secure={ treshold = 3 }"], "treshold"),
        (&[secure, "faults.nan=0.5"], "not possible under masks"),
        (
            &[secure, "federation.selection={ kind = \"poisson\", rate = 0.5 }"],
            "below_quorum = \"skip\"",
        ),
        (
            &[secure, "federation.privacy={ kind = \"local\", clip = 1.0, noise = 1.0 }"],
            "federation.secure.range: noised updates reach 15.000",
        ),
        (
            &[
                "federation.secure={ bits = 8, norm = 1.0 }",
                "federation.privacy={ kind = \"local\", clip = 1.0, noise = 1.0 }",
            ],
            "federation.secure.norm: noised updates reach",
        ),
        (&["method.name=ridge", "federation.download=int8"], "would spoil"),
        (&[central, "federation.strategy=fed-sb"], "fed-sb with bases = \"random\""),
        (&[secure, "federation.strategy=fed-sb"], "fed-sb with bases = \"random\""),
        (&[sample, "method.loss=class-ce", "federation.strategy=fed-sb"], "bases = \"random\""),
        (&[central, "federation.quorum=2"], "federation.quorum is 1"),
        (&[central, "method.name=ridge"], "choose kind = \"sample\""),
        (&[central, "federation.participants=alone"], "\"alone\" send nothing"),
        (&[central, "training.rounds=0"], "nothing is trained"),
        (
            &[
                central,
                "federation.selection={ kind = \"power-of-choice\", rate = 0.5, candidates = 3 }",
            ],
            "by the clients' losses",
        ),
        (&[central, "federation.selection=dynamic-sampling"], "no accountant supports"),
        (&[sample], "choose method.loss = \"class-ce\""),
        (&[sample, "method.loss=class-ce", "method.softmax=balanced"], "method.softmax = \"all\""),
        (&[sample, "method.name=lda"], "only ridge supports noised sums"),
    ] {
        let error = match images.try_experiment(set) {
            Err(error) => error,
            Ok(experiment) => refusal(experiment),
        };
        assert!(error.contains(words), "{set:?}: {error}");
    }
}
