//! Strategies, selections and fleets implemented outside this crate.

mod support;

use std::sync::{Arc, Mutex};

use flora_federation::{
    Accepted, Aggregate, CheckError, Client, ClientError, ClientInfo, Draw, Event, FedAvg,
    FederationError, Global, Kind, Message, Outcome, Reason, Rounds, RoundsConfig, Selection,
    Simulation, Strategy, StrategyError, Task, Value,
};
use support::{Pull, record, w};

/// FedProx with a `mu` for each client, which every reply must confirm.
#[derive(Default)]
struct Prox {
    /// The `mu` sent to each client, as `aggregate` saw it.
    seen: Vec<(String, f64)>,
}

fn mu(message: &Message) -> Option<f64> {
    match message.config.get("mu") {
        Some(Value::Float(mu)) => Some(*mu),
        _ => None,
    }
}

impl Strategy for Prox {
    fn name(&self) -> &str {
        "prox"
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        let mut message = Message::parameters(Arc::clone(&global.parameters));
        if *kind == Kind::Train {
            let mu = 1.0 / client.num_examples as f64;
            message.config.insert("mu".to_owned(), Value::Float(mu));
        }
        message
    }

    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        let (asked, used) = (mu(sent), mu(answer));
        match asked == used {
            true => Ok(()),
            false => Err(CheckError::Other(format!("it used mu = {used:?} instead of {asked:?}"))),
        }
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let seen = accepted.iter().map(|it| (it.client.id.clone(), mu(&it.sent).unwrap()));
        self.seen.extend(seen);
        let mut aggregate = FedAvg.aggregate(global, accepted)?;
        aggregate.metrics.insert("spread".to_owned(), 0.5);
        Ok(aggregate)
    }
}

/// Confirms the `mu` that it was sent, plus an error.
struct Confirms(Pull, f64);

impl Client for Confirms {
    fn info(&self) -> ClientInfo {
        self.0.info()
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        let mut answer = self.0.handle(task)?;
        if let Some(mu) = mu(&task.message) {
            answer.config.insert("mu".to_owned(), Value::Float(mu + self.1));
        }
        Ok(answer)
    }
}

fn run(
    clients: Vec<Box<dyn Client>>,
    strategy: &mut dyn Strategy,
    selection: &dyn Selection,
    rounds: usize,
) -> (Result<Outcome, FederationError>, Vec<Event>) {
    let mut fleet = Simulation::new(clients, 2).unwrap();
    let config = RoundsConfig { rounds, seed: 9, ..RoundsConfig::default() };
    let mut events = Vec::new();
    let mut listener = |event: &Event| events.push(event.clone());
    let rounds = Rounds::new(&config).with_selection(selection);
    let result = rounds.run(&mut fleet, strategy, record([0.0, 0.0]), &mut listener);
    (result, events)
}

fn pulls() -> Vec<Box<dyn Client>> {
    ["a", "b", "c", "d"].map(|id| Pull::new(id, [1.0, 0.5], 10).boxed()).into()
}

/// Selects every client, for tests about something else.
struct Everybody;

impl Selection for Everybody {
    fn select(&self, _: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        trainers.iter().map(|info| info.id.clone()).collect()
    }
}

#[test]
fn a_strategy_instructs_each_client_and_checks_its_answer() {
    let confirms = |id: &str, examples, error| -> Box<dyn Client> {
        Box::new(Confirms(Pull::new(id, [1.0, 0.5], examples), error))
    };
    let clients = vec![confirms("a", 10, 0.0), confirms("b", 20, 0.25), confirms("c", 40, 0.0)];
    let mut strategy = Prox::default();
    let (outcome, events) = run(clients, &mut strategy, &Everybody, 1);
    outcome.unwrap();
    assert_eq!(strategy.seen, [("a".to_owned(), 0.1), ("c".to_owned(), 0.025)]);
    let failed = events.iter().find_map(|event| match event {
        Event::ClientFailed { client, reason, message, .. } => Some((client, reason, message)),
        _ => None,
    });
    let (client, reason, message) = failed.unwrap();
    assert_eq!((client.as_str(), *reason), ("b", Reason::Refused));
    assert_eq!(message, "it used mu = Some(0.3) instead of Some(0.05)");
    let metrics = events.iter().find_map(|event| match event {
        Event::Aggregated { metrics, strategy, replies: 2, .. } => Some((metrics, strategy)),
        _ => None,
    });
    let (metrics, name) = metrics.unwrap();
    assert_eq!((name.as_str(), metrics["spread"], metrics["loss"]), ("prox", 0.5, 0.25));
}

/// A strategy without checks of its own still receives no false claims and no lost parameters.
#[test]
fn a_strategy_cannot_turn_off_the_checks_of_the_loop() {
    struct Trusting;
    impl Strategy for Trusting {
        fn name(&self) -> &str {
            "trusting"
        }

        fn check(&self, _: &Message, _: &Message) -> Result<(), CheckError> {
            Ok(())
        }

        fn aggregate(
            &mut self,
            global: &Global,
            accepted: &[Accepted],
        ) -> Result<Aggregate, StrategyError> {
            let ids: Vec<_> = accepted.iter().map(|it| it.client.id.as_str()).collect();
            assert_eq!(ids, ["a", "nan"]);
            Ok(Aggregate::new(global.parameters.as_ref().clone()))
        }
    }
    /// Changes the reply of an honest client.
    struct Lying(Pull, fn(&mut Message));
    impl Client for Lying {
        fn info(&self) -> ClientInfo {
            self.0.info()
        }

        fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
            let mut answer = self.0.handle(task)?;
            if task.kind == Kind::Train {
                (self.1)(&mut answer);
            }
            Ok(answer)
        }
    }
    let lying = |id: &str, lie: fn(&mut Message)| -> Box<dyn Client> {
        Box::new(Lying(Pull::new(id, [1.0, 0.5], 10), lie))
    };
    let clients = vec![
        Pull::new("a", [1.0, 0.5], 10).boxed(),
        lying("claims", |message| {
            message.metrics.insert("num-examples".to_owned(), 11.0);
        }),
        lying("empty", |message| message.records.clear()),
        // The strategy checks whether records are finite.
        lying("nan", |message| {
            message.records.insert("more".to_owned(), Arc::new(record([f32::NAN, 0.0])));
        }),
    ];
    let (outcome, events) = run(clients, &mut Trusting, &Everybody, 1);
    outcome.unwrap();
    let failed: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::ClientFailed { client, .. } => Some(client.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(failed, ["claims", "empty"]);
}

#[test]
fn a_strategy_cannot_make_another_model() {
    type Make = fn() -> Result<Aggregate, StrategyError>;
    struct Makes(Make);
    impl Strategy for Makes {
        fn name(&self) -> &str {
            "makes"
        }

        fn aggregate(&mut self, _: &Global, _: &[Accepted]) -> Result<Aggregate, StrategyError> {
            (self.0)()
        }
    }
    let cases: [(Make, &str); 3] = [
        (|| Ok(Aggregate::new(record([f32::NAN, 0.0]))), "`w` holds NaN"),
        (|| Ok(Aggregate::new(Default::default())), "`w` is missing"),
        (|| Err(StrategyError::Other("no majority".to_owned())), "no majority"),
    ];
    for (make, words) in cases {
        let error = run(pulls(), &mut Makes(make), &Everybody, 1).0.unwrap_err().to_string();
        assert!(
            error.contains("aggregation failed in round 1") && error.contains(words),
            "{error}"
        );
    }
}

/// Selects one client after the other, along with duplicates and unknown ids.
struct InTurn(Mutex<Vec<Draw>>);

impl Selection for InTurn {
    fn check(&self, trainers: &[ClientInfo]) -> Result<(), FederationError> {
        match trainers.len() {
            4.. => Ok(()),
            clients => Err(FederationError::MinClients { min_clients: 4, clients }),
        }
    }

    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        assert!(trainers.is_sorted_by_key(|info| info.id.clone()));
        self.0.lock().unwrap().push(draw);
        let id = trainers[draw.round % trainers.len()].id.clone();
        vec![id.clone(), "nobody".to_owned(), id]
    }
}

#[test]
fn a_selection_of_ones_own_is_followed() {
    let selection = InTurn(Mutex::default());
    let (outcome, events) = run(pulls(), &mut FedAvg, &selection, 3);
    // Three steps of 0.3 towards the same target.
    assert!((w(&outcome.unwrap().last)[0] - 0.657).abs() < 1e-6);
    let selected: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::RoundStarted { selected, .. } => Some(selected.join(" ")),
            _ => None,
        })
        .collect();
    assert_eq!(selected, ["a", "b", "c"]);
    let absent = "round 1: 1 of the 2 selected clients are absent, and count as failed";
    assert!(events.iter().any(|it| matches!(it, Event::Warning { message } if message == absent)));
    let draws = selection.0.lock().unwrap().clone();
    assert_eq!(draws, [0, 1, 2].map(|round| Draw { seed: 9, round, attempt: 0 }));

    let three = pulls().into_iter().take(3).collect();
    let error = run(three, &mut FedAvg, &selection, 1).0.unwrap_err().to_string();
    assert!(error.contains("min_clients = 4"), "{error}");
}

#[test]
fn a_selection_of_nobody_says_so() {
    struct Nobody;
    impl Selection for Nobody {
        fn select(&self, _: Draw, _: &[ClientInfo]) -> Vec<String> {
            Vec::new()
        }
    }
    let error = run(pulls(), &mut FedAvg, &Nobody, 1).0.unwrap_err().to_string();
    assert!(error.contains("no client trained: none was selected"), "{error}");
}
