//! flora's server with desks gives the bits of the simulation, whatever happens in between.

use std::collections::BTreeMap;
use std::rc::Rc;

use burn::tensor::Device;
use flora_federation::protocol::{
    ATTEMPT, FROM, HELLO, HERE, JOIN, KIND, NUM_TEST_EXAMPLES, PROFILE, ROUND, RUN, SECONDS,
};
use flora_federation::{
    Answer, ClientInfo, Fleet, FleetError, Kind, Message, PARAMETERS, Reason, Task, Value, Wait,
};
use flora_tuning::{
    Desk, Experiment, Plan, Policy, Prepared, Request, Silent, SiteProfile, prepare_serving,
};
use tempfile::TempDir;

use super::{Office, desk, joining, labelled, task};
use crate::common::{Images, bits, fit};
use crate::methods::{TRAINED, named};
use crate::sites::{Heard, Place, assert_same_run, domains, plan_for};

const TOKEN: &str = "0a1b2c";

/// The incident at the sites with every task.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Nothing,
    /// The task is sent twice.
    Resent,
    /// The site's process is restarted.
    Restarted,
    /// The site's model was dropped from memory.
    Rested,
    /// Another run trains before the task.
    Between,
    /// The server was killed, and repeats its last two rounds.
    SetBack,
}

/// One desk per place.
struct Desks {
    images: Rc<Images>,
    places: Vec<Place>,
    plans: Vec<Plan>,
    desks: Vec<Desk>,
    folder: TempDir,
    fate: Fate,
    /// The trained answers by client, with the bits.
    trained: BTreeMap<String, Vec<(Message, Message)>>,
}

impl Desks {
    fn new(images: Rc<Images>, experiment: &Experiment, fate: Fate) -> Self {
        let (places, folder) = (domains(&images), tempfile::tempdir().unwrap());
        let plan = |place: &Place| plan_for(experiment, &images.dataset(), &place.name);
        let plans = places.iter().map(plan).collect();
        let (desks, trained) = (Vec::new(), BTreeMap::new());
        let mut these = Self { images, places, plans, desks, folder, fate, trained };
        these.desks = (0..these.places.len()).map(|index| these.open(index)).collect();
        these
    }

    fn open(&self, index: usize) -> Desk {
        let place = &self.places[index];
        desk(&self.images, place, &self.folder.path().join(&place.name), Policy::default())
    }

    fn ask(&mut self, index: usize, kind: &Kind, message: &Message) -> Result<Message, String> {
        self.desks[index].handle(&Request { run: "flower-7".to_owned(), kind, message })
    }

    fn join(&mut self) -> Vec<ClientInfo> {
        let mut infos = Vec::new();
        for index in 0..self.places.len() {
            let (kind, message) =
                (Kind::Query(JOIN.to_owned()), joining(TOKEN, &self.plans[index]));
            let answer = self.ask(index, &kind, &message).unwrap();
            infos.push(ClientInfo {
                id: self.places[index].name.clone(),
                num_examples: answer.num_examples().unwrap(),
                num_test_examples: answer.metrics[NUM_TEST_EXAMPLES] as usize,
            });
        }
        infos
    }

    /// Performs a task after the incident.
    fn handle(&mut self, index: usize, task: &Task) -> Result<Message, String> {
        let sent = labelled(TOKEN, task.round, task.attempt, task.message.clone());
        match self.fate {
            Fate::Restarted => self.desks[index] = self.open(index),
            Fate::Rested => self.desks[index].rest(),
            Fate::Between => {
                let (kind, join) =
                    (Kind::Query(JOIN.to_owned()), joining("other", &self.plans[index]));
                self.ask(index, &kind, &join).unwrap();
                let other = labelled("other", task.round, 0, task.message.clone());
                self.ask(index, &task.kind, &other)?;
            }
            Fate::Nothing | Fate::Resent | Fate::SetBack => {}
        }
        let mut answer = self.ask(index, &task.kind, &sent)?;
        if self.fate == Fate::Resent {
            let again = self.ask(index, &task.kind, &sent)?;
            assert_same_answer(&again, &answer);
        }
        if self.fate == Fate::SetBack && task.kind == Kind::Train {
            let trained = self.trained.entry(task.client.clone()).or_default();
            trained.push((sent, answer.clone()));
            // Once from another process, once from this one.
            self.desks[index] = self.open(index);
            for _ in 0..2 {
                let trained = self.trained[&task.client].clone();
                for (sent, expected) in &trained[trained.len().saturating_sub(2)..] {
                    assert_same_answer(&self.ask(index, &Kind::Train, sent)?, expected);
                }
            }
        }
        assert_eq!(answer.config.remove(ROUND), Some(Value::Int(task.round as i64)));
        assert_eq!(answer.config.remove(ATTEMPT), Some(Value::Int(task.attempt as i64)));
        assert!(matches!(answer.config.remove(KIND), Some(Value::Text(_))));
        assert!(matches!(answer.config.remove(SECONDS), Some(Value::Float(it)) if it >= 0.0));
        let is_trained = task.kind == Kind::Train;
        assert_eq!(answer.config.remove(FROM).is_some(), is_trained);
        assert!(answer.config.is_empty(), "{:?}", answer.config);
        Ok(answer)
    }
}

/// Except for the seconds.
fn assert_same_answer(again: &Message, once: &Message) {
    let known = |message: &Message| {
        let metrics = message.metrics.iter().map(|(name, value)| (name.clone(), value.to_bits()));
        let records = message.records.iter().map(|(name, record)| (name.clone(), bits(record)));
        let mut config = message.config.clone();
        config.remove(SECONDS);
        (metrics.collect::<Vec<_>>(), records.collect::<Vec<_>>(), config)
    };
    assert!(known(again) == known(once), "{again:?} {once:?}");
}

impl Fleet for Desks {
    fn clients(&mut self, _round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        Ok(self.join())
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        _wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        for task in tasks {
            let index = self.places.iter().position(|place| place.name == task.client).unwrap();
            deliver(match self.handle(index, &task) {
                Ok(message) => Answer::new(&task, Ok(message)),
                Err(problem) => Answer::failed(&task, Reason::Failed, problem),
            });
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _committed: &[u8]) -> Result<(), FleetError> {
        Ok(())
    }
}

/// The server's part of the experiment, with a desk of each domain as its fleet.
fn served(images: &Rc<Images>, experiment: &Experiment, fate: Fate, heard: &mut Heard) -> Prepared {
    let mut desks = Desks::new(Rc::clone(images), experiment, fate);
    let infos = desks.join();
    let Plan { classes, template, .. } = desks.plans[0].clone();
    let (experiment, device) = (experiment.clone(), Device::flex());
    prepare_serving(experiment, classes, template, infos, Box::new(desks), &device, heard).unwrap()
}

fn assert_simulated(set: &[&str], fate: Fate) {
    let images = Rc::new(Images::new(3, 2));
    let experiment = images.experiment(set);
    let served = |heard: &mut Heard| served(&images, &experiment, fate, heard);
    assert_same_run(&experiment, &served, &format!("{set:?} {fate:?}"));
}

#[test]
fn desks_compute_the_bits_of_the_simulation() {
    for method in TRAINED {
        assert_simulated(&[&named(method)], Fate::Nothing);
    }
    assert_simulated(&["federation.upload=f16", "method.lora.lora_dropout=0.2"], Fate::Nothing);
    assert_simulated(&["method.name=zero-shot"], Fate::Nothing);
}

#[test]
fn a_task_may_come_twice_and_a_site_may_forget() {
    for fate in [Fate::Resent, Fate::Restarted, Fate::Rested, Fate::Between, Fate::SetBack] {
        assert_simulated(&["training.rounds=4"], fate);
        // Here the site's own parameters are part of its state.
        assert_simulated(&["training.rounds=3", "federation.participants=alone"], fate);
    }
}

#[test]
fn a_desk_says_what_it_has() {
    let mut office = Office::new(Policy::default());
    let answer = office.ask(&Kind::Query(HELLO.to_owned()), &Message::default()).unwrap();
    let Value::Text(json) = &answer.config[PROFILE] else { panic!("{answer:?}") };
    let profile: SiteProfile = serde_json::from_str(json).unwrap();
    assert_eq!(profile, office.desk.site().profile().unwrap());
    assert_eq!(profile.images, 20);
    let plan = office.plan(&[]);
    let answer = office.join(TOKEN, &plan).unwrap();
    assert_eq!(answer.num_examples(), Some(12));
    assert_eq!(answer.metrics[NUM_TEST_EXAMPLES], 8.0);
    // The same run again.
    assert_eq!(office.join(TOKEN, &plan).unwrap(), answer);
    let error = office.ask(&Kind::Query("weather".to_owned()), &Message::default()).unwrap_err();
    assert!(error.contains("`query.weather`"), "{error}");
    let named = labelled(TOKEN, 0, 0, Message::default());
    let error = office.ask(&Kind::Query("weather".to_owned()), &named).unwrap_err();
    assert!(error.contains("weather"), "{error}");
}

/// Settings that no flora server sends.
#[test]
fn tasks_that_make_no_sense_are_named() {
    let mut office = Office::new(Policy::default());
    let here = office.ask(&Kind::Query(HERE.to_owned()), &Message::default()).unwrap();
    assert_eq!((here.records.len(), here.config.len()), (0, 0));
    let plan = office.plan(&[]);
    let start = {
        let mut client = office.desk.site().client(&plan, &mut Silent).unwrap();
        let initial = client.initial().clone();
        fit(&mut client, 0, &initial)
    };
    office.join(TOKEN, &plan).unwrap();
    let good = task(TOKEN, 0, &start);
    office.ask(&Kind::Train, &good).unwrap();
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let long = "a".repeat(65);
    for (key, value) in [
        (ROUND, None),
        (ROUND, Some(Value::Int(-1))),
        (ROUND, Some(Value::Float(1.0))),
        (ROUND, text("1")),
        (ATTEMPT, None),
        (ATTEMPT, Some(Value::Int(i64::MIN))),
        (ATTEMPT, Some(Value::Int(101))),
        (RUN, text("")),
        (RUN, text("../0a1b2c")),
        (RUN, text("/tmp")),
        (RUN, text(".")),
        (RUN, text("a\0b")),
        (RUN, text(&long)),
        (RUN, Some(Value::Int(3))),
    ] {
        let mut message = good.clone();
        match value.clone() {
            None => drop(message.config.remove(key)),
            Some(value) => drop(message.config.insert(key.to_owned(), value)),
        }
        let error = office.ask(&Kind::Train, &message).unwrap_err();
        assert!(error.contains(&format!("`{key}`")), "{key} {value:?}: {error}");
        if key == RUN {
            let mut join = joining(TOKEN, &plan);
            join.config.insert(RUN.to_owned(), value.unwrap());
            let error = office.join_with(&join).unwrap_err();
            assert!(error.contains("`flora.run`"), "{error}");
        }
    }
    // A round far ahead is trained like any other, and forgotten when the server returns to the right one.
    let round = i64::MAX as usize;
    office.train(TOKEN, round, &start).unwrap();
    office.ask(&Kind::Evaluate, &task(TOKEN, round, &start)).unwrap();
    let first = office.train(TOKEN, 1, &start).unwrap();
    assert_eq!(office.kept(TOKEN), ["000000-000.state", "000001-000.state"]);
    office.restart(Policy::default());
    assert!(bits(&office.train(TOKEN, 1, &start).unwrap()) == bits(&first));
    // Tensors that do not belong to the method, and none.
    let error = office.ask(&Kind::Train, &labelled(TOKEN, 2, 0, Message::default())).unwrap_err();
    assert!(error.contains("parameters"), "{error}");
    let error = office.train(TOKEN, 2, &start.filter(|name| name.contains("lora_A"))).unwrap_err();
    assert!(error.contains("lora_B"), "{error}");
    // They have changed nothing.
    assert!(bits(&office.train(TOKEN, 1, &start).unwrap()) == bits(&first));
}

#[test]
fn plans_that_cannot_be_read_are_refused() {
    let mut office = Office::new(Policy::default());
    let plan = office.plan(&[]);
    for garbage in ["", "{", "null", "[]", "{\"experiment\": \"\"}", "\u{0}\u{ffff}"] {
        let mut join = joining(TOKEN, &plan);
        join.config.insert("plan".to_owned(), Value::Text(garbage.to_owned()));
        let error = office.join_with(&join).unwrap_err();
        assert!(error.contains("the same version of flora"), "{error}");
    }
    let mut join = joining(TOKEN, &plan);
    join.config.remove("plan");
    assert!(office.join_with(&join).unwrap_err().contains("`plan`"));
    join.config.insert("plan".to_owned(), Value::Bytes(vec![1]));
    assert!(office.join_with(&join).unwrap_err().contains("`plan`"));
    let damaged = Plan { experiment: "rounds =".to_owned(), ..plan.clone() };
    let error = office.join(TOKEN, &damaged).unwrap_err();
    assert!(error.contains("the server's experiment"), "{error}");
    let other = Plan { classes: vec!["cat".to_owned()], ..plan.clone() };
    assert!(office.join(TOKEN, &other).unwrap_err().contains("which the run does not have"));
    // Nothing was started.
    assert!(!office.runs().exists());
    office.join(TOKEN, &plan).unwrap();
}

#[test]
fn own_parameters_are_told_where_the_plan_says_so() {
    let mut office = Office::new(Policy::default());
    let plan = office.plan(&["output.keep_clients=true"]);
    let client = office.desk.site().client(&plan, &mut Silent).unwrap();
    let start = client.initial().clone();
    office.join(TOKEN, &plan).unwrap();
    let trained = office.train(TOKEN, 0, &start).unwrap();
    let last = office.train(TOKEN, 1, &trained).unwrap();
    office.restart(Policy::default());
    let ask = labelled(TOKEN, 2, 0, Message::default());
    let own = office.ask(&Kind::Query(PARAMETERS.to_owned()), &ask).unwrap();
    assert!(bits(own.get_parameters().unwrap()) == bits(&last));
}
