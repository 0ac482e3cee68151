//! The clients that are counted in sums: who joins, leaves, or is refused.

use super::*;

/// Raises a stop once the initial model is evaluated.
struct StopsAtFirst(Stop);

impl Observer for StopsAtFirst {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Evaluated { round: 0, .. }) {
            self.0.raise();
        }
    }
}

#[test]
fn who_was_counted_before_is_known_after_a_stop() {
    let images = Images::new(2, 2);
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let two = "federation.participants=['alpha', 'beta']";
    saved(&images.experiment(&[RIDGE, two]), first.path());
    let gamma = "federation.participants=['gamma']";
    let experiment = images.experiment(&[RIDGE, gamma, &from(first.path())]);
    let (device, stop) = (Device::flex(), Stop::default());
    let prepared = prepare(experiment.clone(), &device, &mut Listener::default()).unwrap();
    let provenance = prepared.provenance();
    assert!(provenance.clients.iter().eq(["alpha", "beta"]));
    let finished = prepared.with_stop(stop.clone()).run(&mut StopsAtFirst(stop));
    assert_eq!(finished.status(), RunStatus::Interrupted);
    assert!(finished.summed.iter().eq(["alpha", "beta"]), "{:?}", finished.summed);
    let (last, clients) = (finished.outcome.unwrap().last, finished.summed);
    let provenance = Provenance { clients, ..provenance };
    save_trained(&experiment, &provenance, &last, second.path(), &device).unwrap();
    let start = from(second.path());
    let error = refusal_of(&images, &[RIDGE, &start, "federation.participants=['beta']"]);
    assert!(error.contains("beta is counted in the sums already"), "{error}");
    let (finished, _) = run(images.experiment(&[RIDGE, &start, gamma]));
    assert!(finished.summed.iter().eq(["alpha", "beta", "gamma"]));
    assert!(finished.summed_after(0).iter().eq(["alpha", "beta"]));

    // Sums of unknown clients.
    let provenance = Provenance { clients: Default::default(), ..provenance };
    save_trained(&experiment, &provenance, &last, second.path(), &device).unwrap();
    for more in [gamma, "method.closed_form.leaving=true"] {
        let error = refusal_of(&images, &[RIDGE, &start, gamma, more]);
        assert!(error.contains("does not say whose images"), "{error}");
    }
}

/// The same id with other images is another client.
#[test]
fn ids_that_stand_for_other_images_are_refused() {
    let images = Images::new(4, 2);
    let [drawn, central] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let iid = "partition={ kind = 'iid', clients = 4 }";
    let two = "federation.participants=['client-00', 'client-01']";
    saved(&images.experiment(&[RIDGE, iid, two]), drawn.path());
    let start = from(drawn.path());
    let (third, second) =
        ("federation.participants=['client-02']", "federation.participants=['client-01']");
    let leaving = "method.closed_form.leaving=true";
    for set in [vec![third], vec![second, leaving]] {
        let run =
            |more: &str| refusal_of(&images, &[&[RIDGE, iid, &start, more], &set[..]].concat());
        outcome(images.experiment(&[&[RIDGE, iid, &start], &set[..]].concat()));
        for (more, field) in [
            ("data.seed=9", "data.seed"),
            ("data.validation=0.25", "data.validation"),
            ("partition={ kind = 'iid', clients = 3 }", "partition"),
        ] {
            let error = run(more);
            assert!(error.contains(&format!("{field} now gives its clients")), "{more}: {error}");
        }
    }
    saved(&images.experiment(&[RIDGE, "federation.participants=central"]), central.path());
    let alpha = "federation.participants=['alpha']";
    for more in [alpha, leaving] {
        let error = refusal_of(&images, &[RIDGE, &from(central.path()), alpha, more]);
        assert!(error.contains("all clients' images"), "{error}");
    }
}

/// A client is counted once, and only a counted client can leave.
#[test]
fn who_is_counted_is_written_down() {
    let images = Images::new(2, 2);
    let folder = tempfile::tempdir().unwrap();
    let two = "federation.participants=['alpha', 'beta']";
    let experiment = images.experiment(&[RIDGE, two]);
    let device = Device::flex();
    let prepared = prepare(experiment.clone(), &device, &mut Listener::default()).unwrap();
    let mut provenance = prepared.provenance();
    let finished = prepared.run(&mut Listener::default());
    assert!(finished.summed.iter().eq(["alpha", "beta"]));
    provenance.clients = finished.summed;
    let last = finished.outcome.unwrap().last;
    save_trained(&experiment, &provenance, &last, folder.path(), &device).unwrap();
    let (start, leaving) = (from(folder.path()), "method.closed_form.leaving=true");
    let only = |id: &str| format!("federation.participants=['{id}']");
    for (set, words) in [
        (vec![start.clone(), only("beta")], "beta is counted in the sums already"),
        (vec![start.clone()], "alpha is counted in the sums already"),
        (vec![start.clone(), only("gamma"), leaving.to_owned()], "the sums do not contain gamma"),
    ] {
        let set: Vec<&str> = std::iter::once(RIDGE).chain(set.iter().map(String::as_str)).collect();
        let error = refusal_of(&images, &set);
        assert!(error.contains(words), "{error}");
    }
    for (id, more, left) in
        [("gamma", "seed=3", vec!["alpha", "beta", "gamma"]), ("beta", leaving, vec!["alpha"])]
    {
        let (finished, _) = run(images.experiment(&[RIDGE, &start, &only(id), more]));
        assert!(finished.summed.iter().eq(left), "{:?}", finished.summed);
    }
}

/// One of three clients sends sums that no images have: it is rejected by name, and at the end the run reports whose
/// images its sums lack, or still contain.
#[test]
fn a_client_whose_sums_are_refused_is_named() {
    let images = Images::new(2, 2);
    let folder = tempfile::tempdir().unwrap();
    saved(&images.experiment(&[RIDGE]), folder.path());
    let (start, leaving) = (from(folder.path()), "method.closed_form.leaving=true");
    for (more, words) in
        [(vec![], "the sums lack the images of"), (vec![&start[..], leaving], "still contain")]
    {
        let set = [&[RIDGE, "faults.huge=0.34"][..], &more].concat();
        let (finished, told) = run(images.experiment(&set));
        let refused: Vec<(&str, &str)> = told
            .events
            .iter()
            .filter_map(|event| match event {
                Event::ClientFailed { client, reason: Reason::Refused, message, .. } => {
                    Some((&client[..], &message[..]))
                }
                _ => None,
            })
            .collect();
        let [(client, message)] = refused[..] else { panic!("{refused:?}") };
        assert!(message.contains("must send means over its images"), "{message}");
        assert!(finished.uncounted.iter().eq([client]), "{:?}", finished.uncounted);
        // A rejected client is not added, and has not left.
        let is_summed = finished.summed.contains(client);
        assert_eq!(
            (finished.summed.len(), is_summed),
            if more.is_empty() { (2, false) } else { (1, true) }
        );
        let warnings = told.warnings();
        let warning = warnings.iter().find(|it| it.contains(words)).expect("it is told at the end");
        assert!(warning.contains(&format!("{client}, whose replies")), "{warning}");
    }
    let (finished, told) = run(images.experiment(&[RIDGE, &start, leaving]));
    assert!(finished.summed.is_empty() && finished.uncounted.is_empty());
    assert!(told.notes().iter().any(|note| note.contains("the sums are empty")));
    assert!(told.warnings().is_empty(), "{:?}", told.warnings());
}

#[test]
fn a_late_client_comes_to_what_all_at_once_come_to_and_a_leaving_one_was_never_there() {
    let images = Images::new(4, 2);
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [first, all, _] = &folders;
    let two = "federation.participants=['alpha', 'beta']";
    let (third, second) = ("federation.participants=['gamma']", "federation.participants=['beta']");
    let early = saved(&images.experiment(&[RIDGE, two]), first.path());
    let together = saved(&images.experiment(&[RIDGE]), all.path());
    let late = outcome(images.experiment(&[RIDGE, third, &from(first.path())]));
    // Where the others' sums are.
    assert_eq!(late.initial.accuracy, early.last_round.accuracy);
    assert_eq!(late.initial.loss, early.last_round.loss);
    let far = difference(&head(&late.last), &head(&together.last));
    assert!(far < 1e-5, "{far:e}");

    let leaving = "method.closed_form.leaving=true";
    let left = outcome(images.experiment(&[RIDGE, third, &from(all.path()), leaving]));
    let far = difference(&head(&left.last), &head(&early.last));
    assert!(far < 1e-4, "{far:e}");
    // Without clients, only the texts are left.
    let one = outcome(images.experiment(&[RIDGE, second, &from(first.path()), leaving]));
    let folder = &folders[2];
    let left =
        saved(&images.experiment(&[RIDGE, second, &from(first.path()), leaving]), folder.path());
    assert_eq!(left.last, one.last);
    let alpha = "federation.participants=['alpha']";
    let nobody = outcome(images.experiment(&[RIDGE, alpha, &from(folder.path()), leaving]));
    let counts = nobody.last.get("closed_form.class_counts").unwrap().to_f32().into_owned();
    assert_eq!(counts, [0.0; CLASSES]);
    let zero_shot = outcome(images.experiment(&["method.name=zero-shot"]));
    assert_eq!(nobody.last_round.loss, zero_shot.initial.loss);
}
