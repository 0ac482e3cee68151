//! A run that fails keeps its results.

use flora_federation::{Event, FederationError, RunStatus};

use crate::common::{Images, bits, outcome, run};

#[test]
fn a_learning_rate_that_is_far_too_high_fails_the_run_but_keeps_round_zero() {
    let images = Images::new(2, 1);
    for (loss, batch) in [("infonce", 4), ("class-ce", 4), ("infonce", 64), ("class-ce", 64)] {
        let set = [
            &format!("method.loss={loss}")[..],
            &format!("training.batch_size={batch}"),
            "training.learning_rate=1e30",
            "training.rounds=5",
        ];
        let (finished, told) = run(images.experiment(&set));
        let failure = finished.failure.expect("it cannot have gone well");
        assert!(matches!(failure, FederationError::RoundFailed { .. }), "{failure}");
        // Whether a client's training or the test of the new model fails depends on the loss.
        let remedies = ["lower training.learning_rate", "lower the learning rate"];
        let told_how = remedies.iter().any(|remedy| failure.to_string().contains(remedy));
        assert!(told_how, "{failure}");
        assert!(!told.failures().iter().any(|message| message.contains("panic")));

        let kept = finished.outcome.expect("round 0 was evaluated");
        let healthy = outcome(images.experiment(&["training.rounds=0"]));
        assert_eq!(kept.history[0], healthy.initial);
        assert_eq!(kept.initial, healthy.initial);
        assert_eq!(bits(&kept.best), bits(&healthy.last), "the best is the initial model");

        let Some(Event::RunFinished { status, message, best_round, .. }) = told.events.last()
        else {
            panic!("the end is told last");
        };
        assert_eq!(*status, RunStatus::Failed);
        assert_eq!(message.as_deref(), Some(&failure.to_string()[..]));
        assert_eq!(*best_round, Some(healthy.initial));
    }
}

/// Extreme weight decay multiplies every weight by -99 at each step.
#[test]
fn a_run_that_breaks_down_later_keeps_the_rounds_before() {
    let images = Images::new(2, 1);
    let set = [
        "training.optimizer=sgd",
        "training.learning_rate=1.0",
        "training.weight_decay=100",
        "training.batch_size=64",
        "method.loss=class-ce",
    ];
    for participants in ["all", "alone"] {
        let participants = format!("federation.participants={participants}");
        let set = [&set[..], &[&participants]].concat();
        let (finished, told) =
            run(images.experiment(&[&set[..], &["training.rounds=40"]].concat()));
        assert_eq!(finished.status(), RunStatus::Failed, "{participants}");
        let failure = finished.failure.unwrap();
        assert!(matches!(failure, FederationError::RoundFailed { .. }), "{failure}");
        assert!(!told.failures().iter().any(|message| message.contains("panic")));
        let kept = finished.outcome.expect("earlier rounds were evaluated");
        let rounds = kept.last_round.round;
        assert!((2..39).contains(&rounds), "{participants}: {rounds}");
        assert!(kept.last.check_finite().is_ok());

        let rounds = format!("training.rounds={rounds}");
        let healthy = outcome(images.experiment(&[&set[..], &[&rounds]].concat()));
        assert_eq!(kept.history, healthy.history, "{participants}");
        assert_eq!(bits(&kept.last), bits(&healthy.last), "{participants}");
        assert_eq!(bits(&kept.best), bits(&healthy.best), "{participants}");
    }
}
