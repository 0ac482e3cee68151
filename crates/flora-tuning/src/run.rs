//! From prepared clients to a result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use flora_core::ParameterRecord;
use flora_data::{Dataset, Partition, Split};
use flora_federation::{
    Answer, ClientInfo, Event, Faulty, FederationError, Fleet, Kind, Layered, Listener, Message,
    Outcome, PARAMETERS, Rounds, RoundsConfig, RunState, RunStatus, Selection, Stop, Strategy,
    Sums, Task, Wait,
};
use flora_inference::Provenance;
use flora_privacy::{PrivacyConfig, Releases};
use flora_secagg::{SecureFacts, SecureFleet};
use flora_strategies::StrategyFacts;
use flora_strategies::lora::{Reported, has_pairs};
use serde::Serialize;

use crate::members::Members;
use crate::possible_sums::PossibleSums;
use crate::prepare::{BESIDE, IMAGES, cache_folder, refused};
use crate::travel::Noise;
use crate::{Cohort, Experiment, Observer, TuningError, privacy, uncounted};

/// An experiment whose data are loaded and whose clients are ready for the first round.
pub struct Prepared {
    /// The experiment.
    pub experiment: Experiment,
    /// The images. For a [served](crate::prepare_serving) run, whose images are at the sites, only the classes and
    /// their prompt.
    pub dataset: Arc<Dataset>,
    /// The partition. For a served run only the client ids, without images.
    pub partition: Partition,
    /// Number of trained parameters.
    pub trainable_parameters: usize,
    /// Number of parameters of the whole model, adapters included.
    pub total_parameters: usize,
    /// Seconds spent on data and image features.
    pub data_seconds: f64,
    /// SHA-256 of the checkpoint's weights.
    pub base_digest: String,
    /// SHA-256 of all other inputs that determine the result: images, labels, prompts and so on, by these names.
    pub inputs: BTreeMap<String, String>,
    base_settings: String,
    method: String,
    initial: ParameterRecord,
    /// The participating clients, sorted by id.
    clients: Vec<ClientInfo>,
    scored_on: Split,
    /// Shared data of the clients in this process.
    pub(crate) cohort: Option<Arc<Cohort>>,
    /// The clients whose images are in the initial sums.
    summed: BTreeSet<String>,
    members: Members,
    strategy: Box<dyn Strategy>,
    /// Events for the beginning of the run.
    told: Vec<Event>,
    selection: Box<dyn Selection>,
    around: Option<Around>,
    /// The file of client states for resuming the run; otherwise a temporary one, if they need one.
    states: Option<PathBuf>,
    /// The list of the server's releases, if it adds noise that a repeated round could not repeat.
    releases: Option<Releases>,
    stop: Stop,
}

/// Wraps the fleet of the clients in a custom one.
type Around = Box<dyn FnOnce(Box<dyn Fleet>) -> Box<dyn Fleet>>;

/// The prepared parts.
pub(crate) struct Parts {
    pub(crate) experiment: Experiment,
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) partition: Partition,
    pub(crate) trainable_parameters: usize,
    pub(crate) total_parameters: usize,
    pub(crate) data_seconds: f64,
    pub(crate) base_digest: String,
    pub(crate) base_settings: String,
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) method: String,
    pub(crate) initial: ParameterRecord,
    pub(crate) clients: Vec<ClientInfo>,
    pub(crate) scored_on: Split,
    pub(crate) cohort: Option<Arc<Cohort>>,
    pub(crate) summed: BTreeSet<String>,
    pub(crate) members: Members,
}

/// The result of a run.
pub struct Finished {
    /// Accuracies, adapters, bytes and seconds; if the run ended early, of the finished rounds. `None` if nothing could
    /// be evaluated.
    pub outcome: Option<Outcome>,
    /// Why the run ended early. [`FederationError::Stopped`] if it was asked to.
    pub failure: Option<FederationError>,
    /// The clients whose images are in the last sums of a closed-form method; for [`Provenance::clients`].
    pub summed: BTreeSet<String>,
    /// The clients whose images are in the initial sums.
    pub summed_before: BTreeSet<String>,
    /// Clients of a closed-form method whose sums did not arrive or were rejected: the last sums lack their images or,
    /// for leaving clients, still contain them.
    pub uncounted: BTreeSet<String>,
}

impl Finished {
    /// How the run ended.
    pub fn status(&self) -> RunStatus {
        match &self.failure {
            None => RunStatus::Finished,
            Some(FederationError::Stopped { .. }) => RunStatus::Interrupted,
            Some(_) => RunStatus::Failed,
        }
    }

    /// The clients whose images are in the sums after this round.
    pub fn summed_after(&self, round: usize) -> &BTreeSet<String> {
        if round == 0 { &self.summed_before } else { &self.summed }
    }
}

/// The file of the server's releases, beside that of client states.
const RELEASES: &str = "privacy.releases";

/// Number of clients asked for their parameters at a time.
const AT_A_TIME: usize = 64;

impl Prepared {
    pub(crate) fn new(parts: Parts) -> Result<Self, TuningError> {
        let Parts { experiment, dataset, partition, trainable_parameters, mut clients, .. } = parts;
        clients.sort_by(|left, right| left.id.cmp(&right.id));
        let noise = parts.members.noise();
        let releases = Releases::default();
        let of_server = (&noise, &releases);
        let (strategy, told) = strategy(&experiment, &parts.initial, &clients, of_server)?;
        let is_central = matches!(experiment.federation.privacy, Some(PrivacyConfig::Central(_)));
        Ok(Self {
            strategy,
            told,
            selection: match is_central {
                true => privacy::selection(&experiment.federation, &clients),
                false => experiment.federation.selection(),
            },
            // A simulation's noise is from its seed, and a repeated round is always the same.
            releases: (is_central && matches!(noise, Noise::Fresh)).then_some(releases),
            around: None,
            states: None,
            stop: Stop::default(),
            experiment,
            dataset,
            partition,
            trainable_parameters,
            total_parameters: parts.total_parameters,
            data_seconds: parts.data_seconds,
            base_digest: parts.base_digest,
            base_settings: parts.base_settings,
            inputs: parts.inputs,
            method: parts.method,
            initial: parts.initial,
            clients,
            scored_on: parts.scored_on,
            cohort: parts.cohort,
            summed: parts.summed,
            members: parts.members,
        })
    }

    /// Sets a custom strategy.
    #[must_use]
    pub fn with_strategy(self, strategy: Box<dyn Strategy>) -> Self {
        Self { strategy, ..self }
    }

    /// Sets a custom selection. With central privacy, no client may be drawn with a higher probability than the
    /// experiment's selection draws it, or the stated epsilon is too small.
    #[must_use]
    pub fn with_selection(self, selection: Box<dyn Selection>) -> Self {
        Self { selection, ..self }
    }

    /// Wraps the simulated fleet, or that of the sites, in a custom one.
    #[must_use]
    pub fn with_fleet(
        self,
        around: impl FnOnce(Box<dyn Fleet>) -> Box<dyn Fleet> + 'static,
    ) -> Self {
        Self { around: Some(Box::new(around)), ..self }
    }

    /// Makes the run stop when `stop` is raised: working clients finish, and the state is saved.
    #[must_use]
    pub fn with_stop(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// Makes the clients write their states into the file `path`, from which the run can be [resumed](Self::resume).
    /// The server of a run with central privacy writes its releases into the file `privacy.releases` beside it.
    #[must_use]
    pub fn with_states_in(self, path: impl Into<PathBuf>) -> Self {
        Self { states: Some(path.into()), ..self }
    }

    /// The provenance of the trained parameters. Its [`clients`](Provenance::clients) are those in the initial sums.
    pub fn provenance(&self) -> Provenance {
        let images = self.inputs.get(IMAGES).cloned();
        let (base, settings) = (&self.base_digest, &self.base_settings);
        let provenance = self.experiment.provenance(&self.dataset, base, settings, images);
        let head_sha256 = self.inputs.get(BESIDE).cloned();
        let novel = self.partition.novel_classes();
        let novel_classes = novel.map(|class| self.dataset.classes()[class].clone()).collect();
        Provenance { clients: self.summed.clone(), novel_classes, head_sha256, ..provenance }
    }

    /// The initial parameters of all clients.
    pub fn initial(&self) -> &ParameterRecord {
        &self.initial
    }

    /// The participating clients, sorted by id.
    pub fn clients(&self) -> &[ClientInfo] {
        &self.clients
    }

    /// The split that the run is evaluated on during training.
    pub fn scored_on(&self) -> Split {
        self.scored_on
    }

    /// The partition as JSON for the run's folder: with its classes, or the sites with their numbers of images.
    pub fn partition_json(&self) -> String {
        let json = match &self.members {
            Members::Here { .. } => {
                serde_json::to_string_pretty(&self.partition.described(&self.dataset))
            }
            Members::AtSites(_) => serde_json::to_string_pretty(&AtSites {
                scored_on: self.scored_on,
                sites: &self.clients,
            }),
        };
        json.expect("plain data")
    }

    /// The number of planned rounds.
    pub fn rounds(&self) -> usize {
        // Without parameters there is nothing to train.
        if self.initial.is_empty() { 0 } else { self.experiment.rounds() }
    }

    /// Trains for the experiment's rounds, or until its patience runs out, and reports to `observer`. A run that ends
    /// early keeps its results.
    pub fn run(self, observer: &mut dyn Observer) -> Finished {
        let started = Instant::now();
        let federation = &self.experiment.federation;
        let shared = federation.share().part(&self.initial);
        observer.event(&Event::RunStarted {
            name: self.experiment.name.clone(),
            method: self.method.clone(),
            clients: self.clients.clone(),
            rounds: self.rounds(),
            trainable_parameters: self.trainable_parameters,
            total_parameters: self.total_parameters,
            bytes_per_client: federation.strategy.answered(&shared).byte_len() as u64
                * federation.strategy.records(),
            seed: self.experiment.seed,
        });
        self.told.iter().for_each(|event| observer.event(event));
        let seconds = self.data_seconds;
        observer.event(&Event::PhaseFinished { phase: "data".into(), seconds });
        self.all_rounds(None, started, observer)
    }

    /// Resumes from a state that an earlier run of the same experiment saved; set the file of that run with
    /// [`with_states_in`](Self::with_states_in). The result is bit-identical to that of an uninterrupted run. Events
    /// before the state are not repeated. Without that file nothing is run, and the failure says so.
    pub fn resume(self, state: RunState, observer: &mut dyn Observer) -> Finished {
        self.all_rounds(Some(state), Instant::now(), observer)
    }

    fn all_rounds(
        self,
        state: Option<RunState>,
        started: Instant,
        observer: &mut dyn Observer,
    ) -> Finished {
        let (data_seconds, before) = (self.data_seconds, self.summed.clone());
        let finished = self.federate(state, observer).unwrap_or_else(|error| Finished {
            outcome: None,
            failure: Some(error),
            summed: before.clone(),
            summed_before: before,
            uncounted: BTreeSet::new(),
        });
        let outcome = finished.outcome.as_ref();
        observer.event(&Event::RunFinished {
            status: finished.status(),
            message: finished.failure.as_ref().map(ToString::to_string),
            last_round: outcome.map(|outcome| outcome.last_round),
            best_round: outcome.map(|outcome| outcome.best_round),
            bytes_up: outcome.map_or(0, |outcome| outcome.bytes_up),
            bytes_down: outcome.map_or(0, |outcome| outcome.bytes_down),
            seconds: data_seconds + started.elapsed().as_secs_f64(),
        });
        finished
    }

    fn federate(
        self,
        state: Option<RunState>,
        observer: &mut dyn Observer,
    ) -> Result<Finished, FederationError> {
        let federation = &self.experiment.federation;
        let config = RoundsConfig {
            rounds: self.rounds(),
            patience: self.experiment.training.patience,
            seed: self.experiment.seed,
            share: federation.share(),
            evaluate_local: federation.evaluate_local,
            policy: federation.policy(),
            save_every: self.experiment.output.save_every,
        };
        // Without their states, clients would start anew, and the result would differ. A custom fleet may store them
        // elsewhere, and sites store their own.
        let forget = matches!(self.members, Members::Here { .. });
        let lost = forget && self.states.is_none() && self.around.is_none();
        if state.is_some() && lost {
            let problem = "no file of the clients' states is given; name it with `with_states_in`";
            return Err(FederationError::State(problem.to_owned()));
        }
        let kept_in = self.states.as_deref().filter(|_| config.save_every > 0);
        let cache = cache_folder(&self.experiment);
        let members = self
            .members
            .with_states(kept_in, state.is_some(), cache.as_deref())
            .map_err(FederationError::Fleet)?;
        // Poison is not encoded: malicious clients need not follow the protocol.
        let fleet = Layered::new(members, self.experiment.fleet_layers());
        let fleet = fleet.with_download(self.experiment.download(&self.initial));
        let faults = self.experiment.faults;
        let fleet: Box<dyn Fleet> = match faults.is_none() {
            true => Box::new(fleet),
            false => Box::new(Faulty::new(fleet, faults, config.seed)?),
        };
        // A client that fails is missing from the sum.
        let fleet: Box<dyn Fleet> = match &self.experiment.federation.secure {
            None => fleet,
            Some(secure) => {
                let answered = self.experiment.federation.strategy.clone();
                let facts = SecureFacts {
                    config: secure.clone(),
                    run: self.experiment.name.clone(),
                    is_answered: Box::new(move |name| answered.is_answered(name)),
                };
                Box::new(SecureFleet::new(fleet, facts))
            }
        };
        let mut fleet = match self.around {
            None => fleet,
            Some(around) => around(fleet),
        };
        if let (Some(releases), Some(path)) = (&self.releases, kept_in) {
            let stored = releases.store_in(&path.with_file_name(RELEASES), state.is_some());
            stored.map_err(FederationError::State)?;
        }
        let mut strategy = self.strategy;
        let rounds = Rounds::new(&config).with_selection(&*self.selection).with_stop(self.stop);
        let rounds = rounds.under_masks(self.experiment.federation.secure.is_some());
        let listener = &mut Heard(observer);
        let keeps = self.experiment.output.keep_clients;
        // If every weight is trained, this is as large as the model, so it is used only if it completes clients'
        // parameters.
        let initial = (keeps && !config.share.is_all()).then(|| self.initial.clone());
        if let Some(coarse) = coarse_lanes(&self.experiment).filter(|_| state.is_none()) {
            listener.0.event(&coarse);
        }
        let outcome = match state {
            None => rounds.run(&mut *fleet, &mut *strategy, self.initial, listener),
            Some(state) => rounds.resume(&mut *fleet, &mut *strategy, state, listener),
        };
        let summed_before = self.summed;
        let summed = self.experiment.summed(&summed_before, &strategy.state());
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let outcome = error.partial().and_then(|partial| partial.outcome.clone());
                // The sums of a round that was aggregated but not evaluated are in no result.
                let is_in = outcome.as_ref().is_some_and(|outcome| outcome.last_round.round > 0);
                let summed = if is_in { summed } else { summed_before.clone() };
                let (failure, uncounted) = (Some(error), BTreeSet::new());
                return Ok(Finished { outcome, failure, summed, summed_before, uncounted });
            }
        };
        // If nothing is sent, nothing is summed.
        let adds_up = config.rounds > 0 && config.share.is_all();
        let counted = Sums::counted_in(&strategy.state()).filter(|_| adds_up);
        let uncounted = counted.map(|counted| uncounted::of(&self.clients, &counted));
        if let Some(uncounted) = &uncounted {
            let settings = &self.experiment.method.closed_form;
            for event in uncounted::events(settings, uncounted, &summed) {
                listener.0.event(&event);
            }
        }
        let uncounted = uncounted.unwrap_or_default();
        let round = outcome.last_round.round;
        let own = initial.as_ref().map(|initial| (initial, &outcome.last));
        let kept = keeps.then(|| keep_clients(&mut *fleet, round, own, listener.0));
        // Whatever happens to the clients' parameters, the rounds are finished.
        let failure = kept.and_then(Result::err);
        Ok(Finished { outcome: Some(outcome), failure, summed, summed_before, uncounted })
    }
}

impl Experiment {
    /// The clients whose images are in the sums of a closed-form method that started from those of `before`, by the
    /// [state](Strategy::state) of its strategy; empty for another method.
    pub fn summed(&self, before: &BTreeSet<String>, strategy: &Message) -> BTreeSet<String> {
        let counted = Sums::counted_in(strategy).unwrap_or_default();
        match self.method.closed_form.leaving {
            true => before - &counted,
            false => before | &counted,
        }
    }
}

/// Replies of closed-form methods are always summed, whatever the configured strategy.
fn strategy(
    experiment: &Experiment,
    initial: &ParameterRecord,
    clients: &[ClientInfo],
    (noise, releases): (&Noise, &Releases),
) -> Result<(Box<dyn Strategy>, Vec<Event>), TuningError> {
    let Experiment { method, training, federation, .. } = experiment;
    if method.name.is_closed_form() {
        let sums = Sums::new();
        let sums = if method.closed_form.leaving { sums.subtracting() } else { sums };
        // Noised sums need not be sums that images can have.
        let mut told = privacy::check_secure(experiment, clients, noise)?;
        told.extend(privacy::told(experiment, noise, clients));
        return Ok(match federation.privacy {
            Some(_) => (Box::new(sums), told),
            None => (Box::new(PossibleSums::new(sums, federation.upload)), told),
        });
    }
    let (epochs, batch_size) = (training.local_epochs, training.batch_size);
    let trainers = clients.iter().filter(|client| client.num_examples > 0);
    let strategy = federation.strategy.build(StrategyFacts {
        local_steps: Box::new(move |examples| epochs * examples.div_ceil(batch_size)),
        momentum: training.momentum,
        clients: trainers.map(|client| client.id.clone()).collect(),
        seed: experiment.seed,
    });
    let strategy = strategy
        .map_err(|problem| refused(experiment, format!("federation.strategy.{problem}")))?;
    if let Some(PrivacyConfig::Central(config)) = &federation.privacy {
        let of_server = (noise, releases.clone());
        return privacy::central(experiment, strategy, config, (initial, clients), of_server);
    }
    // Under masks there are no individual replies to compare with.
    let strategy: Box<dyn Strategy> = match has_pairs(initial) && federation.secure.is_none() {
        true => Box::new(Reported::new(strategy)),
        false => strategy,
    };
    let mut told = privacy::check_secure(experiment, clients, noise)?;
    told.extend(privacy::told(experiment, noise, clients));
    Ok((strategy, told))
}

/// A warning of secure aggregation with steps so coarse that most numbers of an update are rounded away.
fn coarse_lanes(experiment: &Experiment) -> Option<Event> {
    let secure = experiment.federation.secure.as_ref().filter(|secure| secure.norm.is_none())?;
    let bits = secure.bits.filter(|&bits| bits <= 4)?;
    let message = format!(
        "federation.secure.bits: with {bits} bits, numbers from -{range} to {range} have {} values, and an update is \
         mostly rounding noise; set federation.secure.norm, which rotates updates first, or more bits",
        (1_u32 << bits) - 1,
        range = secure.range,
    );
    Some(Event::Warning { message })
}

/// Number of clients that train.
pub(crate) fn trainers_of(clients: &[ClientInfo]) -> usize {
    clients.iter().filter(|client| client.num_examples > 0).count()
}

/// The sites of a served run, for its folder.
#[derive(Serialize)]
struct AtSites<'a> {
    scored_on: Split,
    sites: &'a [ClientInfo],
}

/// Passes every client's own parameters to the observer. If some are shared and others are the client's own, `own` has
/// the initial values and the shared ones: a client has the last shared ones, whatever it last trained.
fn keep_clients(
    fleet: &mut dyn Fleet,
    round: usize,
    own: Option<(&ParameterRecord, &ParameterRecord)>,
    observer: &mut dyn Observer,
) -> Result<(), FederationError> {
    let clients = fleet.clients(round).map_err(FederationError::Fleet)?;
    let trainers: Vec<_> = clients.into_iter().filter(|info| info.num_examples > 0).collect();
    let mut problem = None;
    for some in trainers.chunks(AT_A_TIME) {
        let task = |info: &ClientInfo| Task {
            client: info.id.clone(),
            round,
            attempt: 0,
            kind: Kind::Query(PARAMETERS.to_owned()),
            message: Message::default(),
        };
        let tasks = some.iter().map(task).collect();
        let exchanged = fleet.exchange(tasks, &Wait::default(), &mut |answer| {
            let Ok(message) = answer.result else { return };
            let Some(parameters) = message.get_parameters() else { return };
            if problem.is_some() {
                return;
            }
            let mut keep = |whole: &ParameterRecord| match whole.is_empty() {
                true => Ok(()),
                false => observer.keep_client(&answer.client, whole),
            };
            let kept = match own {
                None => keep(parameters),
                Some((initial, shared)) => {
                    whole(parameters, initial, shared).and_then(|whole| keep(&whole))
                }
            };
            problem = kept.err();
        });
        exchanged.map_err(FederationError::Fleet)?;
    }
    problem.map_or(Ok(()), |problem| Err(FederationError::Unwritten(problem)))
}

/// The parameters that a client predicts with after training `own`, or before any training. If nothing is shared, an
/// empty record is complete.
fn whole(
    own: &ParameterRecord,
    initial: &ParameterRecord,
    shared: &ParameterRecord,
) -> Result<ParameterRecord, String> {
    let begun = if own.is_empty() && !shared.is_empty() { initial } else { own };
    let mut whole = begun.clone();
    whole.replace(shared).map_err(|error| error.to_string())?;
    Ok(whole)
}

/// Adapts an observer to the round loop.
struct Heard<'a>(&'a mut dyn Observer);

impl Listener for Heard<'_> {
    fn event(&mut self, event: &Event) {
        self.0.event(event);
    }

    fn answered(&mut self, answer: &Answer, done: usize, of: usize) {
        self.0.answered(answer, done, of);
    }

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        self.0.keep(state)
    }
}
